//! Launches private servers from the programs of the machine: Postgres for `berth dev` and the tests, Redis, RabbitMQ and
//! SeaweedFS for the tests.
//!
//! Every server listens on the loopback interface only, keeps its files in one folder, and ends with the process
//! that started it, however that process ends. All code is plain blocking `std`, so that the automation (`xtask`)
//! builds in seconds; asynchronous callers start servers on a blocking thread.
//!
//! One crate holds the launchers because they share what is hard about them: ending the right processes at
//! the right time. It knows how to *start* the servers and nothing of what is said to them; the crates that talk to
//! a server (`berth-store`, `berth-coordination`, `berth-queue`, `berth-artifacts`) do not depend on it.
//!
//! - [`postgres`]: finds an installation, makes a cluster, runs it, as root too.
//! - [`redis`]: one Redis without persistence.
//! - [`rabbitmq`]: one RabbitMQ node with an `epmd` of its own.
//! - [`seaweedfs`]: one S3 server.
//! - [`process`]: what they share, also good for any other program that a test starts.

mod error;
mod logs;
mod ports;
mod programs;
mod watchdog;

pub mod postgres;
pub mod process;
pub mod rabbitmq;
pub mod redis;
pub mod seaweedfs;

pub use error::Error;
pub use programs::find_program;
