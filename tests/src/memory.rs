//! How much memory a process holds, and how much it has held at most.

use std::fs;

use anyhow::{Context as _, Result};

/// The most that a process has held in memory since its start, or since [`forget_peak`].
pub(crate) fn peak_bytes(pid: u32) -> Result<u64> {
    status(pid, "VmHWM:")
}

/// Begins the peak anew, with what is held now.
pub(crate) fn forget_peak(pid: u32) -> Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("beginning a peak anew")
}

fn status(pid: u32, name: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).context("reading the state of a process")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let number = number.with_context(|| format!("`{name}` of process {pid}"))?;
    Ok(number.parse::<u64>().context("reading a number")? * 1024)
}

#[test]
fn peak_is_remembered_and_forgotten() {
    const BYTES: usize = 64 << 20;
    let pid = std::process::id();
    forget_peak(pid).expect("is forgotten");
    let before = peak_bytes(pid).expect("is told");
    let block = vec![1_u8; BYTES];
    assert!(block.iter().all(|byte| *byte == 1));
    drop(block);
    let grown = peak_bytes(pid).expect("is told") - before;
    assert!(grown >= BYTES as u64 / 2, "{grown}");
    forget_peak(pid).expect("is forgotten");
    assert!(peak_bytes(pid).expect("is told") < before + grown);
}
