//! The suite over a real database.

mod access;
mod accounts;
mod api_keys;
mod authenticator;
mod house;
mod invitations;
mod meanwhile;
mod members;
mod operators;
mod organizations;
mod repeats;
mod sessions;
mod throttle;
