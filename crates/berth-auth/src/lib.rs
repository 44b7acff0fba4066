#![doc = include_str!("../README.md")]

pub mod access;
pub mod auth;

pub mod authenticator;

pub mod accounts;
pub mod people;
pub mod sessions;

pub mod api_keys;
pub mod invitations;
pub mod members;
pub mod organizations;
pub mod projects;
pub mod roles;
pub mod service_accounts;

pub mod letters;
pub mod repeats;

pub mod key_text;
pub mod password_policy;
pub mod passwords;
pub mod pepper;
pub mod sealing;
pub mod signing;
pub mod throttle;
pub mod tokens;

mod announcement;
mod base62;
mod links;
