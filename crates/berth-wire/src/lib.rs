#![doc = include_str!("../README.md")]

pub mod oip;
pub mod openai;
pub mod problem;
