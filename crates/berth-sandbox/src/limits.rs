//! How much may be used: resource limits.

use std::io;

use crate::{Error, Sandbox};

/// Sets every limit that the sandbox names. A crash never writes a core file: it would hold a tenant's data.
pub(crate) fn apply(sandbox: &Sandbox) -> Result<(), Error> {
    set("core files", libc::RLIMIT_CORE, 0, 0)?;
    if let Some(value) = sandbox.memory_data_bytes {
        let most = sandbox
            .memory_data_most_bytes
            .map_or(value, |most| most.max(value));
        set("private memory", libc::RLIMIT_DATA, value, most)?;
    }
    for (limit, resource, value) in [
        ("processor time", libc::RLIMIT_CPU, sandbox.cpu_seconds),
        ("the size of files", libc::RLIMIT_FSIZE, sandbox.file_size_bytes),
        ("open files", libc::RLIMIT_NOFILE, sandbox.open_files),
    ] {
        if let Some(value) = value {
            set(limit, resource, value, value)?;
        }
    }
    if sandbox.file_size_bytes.is_some() {
        ignore_file_size_signal().map_err(|source| Error::Limit {
            limit: "the size of files",
            source,
        })?;
    }
    Ok(())
}

fn set(limit: &'static str, resource: libc::__rlimit_resource_t, value: u64, most: u64) -> Result<(), Error> {
    let failed = |source| Error::Limit { limit, source };
    let hard = current(resource).map_err(failed)?.rlim_max;
    // A limit that is already lower stays: an operator set it.
    let (value, most) = (value.min(hard), most.min(hard));
    replace(
        resource,
        libc::rlimit {
            rlim_cur: value,
            rlim_max: most,
        },
    )
    .map_err(failed)
}

#[expect(unsafe_code, reason = "the standard library has no resource limits")]
fn current(resource: libc::__rlimit_resource_t) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid `rlimit` that the kernel fills in and does not keep.
    if unsafe { libc::getrlimit(resource, &raw mut limit) } == 0 {
        Ok(limit)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[expect(unsafe_code, reason = "the standard library has no resource limits")]
pub(crate) fn replace(resource: libc::__rlimit_resource_t, limit: libc::rlimit) -> io::Result<()> {
    // SAFETY: `limit` is a valid `rlimit` that the kernel reads and does not keep.
    if unsafe { libc::setrlimit(resource, &raw const limit) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Without this a write over the limit would end the process; with it the write fails and can be reported.
#[expect(unsafe_code, reason = "the standard library cannot ignore signals")]
fn ignore_file_size_signal() -> io::Result<()> {
    // SAFETY: `SIG_IGN` installs no handler, so no code of ours runs in signal context.
    if unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) } == libc::SIG_ERR {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
