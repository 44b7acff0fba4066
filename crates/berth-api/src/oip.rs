//! The Open Inference Protocol v2 under `/v2`. What its endpoints tell is put together in [`describe`] and [`inventory`], for
//! gRPC as well.

pub(crate) mod describe;
pub(crate) mod inventory;
pub(crate) mod models;
pub(crate) mod repository;
pub(crate) mod server;
