//! The Open Inference Protocol v2 over gRPC: its messages, and a way to read them piece by piece.

mod fields;

pub use fields::{Fields, Malformed, Routing, Value};

/// The protocol's messages.
pub mod inference {
    #![allow(
        missing_docs,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated; the documentation stands in the proto file"
    )]
    include!("../generated/inference.rs");
}

/// The messages of gRPC's health check.
pub mod health {
    #![allow(
        missing_docs,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated; the documentation stands in the proto file"
    )]
    include!("../generated/grpc.health.v1.rs");
}

/// The protocol's service.
pub const SERVICE: &str = "inference.GRPCInferenceService";

/// The service of gRPC's health check.
pub const HEALTH_SERVICE: &str = "grpc.health.v1.Health";

use berth_domain::tensor::Datatype;

impl From<Datatype> for inference::DataType {
    fn from(datatype: Datatype) -> Self {
        match datatype {
            Datatype::Bool => Self::TypeBool,
            Datatype::Uint8 => Self::TypeUint8,
            Datatype::Uint16 => Self::TypeUint16,
            Datatype::Uint32 => Self::TypeUint32,
            Datatype::Uint64 => Self::TypeUint64,
            Datatype::Int8 => Self::TypeInt8,
            Datatype::Int16 => Self::TypeInt16,
            Datatype::Int32 => Self::TypeInt32,
            Datatype::Int64 => Self::TypeInt64,
            Datatype::Fp16 => Self::TypeFp16,
            Datatype::Bf16 => Self::TypeBf16,
            Datatype::Fp32 => Self::TypeFp32,
            Datatype::Fp64 => Self::TypeFp64,
            Datatype::Bytes => Self::TypeString,
        }
    }
}
