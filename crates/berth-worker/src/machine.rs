//! What this machine is.

use std::fs;
use std::io;

/// What the machine is called.
pub(crate) fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "unknown".to_owned()
    } else {
        name.to_owned()
    }
}

/// What the processor is called.
pub(crate) fn processor() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.trim().strip_prefix(':'));
    model.map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |model| model.trim().to_owned(),
    )
}

/// How many processors this process may use.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Memory that this process and its children may use: the machine's, or less where a control group says so.
pub(crate) fn memory_bytes() -> io::Result<u64> {
    let total = fs::read_to_string("/proc/meminfo")?;
    let total = parse_total(&total)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "`meminfo` has no line `MemTotal`"))?;
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|limit| limit.trim().parse().ok());
    Ok(limit.map_or(total, |limit: u64| limit.min(total)))
}

fn parse_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_memory_is_read() {
        assert_eq!(
            parse_total("MemTotal:       2048 kB\nMemFree: 1 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(parse_total("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn this_machine_has_memory_and_processors() {
        assert!(memory_bytes().expect("Linux has meminfo") > 64 << 20);
        assert!(processors() >= 1);
    }
}
