//! Models that are written again with their weights in a file beside the graph.

use std::io::Cursor;
use std::path::Path;

use berth_onnx::rewrite::plan_of;
use berth_onnx::{Error, GraphSummary, Limits, inspect::skim};
use berth_test_support::onnx_models::{self as onnx, Message, element};

const INT4: i64 = 22;
const FLOAT8: i64 = 17;
const COMPLEX64: i64 = 14;

/// The graph and the weights.
type Files = (Vec<u8>, Vec<u8>);

fn model(weights: &[Message]) -> Vec<u8> {
    let graph = onnx::graph(
        &[onnx::node("Add", &["x", "small"], &["y"], &[])],
        weights,
        &[onnx::port("x", element::FLOAT, &["rows", "3"])],
        &[onnx::port("y", element::FLOAT, &["rows", "3"])],
    );
    onnx::model(&graph).into_bytes()
}

fn small() -> Message {
    onnx::floats("small", &[3], &[1.0, 2.0, 3.0])
}

fn summary(bytes: &[u8], folder: &Path) -> GraphSummary {
    skim(Cursor::new(bytes), folder, "model.onnx", &Limits::default()).expect("is accepted")
}

/// What is written; `None` where nothing is gained.
fn rewritten_in(bytes: &[u8], folder: &Path, summary: &GraphSummary) -> Result<Option<Files>, Error> {
    let Some(plan) = plan_of(Cursor::new(bytes), folder, summary, "w", &Limits::default())? else {
        return Ok(None);
    };
    let (mut graph, mut weights) = (Vec::new(), Vec::new());
    let told = plan.weights_bytes();
    plan.write(&mut graph, &mut weights)?;
    assert_eq!(told, weights.len() as u64);
    Ok(Some((graph, weights)))
}

fn rewritten(bytes: &[u8], folder: &Path) -> Option<Files> {
    rewritten_in(bytes, folder, &summary(bytes, folder)).expect("is read")
}

/// What the new files must be when these tensors have moved, in this order.
fn expected(moved: &[(&str, i64, i64, Vec<u8>)]) -> Files {
    let mut weights = Vec::new();
    let mut tensors = vec![small()];
    for (name, element, count, bytes) in moved {
        let unit = if bytes.len() >= 65_536 { 4096 } else { 64 };
        weights.resize(weights.len().next_multiple_of(unit), 0);
        let (offset, length) = (weights.len().to_string(), bytes.len().to_string());
        let entries = [("location", "w"), ("offset", &*offset), ("length", &*length)];
        tensors.push(onnx::external(name, *element, &[*count], &entries));
        weights.extend_from_slice(bytes);
    }
    (model(&tensors), weights)
}

fn typed(name: &str, element: i64, count: i64) -> Message {
    Message::new().number(1, count).number(2, element).text(8, name)
}

fn packed(values: impl IntoIterator<Item = i64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        // A number without its tag, which has one byte.
        bytes.extend_from_slice(&Message::new().number(1, value).into_bytes()[1..]);
    }
    bytes
}

fn bytes<const N: usize>(values: impl IntoIterator<Item = [u8; N]>) -> Vec<u8> {
    values.into_iter().flatten().collect()
}

#[test]
fn values_of_every_type_move_as_they_would_stand_in_raw_data() {
    const COUNT: i64 = 40_000;
    let all = || 0..COUNT;
    let float = |place: i64| f32::from(i16::try_from(place % 30_000).expect("small")) - 0.5;
    let mut tensors = vec![small()];
    let mut moved = Vec::new();
    let mut add = |tensor: Message, name, element, count, bytes| {
        tensors.push(tensor);
        moved.push((name, element, count, bytes));
    };

    let raw: Vec<u8> = all().map(|place| place.to_le_bytes()[0]).collect();
    for (name, element) in [("uint8", element::UINT8), ("float8", FLOAT8)] {
        add(
            onnx::tensor(name, element, &[COUNT], &raw),
            name,
            element,
            COUNT,
            raw.clone(),
        );
    }
    let floats = bytes(all().map(|place| float(place).to_le_bytes()));
    let tensor = typed("floats", element::FLOAT, COUNT).bytes(4, &floats);
    add(tensor, "floats", element::FLOAT, COUNT, floats.clone());
    // Not packed: each with a tag of its own.
    let single = floats
        .chunks(4)
        .fold(typed("single", element::FLOAT, COUNT), |tensor, value| {
            tensor.raw(&[4 << 3 | 5]).raw(value)
        });
    add(single, "single", element::FLOAT, COUNT, floats.clone());
    let complex = typed("complex", COMPLEX64, COUNT / 2).bytes(4, &floats);
    add(complex, "complex", COMPLEX64, COUNT / 2, floats);
    let doubles = bytes(all().map(|place| f64::from(float(place)).to_le_bytes()));
    let tensor = typed("doubles", element::DOUBLE, COUNT).bytes(10, &doubles);
    add(tensor, "doubles", element::DOUBLE, COUNT, doubles);

    let signed = || all().map(|place| 20_000 - place);
    for (name, element, field, width, values) in [
        (
            "bools",
            element::BOOL,
            5,
            1,
            all().map(|place| place % 2).collect::<Vec<_>>(),
        ),
        (
            "int8",
            element::INT8,
            5,
            1,
            all().map(|place| place % 256 - 128).collect(),
        ),
        ("float16", element::FLOAT16, 5, 2, all().collect()),
        ("int16", element::INT16, 5, 2, signed().collect()),
        ("int32", element::INT32, 5, 4, signed().collect()),
        (
            "int64",
            element::INT64,
            7,
            8,
            signed().map(|value| value << 40).collect(),
        ),
        (
            "uint32",
            element::UINT32,
            11,
            4,
            all().map(|place| place << 16).collect(),
        ),
        ("uint64", element::UINT64, 11, 8, signed().collect()),
        // Two in each.
        (
            "int4",
            INT4,
            5,
            1,
            all().take(20_000).map(|place| place % 256).collect(),
        ),
    ] {
        let bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes()[..width].to_vec())
            .collect();
        let tensor = typed(name, element, COUNT).bytes(field, &packed(values));
        add(tensor, name, element, COUNT, bytes);
    }
    let before = model(&tensors);
    let after = rewritten(&before, Path::new("/nowhere")).expect("there is much to move");
    assert!(after == expected(&moved), "the files are other than expected");
}

#[test]
fn weights_of_several_files_come_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let first: Vec<u8> = (0..=255).cycle().take(800_010).collect();
    let second: Vec<u8> = (0..=250).cycle().take(700_000).collect();
    std::fs::write(folder.path().join("a"), &first).expect("is written");
    std::fs::write(folder.path().join("b"), &second).expect("is written");
    let inline = vec![7; 70_000];
    let before = model(&[
        small(),
        onnx::external(
            "a",
            element::UINT8,
            &[800_000],
            &[("location", "a"), ("offset", "10")],
        ),
        onnx::tensor("c", element::UINT8, &[70_000], &inline),
        // However small: the old files go.
        onnx::external("d", element::UINT8, &[20], &[("location", "b")]),
        onnx::external(
            "b",
            element::UINT8,
            &[700_000],
            &[("location", "b"), ("length", "700000")],
        ),
    ]);
    let moved = [
        ("a", element::UINT8, 800_000, first[10..].to_vec()),
        ("c", element::UINT8, 70_000, inline),
        ("d", element::UINT8, 20, second[..20].to_vec()),
        ("b", element::UINT8, 700_000, second),
    ];
    let after = rewritten(&before, folder.path()).expect("there is much to move");
    assert!(after == expected(&moved), "the files are other than expected");

    std::fs::write(folder.path().join("w"), &after.1).expect("is written");
    let (old, new) = (summary(&before, folder.path()), summary(&after.0, folder.path()));
    assert_eq!(new.external_files, ["w"]);
    assert_eq!(
        (new.weight_bytes, new.operators),
        (old.weight_bytes, old.operators)
    );
    // Done again, nothing changes.
    assert!(rewritten(&after.0, folder.path()) == Some(after));
}

#[test]
fn what_gains_nothing_or_would_grow_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(rewritten(&onnx::adder(), folder.path()).is_none());
    let below = onnx::tensor("a", element::UINT8, &[1_000_000], &vec![1; 1_000_000]);
    assert!(rewritten(&model(&[small(), below]), folder.path()).is_none());

    std::fs::write(folder.path().join("a"), vec![1; 2 << 20]).expect("is written");
    let same = |name: &str| onnx::external(name, element::UINT8, &[2 << 20], &[("location", "a")]);
    let once = model(&[small(), same("0")]);
    assert!(rewritten(&once, folder.path()).is_some());
    let often: Vec<Message> = (0..500).map(|number| same(&number.to_string())).collect();
    assert!(
        rewritten(&model(&often), folder.path()).is_none(),
        "1 GiB of 2 MiB"
    );

    // Another tensor, in a nested graph, needs the old file.
    let mut nested = summary(&once, folder.path());
    nested.external_tensors += 1;
    assert!(
        rewritten_in(&once, folder.path(), &nested)
            .expect("is read")
            .is_none()
    );
}

#[test]
fn weights_that_lie_where_they_may_not_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a"), vec![1; 2 << 20]).expect("is written");
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).expect("a link");
    let honest = model(&[
        small(),
        onnx::external("a", element::UINT8, &[2 << 20], &[("location", "a")]),
    ]);
    let mut summary = summary(&honest, folder.path());
    for (entries, code) in [
        (&[("location", "../a")][..], "model_external_data_escapes"),
        (&[("location", "/etc/passwd")], "model_external_data_escapes"),
        (&[("location", "link")], "model_external_data_missing"),
        (
            &[("location", "a"), ("offset", "1")],
            "model_external_data_out_of_range",
        ),
        (
            &[("location", "a"), ("offset", "18446744073709551615")],
            "model_external_data_out_of_range",
        ),
        (&[("location", "a"), ("length", "5")], "model_tensor_invalid"),
    ] {
        let hostile = model(&[small(), onnx::external("a", element::UINT8, &[2 << 20], entries)]);
        let error = rewritten_in(&hostile, folder.path(), &summary).expect_err("is refused");
        assert_eq!(error.code(), Some(code), "{entries:?}: {error}");
    }
    // Counted as one value, and cut in the middle of the next.
    summary.external_tensors = 0;
    let odd = typed("a", element::FLOAT, 400_000).bytes(4, &vec![1; 1_600_003]);
    let error = rewritten_in(&model(&[small(), odd]), folder.path(), &summary).expect_err("is refused");
    assert_eq!(error.code(), Some("model_tensor_invalid"));
}
