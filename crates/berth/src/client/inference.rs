//! Calling models.

use berth_wire::oip::ModelMetadata;
use berth_wire::openai::{EmbeddingsRequest, EmbeddingsResponse};
use serde::Deserialize;
use serde_json::Value;

use super::{Client, Error, Reply};

/// A model that the key may call.
#[derive(Debug, Deserialize)]
pub(crate) struct CallableModel {
    /// What requests call it.
    pub(crate) id: String,
}

#[derive(Debug, Deserialize)]
struct CallableModels {
    data: Vec<CallableModel>,
}

/// The models that the key may call.
pub(crate) async fn models(client: &Client) -> Result<Vec<CallableModel>, Error> {
    let reply = client
        .get::<CallableModels>(client.url(&["v1", "models"]))
        .await?;
    Ok(reply.body.data)
}

/// Turns texts into vectors.
pub(crate) async fn embed(
    client: &Client,
    request: &EmbeddingsRequest,
) -> Result<Reply<EmbeddingsResponse>, Error> {
    client.post(client.url(&["v1", "embeddings"]), request).await
}

/// What tensors a model takes and gives.
pub(crate) async fn describe(client: &Client, model: &str) -> Result<ModelMetadata, Error> {
    Ok(client.get(client.url(&["v2", "models", model])).await?.body)
}

/// The tensors that a model gave.
#[derive(Debug, Deserialize)]
pub(crate) struct Inferred {
    pub(crate) outputs: Vec<Output>,
}

/// One tensor that a model gave.
#[derive(Debug, Deserialize)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) datatype: String,
    pub(crate) shape: Vec<i64>,
    #[serde(default)]
    pub(crate) data: Value,
}

/// Tensors in, tensors out. `request` is a body of the Open Inference Protocol.
pub(crate) async fn infer(client: &Client, model: &str, request: &Value) -> Result<Reply<Inferred>, Error> {
    client
        .post(client.url(&["v2", "models", model, "infer"]), request)
        .await
}
