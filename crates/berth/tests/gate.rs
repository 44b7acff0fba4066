//! The gate with its real process: what it accepts and refuses, and that neither memory, time nor a crash gets out of
//! hand.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use berth_artifacts::{Staged, Staging};
use berth_domain::digest::Sha256;
use berth_domain::manifest::Task as ModelTask;
use berth_serving::gate::{Error, Gate, Limits, Options, Report, Task, Verdict};
use berth_test_support::hostile_models::hostile_uploads;
use berth_test_support::onnx_models::{self as onnx, Message, element};
use bytes::Bytes;
use nix::sys::resource::{UsageWho, getrusage};
use tempfile::TempDir;

fn options() -> Options {
    Options {
        program: env!("CARGO_BIN_EXE_berth").into(),
        concurrency: 2,
        timeout: Duration::from_mins(2),
        limits: Limits::default(),
        best_effort: false,
    }
}

/// A staging folder, and a gate.
struct Case {
    _folder: TempDir,
    staging: Staging,
    gate: Gate,
}

impl Case {
    async fn new(options: Options) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        Ok(Self {
            staging: Staging::open(folder.path().join("staging")).await?,
            gate: Gate::new(options),
            _folder: folder,
        })
    }

    async fn stage(&self, bytes: Vec<u8>) -> Result<Staged> {
        let mut upload = self.staging.begin(u64::MAX).await?;
        upload.write(Bytes::from(bytes)).await?;
        Ok(upload.finish().await?)
    }

    async fn inspect(&self, name: &str, bytes: Vec<u8>) -> Result<Result<Report, Error>> {
        let staged = self.stage(bytes).await?;
        let output = self.staging.work_folder().await?;
        let judged = self.gate.inspect(&staged, name, output.path()).await;
        if let Ok(report) = &judged
            && let Some(root) = &report.unpacked
        {
            for file in &report.files {
                let bytes = std::fs::read(root.join(&file.path))?;
                assert_eq!(Sha256::of(&bytes), file.digest);
            }
        }
        Ok(judged)
    }
}

fn code(judged: Result<Report, Error>) -> String {
    match judged {
        Err(Error::Refused(refusal)) => refusal.code,
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn graph_alone_is_accepted_as_it_was_sent() -> Result<()> {
    let case = Case::new(options()).await?;
    let bytes = onnx::adder();
    let report = case.inspect("iris.onnx", bytes.clone()).await??;
    assert_eq!(report.manifest.task, ModelTask::Tensors);
    assert_eq!(report.unpacked, None);
    let [file] = report.files.as_slice() else {
        bail!("one file: {:?}", report.files);
    };
    assert_eq!(
        (file.path.as_str(), file.digest),
        ("model.onnx", Sha256::of(&bytes))
    );
    Ok(())
}

#[tokio::test]
async fn published_model_is_accepted_in_an_archive() -> Result<()> {
    let case = Case::new(options()).await?;
    let folder = berth_test_support::minilm_folder()?;
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    for name in ["model.onnx", "tokenizer.json"] {
        archive.append_path_with_name(folder.join(name), format!("minilm/{name}"))?;
    }
    let report = case
        .inspect("minilm.tar.gz", archive.into_inner()?.finish()?)
        .await??;
    let fields = report.manifest.text_embedding.context("embeds texts")?;
    assert_eq!((fields.max_tokens, fields.dimensions), (256, 384));
    assert_eq!(report.files.len(), 2);
    Ok(())
}

#[tokio::test]
async fn hostile_uploads_are_refused_by_the_process() -> Result<()> {
    let case = Case::new(options()).await?;
    for upload in hostile_uploads()? {
        let judged = case.inspect(upload.file_name, upload.bytes).await?;
        assert_eq!(code(judged), upload.code, "{}", upload.name);
    }
    // Nothing stays behind.
    assert_eq!(std::fs::read_dir(case.staging.folder())?.count(), 0);
    Ok(())
}

/// Runs the child alone on a file of any size; returns what it said.
fn judge_file(input: &Path, limits: Limits) -> Result<Verdict> {
    let output = tempfile::tempdir()?;
    let task = Task {
        input: input.to_owned(),
        name: "model.onnx".to_owned(),
        digest: Sha256::of(b"not looked at"),
        size_bytes: std::fs::metadata(input)?.len(),
        output: output.path().to_owned(),
        limits,
        best_effort: false,
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_berth"))
        .args(["gate", "inspect"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("is piped")?;
    serde_json::to_writer(&mut stdin, &task)?;
    drop(stdin);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("the child ended by {}", output.status);
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn gigabyte_of_weights_takes_no_memory() -> Result<()> {
    const WEIGHTS: u64 = 1 << 30;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.onnx");
    // The same message as ever, with the payload left out and its length put in; the gap is a hole in the file.
    let varint = |field: u32, length: u64| {
        let mut bytes = Message::new().number(field, length.cast_signed()).into_bytes();
        bytes[0] |= 2;
        bytes
    };
    let mut weight = onnx::tensor("w", element::FLOAT, &[(WEIGHTS / 4).cast_signed()], b"").into_bytes();
    weight.truncate(weight.len() - 2);
    weight.extend(varint(9, WEIGHTS));
    let node = onnx::node("Relu", &["x"], &["y"], &[]);
    let mut head = Message::new().message(1, &node).into_bytes();
    head.extend(varint(5, weight.len() as u64 + WEIGHTS));
    head.extend(weight);
    let tail = Message::new()
        .message(11, &onnx::port("x", element::FLOAT, &["rows"]))
        .message(12, &onnx::port("y", element::FLOAT, &["rows"]))
        .into_bytes();
    let mut file = std::fs::File::create(&path)?;
    file.write_all(&Message::new().number(1, 8).into_bytes())?;
    file.write_all(&varint(7, head.len() as u64 + WEIGHTS + tail.len() as u64))?;
    file.write_all(&head)?;
    file.seek(SeekFrom::Current(WEIGHTS.cast_signed()))?;
    file.write_all(&tail)?;
    file.write_all(&Message::new().message(8, &onnx::opset("", 17)).into_bytes())?;
    drop(file);

    let Verdict::Ok(report) = judge_file(&path, Limits::default())? else {
        bail!("is accepted");
    };
    assert_eq!(report.graphs[0].weight_bytes, WEIGHTS);
    // The largest of the processes that this test started, in kilobytes.
    let resident = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
    assert!(resident < 64 << 10, "{resident} kB");
    Ok(())
}

#[tokio::test]
async fn structure_that_needs_too_much_memory_is_refused() -> Result<()> {
    // Every value that a node writes is remembered; so many fit into the memory that is usual, and not into less.
    let nodes: Vec<_> = (0..150_000)
        .map(|number| onnx::node("Relu", &["x"], &[&format!("value-{number}")], &[]))
        .collect();
    let ports = [onnx::port("x", element::FLOAT, &["rows"])];
    let outputs = [onnx::port("value-0", element::FLOAT, &["rows"])];
    let bytes = onnx::model(&onnx::graph(&nodes, &[], &ports, &outputs)).into_bytes();
    let case = Case::new(options()).await?;
    assert!(case.inspect("model.onnx", bytes.clone()).await?.is_ok());
    let mut starved = options();
    starved.limits.memory_bytes = 1 << 20;
    let judged = Case::new(starved).await?.inspect("model.onnx", bytes).await?;
    assert_eq!(code(judged), "gate_out_of_memory");
    Ok(())
}

#[tokio::test]
async fn abnormal_ends_of_the_process_are_told_in_words() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let script = |name: &str, body: &str| -> Result<PathBuf> {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n"))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
        Ok(path)
    };
    let judge = async |program: PathBuf, timeout| -> Result<Result<Report, Error>> {
        let options = Options {
            program,
            timeout,
            ..options()
        };
        Case::new(options)
            .await?
            .inspect("model.onnx", onnx::adder())
            .await
    };
    let long = Duration::from_mins(1);
    let hangs = judge(script("hangs", "exec sleep 1000")?, Duration::from_millis(200)).await?;
    assert_eq!(code(hangs), "gate_too_slow");
    let out_of_memory = script(
        "memory",
        "echo memory allocation of 9 bytes failed >&2; kill -ABRT $$",
    )?;
    assert_eq!(code(judge(out_of_memory, long).await?), "gate_out_of_memory");
    let spins = judge(script("spins", "kill -XCPU $$")?, long).await?;
    assert_eq!(code(spins), "gate_too_slow");
    let crash = judge(script("crash", "echo panicked >&2; exit 101")?, long).await?;
    assert!(matches!(crash, Err(Error::Crashed { complaint, .. }) if complaint == "panicked"));
    let babble = judge(script("babble", "cat >/dev/null; echo hello")?, long).await?;
    assert!(matches!(babble, Err(Error::Answer(_))));
    let missing = judge(folder.path().join("missing"), long).await?;
    assert!(matches!(missing, Err(Error::Process(_))));
    // A child that was taken over names files that are not the upload's.
    let lies = r#"{"ok":{"manifest":{"task":"tensors","graph":"x","inputs":[],"outputs":[]},"files":[{"path":"passwd","digest":"0000000000000000000000000000000000000000000000000000000000000000","size_bytes":1}],"graphs":[],"warnings":[],"unpacked":"/etc"}}"#;
    let lies = judge(script("lies", &format!("cat >/dev/null; echo '{lies}'"))?, long).await?;
    assert!(matches!(lies, Err(Error::Answer(_))), "{lies:?}");
    Ok(())
}

#[test]
fn missing_upload_is_no_verdict_on_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let task = format!(
        r#"{{"input":"{}","name":"x","digest":"{}","size_bytes":1,"output":"/nowhere","limits":{{}},"best_effort":false}}"#,
        folder.path().join("missing").display(),
        Sha256::of(b"")
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_berth"))
        .args(["gate", "inspect"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .context("is piped")?
        .write_all(task.as_bytes())?;
    let output = child.wait_with_output()?;
    let verdict: Verdict = serde_json::from_slice(&output.stdout)?;
    assert!(matches!(verdict, Verdict::Failed(why) if why.contains("cannot keep")));
    Ok(())
}
