//! A model of a gigabyte comes in, and no process of the server grows with it.

use std::iter::repeat_n;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Result;
use berth_test_support::onnx_models::{self as onnx, Message, element};
use berth_test_support::{berth_program, python_program};
use futures_util::stream;
use reqwest::Body;
use serde_json::Value;

use crate::installation::OneApi;
use crate::memory::{forget_peak, peak_bytes};
use crate::tenant::{Answer, Tenant, http};

/// How much any process may grow.
const GROWTH_BYTES: u64 = 64 << 20;

/// How many weights, of what size: a gigabyte in all.
const WEIGHTS: usize = 16;
const WEIGHT_BYTES: usize = 64 << 20;
const CHUNK_BYTES: usize = 1 << 20;

/// The beginning of a field whose bytes follow: its key, and how many there are.
fn begin(field: u8, bytes: usize) -> Vec<u8> {
    let mut begin = vec![field << 3 | 2];
    let mut rest = bytes;
    while rest >= 0x80 {
        begin.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    begin.push(rest.to_le_bytes()[0]);
    begin
}

/// A model that looks rows up in several tables of 256 columns, in pieces that nobody holds all at once.
struct Giant {
    /// Everything before the weights.
    head: Vec<u8>,
    /// What stands before the bytes of each weight.
    weights: Vec<Vec<u8>>,
    /// Everything after them.
    tail: Vec<u8>,
}

impl Giant {
    fn new() -> Self {
        let rows = i64::try_from(WEIGHT_BYTES / 4 / 256).expect("is small");
        let weights: Vec<Vec<u8>> = (0..WEIGHTS)
            .map(|number| {
                let weight = Message::new()
                    .number(1, rows)
                    .number(1, 256)
                    .number(2, element::FLOAT)
                    .text(8, &format!("table_{number}"));
                let fields = [weight.into_bytes(), begin(9, WEIGHT_BYTES)].concat();
                [begin(5, fields.len() + WEIGHT_BYTES), fields].concat()
            })
            .collect();
        let name = |kind: &str, number: usize| format!("{kind}_{number}");
        let nodes: Vec<_> = (0..WEIGHTS)
            .map(|number| {
                let (table, found) = (name("table", number), name("found", number));
                onnx::node("Gather", &[&table, "row"], &[&found], &[])
            })
            .collect();
        let outputs: Vec<_> = (0..WEIGHTS)
            .map(|number| onnx::port(&name("found", number), element::FLOAT, &["rows", "256"]))
            .collect();
        let before = Message::new().messages(1, &nodes).text(2, "giant").into_bytes();
        let after = Message::new()
            .message(11, &onnx::port("row", element::INT64, &["rows"]))
            .messages(12, &outputs)
            .into_bytes();
        let all_weights: usize = weights.iter().map(|weight| weight.len() + WEIGHT_BYTES).sum();
        let graph = begin(7, before.len() + all_weights + after.len());
        let version = Message::new().number(1, 8).into_bytes();
        let opset = Message::new().message(8, &onnx::opset("", 17)).into_bytes();
        Self {
            head: [version, graph, before].concat(),
            weights,
            tail: [after, opset].concat(),
        }
    }

    /// How many bytes the pieces have together.
    fn length(&self) -> usize {
        let weights: usize = self
            .weights
            .iter()
            .map(|weight| weight.len() + WEIGHT_BYTES)
            .sum();
        self.head.len() + weights + self.tail.len()
    }

    fn pieces(self) -> impl Iterator<Item = Vec<u8>> + Send {
        let chunks = WEIGHT_BYTES / CHUNK_BYTES;
        let weights = self
            .weights
            .into_iter()
            .flat_map(move |begin| std::iter::once(begin).chain(repeat_n(vec![7; CHUNK_BYTES], chunks)));
        std::iter::once(self.head)
            .chain(weights)
            .chain(std::iter::once(self.tail))
    }
}

/// A program that is the gate, and writes down how much memory the gate had at most, in kilobytes.
fn measured_gate(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let (program, told) = (folder.join("gate.py"), folder.join("gate.txt"));
    let text = format!(
        "#!{}\n\
         import resource, subprocess, sys\n\
         done = subprocess.run([{:?}, *sys.argv[1:]])\n\
         open({told:?}, \"w\").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))\n\
         sys.exit(done.returncode)\n",
        python_program()?.display(),
        berth_program()?
    );
    fs::write(&program, text)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok((program, told))
}

#[tokio::test]
async fn upload_of_a_gigabyte_grows_no_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let (gate, told) = measured_gate(folder.path()).expect("is written");
    let api = OneApi::start_with(&[("BERTH_GATE__PROGRAM", &gate.display().to_string())])
        .await
        .expect("starts");
    let tenant = Tenant::sign_up(&api.address, "tenant").await.expect("signs up");
    let pid = api.process.pid();
    let giant = Giant::new();
    let length = giant.length();
    assert!(length > 1 << 30);

    forget_peak(pid).expect("is forgotten");
    let before = peak_bytes(pid).expect("is told");
    let path = tenant.path("/models/giant/versions?filename=giant.onnx");
    let pieces = giant.pieces().map(Ok::<_, io::Error>);
    let request = http()
        .post(format!("{}{path}", api.address))
        .bearer_auth(&tenant.token)
        .header("content-type", "application/octet-stream")
        .header("content-length", length)
        .body(Body::wrap_stream(stream::iter(pieces)));
    let answer = request.send().await.expect("the server answers");
    let answer = Answer::read(answer).await.expect("is whole");
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text);
    assert_eq!(answer.body["size_bytes"], length);
    let inputs = &answer.body["manifest"]["inputs"];
    assert_eq!(inputs[0]["name"], "row", "it was understood: {inputs}");
    assert_eq!(
        answer.body["manifest"]["outputs"].as_array().map(Vec::len),
        Some(WEIGHTS)
    );

    let grown = peak_bytes(pid).expect("is told") - before;
    assert!(grown < GROWTH_BYTES, "the API grew by {grown} bytes");
    let gate = fs::read_to_string(told).expect("the gate was at work");
    let gate = gate.parse::<u64>().expect("a number") * 1024;
    assert!(gate < GROWTH_BYTES, "the gate had {gate} bytes");

    let kept = fs::read_dir(api.artifacts().join(".staging")).expect("is there");
    assert_eq!(kept.count(), 0, "nothing is staged any more");
    let version = tenant
        .get(&tenant.path("/models/giant/versions/1"))
        .await
        .expect("the server answers");
    assert_eq!(version.body["state"], Value::from("checking"));
}
