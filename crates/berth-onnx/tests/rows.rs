//! Which graphs are marked as mixing the rows of a batch.

use std::io::Cursor;
use std::path::Path;

use berth_onnx::{Limits, inspect::skim};
use berth_test_support::onnx_models::{self as onnx, Message, element};

/// What mixes rows in a graph of `nodes` from `x` to `y`, with small integer weights to name axes and shapes.
fn mixing_in(nodes: &[Message], opset: i64) -> Vec<String> {
    let weights = [
        onnx::integers("axis 0", &[1], &[0]),
        onnx::integers("axis 1", &[1], &[1]),
        onnx::integers("begin", &[1], &[0]),
        onnx::integers("end", &[1], &[i64::MAX]),
        onnx::integers("two", &[1], &[2]),
        onnx::integers("flat", &[1], &[-1]),
        onnx::integers("as it is", &[2], &[0, -1]),
        onnx::integers("one row", &[2], &[1, -1]),
        onnx::integers("before last", &[1], &[-2]),
        onnx::integers("before before last", &[1], &[-3]),
        onnx::integers("three", &[3], &[1, 1, 3]),
        onnx::floats("w", &[3, 3], &[0.0; 9]),
        onnx::floats("cube", &[1, 3, 3], &[0.0; 9]),
        onnx::floats("scale", &[], &[1.0]),
    ];
    let graph = onnx::graph(
        nodes,
        &weights,
        &[
            onnx::port("x", element::FLOAT, &["rows", "3"]),
            onnx::port("ids", element::INT64, &["rows", "length"]),
            onnx::port("rate", element::INT64, &[]),
        ],
        &[onnx::port("y", element::FLOAT, &["rows", "3"])],
    );
    let model = Message::new()
        .number(1, 8)
        .message(7, &graph)
        .message(8, &onnx::opset("", opset))
        .into_bytes();
    skim(
        Cursor::new(model),
        Path::new("/nowhere"),
        "model.onnx",
        &Limits::default(),
    )
    .expect("is accepted")
    .mixing_operators
}

fn mixes(operator: &str, inputs: &[&str], attributes: &[Message]) -> bool {
    !mixing_in(&[onnx::node(operator, inputs, &["y"], attributes)], 17).is_empty()
}

fn axis(axis: i64) -> Message {
    onnx::integer_attribute("axis", axis)
}

#[test]
fn operators_are_judged_by_their_axes() {
    for (mixed, operator, inputs, attributes) in [
        (false, "Softmax", &["x"][..], &[][..]),
        (false, "Softmax", &["x"], &[axis(1)]),
        (true, "Softmax", &["x"], &[axis(0)]),
        (false, "Concat", &["x", "x"], &[axis(1)]),
        (true, "Concat", &["x", "x"], &[axis(0)]),
        (false, "ReduceSum", &["x", "axis 1"], &[]),
        (true, "ReduceSum", &["x", "axis 0"], &[]),
        (true, "ReduceSum", &["x"], &[]),
        (true, "ReduceSum", &["x", "unknown"], &[]),
        (
            false,
            "ReduceMean",
            &["x"],
            &[onnx::integers_attribute("axes", &[-1])],
        ),
        (
            true,
            "ReduceMean",
            &["x"],
            &[onnx::integers_attribute("axes", &[1, 0])],
        ),
        (
            false,
            "Transpose",
            &["x"],
            &[onnx::integers_attribute("perm", &[0, 2, 1])],
        ),
        (
            true,
            "Transpose",
            &["x"],
            &[onnx::integers_attribute("perm", &[1, 0])],
        ),
        (true, "Transpose", &["x"], &[]),
        (false, "Gather", &["w", "ids"], &[]),
        (true, "Gather", &["x", "axis 0"], &[]),
        (false, "Gather", &["x", "axis 0"], &[axis(1)]),
        (true, "Split", &["x"], &[]),
        (false, "Split", &["x"], &[axis(1)]),
        (true, "ArgMax", &["x"], &[]),
        (false, "ArgMax", &["x"], &[axis(1)]),
        (false, "Slice", &["x", "begin", "two", "axis 1"], &[]),
        (true, "Slice", &["x", "begin", "two", "axis 0"], &[]),
        (false, "Slice", &["x", "begin", "end", "axis 0"], &[]),
        (true, "Slice", &["x", "begin", "two"], &[]),
        (true, "Reshape", &["x", "flat"], &[]),
        (false, "Reshape", &["x", "as it is"], &[]),
        (true, "Reshape", &["x", "one row"], &[]),
        (false, "Unsqueeze", &["x", "axis 1"], &[]),
        (true, "Unsqueeze", &["x", "axis 0"], &[]),
        (true, "Squeeze", &["x"], &[]),
        (false, "Flatten", &["x"], &[]),
        (true, "Flatten", &["x"], &[axis(0)]),
        (false, "MatMul", &["x", "w"], &[]),
        (true, "MatMul", &["x", "x"], &[]),
        (true, "MatMul", &["cube", "x"], &[]),
        (true, "MatMul", &["x", "cube"], &[]),
        (false, "Add", &["x", "w"], &[]),
        (false, "Add", &["x", "scale"], &[]),
        (true, "Add", &["x", "cube"], &[]),
        (true, "Add", &["x", "unknown"], &[]),
        (true, "Softmax", &["x"], &[axis(-2)]),
        (true, "Concat", &["x", "x"], &[axis(-2)]),
        (true, "ReduceSum", &["x", "before last"], &[]),
        (true, "Unsqueeze", &["x", "before before last"], &[]),
        (true, "Gather", &["w", "ids"], &[axis(1)]),
        (true, "Expand", &["x", "three"], &[]),
        (false, "Expand", &["x", "as it is"], &[]),
        (true, "Reshape", &["x", "unknown"], &[]),
        (true, "MatMul", &["w", "x"], &[]),
        (false, "Gemm", &["x", "w"], &[]),
        (true, "Gemm", &["w", "x"], &[]),
        (true, "Gemm", &["x", "x"], &[onnx::integer_attribute("transB", 1)]),
        (false, "QuantizeLinear", &["x", "scale"], &[]),
        (true, "QuantizeLinear", &["x", "x"], &[]),
        (true, "DynamicQuantizeLinear", &["x"], &[]),
        (true, "NonZero", &["x"], &[]),
        (true, "LSTM", &["x", "w", "w"], &[]),
        (
            false,
            "LSTM",
            &["x", "w", "w"],
            &[onnx::integer_attribute("layout", 1)],
        ),
        (false, "BatchNormalization", &["x"; 5], &[]),
        (
            true,
            "BatchNormalization",
            &["x"; 5],
            &[onnx::integer_attribute("training_mode", 1)],
        ),
        (
            false,
            "Einsum",
            &["x", "x"],
            &[onnx::text_attribute("equation", "bi, bj -> bij")],
        ),
        (
            true,
            "Einsum",
            &["x", "x"],
            &[onnx::text_attribute("equation", "ik,jk->ij")],
        ),
        (
            true,
            "Einsum",
            &["x", "x"],
            &[onnx::text_attribute("equation", "ij,ij->")],
        ),
        (false, "Conv", &["x", "w"], &[]),
    ] {
        assert_eq!(
            mixes(operator, inputs, attributes),
            mixed,
            "{operator} of {inputs:?}"
        );
    }
}

#[test]
fn arithmetic_on_shapes_and_weights_is_no_mixing() {
    let nodes = [
        onnx::node("Shape", &["x"], &["shape"], &[]),
        onnx::node("Gather", &["shape", "axis 0"], &["first"], &[]),
        onnx::node("Concat", &["first", "axis 1"], &["new shape"], &[axis(0)]),
        onnx::node("Transpose", &["w"], &["w turned"], &[]),
        onnx::node("Reshape", &["x", "new shape"], &["flat x"], &[]),
        onnx::node("MatMul", &["flat x", "w turned"], &["y"], &[]),
    ];
    assert_eq!(mixing_in(&nodes, 17), Vec::<String>::new());
}

#[test]
fn input_without_dimensions_has_no_rows() {
    let nodes = [
        onnx::node("Unsqueeze", &["rate", "axis 0"], &["rates"], &[]),
        onnx::node("Identity", &["x"], &["y"], &[]),
    ];
    assert_eq!(mixing_in(&nodes, 17), Vec::<String>::new());
}

#[test]
fn constants_count_as_weights() {
    let value = |axis| onnx::tensor_attribute("value", &onnx::integers("", &[1], &[axis]));
    for (axis, expected) in [(0, vec!["ReduceSum".to_owned()]), (1, Vec::new())] {
        let nodes = [
            onnx::node("Constant", &[], &["axes"], &[value(axis)]),
            onnx::node("Identity", &["axes"], &["same axes"], &[]),
            onnx::node("ReduceSum", &["x", "same axes"], &["y"], &[]),
        ];
        assert_eq!(mixing_in(&nodes, 17), expected);
    }
}

#[test]
fn older_operator_sets_are_judged_by_their_own_rules() {
    let squeeze = |axes: &[i64]| {
        onnx::node(
            "Squeeze",
            &["x"],
            &["y"],
            &[onnx::integers_attribute("axes", axes)],
        )
    };
    assert!(!mixing_in(&[squeeze(&[0, 1])], 9).is_empty());
    assert!(mixing_in(&[squeeze(&[1])], 9).is_empty());
    let slice = |axes: &[i64]| {
        let list = onnx::integers_attribute;
        let attributes = [list("axes", axes), list("starts", &[0]), list("ends", &[1])];
        onnx::node("Slice", &["x"], &["y"], &attributes)
    };
    assert!(!mixing_in(&[slice(&[0])], 9).is_empty());
    assert!(mixing_in(&[slice(&[1])], 9).is_empty());
}

#[test]
fn branches_are_followed_and_loops_mix() {
    let branch = |axis_of_sum: &str| {
        onnx::graph(
            &[onnx::node("ReduceSum", &["x", axis_of_sum], &["inner"], &[])],
            &[],
            &[],
            &[onnx::port("inner", 1, &["rows"])],
        )
    };
    let choose = |inner: &Message| {
        let branches = [
            onnx::graph_attribute("then_branch", inner),
            onnx::graph_attribute("else_branch", inner),
        ];
        onnx::node("If", &["scale"], &["y"], &branches)
    };
    assert_eq!(mixing_in(&[choose(&branch("axis 1"))], 17), Vec::<String>::new());
    assert_eq!(mixing_in(&[choose(&branch("axis 0"))], 17), ["ReduceSum"]);
    let body = onnx::graph_attribute("body", &branch("axis 1"));
    assert_eq!(
        mixing_in(&[onnx::node("Loop", &["begin"], &["y"], &[body])], 17),
        ["Loop"]
    );
}

#[test]
fn looking_up_by_the_number_of_the_row_is_no_mixing() {
    // `mask[row, position]`, as exporters write it today.
    let look_up = |axes_of_rows: &str, start: &str| {
        let nodes = [
            onnx::node(
                "Shape",
                &["ids"],
                &["rows"],
                &[
                    onnx::integer_attribute("start", 0),
                    onnx::integer_attribute("end", 1),
                ],
            ),
            onnx::node("Squeeze", &["rows"], &["row count"], &[]),
            onnx::node("Range", &[start, "row count", "axis 1"], &["numbers"], &[]),
            onnx::node("Unsqueeze", &["numbers", axes_of_rows], &["column"], &[]),
            onnx::node("Shape", &["ids"], &["shape"], &[]),
            onnx::node("Expand", &["column", "shape"], &["spread"], &[]),
            onnx::node("Unsqueeze", &["spread", "flat"], &["first part"], &[]),
            onnx::node(
                "Concat",
                &["first part", "second part"],
                &["coordinates"],
                &[axis(-1)],
            ),
            onnx::node("GatherND", &["ids", "coordinates"], &["y"], &[]),
        ];
        mixing_in(&nodes, 17)
    };
    assert_eq!(look_up("axis 1", "axis 0"), Vec::<String>::new());
    assert_eq!(
        look_up("axis 0", "axis 0"),
        ["GatherND"],
        "numbers across the rows"
    );
    assert_eq!(look_up("axis 1", "two"), ["GatherND"], "numbers of other rows");
}

#[test]
fn usual_networks_are_recognized_and_dynamic_quantization_is_not() {
    let perceptron = [
        onnx::node("Gemm", &["x", "w", "scale"], &["a"], &[]),
        onnx::node("Relu", &["a"], &["b"], &[]),
        onnx::node("Gemm", &["b", "w"], &["c"], &[]),
        onnx::node("Softmax", &["c"], &["y"], &[axis(-1)]),
    ];
    assert_eq!(mixing_in(&perceptron, 17), Vec::<String>::new());
    let convolutions = [
        onnx::node("Unsqueeze", &["x", "axis 1"], &["image"], &[]),
        onnx::node("Conv", &["image", "cube"], &["a"], &[]),
        onnx::node("Clip", &["a", "scale"], &["b"], &[]),
        onnx::node("Add", &["b", "image"], &["c"], &[]),
        onnx::node("GlobalAveragePool", &["c"], &["d"], &[]),
        onnx::node("Flatten", &["d"], &["e"], &[]),
        onnx::node("Gemm", &["e", "w"], &["y"], &[]),
    ];
    assert_eq!(mixing_in(&convolutions, 17), Vec::<String>::new());
    let quantized = [
        onnx::node("DynamicQuantizeLinear", &["x"], &["xq", "xs", "xz"], &[]),
        onnx::node("DynamicQuantizeLinear", &["w"], &["wq", "ws", "wz"], &[]),
        onnx::node("MatMulInteger", &["xq", "wq", "xz", "wz"], &["m"], &[]),
        onnx::node(
            "Cast",
            &["m"],
            &["f"],
            &[onnx::integer_attribute("to", element::FLOAT)],
        ),
        onnx::node("Mul", &["f", "xs"], &["y"], &[]),
    ];
    assert!(mixing_in(&quantized, 17).contains(&"DynamicQuantizeLinear".to_owned()));
}
