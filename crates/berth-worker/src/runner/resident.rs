//! How much memory this process holds.

use std::fs;
use std::io;

/// The proportional set size: private pages, and this process's share of those that it has in common with others (the
/// library's code); what was swapped out counts too. Summed over all runners it is what they really take.
pub(crate) fn measure() -> io::Result<u64> {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup")?;
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
        assert!(measure().expect("Linux has smaps_rollup") > 100 * 1024);
    }
}
