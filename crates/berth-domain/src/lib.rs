#![doc = include_str!("../README.md")]

pub mod access;
pub mod address;
pub mod clock;
pub mod creator;
pub mod deployment;
pub mod digest;
pub mod id;
pub mod manifest;
pub mod model;
pub mod name;
pub mod permission;
pub mod random;
pub mod secret;
pub mod tensor;
pub mod trail;
pub mod work;
