//! Memory of this process.

/// Gives pages that the allocator keeps for later back to the system. Worth calling after a model was loaded and when a
/// large run is over; it takes some milliseconds and is safe at any time.
#[expect(unsafe_code, reason = "the allocator's own function has no safe wrapper")]
pub fn release_free_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` takes the allocator's own locks and touches only memory that is not in use.
    unsafe {
        libc::malloc_trim(0);
    }
}
