//! CPU time and memory of a process and all its descendants, from `/proc`.

use std::fs;

use anyhow::{Context as _, Result};

/// A process as `/proc` shows it.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// The program with its first argument, such as `berth-worker runner`; of others the name alone.
    pub(crate) name: String,
    /// CPU time used so far, in µs.
    pub(crate) cpu_us: u64,
    /// Memory that is not shared with others, in bytes.
    pub(crate) private_bytes: u64,
}

/// `root` and everything below it. Fails when `root` is gone; a descendant that ends meanwhile is left out.
pub(crate) fn family(root: u32) -> Result<Vec<Process>> {
    let mut family = vec![read(root).with_context(|| format!("reading process {root}"))?];
    let mut open = children(root);
    while let Some(pid) = open.pop() {
        let Ok(found) = read(pid) else { continue };
        family.push(found);
        open.extend(children(pid));
    }
    Ok(family)
}

/// Memory of a process that is not shared with others, in bytes.
pub(crate) fn private_bytes(pid: u32) -> Result<u64> {
    Ok(read(pid)
        .with_context(|| format!("reading process {pid}"))?
        .private_bytes)
}

/// CPU time of `root` and everything below it, in µs.
pub(crate) fn cpu_us(root: u32) -> Result<u64> {
    Ok(family(root)?.iter().map(|process| process.cpu_us).sum())
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|child| child.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

fn read(pid: u32) -> Result<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (head, tail) = stat.rsplit_once(") ").context("reading /proc/PID/stat")?;
    let fields: Vec<&str> = tail.split(' ').collect();
    // Fields 14 and 15 of proc(5), counted from the state, in ticks of 10 ms.
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let private_kib: u64 = rollup
        .lines()
        .filter(|line| line.starts_with("Private_"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum();
    let name = head.split_once('(').map_or("", |(_, name)| name);
    Ok(Process {
        pid,
        name: match subcommand(pid) {
            Some(subcommand) if name.starts_with("berth") => format!("{name} {subcommand}"),
            _ => name.to_owned(),
        },
        cpu_us: ticks * 10_000,
        private_bytes: private_kib * 1024,
    })
}

fn subcommand(pid: u32) -> Option<String> {
    let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    words.split('\0').nth(1).map(str::to_owned)
}
