//! Queued and periodic work, over real Postgres and RabbitMQ and the twins.

mod house;
mod mail;
mod model_checks;
mod placement;
mod post_office;
mod relay;
mod sweeps;
