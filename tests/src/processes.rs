//! What runs on the machine, from `/proc`.

use std::fs;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

/// The processes below `pid`, children before grandchildren.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    let all = parents();
    while next < found.len() {
        let parent = found[next];
        found.extend(
            all.iter()
                .filter(|(_, of)| *of == parent)
                .map(|(child, _)| *child),
        );
        next += 1;
    }
    found.split_off(1)
}

/// The runners below `pid`: processes of `berth-worker runner`.
pub fn runners(pid: u32) -> Vec<u32> {
    let is_runner =
        |pid: &u32| command_line(*pid).is_some_and(|words| words.get(1).is_some_and(|word| word == "runner"));
    descendants(pid).into_iter().filter(is_runner).collect()
}

/// Whether a process is there and not merely waiting to be collected.
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z"))
}

/// The processor time that a process has used, in ticks of the clock (hundredths of a second).
pub fn processor_ticks(pid: u32) -> u64 {
    let used = |fields: Vec<String>| {
        Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
    };
    stat(pid).and_then(used).unwrap_or(0)
}

/// The memory that a process has in RAM now, in bytes.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = |line: &str| {
        let rest = line.strip_prefix("VmRSS:")?;
        rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    };
    status.lines().find_map(kilobytes).unwrap_or(0) * 1024
}

/// Kills a process as a crash would.
pub fn kill(pid: u32) -> Result<()> {
    let pid = Pid::from_raw(pid.cast_signed()).context("no process has the number 0")?;
    kill_process(pid, Signal::KILL).context("killing a process")
}

fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| Some((pid, stat(pid)?.get(1)?.parse().ok()?)))
        .collect()
}

/// The fields of `/proc/PID/stat` from the state on; the name before it may hold anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

fn command_line(pid: u32) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(
        bytes
            .split(|&byte| byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn children_and_their_children_are_found() {
        let script = "sh -c 'sleep 60 & echo; wait' & wait";
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let mut line = [0];
        let output = shell.stdout.as_mut().expect("is piped");
        std::io::Read::read_exact(output, &mut line).expect("the inner shell has started its child");
        let found = descendants(shell.id());
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().all(|pid| is_alive(*pid)));
        for pid in &found {
            kill(*pid).expect("can be killed");
        }
        shell.wait().expect("ends");
        assert!(!is_alive(shell.id()));
    }
}
