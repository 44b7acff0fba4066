//! The server over real HTTP, with a real database and coordination in memory.

#![expect(clippy::panic, reason = "a test that finds something wrong panics")]

mod answer;
mod authorization;
mod bad_input;
mod browsers;
mod crossing;
mod crowds;
mod delegation;
mod deployments;
mod documents;
mod furniture;
mod grpc;
mod held_back;
mod house;
mod inference;
mod invitations;
mod keys;
mod members;
mod models;
mod openapi;
mod operations;
mod organizations;
mod platform;
mod projects;
mod publishing;
mod repeats;
mod roles;
mod service_accounts;
mod sessions;
mod snapshot;
mod tenants;
mod tls;
