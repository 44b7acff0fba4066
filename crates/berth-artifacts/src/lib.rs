//! Model files: where they are kept, how they come in, and how a worker has them at hand.
//!
//! - [`staging`]: an upload becomes a file with a known digest, in constant memory.
//! - [`store`]: the artifact store, a local folder or an S3 bucket; files are addressed by organization and digest.
//! - [`cache`]: what a worker keeps on its disk, verified before use, bounded in size.
//!
//! A file is never changed once it has a name: it is written elsewhere, made safe on the disk, and renamed.

mod blocking;
mod hashing;
mod writer;

pub mod archive;
pub mod cache;
pub mod error;
pub mod staging;
pub mod store;

pub use cache::{Cache, ModelFolder};
pub use error::Error;
pub use staging::{Staged, Staging, Upload};
pub use store::ArtifactStore;
