//! The methods: which there are, who may call them, and what they answer. What they tell is put together where REST has it from.

use berth_domain::access::{Grant, can};
use berth_wire::oip::grpc::health::health_check_response::ServingStatus;
use berth_wire::oip::grpc::health::{HealthCheckRequest, HealthCheckResponse};
use berth_wire::oip::grpc::inference as pb;
use berth_wire::oip::grpc::{HEALTH_SERVICE, SERVICE};
use berth_wire::oip::{self, EXTENSIONS};
use bytes::Bytes;
use hyper::body::Incoming;
use prost::Message;

use super::call::Call;
use super::caller::Allowed;
use super::infer;
use super::messages::Messages;
use crate::errors::{Code, Failure, model_not_found};
use crate::extract::STRANGERS_LIMIT;
use crate::frame::Frame;
use crate::oip::{describe, inventory};
use crate::state::State;

macro_rules! methods {
    ($($service:literal: $($name:ident = $text:literal,)*;)*) => {
        /// A method.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Method {
            $($($name,)*)*
        }

        impl Method {
            /// The method that is called by `path`, if there is one.
            pub(super) fn find(path: &str) -> Option<Self> {
                match path {
                    $($(concat!("/", $service, "/", $text) => Some(Self::$name),)*)*
                    _ => None,
                }
            }

            /// The path, for logs and metrics.
            pub(super) fn path(self) -> &'static str {
                match self {
                    $($(Self::$name => concat!("/", $service, "/", $text),)*)*
                }
            }
        }
    };
}

methods! {
    "inference.GRPCInferenceService":
        ServerLive = "ServerLive",
        ServerReady = "ServerReady",
        ServerMetadata = "ServerMetadata",
        ModelReady = "ModelReady",
        ModelMetadata = "ModelMetadata",
        ModelInfer = "ModelInfer",
        ModelStreamInfer = "ModelStreamInfer",
        ModelConfig = "ModelConfig",
        ModelStatistics = "ModelStatistics",
        RepositoryIndex = "RepositoryIndex",
        RepositoryModelLoad = "RepositoryModelLoad",
        RepositoryModelUnload = "RepositoryModelUnload",;
    "grpc.health.v1.Health":
        HealthCheck = "Check",;
}

/// What a method works with.
pub(super) struct Context<'c> {
    pub(super) frame: &'c Frame,
    pub(super) state: &'c State,
    pub(super) call: &'c Call,
}

/// Answers a call that has one message and gets one.
pub(super) async fn answer(context: &Context<'_>, method: Method, body: Incoming) -> Result<Bytes, Failure> {
    match method {
        Method::ServerLive => {
            context.stranger::<pb::ServerLiveRequest>(body).await?;
            Ok(encoded(&pb::ServerLiveResponse { live: true }))
        }
        Method::ServerReady => {
            context.stranger::<pb::ServerReadyRequest>(body).await?;
            let ready = context.is_ready().await;
            Ok(encoded(&pb::ServerReadyResponse { ready }))
        }
        Method::ServerMetadata => {
            context.stranger::<pb::ServerMetadataRequest>(body).await?;
            Ok(encoded(&server()))
        }
        Method::HealthCheck => health(context, body).await,
        Method::ModelReady => {
            let (caller, asked) = context
                .known::<can::InferenceRun, pb::ModelReadyRequest>(body)
                .await?;
            context.call.calls(&asked.name);
            let inference = &caller.services.inference;
            let found = inference
                .describe(&caller.key, &asked.name, version(&asked.name, &asked.version)?)
                .await?;
            let ready = found.absence.is_none();
            Ok(encoded(&pb::ModelReadyResponse { ready }))
        }
        Method::ModelMetadata => {
            let (caller, asked) = context
                .known::<can::InferenceRun, pb::ModelMetadataRequest>(body)
                .await?;
            context.call.calls(&asked.name);
            let version = version(&asked.name, &asked.version)?;
            let told = describe::metadata(&caller.services.inference, &caller.key, &asked.name, version);
            Ok(encoded(&metadata(told.await?)))
        }
        Method::ModelConfig => {
            let (caller, asked) = context
                .known::<can::InferenceRun, pb::ModelConfigRequest>(body)
                .await?;
            context.call.calls(&asked.name);
            let version = version(&asked.name, &asked.version)?;
            let told = describe::config(&caller.services.inference, &caller.key, &asked.name, version);
            Ok(encoded(&config(told.await?)))
        }
        Method::ModelStatistics => {
            let (caller, asked) = context
                .known::<can::InferenceRun, pb::ModelStatisticsRequest>(body)
                .await?;
            let wanted = match asked.name.as_str() {
                "" => None,
                name => Some((name, version(name, &asked.version)?)),
            };
            let told = describe::statistics(&caller.services.inference, &caller.key, wanted).await?;
            let model_stats = told.model_stats.into_iter().map(statistics).collect();
            Ok(encoded(&pb::ModelStatisticsResponse { model_stats }))
        }
        Method::RepositoryIndex => {
            let (caller, asked) = context
                .known::<can::InferenceRun, pb::RepositoryIndexRequest>(body)
                .await?;
            let entries = inventory::index(caller.services, &caller.key, asked.ready).await?;
            let models = entries.into_iter().map(entry).collect();
            Ok(encoded(&pb::RepositoryIndexResponse { models }))
        }
        Method::RepositoryModelLoad => {
            let (caller, asked) = context
                .known::<can::DeploymentsWrite, pb::RepositoryModelLoadRequest>(body)
                .await?;
            inventory::refuse_parameters(asked.parameters.keys().map(String::as_str))?;
            let (model, patience) = (&asked.model_name, context.call.left());
            inventory::load(caller.services, &caller.access, &caller.key, model, patience).await?;
            Ok(encoded(&pb::RepositoryModelLoadResponse {}))
        }
        Method::RepositoryModelUnload => {
            let (caller, asked) = context
                .known::<can::DeploymentsWrite, pb::RepositoryModelUnloadRequest>(body)
                .await?;
            inventory::unload(caller.services, &caller.access, &caller.key, &asked.model_name).await?;
            Ok(encoded(&pb::RepositoryModelUnloadResponse {}))
        }
        Method::ModelInfer => {
            let (caller, message) = context
                .message::<can::InferenceRun>(body, context.frame.options().body_limits.inference)
                .await?;
            infer::one(context, &caller, message).await
        }
        // It has messages, and is answered by its own.
        Method::ModelStreamInfer => Err(Failure::internal("a stream was taken for a single message")),
    }
}

impl<'c> Context<'c> {
    /// The messages of a body.
    pub(super) fn messages(&self, body: Incoming, limit: u64) -> Messages {
        let patience = self.frame.options().body_timeout;
        Messages::new(body, limit, patience, self.frame.body_memory().clone())
    }

    /// Whether the server takes requests.
    async fn is_ready(&self) -> bool {
        !self.frame.is_leaving() && self.state.readiness().await.ready
    }

    /// The message of somebody who is not known: a short one.
    async fn stranger<T: Message + Default>(&self, body: Incoming) -> Result<T, Failure> {
        decoded(self.messages(body, STRANGERS_LIMIT).only().await?)
    }

    /// The caller, who holds the permission `P`, and their message.
    async fn known<P: Grant, T: Message + Default>(
        &self,
        body: Incoming,
    ) -> Result<(Allowed<'c, P>, T), Failure> {
        let limit = self.frame.options().body_limits.control;
        let (caller, message) = self.message(body, limit).await?;
        Ok((caller, decoded(message)?))
    }

    /// The same with the message as it came. The caller is checked before it is read, and once more when it is there.
    async fn message<P: Grant>(
        &self,
        body: Incoming,
        limit: u64,
    ) -> Result<(Allowed<'c, P>, Bytes), Failure> {
        Allowed::<P>::check(self.state, self.call).await?;
        let message = self.messages(body, limit).only().await?;
        let caller = Allowed::check(self.state, self.call).await?;
        Ok((caller, message))
    }
}

fn decoded<T: Message + Default>(message: Bytes) -> Result<T, Failure> {
    T::decode(message).map_err(|error| {
        Failure::new(
            Code::InvalidValue,
            format!("The message cannot be read: {error}."),
        )
    })
}

pub(super) fn encoded(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// The number of a version; what is no number names none. Empty is any.
pub(super) fn version(model: &str, version: &str) -> Result<Option<u32>, Failure> {
    if version.is_empty() {
        return Ok(None);
    }
    let number = version.parse();
    number
        .map(Some)
        .map_err(|_| model_not_found(&format!("{model}@{version}")))
}

async fn health(context: &Context<'_>, body: Incoming) -> Result<Bytes, Failure> {
    let asked: HealthCheckRequest = context.stranger(body).await?;
    if !["", SERVICE, HEALTH_SERVICE].contains(&asked.service.as_str()) {
        return Err(Failure::new(Code::NotFound, "There is no such service."));
    }
    let status = if context.is_ready().await {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    };
    Ok(encoded(&HealthCheckResponse {
        status: status.into(),
    }))
}

fn server() -> pb::ServerMetadataResponse {
    let told = describe::server();
    pb::ServerMetadataResponse {
        name: told.name,
        version: told.version,
        // Tensors are in binary anyway.
        extensions: EXTENSIONS[1..].iter().map(|&name| name.to_owned()).collect(),
    }
}

fn metadata(told: oip::ModelMetadata) -> pb::ModelMetadataResponse {
    let tensor = |tensor: oip::TensorMetadata| pb::model_metadata_response::TensorMetadata {
        name: tensor.name,
        datatype: tensor.datatype.as_str().to_owned(),
        shape: tensor.shape,
    };
    pb::ModelMetadataResponse {
        name: told.name,
        versions: told.versions,
        platform: told.platform,
        inputs: told.inputs.into_iter().map(tensor).collect(),
        outputs: told.outputs.into_iter().map(tensor).collect(),
    }
}

fn config(told: oip::ModelConfig) -> pb::ModelConfigResponse {
    let data_type = |text: &str| pb::DataType::from_str_name(text).unwrap_or_default().into();
    let config = pb::ModelConfig {
        name: told.name,
        platform: told.platform,
        max_batch_size: told.max_batch_size,
        input: told
            .input
            .into_iter()
            .map(|tensor| pb::ModelInput {
                data_type: data_type(&tensor.data_type),
                name: tensor.name,
                dims: tensor.dims,
            })
            .collect(),
        output: told
            .output
            .into_iter()
            .map(|tensor| pb::ModelOutput {
                data_type: data_type(&tensor.data_type),
                name: tensor.name,
                dims: tensor.dims,
            })
            .collect(),
        default_model_filename: told.default_model_filename,
        backend: told.backend,
    };
    pb::ModelConfigResponse { config: Some(config) }
}

fn statistics(counted: oip::ModelStatistics) -> pb::ModelStatistics {
    let duration = |total: oip::Duration| {
        Some(pb::StatisticDuration {
            count: total.count,
            ns: total.ns,
        })
    };
    let inference = counted.inference_stats;
    pb::ModelStatistics {
        name: counted.name,
        version: counted.version,
        last_inference: counted.last_inference,
        inference_count: counted.inference_count,
        execution_count: counted.execution_count,
        inference_stats: Some(pb::InferStatistics {
            success: duration(inference.success),
            fail: duration(inference.fail),
            queue: duration(inference.queue),
            compute_input: duration(inference.compute_input),
            compute_infer: duration(inference.compute_infer),
            compute_output: duration(inference.compute_output),
        }),
    }
}

fn entry(entry: oip::IndexEntry) -> pb::repository_index_response::ModelIndex {
    pb::repository_index_response::ModelIndex {
        name: entry.name,
        version: entry.version,
        state: entry.state,
        reason: entry.reason,
    }
}
