//! RabbitMQ.

use std::path::PathBuf;

use berth_domain::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::sections::Section;
use crate::{Process, Span};

/// RabbitMQ.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Amqp {
    /// URL of the broker: `amqp://`, or `amqps://` for TLS. The path names the virtual host; `/%2f` is the usual one.
    #[schemars(with = "Option<String>", extend("writeOnly" = true), example = "amqp://berth:…@rabbitmq/%2f")]
    pub url: Option<Secret>,
    /// File that holds `url`.
    #[schemars(example = "/run/secrets/berth/amqp_url")]
    pub url_file: Option<PathBuf>,
    /// What the name of every queue and exchange begins with. Two installations on one virtual host need two prefixes.
    pub prefix: String,
    /// Messages of one kind that one process works on at the same time. More keep it busy while some wait; fewer spread work
    /// better. Checks of models wait for a worker, which proves one at a time.
    pub prefetch: u16,
    /// How long one operation may take, connecting included.
    pub timeout: Span,
}

impl Default for Amqp {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            prefix: "berth".to_owned(),
            prefetch: 4,
            timeout: Span::seconds(5),
        }
    }
}

impl Section for Amqp {
    fn settle(&mut self, check: &mut Check<'_>) {
        if check.process != Process::Tasks {
            return;
        }
        check.secret("url", &mut self.url, self.url_file.as_deref());
        check.url("url", self.url.as_ref(), &["amqp", "amqps"]);
        if self.url_file.is_none() {
            check.required("url", self.url.as_ref());
        }
        check.plain_name("prefix", &self.prefix);
        check.at_least_one("prefetch", self.prefetch);
        check.some_time("timeout", self.timeout);
    }
}
