//! A runner under test: started as a node would start it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use berth_protocol::runner::{InferRequest, Operation};
use berth_sandbox::launch::{Launch, Lifeline};
use berth_sandbox::notes::Notes;
use berth_transport::{Location, Peers, RunnerClient};
use serde_json::{Value, json};

use crate::models::Model;

/// How long anything may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// A runner, killed when it is dropped.
pub(crate) struct Runner {
    child: Child,
    output: BufReader<ChildStdout>,
    pub(crate) lifeline: Option<Lifeline>,
    folder: tempfile::TempDir,
}

impl Runner {
    /// Starts a runner for `model`; does not wait for it.
    pub(crate) fn start(model: &Model) -> Self {
        Self::start_with(model, &json!({}))
    }

    /// The same, with other settings.
    pub(crate) fn start_with(model: &Model, other: &Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut launch = Launch::new();
        let listener = UnixListener::bind(folder.path().join("runner.sock")).expect("a socket");
        let socket = launch.hand_over(listener);
        let (lifeline, number) = launch.lifeline().expect("a pipe");
        let notes = Notes::new().and_then(|notes| notes.descriptor());
        let page = launch.hand_over(notes.expect("a page"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_berth-worker"));
        command
            .args([
                "runner",
                "--socket",
                &socket.to_string(),
                "--lifeline",
                &number.to_string(),
                "--notes",
                &page.to_string(),
            ])
            .env_clear()
            .env("ORT_DISABLE_TELEMETRY", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("log")).expect("a log"));
        launch.prepare(&mut command);
        let mut child = command.spawn().expect("the runner starts");
        let mut settings = json!({
            "folder": model.folder,
            "shared": false,
            "library": berth_test_support::onnxruntime_library().expect("the library is there"),
            "providers": ["cpu"],
            "threads": 1,
            "runs": 1,
            "queue_requests": 16,
            "sandbox": "required",
            "memory_bytes": null,
            "memory_most_bytes": null,
            "log_filter": "info",
            "log_as_json": false,
        });
        for (name, value) in other.as_object().expect("settings") {
            settings[name] = value.clone();
        }
        let mut input = child.stdin.take().expect("an input");
        let load = json!({
            "command": "load",
            "slot": 1,
            "replica": "",
            "folder": model.folder,
            "manifest": model.manifest,
            "batching": {},
        });
        input
            .write_all(format!("{settings}\n{load}\n").as_bytes())
            .expect("it reads");
        drop(input);
        let output = BufReader::new(child.stdout.take().expect("an output"));
        Self {
            child,
            output,
            lifeline: Some(lifeline),
            folder,
        }
    }

    /// The one line that it says.
    pub(crate) fn event(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it speaks UTF-8");
        serde_json::from_str(&line).expect("it says a line of JSON")
    }

    /// Starts one and waits until it is ready.
    pub(crate) fn ready(model: &Model) -> Self {
        let mut runner = Self::start(model);
        assert_eq!(runner.event()["event"], "ready");
        runner
    }

    /// A client of it.
    pub(crate) fn client(&self) -> Arc<RunnerClient> {
        let socket = self.folder.path().join("runner.sock");
        Arc::new(RunnerClient::new(Peers::here(), Location::here(socket)))
    }

    /// What it says after what was read already.
    pub(crate) const fn output(&mut self) -> &mut BufReader<ChildStdout> {
        &mut self.output
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).expect("a log")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it lives");
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a process"), rustix::process::Signal::TERM)
            .expect("it lives");
    }

    /// Waits until it ends.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let ended = berth_test_support::wait_for(LIMIT, || {
            let status = child.try_wait().expect("it is our child");
            async move { status }
        });
        ended.await.expect("it ends")
    }
}

impl Drop for Runner {
    #[expect(
        clippy::print_stderr,
        reason = "the test runner shows the output of a failed test"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the runner logged:\n{}---", self.log());
        }
        // It may have ended by itself, as many tests want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request with this body.
pub(crate) fn request(operation: Operation, body: &str) -> InferRequest {
    InferRequest {
        model: "m".to_owned(),
        operation: operation.into(),
        body: body.as_bytes().to_vec().into(),
        ..InferRequest::default()
    }
}

/// A request that lets the spinner turn so often.
pub(crate) fn spin(count: i64) -> InferRequest {
    let body = json!({"inputs": [
        {"name": "count", "datatype": "INT64", "shape": [], "data": [count]},
        {"name": "start", "datatype": "FP32", "shape": [64], "data": vec![1.0; 64]},
    ]});
    request(Operation::OipInfer, &body.to_string())
}

/// How long a process has worked, in clock ticks.
pub(crate) fn processor_time(pid: u32) -> u64 {
    let statistics = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name stands in parentheses and may hold anything; what follows is numbered from the third field.
    let after_name = statistics.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0)
}

/// Waits until a process is at work.
pub(crate) async fn is_busy(pid: u32) {
    let before = processor_time(pid);
    let busy = berth_test_support::wait_until(LIMIT, || async { processor_time(pid) > before + 5 });
    busy.await.expect("it works");
}

/// Waits until a process does nothing any more: for a fifth of a second it gets no tick.
pub(crate) async fn is_idle(pid: u32) {
    let mut last = (processor_time(pid), tokio::time::Instant::now());
    let idle = berth_test_support::wait_until(LIMIT, || {
        let now = processor_time(pid);
        if now != last.0 {
            last = (now, tokio::time::Instant::now());
        }
        let quiet = last.1.elapsed() > Duration::from_millis(200);
        async move { quiet }
    });
    idle.await.expect("it comes to rest");
}
