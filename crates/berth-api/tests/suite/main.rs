//! The server over real HTTP, with a real database and coordination in memory.

#![expect(clippy::panic, reason = "a test that finds something wrong panics")]

mod answer;
mod authorization;
mod bad_input;
mod browsers;
mod documents;
mod house;
mod inference;
mod keys;
mod openapi;
mod tenants;
mod tls;
