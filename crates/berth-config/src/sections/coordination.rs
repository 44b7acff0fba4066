//! The stand-in for Redis inside `berth dev`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Process;
use crate::check::Check;
use crate::sections::Section;

/// How a worker reaches the coordination of `berth dev`, which runs without Redis.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Coordination {
    /// Unix socket of a `berth dev` on this machine. A worker that is given it uses no Redis. `berth dev` sets it for
    /// the worker that it starts; there is no reason to set it elsewhere.
    #[schemars(example = "/run/user/1000/berth/coordination.sock")]
    pub socket: Option<PathBuf>,
}

impl Section for Coordination {
    fn settle(&mut self, check: &mut Check<'_>) {
        if check.process != Process::Worker {
            return;
        }
        let redis_is_set = check.is_set("redis.url") || check.is_set("redis.url_file");
        match &self.socket {
            Some(_) if redis_is_set => {
                check.problem(
                    "socket",
                    "`redis.url` is set as well: a worker uses exactly one of both",
                );
            }
            Some(socket) => check.absolute("socket", socket),
            None if redis_is_set => {}
            None => check.problem(
                "socket",
                "`worker` needs `redis.url`, or this socket of a `berth dev`; both are missing",
            ),
        }
    }
}
