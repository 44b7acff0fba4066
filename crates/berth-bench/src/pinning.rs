//! Which core a thread runs on.

use anyhow::{Context as _, Result};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Keeps this thread, and those that it starts from now on, on one core.
pub(crate) fn pin(core: usize) -> Result<()> {
    sched_setaffinity(None, &only(core)).with_context(|| format!("keeping the thread on core {core}"))
}

/// Keeps another process of one thread on one core, and what it starts from now on.
pub(crate) fn pin_process(pid: u32, core: usize) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.context("a process id that cannot be")?;
    sched_setaffinity(Some(pid), &only(core)).with_context(|| format!("keeping a process on core {core}"))
}

fn only(core: usize) -> CpuSet {
    let mut cores = CpuSet::new();
    cores.set(core);
    cores
}
