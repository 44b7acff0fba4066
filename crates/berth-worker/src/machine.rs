//! What this machine is.

use std::fs;
use std::io;
use std::path::Path;

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

/// Where NVIDIA's driver tells of its GPUs: a folder for each, called by its place on the bus.
const GPUS: &str = "/proc/driver/nvidia/gpus";

/// What the GPUs are called, in the order of their places on the bus; empty where there is no driver.
pub(crate) fn gpus() -> Vec<String> {
    gpus_below(Path::new(GPUS))
}

fn gpus_below(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut folders: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    // Places are written with leading zeros, so they sort as texts.
    folders.sort_unstable();
    folders
        .iter()
        .map(|folder| gpu(&fs::read_to_string(folder.join("information")).unwrap_or_default()))
        .collect()
}

fn gpu(information: &str) -> String {
    let model = information
        .lines()
        .find_map(|line| line.strip_prefix("Model:"))
        .map_or("", str::trim);
    let name = if model.is_empty() { "NVIDIA GPU" } else { model };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_listed_in_the_order_of_their_places() {
        let folder = tempfile::tempdir().expect("a folder");
        for (place, information) in [
            (
                "0000:81:00.0",
                "Model: \t\t NVIDIA L4\nIRQ:   \t\t 128\nBus Type: \t PCIe\n",
            ),
            (
                "0000:01:00.0",
                "Model: \t\t NVIDIA A100-SXM4-40GB\nIRQ:   \t\t 91\n",
            ),
            ("0001:01:00.0", ""),
        ] {
            let gpu = folder.path().join(place);
            fs::create_dir(&gpu).expect("a folder");
            fs::write(gpu.join("information"), information).expect("writes");
        }
        assert_eq!(
            gpus_below(folder.path()),
            ["NVIDIA A100-SXM4-40GB", "NVIDIA L4", "NVIDIA GPU"]
        );
        assert!(gpus_below(&folder.path().join("missing")).is_empty());
    }

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
