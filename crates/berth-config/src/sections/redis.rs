//! Redis.

use std::path::PathBuf;

use berth_domain::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::sections::Section;
use crate::{Process, Span};

/// Redis.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// URL of the server: `redis://`, or `rediss://` for TLS.
    #[schemars(with = "Option<String>", extend("writeOnly" = true), example = "redis://:…@redis/0")]
    pub url: Option<Secret>,
    /// File that holds `url`.
    #[schemars(example = "/run/secrets/berth/redis_url")]
    pub url_file: Option<PathBuf>,
    /// What every key and channel begins with. Two installations on one Redis need two prefixes.
    pub prefix: String,
    /// How long one operation may take, connecting included. Who waits for Redis waits so long at most.
    pub timeout: Span,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            prefix: "berth".to_owned(),
            timeout: Span::seconds(2),
        }
    }
}

impl Section for Redis {
    fn settle(&mut self, check: &mut Check<'_>) {
        if !matches!(check.process, Process::Api | Process::Tasks | Process::Worker) {
            return;
        }
        check.secret("url", &mut self.url, self.url_file.as_deref());
        check.url("url", self.url.as_ref(), &["redis", "rediss"]);
        // A worker may use the socket of `berth dev` instead; the section `coordination` tells when both are missing.
        if self.url_file.is_none() && check.process != Process::Worker {
            check.required("url", self.url.as_ref());
        }
        check.plain_name("prefix", &self.prefix);
        check.some_time("timeout", self.timeout);
    }
}
