//! Outgoing mail.

use std::path::PathBuf;

use berth_domain::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::sections::Section;
use crate::{Process, Span};

/// Outgoing mail by SMTP.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mail {
    /// Host of the mail server.
    #[schemars(example = "smtp.example.com")]
    pub host: Option<String>,
    /// Port of the mail server: 587 for `starttls`, 465 for `tls`, 25 for `none` are usual.
    pub port: u16,
    /// How the connection is protected: `starttls`, `tls` from the first byte, or `none`.
    pub security: MailSecurity,
    /// Name to sign in with, where the server asks for one.
    #[schemars(example = &"berth")]
    pub user: Option<String>,
    /// Password of `user`.
    #[schemars(with = "Option<String>", extend("writeOnly" = true), example = "…")]
    pub password: Option<Secret>,
    /// File that holds `password`.
    #[schemars(example = "/run/secrets/berth/mail_password")]
    pub password_file: Option<PathBuf>,
    /// Address that mails come from.
    #[schemars(example = "Berth <berth@example.com>")]
    pub from: Option<String>,
    /// How long sending one mail may take.
    pub timeout: Span,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            host: None,
            port: 587,
            security: MailSecurity::Starttls,
            user: None,
            password: None,
            password_file: None,
            from: None,
            timeout: Span::seconds(20),
        }
    }
}

impl Section for Mail {
    fn settle(&mut self, check: &mut Check<'_>) {
        if !matches!(check.process, Process::Api | Process::Tasks | Process::Dev) {
            return;
        }
        check.secret("password", &mut self.password, self.password_file.as_deref());
        let password_is_set = self.password.is_some() || self.password_file.is_some();
        if self.user.is_some() != password_is_set {
            check.problem("user", "goes together with `password`: set both or none");
        }
        if self.host.is_some() && self.from.is_none() {
            check.problem("from", "is missing, and `mail.host` is set");
        }
        if password_is_set && self.security == MailSecurity::None {
            check.problem(
                "security",
                "is `none`, which would send the password in the clear",
            );
        }
        check.at_least_one("port", self.port);
        check.some_time("timeout", self.timeout);
    }
}

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailSecurity {
    /// Plain at first, then TLS; refused when the server does not offer it.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// No protection.
    None,
}
