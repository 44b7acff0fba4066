//! What is told of good models.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use berth_domain::tensor::{Datatype, Dimension, TensorSpec};
use berth_onnx::{GraphSummary, Limits, inspect::skim};
use berth_test_support::onnx_models::{self as onnx, Message, element};

fn summary(bytes: Vec<u8>) -> GraphSummary {
    skim(
        Cursor::new(bytes),
        Path::new("/nowhere"),
        "model.onnx",
        &Limits::default(),
    )
    .expect("is accepted")
}

fn spec(name: &str, datatype: Datatype, shape: &[Dimension]) -> TensorSpec {
    TensorSpec {
        name: name.to_owned(),
        datatype,
        shape: shape.to_vec(),
    }
}

#[test]
fn small_model_is_told_in_full() {
    let rows = Dimension::Symbolic("rows".to_owned());
    assert_eq!(
        summary(onnx::adder()),
        GraphSummary {
            path: "model.onnx".to_owned(),
            ir_version: 8,
            opsets: BTreeMap::from([("ai.onnx".to_owned(), 17), ("com.microsoft".to_owned(), 1)]),
            inputs: vec![spec("x", Datatype::Fp32, &[rows.clone(), Dimension::Fixed(3)])],
            outputs: vec![spec("y", Datatype::Fp32, &[rows, Dimension::Fixed(3)])],
            other_outputs: Vec::new(),
            unshaped_outputs: Vec::new(),
            operators: BTreeMap::from([("Add".to_owned(), 1)]),
            parameters: 3,
            weight_bytes: 12,
            external_tensors: 0,
            external_files: Vec::new(),
            producer: "berth-tests".to_owned(),
            rows_depend_on_neighbors: false,
            mixing_operators: Vec::new(),
            metadata: BTreeMap::new(),
        }
    );
}

#[test]
fn summary_survives_json() {
    let summary = summary(onnx::embedder(10));
    let json = serde_json::to_string(&summary).expect("serializes");
    assert_eq!(
        serde_json::from_str::<GraphSummary>(&json).expect("parses"),
        summary
    );
}

#[test]
fn input_with_a_default_is_not_asked_for() {
    // As before IR version 4: every weight is listed among the inputs.
    let graph = onnx::graph(
        &[onnx::node("Add", &["x", "w"], &["y"], &[])],
        &[onnx::floats("w", &[1], &[1.0])],
        &[
            onnx::port("w", element::FLOAT, &["1"]),
            onnx::port("x", element::FLOAT, &["rows", "1"]),
        ],
        &[onnx::port("y", element::FLOAT, &["rows", "1"])],
    );
    let names: Vec<_> = summary(onnx::model(&graph).into_bytes())
        .inputs
        .into_iter()
        .map(|input| input.name)
        .collect();
    assert_eq!(names, ["x"]);
}

#[test]
fn open_dimensions_scalars_and_odd_names_are_kept() {
    let unnamed = Message::new();
    let shape = Message::new()
        .message(1, &unnamed)
        .message(1, &Message::new().number(1, -1))
        .message(1, &Message::new().text(2, ""))
        .message(1, &Message::new().number(1, 0));
    let open = Message::new().text(1, "42").message(
        2,
        &Message::new().message(1, &Message::new().number(1, element::INT64).message(2, &shape)),
    );
    let graph = onnx::graph(
        &[onnx::node("Identity", &["42"], &["out"], &[])],
        &[],
        &[open, onnx::port("sr", element::INT64, &[])],
        &[onnx::port("out", element::INT64, &["a"])],
    );
    let summary = summary(onnx::model(&graph).into_bytes());
    assert_eq!(
        summary.inputs,
        [
            spec(
                "42",
                Datatype::Int64,
                &[
                    Dimension::OPEN,
                    Dimension::OPEN,
                    Dimension::OPEN,
                    Dimension::Fixed(0)
                ]
            ),
            spec("sr", Datatype::Int64, &[]),
        ]
    );
}

#[test]
fn outputs_that_no_answer_can_carry_are_set_apart() {
    let sequence = Message::new()
        .text(1, "probabilities")
        .message(2, &Message::new().message(4, &Message::new()));
    let tensor_type = Message::new().number(1, element::INT64);
    let unshaped = Message::new()
        .text(1, "label")
        .message(2, &Message::new().message(1, &tensor_type));
    let graph = onnx::graph(
        &[onnx::node("Identity", &["x"], &["label"], &[])],
        &[],
        &[onnx::port("x", element::INT64, &["rows"])],
        &[sequence, unshaped],
    );
    let summary = summary(onnx::model(&graph).into_bytes());
    assert_eq!(summary.other_outputs, ["probabilities"]);
    assert_eq!(summary.unshaped_outputs, ["label"]);
    assert_eq!(
        summary.outputs,
        [spec("label", Datatype::Int64, &[Dimension::OPEN])]
    );
}

#[test]
fn metadata_and_producer_are_told() {
    let bytes = onnx::model(&adder_graph())
        .text(3, "1.2")
        .message(14, &Message::new().text(1, "author").text(2, "Ada"))
        .into_bytes();
    let summary = summary(bytes);
    assert_eq!(summary.producer, "berth-tests 1.2");
    assert_eq!(
        summary.metadata,
        BTreeMap::from([("author".to_owned(), "Ada".to_owned())])
    );
}

#[test]
fn typed_values_of_every_kind_fit_their_shape() {
    let dims = |tensor: Message| tensor.number(1, 2).number(1, 3);
    let packed = |count: usize, bytes: usize| vec![1_u8; count * bytes];
    let weights = [
        dims(Message::new().text(8, "f"))
            .number(2, 1)
            .bytes(4, &packed(6, 4)),
        dims(Message::new().text(8, "i8"))
            .number(2, 3)
            .bytes(5, &packed(6, 1)),
        dims(Message::new().text(8, "f16"))
            .number(2, 10)
            .bytes(5, &packed(6, 1)),
        dims(Message::new().text(8, "i64"))
            .number(2, 7)
            .bytes(7, &packed(6, 1)),
        dims(Message::new().text(8, "f64"))
            .number(2, 11)
            .bytes(10, &packed(6, 8)),
        dims(Message::new().text(8, "u64"))
            .number(2, 13)
            .bytes(11, &packed(6, 1)),
        dims(Message::new().text(8, "c64"))
            .number(2, 14)
            .bytes(4, &packed(12, 4)),
        dims(Message::new().text(8, "u4"))
            .number(2, 21)
            .bytes(5, &packed(3, 1)),
        dims(Message::new().text(8, "u4raw"))
            .number(2, 21)
            .bytes(9, &packed(3, 1)),
        (0..6).fold(dims(Message::new().text(8, "s")).number(2, 8), |tensor, _| {
            tensor.text(6, "text")
        }),
        // Not packed, as old writers do.
        (0..6).fold(dims(Message::new().text(8, "loose")).number(2, 7), |tensor, n| {
            tensor.number(7, n)
        }),
        // No elements at all.
        Message::new().text(8, "empty").number(1, 0).number(2, 1),
    ];
    let graph = adder_graph().messages(5, &weights);
    let summary = summary(onnx::model(&graph).into_bytes());
    assert_eq!(summary.parameters, 3 + 11 * 6);
    assert_eq!(
        summary.weight_bytes,
        12 + (24 + 6 + 12 + 48 + 48 + 48 + 48 + 3 + 3 + 24 + 48)
    );
}

#[test]
fn functions_of_the_model_count_as_operators() {
    let function = Message::new()
        .text(1, "Twice")
        .text(4, "a")
        .text(5, "b")
        .message(7, &onnx::node("Add", &["a", "a"], &["b"], &[]))
        .message(9, &onnx::opset("", 17))
        .text(10, "my.own");
    let graph = onnx::graph(
        &[onnx::node_of("my.own", "Twice", &["x"], &["y"], &[])],
        &[],
        &[onnx::port("x", element::FLOAT, &["rows"])],
        &[onnx::port("y", element::FLOAT, &["rows"])],
    );
    let summary = summary(onnx::model(&graph).message(25, &function).into_bytes());
    let expected = [("Add".to_owned(), 1), ("my.own.Twice".to_owned(), 1)];
    assert_eq!(summary.operators, BTreeMap::from(expected));
    assert!(!summary.rows_depend_on_neighbors);
}

#[test]
fn weights_beside_the_model_are_found_and_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join("onnx/data")).expect("folders");
    std::fs::write(folder.path().join("onnx/data/w.bin"), [0; 100]).expect("writes");
    let weight = onnx::external(
        "weight",
        element::FLOAT,
        &[3],
        &[("location", "./data/w.bin"), ("offset", "88"), ("length", "12")],
    );
    let graph = onnx::graph(
        &[onnx::node("Add", &["x", "weight"], &["y"], &[])],
        &[weight],
        &[onnx::port("x", element::FLOAT, &["rows", "3"])],
        &[onnx::port("y", element::FLOAT, &["rows", "3"])],
    );
    std::fs::write(
        folder.path().join("onnx/model.onnx"),
        onnx::model(&graph).into_bytes(),
    )
    .expect("writes");
    let summary =
        berth_onnx::inspect(folder.path(), "onnx/model.onnx", &Limits::default()).expect("is accepted");
    assert_eq!(summary.external_files, ["onnx/data/w.bin"]);
    assert_eq!((summary.parameters, summary.weight_bytes), (3, 12));
}

fn adder_graph() -> Message {
    onnx::graph(
        &[onnx::node("Add", &["x", "weight"], &["y"], &[])],
        &[onnx::floats("weight", &[3], &[0.5, 1.5, 2.5])],
        &[onnx::port("x", element::FLOAT, &["rows", "3"])],
        &[onnx::port("y", element::FLOAT, &["rows", "3"])],
    )
}
