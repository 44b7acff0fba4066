//! What is refused, and with which code.

use std::io::Cursor;
use std::path::Path;

use berth_onnx::{Error, Limits, inspect::skim};
use berth_test_support::onnx_models::{self as onnx, Message, element};

fn refusal_within(bytes: &[u8], folder: &Path, limits: &Limits) -> Error {
    skim(Cursor::new(bytes), folder, "model.onnx", limits).expect_err("is refused")
}

fn refusal(bytes: &[u8]) -> Error {
    refusal_within(bytes, Path::new("/nowhere"), &Limits::default())
}

fn graph(nodes: &[Message], weights: &[Message]) -> Message {
    onnx::graph(
        nodes,
        weights,
        &[onnx::port("x", element::FLOAT, &["rows", "3"])],
        &[onnx::port("y", element::FLOAT, &["rows", "3"])],
    )
}

fn code(bytes: impl AsRef<[u8]>) -> &'static str {
    let error = refusal(bytes.as_ref());
    error.code().unwrap_or("(none)")
}

fn model_code(nodes: &[Message], weights: &[Message]) -> &'static str {
    code(onnx::model(&graph(nodes, weights)).into_bytes())
}

#[test]
fn what_is_no_model_is_malformed() {
    for (what, bytes) in [
        ("a web page", &b"<!DOCTYPE html><html><body>404</body></html>"[..]),
        ("zeros", &[0; 100]),
        (
            "a picture",
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06",
        ),
        ("a zip", b"PK\x03\x04\x14\0\0\0\x08\0aaaaaaaaaaaaaaaaaaaa"),
        ("no graph", &onnx::model(&graph(&[], &[])).into_bytes()[..2]),
        (
            "no version",
            &Message::new().message(7, &graph(&[], &[])).into_bytes(),
        ),
        ("the runtime's own format", b"\x1c\0\0\0ORTM\0\0\0\0\0\0\0\0"),
    ] {
        let error = refusal(bytes);
        assert!(
            matches!(error.code(), Some("model_malformed" | "model_truncated")),
            "{what}: {error}"
        );
    }
    assert_eq!(refusal(b"").code(), Some("model_malformed"));
}

#[test]
fn every_truncation_is_refused() {
    let bytes = onnx::adder();
    // The operator sets stand last: cut before them nothing says which operators are meant.
    for length in 0..bytes.len() {
        let error = skim(
            Cursor::new(&bytes[..length]),
            Path::new("/nowhere"),
            "model.onnx",
            &Limits::default(),
        );
        match error {
            Err(error) => assert!(
                matches!(
                    error.code(),
                    Some("model_truncated" | "model_malformed" | "model_opset_missing")
                ),
                "{length}: {error}"
            ),
            // Behind the standard operator set only the runtime's own is missing, which this model does not use.
            Ok(summary) => assert_eq!(summary.opsets.len(), 1, "{length}"),
        }
    }
}

#[test]
fn operators_that_the_runtime_does_not_ship_are_refused_by_name() {
    for node in [
        onnx::node("Frobnicate", &["x"], &["y"], &[]),
        onnx::node_of("evil.corp", "Add", &["x", "x"], &["y"], &[]),
        onnx::node_of("com.microsoft", "EPContext", &["x"], &["y"], &[]),
    ] {
        assert_eq!(model_code(&[node], &[]), "model_operator_unsupported");
    }
    let bytes = onnx::model(&graph(&[onnx::node("Frobnicate\u{7}", &["x"], &["y"], &[])], &[])).into_bytes();
    let text = refusal(&bytes).to_string();
    assert!(text.contains("`Frobnicate\\u{7}` of `ai.onnx`"), "{text}");
}

#[test]
fn operators_hidden_in_branches_and_functions_are_refused() {
    let evil = onnx::node("Frobnicate", &["x"], &["y"], &[]);
    let branch = onnx::graph(
        std::slice::from_ref(&evil),
        &[],
        &[],
        &[onnx::port("y", 1, &["a"])],
    );
    let hidden = onnx::node(
        "If",
        &["c"],
        &["y"],
        &[onnx::graph_attribute("then_branch", &branch)],
    );
    assert_eq!(model_code(&[hidden], &[]), "model_operator_unsupported");

    let function = Message::new()
        .text(1, "F")
        .text(4, "x")
        .message(7, &evil)
        .message(9, &onnx::opset("", 17))
        .text(10, "my.own");
    let bytes = onnx::model(&graph(&[onnx::node_of("my.own", "F", &["x"], &["y"], &[])], &[]))
        .message(25, &function)
        .into_bytes();
    assert_eq!(code(bytes), "model_operator_unsupported");
}

#[test]
fn versions_beyond_the_runtime_are_refused() {
    let add = graph(&[onnx::node("Add", &["x", "x"], &["y"], &[])], &[]);
    let with = |ir: i64, opsets: &[Message]| {
        Message::new()
            .number(1, ir)
            .message(7, &add)
            .messages(8, opsets)
            .into_bytes()
    };
    assert_eq!(code(with(8, &[onnx::opset("", 99)])), "model_opset_unsupported");
    assert_eq!(
        code(with(8, &[onnx::opset("ai.onnx", 99)])),
        "model_opset_unsupported"
    );
    assert_eq!(
        code(with(8, &[onnx::opset("com.microsoft", 2)])),
        "model_opset_unsupported"
    );
    assert_eq!(code(with(99, &[onnx::opset("", 17)])), "model_ir_unsupported");
    assert_eq!(code(with(8, &[])), "model_opset_missing");
    // One set under both of its names would be read as one or the other.
    assert_eq!(
        code(with(8, &[onnx::opset("", 17), onnx::opset("ai.onnx", 9)])),
        "model_malformed"
    );
}

#[test]
fn tensors_that_contradict_themselves_are_refused() {
    let two_by_three = |tensor: Message| tensor.text(8, "w").number(1, 2).number(1, 3);
    for (what, weight) in [
        (
            "too few bytes",
            onnx::tensor("w", element::FLOAT, &[2, 3], &[0; 20]),
        ),
        (
            "too many bytes",
            onnx::tensor("w", element::FLOAT, &[2, 3], &[0; 25]),
        ),
        ("no bytes", two_by_three(Message::new()).number(2, 1)),
        ("negative", onnx::tensor("w", element::FLOAT, &[-1], &[])),
        ("overflow", onnx::tensor("w", element::FLOAT, &[i64::MAX, 8], &[])),
        (
            "overflow in bytes",
            onnx::tensor("w", element::DOUBLE, &[i64::MAX], &[]),
        ),
        ("no such type", onnx::tensor("w", 99, &[1], &[0])),
        ("undefined type", onnx::tensor("w", 0, &[1], &[0])),
        ("raw text", onnx::tensor("w", element::STRING, &[1], b"a")),
        (
            "two ways",
            onnx::tensor("w", element::FLOAT, &[1], &[0; 4]).bytes(4, &[0; 4]),
        ),
        (
            "another type",
            two_by_three(Message::new()).number(2, 1).bytes(7, &[1; 6]),
        ),
        (
            "too few values",
            two_by_three(Message::new()).number(2, 7).bytes(7, &[1; 5]),
        ),
        (
            "elsewhere and here",
            onnx::external("w", 1, &[1], &[("location", "w.bin")]).bytes(9, &[0; 4]),
        ),
        (
            "elsewhere, unsaid",
            onnx::tensor("w", 1, &[1], &[0; 4]).message(13, &Message::new().text(1, "location").text(2, "w")),
        ),
        (
            "elsewhere, nowhere",
            onnx::external("w", 1, &[1], &[("offset", "0")]),
        ),
        (
            "elsewhere, twice",
            onnx::external("w", 1, &[1], &[("location", "a"), ("location", "b")]),
        ),
        (
            "elsewhere, length",
            onnx::external("w", 1, &[1], &[("location", "w.bin"), ("length", "5")]),
        ),
        (
            "elsewhere, offset",
            onnx::external("w", 1, &[1], &[("location", "w.bin"), ("offset", "-4")]),
        ),
    ] {
        let add = onnx::node("Add", &["x", "w"], &["y"], &[]);
        assert_eq!(
            model_code(&[add], std::slice::from_ref(&weight)),
            "model_tensor_invalid",
            "{what}"
        );
        // The same tensor in an attribute.
        let constant = onnx::node(
            "Constant",
            &[],
            &["y"],
            &[onnx::tensor_attribute("value", &weight)],
        );
        assert_eq!(model_code(&[constant], &[]), "model_tensor_invalid", "{what}");
    }
}

#[test]
fn external_data_stays_in_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let inside = folder.path().join("model");
    std::fs::create_dir_all(inside.join("sub")).expect("folders");
    std::fs::write(folder.path().join("secret"), [0; 64]).expect("writes");
    std::fs::write(inside.join("w.bin"), [0; 10]).expect("writes");
    std::os::unix::fs::symlink(folder.path().join("secret"), inside.join("link")).expect("links");
    std::os::unix::fs::symlink(folder.path(), inside.join("up")).expect("links");
    let code = |entries: &[(&str, &str)]| {
        let weight = onnx::external("w", element::FLOAT, &[3], entries);
        let bytes =
            onnx::model(&graph(&[onnx::node("Add", &["x", "w"], &["y"], &[])], &[weight])).into_bytes();
        refusal_within(&bytes, &inside, &Limits::default()).code()
    };
    for location in [
        "../secret",
        "sub/../../secret",
        "sub/..",
        "/etc/passwd",
        "",
        ".",
        "..",
        "..\\secret",
        "C:secret",
        "*/_ORT_MEM_ADDR_/*",
    ] {
        assert_eq!(
            code(&[("location", location)]),
            Some("model_external_data_escapes"),
            "{location:?}"
        );
    }
    // Texts that the runtime would read otherwise are refused as such.
    assert_eq!(code(&[("location", "a\0b")]), Some("model_malformed"));
    for location in ["missing.bin", "link", "up/secret", "sub", "w.bin/inner"] {
        assert_eq!(
            code(&[("location", location)]),
            Some("model_external_data_missing"),
            "{location:?}"
        );
    }
    for (offset, length) in [("0", "12"), ("18446744073709551615", "12"), ("10", "12")] {
        assert_eq!(
            code(&[("location", "w.bin"), ("offset", offset), ("length", length)]),
            Some("model_external_data_out_of_range")
        );
    }
}

#[test]
fn names_are_unique() {
    let weight = onnx::floats("w", &[1], &[1.0]);
    assert_eq!(model_code(&[], &[weight.clone(), weight]), "model_duplicate_name");
    let port = onnx::port("x", 1, &["a"]);
    for (inputs, outputs) in [(2, 1), (1, 2)] {
        let graph = onnx::graph(
            &[],
            &[],
            &vec![port.clone(); inputs],
            &vec![port.clone(); outputs],
        );
        assert_eq!(code(onnx::model(&graph).into_bytes()), "model_duplicate_name");
    }
}

#[test]
fn inputs_that_no_request_can_carry_are_refused() {
    let sequence = Message::new()
        .text(1, "x")
        .message(2, &Message::new().message(4, &Message::new()));
    let unshaped = Message::new().text(1, "x").message(
        2,
        &Message::new().message(1, &Message::new().number(1, element::FLOAT)),
    );
    let typeless = Message::new().text(1, "x");
    for input in [sequence, unshaped, typeless, onnx::port("x", 14, &["a"])] {
        let graph = onnx::graph(&[], &[], &[input], &[onnx::port("y", 1, &["a"])]);
        assert_eq!(code(onnx::model(&graph).into_bytes()), "model_type_unsupported");
    }
}

#[test]
fn model_that_answers_nothing_is_refused() {
    let graph = onnx::graph(&[], &[], &[onnx::port("x", 1, &["a"])], &[]);
    assert_eq!(code(onnx::model(&graph).into_bytes()), "model_without_outputs");
}

#[test]
fn what_parsers_read_differently_is_refused() {
    let whole = graph(&[onnx::node("Add", &["x", "x"], &["y"], &[])], &[]);
    let twice = onnx::model(&whole).message(7, &whole);
    let type_twice = onnx::tensor("w", element::FLOAT, &[1], &[0; 4]).number(2, element::INT32);
    let name_twice = onnx::node("Add", &["x", "x"], &["y"], &[]).text(4, "Frobnicate");
    let attribute = onnx::integer_attribute("axis", 1);
    let attribute_twice = onnx::node("Softmax", &["x"], &["y"], &[attribute.clone(), attribute]);
    let wrong_kind = onnx::node("Add", &["x", "x"], &["y"], &[]).number(1, 5);
    let not_text = Message::new().bytes(1, &[0xFF, 0xFE]).text(4, "Add");
    assert_eq!(code(twice.into_bytes()), "model_malformed");
    assert_eq!(model_code(&[], &[type_twice]), "model_malformed");
    for node in [name_twice, attribute_twice, wrong_kind, not_text] {
        assert_eq!(model_code(&[node], &[]), "model_malformed");
    }
}

#[test]
fn too_much_of_anything_is_refused() {
    let limits = Limits {
        nodes: 3,
        initializers: 2,
        ports: 2,
        functions: 1,
        node_parts: 4,
        name_bytes: 20,
        text_bytes: 200,
        rank: 3,
        depth: 1,
        graph_bytes: 1000,
        external_files: 1,
    };
    let add = onnx::node("Add", &["x", "x"], &["y"], &[]);
    let weight = |name: &str| onnx::floats(name, &[1], &[1.0]);
    let port = |name: &str| onnx::port(name, 1, &["a"]);
    let inner = onnx::graph(&[], &[], &[], &[]);
    let branch = |graph: &Message| onnx::node("If", &["c"], &["y"], &[onnx::graph_attribute("b", graph)]);
    let nested = onnx::graph(&[branch(&inner)], &[], &[], &[]);
    let ok = graph(std::slice::from_ref(&add), &[]);
    let function = Message::new()
        .text(1, "F")
        .message(9, &onnx::opset("", 17))
        .text(10, "my.own");
    for (what, expected, model) in [
        (
            "nodes",
            "model_too_large",
            onnx::model(&graph(&vec![add.clone(); 4], &[])),
        ),
        (
            "weights",
            "model_too_large",
            onnx::model(&graph(&[], &[weight("a"), weight("b"), weight("c")])),
        ),
        (
            "inputs",
            "model_too_large",
            onnx::model(&onnx::graph(
                &[],
                &[],
                &[port("a"), port("b"), port("c")],
                &[port("y")],
            )),
        ),
        (
            "functions",
            "model_too_large",
            onnx::model(&ok).message(25, &function).message(25, &function),
        ),
        (
            "node inputs",
            "model_too_large",
            onnx::model(&graph(&[onnx::node("Sum", &["x"; 5], &["y"], &[])], &[])),
        ),
        (
            "name",
            "model_too_large",
            onnx::model(&graph(&[onnx::node("Add", &[&"x".repeat(21)], &["y"], &[])], &[])),
        ),
        (
            "metadata",
            "model_too_large",
            onnx::model(&ok).message(14, &Message::new().text(1, "k").text(2, &"v".repeat(150))),
        ),
        (
            "rank",
            "model_too_large",
            onnx::model(&graph(&[], &[onnx::floats("w", &[1; 4], &[1.0])])),
        ),
        (
            "depth",
            "model_nested_too_deep",
            onnx::model(&graph(&[branch(&nested)], &[])),
        ),
        (
            "bytes",
            "model_too_large",
            onnx::model(&ok).text(6, &"d".repeat(1000)),
        ),
    ] {
        let error = refusal_within(&model.into_bytes(), Path::new("/nowhere"), &limits);
        assert_eq!(error.code(), Some(expected), "{what}: {error}");
    }
    let fine = onnx::model(&ok).into_bytes();
    assert!(skim(Cursor::new(&fine), Path::new("/nowhere"), "model.onnx", &limits).is_ok());
}
