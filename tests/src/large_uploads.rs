//! A model of a gigabyte comes in, and no process of the server grows with it.

use std::iter::repeat_n;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use anyhow::{Result, ensure};
use berth_test_support::onnx_models::{self as onnx, Message, element};
use berth_test_support::{berth_program, python_program};
use futures_util::stream;
use reqwest::Body;
use serde_json::Value;
use tempfile::TempDir;

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

/// How many bytes of weights an archive holds: three times what a process may grow, so that who holds them is found out.
const PACKED_BYTES: usize = 192 << 20;

/// Writes an archive with weights in a file of their own beside the graph, packed without being made smaller: what is unpacked has
/// the size of what was sent.
const PACK: &str = r#"
import io, sys, tarfile, zipfile
form, path, graph, size = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])

class Weights(io.RawIOBase):
    left = size
    def readable(self):
        return True
    def readinto(self, buffer):
        length = min(len(buffer), self.left)
        self.left -= length
        buffer[:length] = bytes(length)
        return length

weights = io.BufferedReader(Weights(), 1 << 20)
if form == "tar.gz":
    with tarfile.open(path, "w:gz", compresslevel=0) as archive:
        archive.add(graph, "model.onnx")
        entry = tarfile.TarInfo("model.bin")
        entry.size = size
        archive.addfile(entry, weights)
else:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.write(graph, "model.onnx")
        with archive.open("model.bin", "w", force_zip64=True) as entry:
            while piece := weights.read(1 << 20):
                entry.write(piece)
"#;

/// An archive whose graph has its only weight outside.
fn pack(folder: &Path, form: &str, weight_bytes: usize) -> Result<PathBuf> {
    let length = weight_bytes.to_string();
    let elements = i64::try_from(weight_bytes / 4)?;
    let weight = onnx::external(
        "table",
        element::FLOAT,
        &[elements],
        &[("location", "model.bin"), ("offset", "0"), ("length", &length)],
    );
    let graph = onnx::graph(
        &[onnx::node("Gather", &["table", "row"], &["found"], &[])],
        &[weight],
        &[onnx::port("row", element::INT64, &["rows"])],
        &[onnx::port("found", element::FLOAT, &["rows"])],
    );
    let (model, archive) = (folder.join("model.onnx"), folder.join(format!("model.{form}")));
    fs::write(&model, onnx::model(&graph).into_bytes())?;
    let done = Command::new(python_program()?)
        .args(["-c", PACK, form])
        .args([&archive, &model])
        .arg(&length)
        .status()?;
    ensure!(done.success(), "packing failed: {done}");
    Ok(archive)
}

/// A server whose gate writes down how much memory it had.
struct Measured {
    folder: TempDir,
    told: PathBuf,
    api: OneApi,
    tenant: Tenant,
}

impl Measured {
    async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (gate, told) = measured_gate(folder.path())?;
        let api = OneApi::start_with(&[("BERTH_GATE__PROGRAM", &gate.display().to_string())]).await?;
        let tenant = Tenant::sign_up(&api.address, "tenant").await?;
        Ok(Self {
            folder,
            told,
            api,
            tenant,
        })
    }

    /// Uploads `body` as a version of the model `giant`, and holds the server and its gate to their bound.
    async fn upload(&self, file_name: &str, length: u64, body: Body) -> Answer {
        let pid = self.api.process.pid();
        forget_peak(pid).expect("is forgotten");
        let before = peak_bytes(pid).expect("is told");
        let path = self
            .tenant
            .path(&format!("/models/giant/versions?filename={file_name}"));
        let request = http()
            .post(format!("{}{path}", self.api.address))
            .bearer_auth(&self.tenant.token)
            .header("content-type", "application/octet-stream")
            .header("content-length", length)
            .body(body);
        let answer = request.send().await.expect("the server answers");
        let answer = Answer::read(answer).await.expect("is whole");
        assert_eq!(answer.status.as_u16(), 201, "{file_name}: {}", answer.text);

        let grown = peak_bytes(pid).expect("is told") - before;
        assert!(grown < GROWTH_BYTES, "{file_name}: the API grew by {grown} bytes");
        let gate = fs::read_to_string(&self.told).expect("the gate was at work");
        fs::remove_file(&self.told).expect("is removed");
        let gate = gate.parse::<u64>().expect("a number") * 1024;
        assert!(gate < GROWTH_BYTES, "{file_name}: the gate had {gate} bytes");
        let kept = fs::read_dir(self.api.artifacts().join(".staging")).expect("is there");
        assert_eq!(kept.count(), 0, "{file_name}: nothing is staged any more");
        answer
    }
}

#[tokio::test]
async fn upload_of_a_gigabyte_grows_no_process() {
    let server = Measured::start().await.expect("starts");
    let giant = Giant::new();
    let length = giant.length() as u64;
    assert!(length > 1 << 30);
    let pieces = giant.pieces().map(Ok::<_, io::Error>);
    let body = Body::wrap_stream(stream::iter(pieces));
    let answer = server.upload("giant.onnx", length, body).await;
    assert_eq!(answer.body["size_bytes"], length);
    let inputs = &answer.body["manifest"]["inputs"];
    assert_eq!(inputs[0]["name"], "row", "it was understood: {inputs}");
    assert_eq!(
        answer.body["manifest"]["outputs"].as_array().map(Vec::len),
        Some(WEIGHTS)
    );
    let version = server.tenant.path("/models/giant/versions/1");
    let version = server.tenant.get(&version).await.expect("the server answers");
    assert_eq!(version.body["state"], Value::from("checking"));
}

#[tokio::test]
async fn unpacking_grows_no_process() {
    let server = Measured::start().await.expect("starts");
    for (number, form) in ["tar.gz", "zip"].into_iter().enumerate() {
        // Not twice the same weights, which would be one blob.
        let weight_bytes = PACKED_BYTES + 4 * number;
        let archive = pack(server.folder.path(), form, weight_bytes).expect("is packed");
        let length = fs::metadata(&archive).expect("is there").len();
        let file = tokio::fs::File::open(&archive).await.expect("is there");
        let name = format!("giant.{form}");
        let answer = server.upload(&name, length, Body::from(file)).await;
        let size = answer.body["size_bytes"].as_u64().expect("a size");
        assert!(size > weight_bytes as u64, "{form}: {size} bytes unpacked");
        fs::remove_file(archive).expect("is removed");
    }
}
