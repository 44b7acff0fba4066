//! Postgres.

use std::path::PathBuf;

use berth_domain::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::sections::Section;
use crate::{Process, Span};

/// Postgres.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// URL of the role `berth_app`. A superuser or a role that passes by row security is refused at start.
    #[schemars(with = "Option<String>", extend("writeOnly" = true), example = "postgres://berth_app:…@db/berth")]
    pub url: Option<Secret>,
    /// File that holds `url`.
    #[schemars(example = "/run/secrets/berth/database_url")]
    pub url_file: Option<PathBuf>,
    /// URL of the role `berth_system`.
    #[schemars(with = "Option<String>", extend("writeOnly" = true), example = "postgres://berth_system:…@db/berth")]
    pub system_url: Option<Secret>,
    /// File that holds `system_url`.
    #[schemars(example = "/run/secrets/berth/database_system_url")]
    pub system_url_file: Option<PathBuf>,
    /// URL of the owner of the schema. Only `berth migrate` reads it; keep it away from the other processes.
    #[schemars(with = "Option<String>", extend("writeOnly" = true), example = "postgres://berth_owner:…@db/berth")]
    pub owner_url: Option<Secret>,
    /// File that holds `owner_url`.
    #[schemars(example = "/run/secrets/berth/database_owner_url")]
    pub owner_url_file: Option<PathBuf>,
    /// Connections of one process as `berth_app`. All processes together must stay below the server's
    /// `max_connections`; too few make requests wait.
    pub max_connections: u32,
    /// Connections of one process as `berth_system`.
    pub system_max_connections: u32,
    /// How long a request waits for a free connection before it gets 503.
    pub acquire_timeout: Span,
    /// The longest that one statement may run; the server ends it afterwards. 0s is without limit.
    pub statement_timeout: Span,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            system_url: None,
            system_url_file: None,
            owner_url: None,
            owner_url_file: None,
            max_connections: 20,
            system_max_connections: 5,
            acquire_timeout: Span::seconds(5),
            statement_timeout: Span::seconds(30),
        }
    }
}

const SCHEMES: [&str; 2] = ["postgres", "postgresql"];

impl Section for Database {
    fn settle(&mut self, check: &mut Check<'_>) {
        if !check.process.uses_database() {
            return;
        }
        check.secret("url", &mut self.url, self.url_file.as_deref());
        check.secret(
            "system_url",
            &mut self.system_url,
            self.system_url_file.as_deref(),
        );
        if check.process == Process::Migrate {
            check.secret("owner_url", &mut self.owner_url, self.owner_url_file.as_deref());
            check.url("owner_url", self.owner_url.as_ref(), &SCHEMES);
            if self.owner_url_file.is_none() {
                check.required("owner_url", self.owner_url.as_ref());
            }
        }
        check.url("url", self.url.as_ref(), &SCHEMES);
        check.url("system_url", self.system_url.as_ref(), &SCHEMES);
        if self.url_file.is_none() {
            check.required("url", self.url.as_ref());
        }
        if self.system_url_file.is_none() {
            check.required("system_url", self.system_url.as_ref());
        }
        check.at_least_one("max_connections", self.max_connections);
        check.at_least_one("system_max_connections", self.system_max_connections);
        check.some_time("acquire_timeout", self.acquire_timeout);
    }
}
