//! What handlers take out of a request.

mod body;
pub(crate) mod caller;
mod client;
mod json;
mod memory;
mod path;
mod public;
mod query;
mod scope;
mod upload;

pub(crate) use body::{FormBody, InferenceBody, JsonBody, STRANGERS_LIMIT, StrangersBody, too_large};
pub(crate) use client::ClientName;
pub(crate) use json::parse as parse_json;
pub(crate) use memory::BodyMemory;
pub(crate) use path::{InPath, Number};
pub(crate) use public::Public;
pub(crate) use query::InQuery;
pub(crate) use scope::{
    Authenticated, Calling, InOrganization, InOwnProject, InProject, Operating, SignedIn,
};
pub(crate) use upload::{Upload, UploadQuery};
