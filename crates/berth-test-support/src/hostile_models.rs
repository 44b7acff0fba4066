//! Uploads that must be refused: each is a file to send, and the code that the refusal must have.
//!
//! They are made, not kept: what is wrong with one stands in the line that makes it.

use std::io::{Cursor, Write as _};

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::onnx_models::{self as onnx, Message, element};

/// A file that nobody should accept as a model.
#[derive(Debug, Clone)]
pub struct HostileUpload {
    /// What is wrong with it.
    pub name: &'static str,
    /// What the sender calls it.
    pub file_name: &'static str,
    /// What is sent.
    pub bytes: Vec<u8>,
    /// The code of the refusal; its HTTP status is 422.
    pub code: &'static str,
}

/// A text that no database keeps.
const ZERO: &str = "a\0b";

/// All of them.
pub fn hostile_uploads() -> Result<Vec<HostileUpload>> {
    let mut uploads = hostile_graphs();
    uploads.extend(hostile_archives()?);
    uploads.extend(hostile_folders()?);
    Ok(uploads)
}

fn upload(name: &'static str, file_name: &'static str, code: &'static str, bytes: Vec<u8>) -> HostileUpload {
    HostileUpload {
        name,
        file_name,
        bytes,
        code,
    }
}

fn with_nodes(nodes: &[Message]) -> Vec<u8> {
    with(nodes, &[])
}

fn with_weight(weight: Message) -> Vec<u8> {
    with(&[onnx::node("Add", &["x", "w"], &["y"], &[])], &[weight])
}

fn with(nodes: &[Message], weights: &[Message]) -> Vec<u8> {
    onnx::model(&onnx::graph(
        nodes,
        weights,
        &[onnx::port("x", element::FLOAT, &["rows", "3"])],
        &[onnx::port("y", element::FLOAT, &["rows", "3"])],
    ))
    .into_bytes()
}

fn with_opsets(opsets: &[Message]) -> Vec<u8> {
    let graph = onnx::graph(
        &[onnx::node("Relu", &["x"], &["y"], &[])],
        &[],
        &[onnx::port("x", element::FLOAT, &["rows"])],
        &[onnx::port("y", element::FLOAT, &["rows"])],
    );
    Message::new()
        .number(1, 8)
        .message(7, &graph)
        .messages(8, opsets)
        .into_bytes()
}

/// Graphs alone.
fn hostile_graphs() -> Vec<HostileUpload> {
    let graph = |name, code, bytes| upload(name, "model.onnx", code, bytes);
    let good = onnx::adder();
    let cut = good[..good.len() / 2].to_vec();
    let mut branch = onnx::graph(&[], &[], &[], &[]);
    for _ in 0..100 {
        let node = onnx::node(
            "If",
            &["c"],
            &["y"],
            &[onnx::graph_attribute("then_branch", &branch)],
        );
        branch = onnx::graph(&[node], &[], &[], &[]);
    }
    let sequence = Message::new()
        .text(1, "x")
        .message(2, &Message::new().message(4, &Message::new()));
    let node = onnx::node("Relu", &["x"], &["y"], &[]);
    let named = |input: &str, dimension: &str| {
        let port = |name: &str| onnx::port(name, element::FLOAT, &[dimension]);
        let node = onnx::node("Relu", &[input], &["y"], &[]);
        onnx::model(&onnx::graph(&[node], &[], &[port(input)], &[port("y")]))
    };
    let metadata = Message::new().text(1, "author").text(2, ZERO);
    vec![
        graph("cut off in the middle", "model_truncated", cut),
        graph(
            "a zero character in the name of an input",
            "model_malformed",
            named(ZERO, "rows").into_bytes(),
        ),
        graph(
            "a zero character in the name of a dimension",
            "model_malformed",
            named("x", ZERO).into_bytes(),
        ),
        graph(
            "a zero character in the properties",
            "model_malformed",
            named("x", "rows").message(14, &metadata).into_bytes(),
        ),
        graph(
            "a web page",
            "model_malformed",
            b"<!DOCTYPE html><html>no such file</html>".to_vec(),
        ),
        graph(
            "the runtime's own format",
            "model_malformed",
            b"\x1c\0\0\0ORTM\0\0\0\0\0\0\0\0".to_vec(),
        ),
        graph(
            "an operator that nobody has",
            "model_operator_unsupported",
            with_nodes(&[onnx::node("Frobnicate", &["x"], &["y"], &[])]),
        ),
        graph(
            "an operator of a domain of its own",
            "model_operator_unsupported",
            with_nodes(&[onnx::node_of("evil.example", "Relu", &["x"], &["y"], &[])]),
        ),
        graph(
            "a compiled program for a device",
            "model_operator_unsupported",
            with_nodes(&[onnx::node_of("com.microsoft", "EPContext", &["x"], &["y"], &[])]),
        ),
        graph(
            "operator sets of the future",
            "model_opset_unsupported",
            with_opsets(&[onnx::opset("", 999)]),
        ),
        graph("no operator set", "model_opset_missing", with_opsets(&[])),
        graph(
            "graphs in graphs in graphs",
            "model_nested_too_deep",
            onnx::model(&branch).into_bytes(),
        ),
        graph(
            "fewer bytes than the shape needs",
            "model_tensor_invalid",
            with_weight(onnx::tensor("w", element::FLOAT, &[1000], &[0; 4])),
        ),
        graph(
            "a shape that overflows",
            "model_tensor_invalid",
            with_weight(onnx::tensor("w", element::FLOAT, &[i64::MAX, i64::MAX], &[])),
        ),
        graph(
            "a negative shape",
            "model_tensor_invalid",
            with_weight(onnx::tensor("w", element::FLOAT, &[-1], &[])),
        ),
        graph(
            "one name for two weights",
            "model_duplicate_name",
            with(
                &[node],
                &[onnx::floats("w", &[1], &[0.0]), onnx::floats("w", &[1], &[0.0])],
            ),
        ),
        graph(
            "an input that is no tensor",
            "model_type_unsupported",
            onnx::model(&onnx::graph(&[], &[], &[sequence], &[onnx::port("y", 1, &["a"])])).into_bytes(),
        ),
        graph(
            "nothing to answer",
            "model_without_outputs",
            onnx::model(&onnx::graph(&[], &[], &[onnx::port("x", 1, &["a"])], &[])).into_bytes(),
        ),
        graph(
            "weights in a file of the host",
            "model_external_data_escapes",
            with_weight(onnx::external(
                "w",
                element::FLOAT,
                &[3],
                &[("location", "/etc/passwd")],
            )),
        ),
        graph(
            "weights at an address in memory",
            "model_external_data_escapes",
            with_weight(onnx::external(
                "w",
                element::FLOAT,
                &[3],
                &[
                    ("location", "*/_ORT_MEM_ADDR_/*"),
                    ("offset", "4096"),
                    ("length", "12"),
                ],
            )),
        ),
        graph(
            "weights that were not sent",
            "model_external_data_missing",
            with_weight(onnx::external(
                "w",
                element::FLOAT,
                &[3],
                &[("location", "w.bin")],
            )),
        ),
    ]
}

/// Archives.
fn hostile_archives() -> Result<Vec<HostileUpload>> {
    let good = onnx::adder();
    let whole_zip = zip(&[("model.onnx", &good)])?;
    let whole_tar = tar_gz(&[("model.onnx", b'0', &good)])?;
    let zeros = vec![0; 80 << 20];
    let many: Vec<_> = (0..5000).map(|number| format!("file-{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let mut link = ZipWriter::new(Cursor::new(Vec::new()));
    link.add_symlink("model.onnx", "/etc/passwd", SimpleFileOptions::default())?;
    let link = link.finish()?.into_inner();
    let escape = |path| zip(&[("model.onnx", &good), (path, b"x")]);
    let tar_of = |kind| tar_gz(&[("model.onnx", kind, b"")]);
    Ok(vec![
        upload(
            "a path up",
            "m.zip",
            "archive_path_escapes",
            escape("../../evil")?,
        ),
        upload(
            "a path from the root",
            "m.zip",
            "archive_path_escapes",
            escape("/tmp/evil")?,
        ),
        upload(
            "a path up in a tar",
            "m.tar.gz",
            "archive_path_escapes",
            tar_gz(&[("../evil", b'0', b"x")])?,
        ),
        upload("a link", "m.zip", "archive_link_refused", link),
        upload(
            "a symbolic link in a tar",
            "m.tar.gz",
            "archive_link_refused",
            tar_of(b'2')?,
        ),
        upload(
            "a hard link in a tar",
            "m.tar.gz",
            "archive_link_refused",
            tar_of(b'1')?,
        ),
        upload(
            "a device",
            "m.tar.gz",
            "archive_special_file_refused",
            tar_of(b'3')?,
        ),
        upload("a bomb", "m.zip", "archive_bomb", zip(&[("zeros", &zeros)])?),
        upload(
            "a bomb in a tar",
            "m.tar.gz",
            "archive_bomb",
            tar_gz(&[("zeros", b'0', &zeros)])?,
        ),
        upload(
            "more files than any model has",
            "m.zip",
            "archive_too_many_files",
            zip(&many)?,
        ),
        upload(
            "two entries for one path",
            "m.tar.gz",
            "archive_duplicate_path",
            tar_gz(&[("model.onnx", b'0', &good), ("model.onnx", b'0', b"x")])?,
        ),
        upload(
            "half a zip",
            "m.zip",
            "archive_truncated",
            whole_zip[..whole_zip.len() / 2].to_vec(),
        ),
        upload(
            "half a tar",
            "m.tar.gz",
            "archive_truncated",
            whole_tar[..whole_tar.len() / 2].to_vec(),
        ),
        upload(
            "a text called zip",
            "m.zip",
            "archive_malformed",
            b"not a zip at all".to_vec(),
        ),
        upload(
            "another archive format",
            "m.7z",
            "archive_unsupported",
            b"7z\xBC\xAF\x27\x1C\0\0\0".to_vec(),
        ),
        upload("nothing inside", "m.zip", "archive_empty", zip(&[])?),
    ])
}

/// Folders that unpack well and are no model.
fn hostile_folders() -> Result<Vec<HostileUpload>> {
    let good = onnx::adder();
    let folder = |name, code, files: &[(&str, &[u8])]| -> Result<HostileUpload> {
        Ok(upload(name, "m.zip", code, zip(files)?))
    };
    let stated = |name, statement: &str| {
        folder(
            name,
            "manifest_invalid",
            &[("model.onnx", &good), ("berth.yaml", statement.as_bytes())],
        )
    };
    let beside = |location, length| {
        with_weight(onnx::external(
            "w",
            element::FLOAT,
            &[3],
            &[("location", location), ("length", length)],
        ))
    };
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 90000000\n";
    let laughs = (1..12).fold(
        "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(),
        |text, level| {
            let above = format!("*a{}", level - 1);
            format!("{text}a{level}: &a{level} [{}]\n", [above.as_str(); 9].join(", "))
        },
    );
    Ok(vec![
        folder("no graph", "model_no_graph", &[("model.safetensors", b"x")])?,
        stated("a zero character in what is stated", "license: \"a\\0b\"")?,
        folder(
            "two graphs",
            "model_ambiguous_graph",
            &[("encoder.onnx", &good), ("decoder.onnx", &good[..10])],
        )?,
        folder(
            "a pointer instead of the file",
            "model_file_is_pointer",
            &[("model.onnx", pointer)],
        )?,
        folder(
            "a model for another server",
            "model_platform_unsupported",
            &[
                ("m/1/model.onnx", &good),
                ("m/config.pbtxt", b"platform: \"tensorrt_plan\""),
            ],
        )?,
        folder(
            "weights beyond their file",
            "model_external_data_out_of_range",
            &[("model.onnx", &beside("w.bin", "12")), ("w.bin", b"short")],
        )?,
        folder(
            "weights above the folder",
            "model_external_data_escapes",
            &[
                ("m/model.onnx", &beside("../w.bin", "12")),
                ("w.bin", b"long enough for it"),
            ],
        )?,
        stated("a statement with a word that nobody knows", "taskk: tensors\n")?,
        stated(
            "a statement with a task that nobody knows",
            "task: world_domination\n",
        )?,
        stated("a statement that names a missing graph", "graph: other.onnx\n")?,
        stated("a statement for another task", "task: text_embedding\n")?,
        stated(
            "a statement with another type",
            "inputs: [{name: x, datatype: INT64, shape: [-1, 3]}]\n",
        )?,
        stated("a statement that laughs a billion times", &laughs)?,
        stated("a statement that is none", ": : [\n")?,
        stated("a statement that is a list", "- task\n")?,
    ])
}

fn zip(files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default())?;
        writer.write_all(content)?;
    }
    Ok(writer.finish()?.into_inner())
}

/// Entries of (path, kind as tar has it, content).
fn tar_gz(files: &[(&str, u8, &[u8])]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for (name, kind, content) in files {
        let mut header = tar::Header::new_ustar();
        // Written as it is: the library would refuse the paths that are of interest here.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(tar::EntryType::new(*kind));
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        encoder.write_all(header.as_bytes())?;
        encoder.write_all(content)?;
        let padding = content.len().next_multiple_of(512) - content.len();
        encoder.write_all(&vec![0; padding])?;
    }
    encoder.write_all(&[0; 1024])?;
    Ok(encoder.finish()?)
}
