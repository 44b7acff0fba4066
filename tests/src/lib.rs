//! Drives the built binaries over the wire, as operators and tenants do: real Postgres, Redis and RabbitMQ, real models,
//! the clients that other people wrote.
//!
//! - [`installation`]: a `berth dev` on one machine, or a cluster of two APIs, tasks and a worker.
//! - [`tenant`]: what a tenant does over the API.
//! - [`clients`]: the command line and the Python clients.
//! - [`processes`]: what runs on the machine.
//!
//! The tests themselves are the private modules.

pub mod clients;
pub mod installation;
pub mod processes;
pub mod tenant;

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod browsers;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod compression;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod docs_page;
#[cfg(test)]
mod first_use;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod giving_up;
#[cfg(test)]
mod hostile_uploads;
#[cfg(test)]
mod large_uploads;
#[cfg(test)]
mod log_secrecy;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod object_store;
#[cfg(test)]
mod observing;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod printed_lines;
#[cfg(test)]
mod repeated_uploads;
#[cfg(test)]
mod revocation;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod triton;
