//! System calls, made as they are. Those about files want a file `target` in the working folder.

#![expect(
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "the kernel takes every argument as one word"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::ptr::null;

/// Makes one call.
type Attempt = fn() -> io::Result<()>;

/// What came of it, in a word.
pub(crate) fn told(result: io::Result<()>) -> String {
    match result.map_err(|error| error.raw_os_error()) {
        Ok(()) => "works".to_owned(),
        Err(Some(libc::EPERM)) => "EPERM".to_owned(),
        Err(number) => format!("error {number:?}"),
    }
}

/// The calls by name.
pub(crate) const CALLS: &[(&str, Attempt)] = &[
    ("socketpair-stream", || {
        pair(libc::SOCK_STREAM | libc::SOCK_CLOEXEC)
    }),
    ("socketpair-datagram", || {
        pair(libc::SOCK_DGRAM | libc::SOCK_CLOEXEC)
    }),
    ("socketpair-packets", || pair(libc::SOCK_SEQPACKET)),
    ("send", || send(0)),
    ("send-to-address", || send(2)),
    ("sendmsg", sendmsg),
    #[cfg(target_arch = "x86_64")]
    ("chmod", || call(libc::SYS_chmod, &[target(), 0o600])),
    ("fchmod", || on_file(libc::SYS_fchmod, &[0o600])),
    ("fchmodat", || call(libc::SYS_fchmodat, &[HERE, target(), 0o600])),
    ("fchmodat2", || {
        call(libc::SYS_fchmodat2, &[HERE, target(), 0o600, 0])
    }),
    ("utimensat", || call(libc::SYS_utimensat, &[HERE, target(), 0, 0])),
    #[cfg(target_arch = "x86_64")]
    ("utime", || call(libc::SYS_utime, &[target(), 0])),
    #[cfg(target_arch = "x86_64")]
    ("chown", || {
        call(libc::SYS_chown, &[target(), UNCHANGED, UNCHANGED])
    }),
    #[cfg(target_arch = "x86_64")]
    ("lchown", || {
        call(libc::SYS_lchown, &[target(), UNCHANGED, UNCHANGED])
    }),
    ("fchown", || on_file(libc::SYS_fchown, &[UNCHANGED, UNCHANGED])),
    ("fchownat", || {
        call(libc::SYS_fchownat, &[HERE, target(), UNCHANGED, UNCHANGED, 0])
    }),
    ("signal-owner", || on_stream(libc::SYS_fcntl, &[8, own_pid()])),
    ("signal-owner-ex", || {
        let owner = [1_i32, std::process::id().cast_signed()];
        on_stream(libc::SYS_fcntl, &[15, owner.as_ptr() as usize])
    }),
    ("signal-number", || on_stream(libc::SYS_fcntl, &[10, 10])),
    ("lease", || on_file(libc::SYS_fcntl, &[1024, 0])),
    ("signal-owner-by-ioctl", || by_ioctl(0x8901)),
    ("signal-group-by-ioctl", || by_ioctl(0x8902)),
    ("own-affinity", || affinity(0)),
    ("affinity-of-the-parent", || affinity(parent_id() as usize)),
    ("limits-of-the-parent", || {
        let limit = [0_u64; 2];
        call(
            libc::SYS_prlimit64,
            &[parent_id() as usize, 0, 0, limit.as_ptr() as usize],
        )
    }),
    ("memory-file", || {
        call(libc::SYS_memfd_create, &[c"m".as_ptr() as usize, 0])
    }),
    ("shared-memory", || map(libc::MAP_SHARED | libc::MAP_ANONYMOUS)),
    ("shared-checked-memory", || {
        map(libc::MAP_SHARED_VALIDATE | libc::MAP_ANONYMOUS)
    }),
    ("private-memory", || map(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS)),
];

/// The working folder, where a call takes a folder.
const HERE: usize = libc::AT_FDCWD as isize as usize;
/// Leaves user or group as it is.
const UNCHANGED: usize = u32::MAX as usize;

fn target() -> usize {
    c"target".as_ptr() as usize
}

fn own_pid() -> usize {
    std::process::id() as usize
}

#[expect(unsafe_code, reason = "calls are tried as the kernel takes them")]
fn call(number: libc::c_long, arguments: &[usize]) -> io::Result<()> {
    let argument = |place: usize| arguments.get(place).copied().unwrap_or_default();
    // SAFETY: what the calls of this file point to lives until they return, and none of them changes other memory.
    let result = unsafe {
        libc::syscall(
            number,
            argument(0),
            argument(1),
            argument(2),
            argument(3),
            argument(4),
            argument(5),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn on_file(number: libc::c_long, arguments: &[usize]) -> io::Result<()> {
    let file = File::open("target")?;
    call(number, &[&[file.as_raw_fd() as usize], arguments].concat())
}

fn on_stream(number: libc::c_long, arguments: &[usize]) -> io::Result<()> {
    let (stream, _other) = UnixStream::pair()?;
    call(number, &[&[stream.as_raw_fd() as usize], arguments].concat())
}

fn pair(kind: libc::c_int) -> io::Result<()> {
    let ends = [0_i32; 2];
    let family = libc::AF_UNIX as usize;
    call(
        libc::SYS_socketpair,
        &[family, kind as usize, 0, ends.as_ptr() as usize],
    )
}

/// Sends a byte, with so many bytes of an address.
fn send(address_bytes: usize) -> io::Result<()> {
    let (byte, address) = ([7_u8], [libc::AF_UNIX as u16]);
    let address = if address_bytes == 0 {
        null()
    } else {
        address.as_ptr()
    };
    on_stream(
        libc::SYS_sendto,
        &[byte.as_ptr() as usize, 1, 0, address as usize, address_bytes],
    )
}

fn sendmsg() -> io::Result<()> {
    let byte = [7_u8];
    let part = [byte.as_ptr() as usize, 1];
    // `struct msghdr`: no address, one part, no control data.
    let message = [0, 0, part.as_ptr() as usize, 1, 0, 0, 0];
    on_stream(libc::SYS_sendmsg, &[message.as_ptr() as usize, 0])
}

fn by_ioctl(request: usize) -> io::Result<()> {
    let owner = [std::process::id().cast_signed()];
    on_stream(libc::SYS_ioctl, &[request, owner.as_ptr() as usize])
}

fn affinity(pid: usize) -> io::Result<()> {
    let cores = [u64::MAX; 16];
    call(
        libc::SYS_sched_setaffinity,
        &[pid, size_of_val(&cores), cores.as_ptr() as usize],
    )
}

fn map(flags: libc::c_int) -> io::Result<()> {
    let readable = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    call(
        libc::SYS_mmap,
        &[0, 1 << 20, readable, flags as usize, usize::MAX, 0],
    )
}
