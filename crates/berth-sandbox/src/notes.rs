//! Notes that outlive the process that takes them: a page of memory that it shares with its parent.
//!
//! A note is a store into memory: no system call, nothing to wait for, and it is there however the process ends. The parent
//! reads the page as a file, which the child cannot shorten, so that nothing the child does can harm it.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many notes there are at once.
pub const CELLS: usize = 512;

const BYTES: usize = CELLS * size_of::<u64>();

/// The parent's end.
#[derive(Debug)]
pub struct Notes(File);

impl Notes {
    /// A page without notes. Hand its [`descriptor`](Self::descriptor) over.
    pub fn new() -> io::Result<Self> {
        let file = File::from(memory()?);
        file.set_len(BYTES as u64)?;
        seal(&file)?;
        Ok(Self(file))
    }

    /// What the child is handed.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.0.try_clone()?.into())
    }

    /// The notes that are there now; none are zero.
    pub fn read(&self) -> io::Result<Vec<u64>> {
        let mut bytes = vec![0; BYTES];
        self.0.read_exact_at(&mut bytes, 0)?;
        let cells = bytes.as_chunks().0.iter();
        Ok(cells
            .map(|&cell| u64::from_ne_bytes(cell))
            .filter(|&note| note != 0)
            .collect())
    }
}

/// The child's end.
#[derive(Debug, Clone, Copy)]
pub struct Page(&'static [AtomicU64; CELLS]);

impl Page {
    /// Writes a note into a cell; 0 clears it. There are [`CELLS`] cells, and what is beyond is not noted.
    pub fn note(self, cell: usize, note: u64) {
        if let Some(cell) = self.0.get(cell) {
            cell.store(note, Ordering::Relaxed);
        }
    }

    /// Maps the page of this descriptor for as long as the process lives.
    #[expect(unsafe_code, reason = "the standard library maps no memory")]
    pub(crate) fn map(descriptor: OwnedFd) -> io::Result<Self> {
        let file = File::from(descriptor);
        if file.metadata()?.len() < BYTES as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: a new mapping at an address that the kernel chooses touches no memory that is in use.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the mapping has exactly this size, is aligned to a page, is never removed, and holds integers, of which
        // every pattern of bits is one; whoever else writes to it does so in whole words or makes notes worthless, no more.
        Ok(Self(unsafe { &*page.cast::<[AtomicU64; CELLS]>() }))
    }
}

#[expect(unsafe_code, reason = "the standard library makes no files of memory")]
fn memory() -> io::Result<OwnedFd> {
    // SAFETY: the name is a static string that ends with a null byte; nothing else is passed by pointer.
    let number =
        unsafe { libc::memfd_create(c"notes".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the number is new and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Its size stays as it is.
#[expect(unsafe_code, reason = "the standard library does not wrap fcntl")]
fn seal(file: &File) -> io::Result<()> {
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: `F_ADD_SEALS` takes a number and touches no memory.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_seen_by_the_other_end_until_they_are_cleared() {
        let notes = Notes::new().expect("memory");
        let page = Page::map(notes.descriptor().expect("a number")).expect("a page");
        assert_eq!(notes.read().expect("a file"), []);
        page.note(0, 7);
        page.note(CELLS - 1, 9);
        page.note(CELLS, 11);
        assert_eq!(notes.read().expect("a file"), [7, 9]);
        page.note(0, 0);
        assert_eq!(notes.read().expect("a file"), [9]);
    }

    #[test]
    fn child_cannot_shorten_what_its_parent_reads() {
        let notes = Notes::new().expect("memory");
        let child = File::from(notes.descriptor().expect("a number"));
        assert!(child.set_len(0).is_err());
        assert_eq!(notes.read().expect("a file"), []);
    }
}
