//! A node that holds models.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::sections::Section;
use crate::{Process, SandboxMode, Size, Span};

/// Longest path of the folder of sockets: a socket's whole path must stay below 108 bytes.
const LONGEST_SOCKET_FOLDER: usize = 60;

/// What models can run on.
const PROVIDERS: [&str; 3] = ["cpu", "cuda", "tensorrt"];

/// A node that holds models: `berth-worker node`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Worker {
    /// The ONNX Runtime library: `libonnxruntime.so`, of the version that this release names. The GPU build of the
    /// library serves GPUs.
    #[schemars(example = "/usr/lib/onnxruntime/libonnxruntime.so")]
    pub onnxruntime_library: Option<PathBuf>,
    /// Folder of the Unix sockets by which the API on this machine reaches the runners; at most 60 bytes long. Who can
    /// enter it can call every model: Berth makes it with rights for its own user only.
    pub socket_folder: PathBuf,
    /// Folder of the verified copies of model files.
    pub cache_folder: PathBuf,
    /// Bytes that the cache may hold; what is in use stays even beyond. A small cache fetches more often.
    pub cache_size: Size,
    /// Name of this node for people. Without it, the name of the machine.
    #[schemars(example = "gpu-node-3")]
    pub name: Option<String>,
    /// Memory for all runners together. Without it, eight tenths of the machine's.
    #[schemars(example = "24GiB")]
    pub memory: Option<Size>,
    /// Memory that one runner may take at most. Without it, as much as all together. A runner of a version whose size was
    /// measured gets three times that and `worker.runner_slack` on top, where this is less.
    #[schemars(example = "4GiB")]
    pub runner_memory: Option<Size>,
    /// Memory beyond three times what a version took when it was proved that its runner may take: large batches need more
    /// than the small ones of a proof.
    pub runner_slack: Size,
    /// The largest model, by what its version took when it was proved, that shares a runner with others of its organization; 0 for
    /// none. A shared runner saves some 10 to 50 MB for each model, and when it crashes, its other models are loaded again.
    pub shared_runner_model: Size,
    /// What models may run on, the preferred first: `cpu`, `cuda`, `tensorrt`. What one cannot run, the next one does, and
    /// the processor the rest. One that the library or this build does not have is an error, never a silent fall-back.
    pub providers: Vec<String>,
    /// The one GPU that this worker's runners see, by its place on the bus, the first being 0. Start one worker for each GPU, each
    /// with folders of its own. Without it, runners see what the environment of the worker lets them see.
    #[schemars(example = 0)]
    pub device: Option<u16>,
    /// Memory of a GPU, for deployments that demand so much: the machine does not tell it to those who do not use it.
    #[schemars(example = "24GiB")]
    pub device_memory: Option<Size>,
    /// What this worker is called by, for deployments that demand such a worker.
    #[schemars(example = labels())]
    pub labels: BTreeMap<String, String>,
    /// Threads that one runner computes with; 0 is one for each core. With many models on a node, 1 gives the best
    /// throughput; more give single requests a shorter wait.
    pub threads: u16,
    /// Requests that wait in one runner; further ones are refused with 503. A long queue hides overload behind waiting.
    pub queue: u32,
    /// `required` or `best_effort`: what happens where the kernel lacks Landlock or seccomp.
    pub sandbox: SandboxMode,
    /// How long a node without a sign of life counts as there. Short times find a dead node sooner, but lose a busy one.
    pub lease: Span,
    /// How long loading one model may take, without fetching its files.
    pub load_timeout: Span,
    /// How long an uploaded model may run on made-up inputs, all in all, when it is proved. One that takes longer is not usable.
    pub proof_timeout: Span,
    /// How long the node waits before it starts a model's process again that failed or ended; doubled each time it happens
    /// again within a minute. Short waits bring a model back sooner; they also give a request that crashes it more turns.
    pub restart_wait: Span,
    /// The longest of these waits. The node never gives up on a model that it is told to hold.
    pub longest_restart_wait: Span,
    /// How long running requests may take to end after SIGTERM, or when a model is taken off the node.
    pub drain_timeout: Span,
    /// Address and port for `/healthz`, `/readyz` and `/metrics` of this node, by plain HTTP; port 0 takes a free one.
    /// Without it nothing is listened on. Whoever reaches the address is answered: choose one that only monitoring reaches.
    #[schemars(with = "Option<String>", example = "127.0.0.1:9465")]
    pub listen: Option<SocketAddr>,
}

/// An example of labels.
fn labels() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([("zone", "a")])
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            onnxruntime_library: None,
            socket_folder: PathBuf::from("/run/berth"),
            cache_folder: PathBuf::from("/var/cache/berth"),
            cache_size: Size::gib(50),
            name: None,
            memory: None,
            runner_memory: None,
            runner_slack: Size::gib(1),
            shared_runner_model: Size::mib(256),
            providers: vec!["cpu".to_owned()],
            device: None,
            device_memory: None,
            labels: BTreeMap::new(),
            threads: 0,
            queue: 1_024,
            sandbox: SandboxMode::Required,
            lease: Span::seconds(5),
            load_timeout: Span::minutes(5),
            proof_timeout: Span::minutes(1),
            restart_wait: Span::seconds(1),
            longest_restart_wait: Span::minutes(1),
            drain_timeout: Span::seconds(30),
            listen: None,
        }
    }
}

impl Section for Worker {
    fn settle(&mut self, check: &mut Check<'_>) {
        if check.process != Process::Worker {
            return;
        }
        check.required("onnxruntime_library", self.onnxruntime_library.as_ref());
        if let Some(library) = &self.onnxruntime_library {
            check.absolute("onnxruntime_library", library);
        }
        check.absolute("socket_folder", &self.socket_folder);
        if self.socket_folder.as_os_str().len() > LONGEST_SOCKET_FOLDER {
            check.problem("socket_folder", "is too long: the path of a Unix socket must stay below 108 bytes, so this one has at most 60");
        }
        check.absolute("cache_folder", &self.cache_folder);
        check.at_least_one("cache_size", self.cache_size.get());
        check.at_least_one("queue", self.queue);
        if self.providers.is_empty()
            || !self
                .providers
                .iter()
                .all(|name| PROVIDERS.contains(&name.as_str()))
        {
            check.problem(
                "providers",
                "must be a list of `cpu`, `cuda` and `tensorrt`, the preferred first",
            );
        }
        if self
            .labels
            .iter()
            .any(|(label, value)| label.is_empty() || label.len() > 64 || value.len() > 64)
        {
            check.problem("labels", "must have names and values of at most 64 characters");
        }
        if self.lease < Span::seconds(1) {
            check.problem("lease", "must be at least 1s");
        }
        check.some_time("load_timeout", self.load_timeout);
        check.some_time("proof_timeout", self.proof_timeout);
        check.some_time("restart_wait", self.restart_wait);
        if self.longest_restart_wait < self.restart_wait {
            check.problem(
                "longest_restart_wait",
                "must not be shorter than `worker.restart_wait`",
            );
        }
        for (field, size) in [("memory", self.memory), ("runner_memory", self.runner_memory)] {
            if size.is_some_and(|size| size < Size::mib(64)) {
                check.problem(field, "must be at least 64MiB");
            }
        }
    }
}
