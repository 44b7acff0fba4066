//! How much memory a process holds.

use std::fs;
use std::io;

/// What this process holds.
pub(crate) fn of_this_process() -> io::Result<u64> {
    measure("self")
}

/// What another process of the same user holds.
pub(crate) fn of(pid: u32) -> io::Result<u64> {
    measure(&pid.to_string())
}

/// The proportional set size: private pages, and the process's share of those that it has in common with others (the
/// library's code); what was swapped out counts too. Summed over all runners it is what they really take.
fn measure(process: &str) -> io::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    parse(&rollup)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "`smaps_rollup` has no line `Pss`"))
}

fn parse(rollup: &str) -> Option<u64> {
    let kilobytes = |name: &str| -> Option<u64> {
        let line = rollup
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    Some((kilobytes("Pss")? + kilobytes("SwapPss").unwrap_or(0)) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_swapped_pages_count() {
        let rollup = "5600-7ffe ---p 0 00:00 0 [rollup]\nRss:  200 kB\nPss:                 120 kB\nPss_Dirty: 90 kB\nSwapPss: 3 kB\n";
        assert_eq!(parse(rollup), Some(123 * 1024));
        assert_eq!(parse("Rss: 1 kB\n"), None);
    }

    #[test]
    fn this_process_holds_some_memory() {
        let held = of_this_process().expect("Linux has smaps_rollup");
        assert!(held > 100 * 1024);
        let seen = of(std::process::id()).expect("Linux has smaps_rollup");
        assert!(seen > 100 * 1024);
    }
}
