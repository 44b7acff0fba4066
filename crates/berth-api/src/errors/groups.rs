//! Codes that go together, for the declarations of endpoints.

use crate::errors::Code;

/// Endpoints that check a caller.
pub(crate) const CALLER: &[Code] = &[
    Code::CredentialsMissing,
    Code::ApiKeyInvalid,
    Code::ApiKeyRevoked,
    Code::ApiKeyExpired,
    Code::AccessTokenInvalid,
    Code::AccessTokenExpired,
    Code::SessionEnded,
    Code::ApiKeyHolderDisabled,
    Code::AddressNotAllowed,
    Code::AccountDisabled,
    Code::OrganizationSuspended,
    Code::ProjectSuspended,
    Code::TooManyAttempts,
    Code::Overloaded,
    Code::Unavailable,
];

/// Endpoints for signed-in people alone.
pub(crate) const PERSON: &[Code] = &[Code::PersonRequired];

/// Endpoints inside an organization or project.
pub(crate) const TENANT: &[Code] = &[Code::NotFound, Code::PermissionDenied];

/// Endpoints for operators.
pub(crate) const OPERATOR: &[Code] = &[Code::OperatorRequired];

/// Endpoints that read a body.
pub(crate) const BODY: &[Code] = &[
    Code::InvalidJson,
    Code::MissingParameter,
    Code::UnknownParameter,
    Code::DuplicateParameter,
    Code::InvalidType,
    Code::InvalidValue,
    Code::BodyIncomplete,
    Code::BodyTimeout,
    Code::BodyTooLarge,
    Code::ContentTypeUnsupported,
    Code::ContentEncodingUnsupported,
    Code::Overloaded,
];

/// Endpoints whose requests may be repeated under a key.
pub(crate) const REPEATS: &[Code] = &[
    Code::IdempotencyKeyInvalid,
    Code::IdempotencyKeyInUse,
    Code::IdempotencyKeyReused,
];

/// Endpoints that read a query.
pub(crate) const QUERY: &[Code] = &[
    Code::UnknownParameter,
    Code::DuplicateParameter,
    Code::MissingParameter,
    Code::InvalidValue,
];

/// Endpoints that call a model.
pub(crate) const INFERENCE: &[Code] = &[
    Code::ModelNotFound,
    Code::ModelNotReady,
    Code::ModelFailedToLoad,
    Code::RunnerCrashed,
    Code::ServerOverloaded,
    Code::DeadlineExceeded,
    Code::ModelFailed,
    Code::AnswerTooLarge,
    Code::OperationNotSupported,
    Code::UnsupportedParameter,
    Code::InputRejected,
];

/// Endpoints that take texts.
pub(crate) const TEXTS: &[Code] = &[
    Code::EmptyInput,
    Code::TooManyInputs,
    Code::TextTooLong,
    Code::ContextLengthExceeded,
    Code::TokenOutOfRange,
];

/// Endpoints that take tensors.
pub(crate) const TENSORS: &[Code] = &[
    Code::UnknownTensor,
    Code::MissingTensor,
    Code::DuplicateTensor,
    Code::DatatypeMismatch,
    Code::DatatypeWithoutJsonForm,
    Code::ShapeMismatch,
    Code::DataMismatch,
    Code::DataOutOfRange,
    Code::OutputNotRepresentable,
    Code::TooManyInputs,
];

/// Endpoints that take an API key that may call models, and no person.
pub(crate) const CALLING: &[Code] = &[Code::ApiKeyRequired, Code::PermissionDenied];

/// Endpoints that take a model in. Every refusal of the gate is among them; a test compares.
pub(crate) const UPLOAD: &[Code] = &[
    Code::BodyTooLarge,
    Code::BodyIncomplete,
    Code::BodyTimeout,
    Code::ContentTypeUnsupported,
    Code::ContentEncodingUnsupported,
    Code::HeaderInvalid,
    Code::DigestMismatch,
    Code::UploadEmpty,
    Code::UploadRefused,
    Code::ArchiveBomb,
    Code::ArchiveDuplicatePath,
    Code::ArchiveEmpty,
    Code::ArchiveEncrypted,
    Code::ArchiveFileTooLarge,
    Code::ArchiveLinkRefused,
    Code::ArchiveMalformed,
    Code::ArchivePathEscapes,
    Code::ArchivePathInvalid,
    Code::ArchiveSpecialFileRefused,
    Code::ArchiveTooLarge,
    Code::ArchiveTooManyFiles,
    Code::ArchiveTruncated,
    Code::ArchiveUnsupported,
    Code::GateOutOfMemory,
    Code::GateTooSlow,
    Code::ManifestInvalid,
    Code::ModelAmbiguousGraph,
    Code::ModelDuplicateName,
    Code::ModelExternalDataEscapes,
    Code::ModelExternalDataMissing,
    Code::ModelExternalDataOutOfRange,
    Code::ModelFileIsPointer,
    Code::ModelIrUnsupported,
    Code::ModelMalformed,
    Code::ModelNestedTooDeep,
    Code::ModelNoGraph,
    Code::ModelOperatorUnsupported,
    Code::ModelOpsetMissing,
    Code::ModelOpsetUnsupported,
    Code::ModelPlatformUnsupported,
    Code::ModelTensorInvalid,
    Code::ModelTooLarge,
    Code::ModelTruncated,
    Code::ModelTypeUnsupported,
    Code::ModelWithoutOutputs,
];
