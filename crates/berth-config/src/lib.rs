#![doc = include_str!("../README.md")]

mod check;
mod document;
mod environment;
mod keys;
mod load;
mod problem;
mod process;
mod schema;
mod sections;
mod size;
mod span;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use document::default_document;
pub use load::{Error, Source, load};
pub use problem::{Origin, Problem, Problems};
pub use process::Process;
pub use schema::schema_document;
pub use sections::amqp::Amqp;
pub use sections::artifacts::{Artifacts, S3};
pub use sections::auth::{Auth, Pepper, SignUp, SigningKey, Throttle};
pub use sections::coordination::Coordination;
pub use sections::database::Database;
pub use sections::gate::Gate;
pub use sections::grpc::Grpc;
pub use sections::http::{BodyLimits, Cors, Http, LARGEST_INFERENCE_BODY, Tls};
pub use sections::mail::{Mail, MailSecurity};
pub use sections::peers::{PeerTls, Peers};
pub use sections::redis::Redis;
pub use sections::sandbox::SandboxMode;
pub use sections::tasks::Tasks;
pub use sections::telemetry::{LogFormat, Telemetry};
pub use sections::worker::Worker;
pub use size::Size;
pub use span::Span;

/// All settings of Berth. Each process reads the sections that it needs and leaves the others alone.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The HTTP listener of `berth api`.
    pub http: Http,
    /// Inference over gRPC.
    pub grpc: Grpc,
    /// Postgres 15 or later, which holds everything that must not be lost. Berth connects as three roles: `berth_app` for
    /// work inside one organization, `berth_system` for work across organizations, and the owner of the schema for
    /// migrations alone.
    pub database: Database,
    /// Redis 7 or later, which carries leases, routes, throttling and the news that a key was revoked. What it holds can
    /// be lost and is built again.
    pub redis: Redis,
    /// The stand-in for Redis inside `berth dev`.
    pub coordination: Coordination,
    /// RabbitMQ 3.10 or later, which carries queued work between `berth tasks` processes. The API never waits for it: work
    /// is accepted into Postgres and relayed by `berth tasks`.
    pub amqp: Amqp,
    /// Where the files of models are kept: a folder that all processes share, or a bucket. Exactly one of `folder` and
    /// `artifacts.s3` is set.
    pub artifacts: Artifacts,
    /// Keys, passwords and sessions. All API and tasks processes of one installation share these settings.
    pub auth: Auth,
    /// Outgoing mail by SMTP. Without `host` nothing is sent: whoever invites somebody is given the one-time token to pass
    /// on, and who has forgotten a password asks an operator, who makes one with `berth admin recover`.
    pub mail: Mail,
    /// The check of uploaded files. It runs in a process without rights, before any runtime opens a file.
    pub gate: Gate,
    /// The background work of `berth tasks`. Any number of such processes may run; what only one may do is held by a lease.
    pub tasks: Tasks,
    /// A node that holds models: `berth-worker node`.
    pub worker: Worker,
    /// How nodes on several machines reach each other.
    pub peers: Peers,
    /// Logs, which go to the standard error stream.
    pub telemetry: Telemetry,
}
