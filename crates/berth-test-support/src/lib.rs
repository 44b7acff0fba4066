//! Real servers, databases and processes for tests; development only.
//!
//! `cargo xtask test` starts Postgres, Redis and RabbitMQ and names them in the environment; what is made here lives
//! on those servers and is the test's own: a database, a key prefix, a queue prefix. A test that needs a server to
//! break starts a private one from [`servers`], or puts a [`Line`] in between and cuts it.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use berth_test_support::{TestBroker, TestDatabase, TestRedis};
//!
//! let database = TestDatabase::create().await?; // migrated; dropped at the end of the test
//! let redis = TestRedis::new()?; // url and a prefix of its own
//! let broker = TestBroker::new()?; // url and a prefix of its own
//! assert!(database.app_url().contains("berth_app"));
//! # let _ = (redis, broker);
//! # Ok(())
//! # }
//! ```

mod broker;
mod cache;
mod condition;
mod database;
mod environment;
mod line;
mod post_office;
mod process;

pub mod hostile_models;
pub mod onnx_models;
pub mod worker;

pub use berth_local_servers as servers;

pub use broker::TestBroker;
pub use cache::TestRedis;
pub use condition::{TooLate, wait_for, wait_until};
pub use database::{LockedTable, TestDatabase};
pub use environment::{
    Missing, berth_program, minilm_folder, onnxruntime_library, python_program, required, seaweedfs_program,
    worker_program,
};
pub use line::Line;
pub use post_office::PostOffice;
pub use process::Process;
