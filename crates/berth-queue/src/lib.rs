//! Durable work: a message is published once its change is committed, and handled at least once.
//!
//! [`Queue`] has two implementations, and one behavioral suite (`tests/behavior.rs`) runs over both:
//!
//! - [`amqp`]: RabbitMQ, with quorum queues, confirmed publishing and a ladder of delays.
//! - [`memory`]: the twin inside one process, for `berth dev` and fast tests. It forgets when the process ends.
//!
//! There is one queue per kind of work ([`berth_domain::work`]). A message that can never be handled ends among the
//! dead letters with the reason.

pub mod amqp;
pub mod consumer;
pub mod delivery;
pub mod error;
pub mod memory;
pub mod message;
pub mod queue;

pub use consumer::Consumer;
pub use delivery::{DeadLetter, Delivery, Handler, Outcome};
pub use error::Error;
pub use message::Message;
pub use queue::{Answer, Queue};
