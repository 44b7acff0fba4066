//! A corner of the test Redis.

use berth_domain::random::{Random, SystemRandom};

use crate::{Missing, required};

/// A prefix of its own on the Redis server that all tests share.
#[derive(Debug, Clone)]
pub struct TestRedis {
    url: String,
    prefix: String,
}

impl TestRedis {
    /// Fails when `BERTH_TEST_REDIS_URL` is not set.
    pub fn new() -> Result<Self, Missing> {
        Ok(Self {
            url: required("BERTH_TEST_REDIS_URL")?,
            prefix: format!("test-{}:", unique()),
        })
    }

    /// The URL of the server.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What every key and channel of this test has to begin with; it ends with a colon.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// Sixteen hexadecimal digits that no other test has.
pub(crate) fn unique() -> String {
    hex::encode(SystemRandom.bytes::<8>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tests_share_a_prefix() {
        let first = TestRedis::new().expect("a Redis is named");
        let second = TestRedis::new().expect("a Redis is named");
        assert_eq!(first.url(), second.url());
        assert_ne!(first.prefix(), second.prefix());
    }
}
