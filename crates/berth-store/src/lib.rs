#![doc = include_str!("../README.md")]

pub mod changes;
pub mod error;
pub mod lookups;
pub mod migrate;
pub mod page;
pub mod provision;
pub mod startup_check;
pub mod store;
pub mod system;
pub mod tx;

pub mod organizations;
pub mod projects;

pub mod memberships;
pub mod roles;
pub mod users;

pub mod invitations;
pub mod password_resets;
pub mod passwords;
pub mod refresh_tokens;
pub mod sessions;

pub mod api_key_secrets;
pub mod api_keys;
pub mod service_accounts;

pub mod blobs;
pub mod models;
pub mod versions;

pub mod callables;
pub mod deployments;

pub mod idempotency_keys;
pub mod outbox;

mod contents;
mod row;
mod scram;

pub use error::Error;
pub use migrate::{MigrateOptions, migrate};
pub use page::{List, Order, Page};
pub use provision::{ProvisionOptions, provision};
pub use startup_check::ConnectError;
pub use store::{Options, Store};
pub use tx::{SystemTx, Tx};
