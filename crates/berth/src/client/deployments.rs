//! Deployments: names under which versions are served.

use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::projects::InProject;
use super::{Error, Reply};

/// A deployment.
#[derive(Debug, Deserialize)]
pub(crate) struct Deployment {
    pub(crate) name: String,
    pub(crate) model: String,
    pub(crate) versions: Vec<Share>,
    pub(crate) created_at: String,
    /// How it stands.
    pub(crate) state: String,
    /// Why it is no further.
    pub(crate) reason: Option<String>,
}

/// A version behind a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Share {
    /// Its number.
    pub(crate) number: u64,
    /// Its share of the traffic, against those of the others.
    pub(crate) weight: u32,
}

impl FromStr for Share {
    type Err = ParseIntError;

    /// Reads `3` or `3=9`: a number, and a weight where it is not 1.
    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (number, weight) = text.split_once('=').unwrap_or((text, "1"));
        Ok(Self {
            number: number.parse()?,
            weight: weight.parse()?,
        })
    }
}

/// What a new deployment serves.
#[derive(Debug, Serialize)]
pub(crate) struct NewDeployment {
    pub(crate) name: String,
    pub(crate) model: String,
    /// The newest version that is ready, when there are none.
    pub(crate) versions: Vec<Share>,
}

/// What a deployment should serve from now on.
#[derive(Debug, Serialize)]
pub(crate) struct Change {
    pub(crate) versions: Vec<Share>,
}

/// The deployments of the project.
pub(crate) async fn list(at: &InProject) -> Result<Reply<Vec<Deployment>>, Error> {
    at.client.list(at.url(&["deployments"])).await
}

/// Begins to serve a version under a name.
pub(crate) async fn create(at: &InProject, deployment: &NewDeployment) -> Result<Reply<Deployment>, Error> {
    at.client.post(at.url(&["deployments"]), deployment).await
}

/// Serves another version under the name.
pub(crate) async fn update(at: &InProject, name: &str, change: &Change) -> Result<Reply<Deployment>, Error> {
    at.client.patch(at.url(&["deployments", name]), change).await
}

/// Stops serving under the name.
pub(crate) async fn delete(at: &InProject, name: &str) -> Result<(), Error> {
    at.client.delete(at.url(&["deployments", name])).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_is_a_number_with_or_without_a_weight() {
        assert_eq!("3".parse(), Ok(Share { number: 3, weight: 1 }));
        assert_eq!("3=0".parse(), Ok(Share { number: 3, weight: 0 }));
        assert!("3=".parse::<Share>().is_err());
        assert!("=1".parse::<Share>().is_err());
    }
}
