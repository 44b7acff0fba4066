//! Requests that models have answered.

use berth_domain::trail::Trail;

use super::projects::InProject;
use super::{Error, Reply};

/// The way of one.
pub(crate) async fn show(at: &InProject, id: &str) -> Result<Reply<Trail>, Error> {
    at.client.get(at.url(&["requests", id])).await
}
