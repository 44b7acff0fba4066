//! Why a call has no answer, told apart by whether it may have begun.

use std::io;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or the server takes nothing new: the call has surely not begun, so another may be asked.
    #[error("the runner cannot be reached")]
    Unreachable(#[source] io::Error),
    /// The connection ended in the middle: nobody knows how far the call was.
    #[error("the runner ended while it worked on the request")]
    Lost(#[source] io::Error),
    /// One side did not understand the other.
    #[error("the runner and its caller do not understand each other: {0}")]
    Protocol(String),
}
