//! The child's side: takes what its parent handed over.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Mutex, PoisonError};

use crate::notes::Page;

/// Why an inherited descriptor cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was taken before: a descriptor has one owner.
    #[error("descriptor {0} was taken before")]
    Taken(RawFd),
    /// The standard three are not handed over this way.
    #[error("descriptor {0} is none that a parent hands over")]
    Reserved(RawFd),
    /// Nothing is open under that number.
    #[error("descriptor {number} is not open")]
    Closed {
        /// The number.
        number: RawFd,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is open, but no listening Unix stream socket.
    #[error("descriptor {0} is not a listening Unix socket")]
    NotListening(RawFd),
    /// It is open, but no connected Unix stream socket.
    #[error("descriptor {0} is not a connected Unix socket")]
    NotConnected(RawFd),
    /// The page of notes cannot be used.
    #[error("the page of notes cannot be mapped")]
    Notes(#[source] io::Error),
    /// The thread that watches the lifeline could not be started.
    #[error("the lifeline cannot be watched")]
    Watch(#[source] io::Error),
}

static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// The listening Unix socket that the parent handed over under this number.
///
/// Fails when the number is not open, was taken before, or is something else. Take descriptors before opening any file:
/// a number that the parent did not hand over could be given to that file.
pub fn listener(number: RawFd) -> Result<UnixListener, Error> {
    let descriptor = take(number)?;
    if is_stream(&descriptor, true) {
        Ok(UnixListener::from(descriptor))
    } else {
        Err(Error::NotListening(number))
    }
}

/// The connected Unix socket that the parent handed over under this number. Fails as [`listener`] does.
pub fn stream(number: RawFd) -> Result<UnixStream, Error> {
    let descriptor = take(number)?;
    if is_stream(&descriptor, false) {
        Ok(UnixStream::from(descriptor))
    } else {
        Err(Error::NotConnected(number))
    }
}

/// The page of notes that the parent handed over under this number. Call it before [`crate::Sandbox::enter`]. Fails when the
/// number is not open, was taken before, or is no such page.
pub fn notes(number: RawFd) -> Result<Page, Error> {
    Page::map(take(number)?).map_err(Error::Notes)
}

fn is_stream(descriptor: &OwnedFd, listening: bool) -> bool {
    let is = |option, value| socket_option(descriptor, option).is_ok_and(|found| found == value);
    is(libc::SO_DOMAIN, libc::AF_UNIX)
        && is(libc::SO_TYPE, libc::SOCK_STREAM)
        && is(libc::SO_ACCEPTCONN, libc::c_int::from(listening))
}

/// Ends this process, at once and without clean-up, when the parent's [`crate::launch::Lifeline`] is gone.
///
/// Starts a thread, so call it after [`crate::Sandbox::enter`]. Fails when the number is not open or was taken before.
pub fn end_with_lifeline(number: RawFd) -> Result<(), Error> {
    let mut lifeline = std::fs::File::from(take(number)?);
    std::thread::Builder::new()
        .name("lifeline".to_owned())
        .stack_size(64 * 1024)
        .spawn(move || {
            // Nothing is ever written: this returns when the other end is closed.
            let mut byte = [0];
            while lifeline
                .read(&mut byte)
                .is_err_and(|error| error.kind() == io::ErrorKind::Interrupted)
            {}
            end_now();
        })
        .map(drop)
        .map_err(Error::Watch)
}

fn take(number: RawFd) -> Result<OwnedFd, Error> {
    if number <= 2 {
        return Err(Error::Reserved(number));
    }
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if taken.contains(&number) {
        return Err(Error::Taken(number));
    }
    close_on_exec(number).map_err(|source| Error::Closed { number, source })?;
    taken.push(number);
    Ok(own(number))
}

#[expect(unsafe_code, reason = "an inherited descriptor is a bare number")]
fn own(number: RawFd) -> OwnedFd {
    // SAFETY: the number is open (`close_on_exec` has succeeded), was handed over by the parent for this very purpose,
    // and `TAKEN` sees to it that it gets no second owner.
    unsafe { OwnedFd::from_raw_fd(number) }
}

#[expect(unsafe_code, reason = "the standard library does not wrap fcntl")]
fn close_on_exec(number: RawFd) -> io::Result<()> {
    // SAFETY: `F_SETFD` takes a number and touches no memory; a number that is not open fails with `EBADF`.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[expect(unsafe_code, reason = "the standard library does not wrap getsockopt")]
fn socket_option(descriptor: &OwnedFd, option: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length: libc::socklen_t = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(4);
    // SAFETY: `value` and `length` are valid for writing and agree on the size.
    let result = unsafe {
        libc::getsockopt(
            descriptor.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(value)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[expect(
    unsafe_code,
    reason = "`std::process::exit` would run exit handlers beside running threads"
)]
fn end_now() -> ! {
    // SAFETY: `_exit` ends the process and touches no memory.
    unsafe { libc::_exit(0) }
}
