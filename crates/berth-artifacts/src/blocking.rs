//! Work on the local disk, off the threads that serve requests.

use std::io;

/// Runs `work` on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        // The task is never aborted, so this is a panic of `work`, or the end of the runtime.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => std::future::pending().await,
        },
    }
}

/// Makes the names in `folder` survive a power cut.
pub(crate) fn sync_folder(folder: &std::path::Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}
