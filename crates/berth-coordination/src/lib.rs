//! Leases, routes, invalidation and throttles: what the processes of one installation tell each other, and what may be
//! lost and rebuilt.
//!
//! [`Coordination`] is the small set of operations that everything else is made of. It has three implementations, and
//! one behavioral suite (`tests/behavior.rs`) runs over all of them:
//!
//! - [`redis`]: the real one, for an installation of several processes or machines.
//! - [`memory`]: the twin inside one process, for `berth dev` and fast tests.
//! - [`remote`]: the twin of another process, reached over a Unix socket.
//!
//! [`Fleet`] is the typed layer on top: workers, what each should hold ([`records::Assignment`]) and what each holds
//! ([`records::ReplicaRecord`]).

pub mod applied;
pub mod coordination;
pub mod error;
pub mod event;
pub mod fleet;
pub mod memory;
pub mod records;
pub mod redis;
pub mod remote;

pub use applied::Applied;
pub use coordination::{Answer, Coordination, Throttle};
pub use error::Error;
pub use event::{Event, Subscription, Topic};
pub use fleet::Fleet;
