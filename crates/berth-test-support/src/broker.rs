//! A corner of the test RabbitMQ.

use crate::cache::unique;
use crate::{Missing, required};

/// A prefix of its own on the RabbitMQ server that all tests share.
///
/// A virtual host per test would be cleaner, but making one takes the management interface or the node's cookie, and
/// neither is at hand on a server that somebody else runs.
#[derive(Debug, Clone)]
pub struct TestBroker {
    url: String,
    prefix: String,
}

impl TestBroker {
    /// Fails when `BERTH_TEST_AMQP_URL` is not set.
    pub fn new() -> Result<Self, Missing> {
        Ok(Self {
            url: required("BERTH_TEST_AMQP_URL")?,
            prefix: format!("test-{}.", unique()),
        })
    }

    /// The URL of the server and its virtual host.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What every exchange and queue of this test has to begin with; it ends with a dot.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}
