//! The store against a real, migrated database, reached by the roles of production.

mod accounts;
mod cancellation;
mod changes;
mod deployments;
mod idempotency;
mod isolation;
mod keys;
mod migration;
mod models;
mod organizations;
mod outages;
mod outbox;
mod schema;
mod startup;
mod sweeps;
mod world;
