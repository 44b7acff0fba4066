//! What a refused or failed request gets: one table of codes, one failure type, and a renderer for each protocol.

mod auth;
mod codes;
mod describe;
mod failure;
pub(crate) mod groups;
mod handbook;
mod render;
mod repeats;
mod serving;
mod tenancy;

pub(crate) use codes::{Code, Retry};
pub(crate) use describe::{Audience, declare_errors, examples, responses};
pub(crate) use failure::{Failure, pointer, sentence};
pub(crate) use handbook::{chapter, handbook};
pub(crate) use render::{Form, render};
pub(crate) use serving::model_not_found;
