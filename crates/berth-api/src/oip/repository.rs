//! Which models there are, and whether they serve.

pub(crate) mod index;
pub(crate) mod load;
pub(crate) mod unload;

use serde::de::DeserializeOwned;

use crate::errors::Failure;
use crate::extract::{InferenceBody, parse_json};

/// The body as a `T`; an empty one is the `T` that says nothing, as clients send it.
async fn lenient<T: DeserializeOwned + Default>(body: InferenceBody) -> Result<T, Failure> {
    let bytes = body.read().await?;
    if bytes.trim_ascii().is_empty() {
        Ok(T::default())
    } else {
        parse_json(&bytes)
    }
}
