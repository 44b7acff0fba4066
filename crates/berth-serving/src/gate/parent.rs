//! The parent's side of the gate: starts the child, waits no longer than it may take, and believes nothing that was not
//! to be expected.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use berth_artifacts::Staged;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use super::{GRAPH_NAME, Limits, REFUSAL_CODES, Refusal, Report, Task, Verdict};

/// Most that the child may say.
const ANSWER_BYTES: u64 = 32 << 20;

/// Most of what the child complains about that is kept.
const COMPLAINT_BYTES: u64 = 16 << 10;

/// How the gate works.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program that judges; `gate inspect` are its arguments.
    pub program: PathBuf,
    /// How many uploads are judged at once.
    pub concurrency: usize,
    /// How long one may take.
    pub timeout: Duration,
    /// Bounds on the child and on what it reads.
    pub limits: Limits,
    /// Whether the child goes on where the kernel lacks a part of the sandbox.
    pub best_effort: bool,
}

/// Why an upload was not judged, or not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not accepted; whoever uploads can do something about it.
    #[error("the upload was refused ({})", .0.code)]
    Refused(#[source] Refusal),
    /// The child could not be started or spoken to.
    #[error("the gate's process could not be run")]
    Process(#[source] io::Error),
    /// The child could not do its work.
    #[error("the gate could not do its work: {0}")]
    Failed(String),
    /// The child ended in a way that it should not.
    #[error("the gate's process ended abnormally ({status}): {complaint}")]
    Crashed {
        /// How.
        status: ExitStatus,
        /// What it wrote to its error output.
        complaint: String,
    },
    /// The child answered what it should not.
    #[error("the gate's answer cannot be believed: {0}")]
    Answer(String),
}

/// The gate. Clones share its places.
#[derive(Debug, Clone)]
pub struct Gate {
    options: Arc<Options>,
    places: Arc<Semaphore>,
}

impl Gate {
    /// A gate that works like this.
    pub fn new(options: Options) -> Self {
        let places = Arc::new(Semaphore::new(options.concurrency.max(1)));
        Self {
            options: Arc::new(options),
            places,
        }
    }

    /// Judges the upload, which its uploader calls `name`; what it holds is unpacked into the empty folder `output`.
    ///
    /// Waits for a place first. Dropping the future ends the child.
    pub async fn inspect(&self, upload: &Staged, name: &str, output: &Path) -> Result<Report, Error> {
        let task = Task {
            input: upload.path().to_owned(),
            name: name.to_owned(),
            digest: upload.digest(),
            size_bytes: upload.size_bytes(),
            output: output.to_owned(),
            limits: self.options.limits.clone(),
            best_effort: self.options.best_effort,
        };
        let _place = self
            .places
            .acquire()
            .await
            .map_err(|closed| Error::Process(io::Error::other(closed)))?;
        let child = self.start().map_err(Error::Process)?;
        let Ok(ended) = tokio::time::timeout(self.options.timeout, converse(child, &task)).await else {
            // The child was dropped with the conversation, and a dropped child is killed.
            return Err(Error::Refused(too_slow()));
        };
        let report = conclude(ended.map_err(Error::Process)?)?;
        check(&report, &task)?;
        Ok(report)
    }

    fn start(&self) -> io::Result<Child> {
        let arguments: [OsString; 2] = ["gate".into(), "inspect".into()];
        Command::new(&self.options.program)
            .args(arguments)
            // Nothing of what this process was told is the child's business.
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }
}

/// What a child left behind.
struct Ended {
    status: ExitStatus,
    answer: Vec<u8>,
    complaint: String,
}

async fn converse(mut child: Child, task: &Task) -> io::Result<Ended> {
    let mut input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let errors = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let asked = serde_json::to_vec(task)?;
    let ask = async move {
        // A child that died before it read everything tells more by how it died.
        match input.write_all(&asked).await {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    };
    let ((), answer, complaint) =
        tokio::try_join!(ask, read(output, ANSWER_BYTES), read(errors, COMPLAINT_BYTES))?;
    Ok(Ended {
        status: child.wait().await?,
        answer,
        complaint: String::from_utf8_lossy(&complaint).trim().to_owned(),
    })
}

/// Reads to the end, and keeps the first bytes.
async fn read(mut from: impl AsyncRead + Unpin, most: u64) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    (&mut from).take(most + 1).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(kept)
}

fn conclude(ended: Ended) -> Result<Report, Error> {
    // The numbers are the same on every architecture that Linux runs on today, but for a few that nobody serves on.
    const ABORT: i32 = 6;
    const KILL: i32 = 9;
    const CPU_LIMIT: i32 = 24;
    match ended.status.signal() {
        Some(CPU_LIMIT | KILL) => return Err(Error::Refused(too_slow())),
        // How Rust ends when memory is refused.
        Some(ABORT) if ended.complaint.contains("memory allocation of") => {
            return Err(Error::Refused(Refusal::new(
                "gate_out_of_memory",
                "the upload could not be read within the memory that one may take: its structure is far larger than \
                 that of any model",
            )));
        }
        _ if ended.status.success() => {}
        _ => {
            return Err(Error::Crashed {
                status: ended.status,
                complaint: ended.complaint,
            });
        }
    }
    if ended.answer.len() as u64 > ANSWER_BYTES {
        return Err(Error::Answer("it is too long".to_owned()));
    }
    match serde_json::from_slice(&ended.answer) {
        Ok(Verdict::Ok(report)) => Ok(*report),
        Ok(Verdict::Refused(refusal)) if REFUSAL_CODES.contains(&refusal.code.as_str()) => {
            Err(Error::Refused(refusal))
        }
        Ok(Verdict::Refused(refusal)) => Err(Error::Answer(format!("it has the code `{}`", refusal.code))),
        Ok(Verdict::Failed(why)) => Err(Error::Failed(why)),
        Err(error) => Err(Error::Answer(error.to_string())),
    }
}

/// The child read what a stranger sent; should it ever have been taken over by it, its word is not enough to reach a file
/// outside the folder.
fn check(report: &Report, task: &Task) -> Result<(), Error> {
    let unfit = |what: &str| Err(Error::Answer(what.to_owned()));
    let plain = |path: &Path| {
        path.components().next().is_some()
            && path.components().all(|part| matches!(part, Component::Normal(_)))
    };
    let Some(root) = &report.unpacked else {
        return match report.files.as_slice() {
            [file]
                if file.path == GRAPH_NAME
                    && file.digest == task.digest
                    && file.size_bytes == task.size_bytes =>
            {
                Ok(())
            }
            _ => unfit("the only file is not the one that was sent"),
        };
    };
    let inner = root.strip_prefix(&task.output).ok();
    if !inner.is_some_and(|inner| inner.as_os_str().is_empty() || plain(inner)) {
        return unfit("the files lie elsewhere");
    }
    if report.files.is_empty() {
        return unfit("there are no files");
    }
    for file in &report.files {
        if !plain(Path::new(&file.path)) {
            return unfit("a path is not plain");
        }
        let mut path = root.clone();
        path.push(&file.path);
        let is_file = path
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() == file.size_bytes);
        if !is_file {
            return unfit("a file is not what it is said to be");
        }
    }
    Ok(())
}

fn too_slow() -> Refusal {
    Refusal::new(
        "gate_too_slow",
        "the upload could not be read in the time that one may take: its structure is far larger than that of any model",
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use berth_domain::digest::Sha256;
    use berth_domain::manifest::{Batching, Manifest};
    use berth_domain::model::ModelFile;

    use super::*;

    fn ended(raw_status: i32, answer: &str, complaint: &str) -> Result<Report, Error> {
        conclude(Ended {
            status: ExitStatus::from_raw(raw_status),
            answer: answer.as_bytes().to_vec(),
            complaint: complaint.to_owned(),
        })
    }

    fn refusal(result: Result<Report, Error>) -> String {
        match result {
            Err(Error::Refused(refusal)) => refusal.code,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn ends_that_the_upload_brought_about_are_refusals() {
        assert_eq!(refusal(ended(24, "", "")), "gate_too_slow");
        assert_eq!(refusal(ended(9, "", "")), "gate_too_slow");
        let complaint = "memory allocation of 99999999 bytes failed";
        assert_eq!(refusal(ended(6, "", complaint)), "gate_out_of_memory");
        let said = r#"{"refused":{"code":"archive_bomb","message":"boom"}}"#;
        assert_eq!(refusal(ended(0, said, "")), "archive_bomb");
    }

    #[test]
    fn ends_that_should_not_be_are_told_with_what_was_said() {
        for status in [11, 31, 101 << 8, 6] {
            let Err(Error::Crashed { complaint, .. }) = ended(status, "", "panicked") else {
                panic!("a crash: {status}");
            };
            assert_eq!(complaint, "panicked");
        }
        assert!(matches!(
            ended(0, r#"{"failed":"no sandbox"}"#, ""),
            Err(Error::Failed(why)) if why == "no sandbox"
        ));
    }

    #[test]
    fn answers_that_make_no_sense_are_not_believed() {
        for answer in [
            "",
            "null",
            "{}",
            r#"{"refused":{"code":"made_up","message":""}}"#,
            r#"{"ok":{}}"#,
        ] {
            assert!(matches!(ended(0, answer, ""), Err(Error::Answer(_))), "{answer}");
        }
    }

    #[test]
    fn single_file_has_the_name_that_single_files_have() {
        let task = Task {
            input: "/staging/1".into(),
            name: "my.onnx".to_owned(),
            digest: Sha256::of(b"graph"),
            size_bytes: 5,
            output: "/work".into(),
            limits: Limits::default(),
            best_effort: false,
        };
        let report = |path: &str, bytes: &[u8]| Report {
            manifest: Manifest {
                task: berth_domain::manifest::Task::Tensors,
                graph: path.to_owned(),
                inputs: vec![],
                outputs: vec![],
                text_embedding: None,
                batching: Batching::default(),
                license: None,
                guessed: vec![],
            },
            files: vec![ModelFile {
                path: path.to_owned(),
                digest: Sha256::of(bytes),
                size_bytes: 5,
            }],
            graphs: vec![],
            warnings: vec![],
            unpacked: None,
        };
        assert!(check(&report("model.onnx", b"graph"), &task).is_ok());
        for told in [report("../model.onnx", b"graph"), report("model.onnx", b"other")] {
            assert!(matches!(check(&told, &task), Err(Error::Answer(_))), "{told:?}");
        }
    }

    #[test]
    fn codes_are_sorted_and_distinct() {
        assert!(REFUSAL_CODES.is_sorted_by(|a, b| a < b));
    }
}
