//! The sections of the settings, one file each.

pub(crate) mod amqp;
pub(crate) mod artifacts;
pub(crate) mod auth;
pub(crate) mod coordination;
pub(crate) mod database;
pub(crate) mod gate;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod mail;
pub(crate) mod peers;
pub(crate) mod redis;
pub(crate) mod sandbox;
pub(crate) mod tasks;
pub(crate) mod telemetry;
pub(crate) mod worker;

use crate::check::{Check, Origins};
use crate::{Config, Problem, Process};

/// A section that can check itself.
pub(crate) trait Section {
    /// Reads the files of the section's secrets and tells what is wrong, as far as the process uses the section.
    fn settle(&mut self, check: &mut Check<'_>);
}

/// Settles every section for one process.
pub(crate) fn settle(config: &mut Config, process: Process, origins: &Origins, problems: &mut Vec<Problem>) {
    let mut sections: [(&str, &mut dyn Section); 14] = [
        ("http", &mut config.http),
        ("grpc", &mut config.grpc),
        ("database", &mut config.database),
        ("redis", &mut config.redis),
        ("coordination", &mut config.coordination),
        ("amqp", &mut config.amqp),
        ("artifacts", &mut config.artifacts),
        ("auth", &mut config.auth),
        ("mail", &mut config.mail),
        ("gate", &mut config.gate),
        ("tasks", &mut config.tasks),
        ("worker", &mut config.worker),
        ("peers", &mut config.peers),
        ("telemetry", &mut config.telemetry),
    ];
    for (name, section) in &mut sections {
        section.settle(&mut Check {
            process,
            section: (*name).to_owned(),
            origins,
            problems,
        });
    }
}
