//! Whatever the bytes are: an answer, no panic, and never more work than the file is long.

use std::io::Cursor;
use std::path::Path;

use berth_onnx::{Limits, inspect::skim};
use berth_test_support::onnx_models::{self as onnx, Message, element};
use proptest::prelude::*;

fn answers(bytes: &[u8]) -> bool {
    match skim(
        Cursor::new(bytes),
        Path::new("/nowhere"),
        "model.onnx",
        &Limits::default(),
    ) {
        Ok(_) => true,
        Err(error) => {
            assert!(error.code().is_some(), "{error:?}");
            assert!(error.to_string().len() < 2000);
            false
        }
    }
}

/// A model with something of everything.
fn rich() -> Vec<u8> {
    let branch = onnx::graph(
        &[onnx::node("Identity", &["x"], &["inner"], &[])],
        &[onnx::integers("inside", &[2], &[1, 2])],
        &[],
        &[onnx::port("inner", element::FLOAT, &["rows", "3"])],
    );
    let value = onnx::floats("", &[2], &[1.0, 2.0]);
    let sparse = Message::new()
        .message(1, &onnx::floats("sparse", &[1], &[1.0]))
        .message(2, &onnx::integers("", &[1], &[0]))
        .number(3, 4);
    let graph = onnx::graph(
        &[
            onnx::node(
                "Constant",
                &[],
                &["c"],
                &[onnx::tensor_attribute("value", &value)],
            ),
            onnx::node(
                "If",
                &["flag"],
                &["chosen"],
                &[
                    onnx::graph_attribute("then_branch", &branch),
                    onnx::graph_attribute("else_branch", &branch),
                ],
            ),
            onnx::node(
                "ReduceSum",
                &["chosen", "axes"],
                &["sum"],
                &[onnx::integer_attribute("keepdims", 1)],
            ),
            onnx::node(
                "Transpose",
                &["sum"],
                &["turned"],
                &[onnx::integers_attribute("perm", &[0, 1])],
            ),
            onnx::node_of(
                "my.own",
                "F",
                &["turned"],
                &["y"],
                &[onnx::text_attribute("t", "text")],
            ),
        ],
        &[
            onnx::integers("axes", &[1], &[1]),
            onnx::floats("w", &[2, 2], &[0.0; 4]),
        ],
        &[
            onnx::port("x", element::FLOAT, &["rows", "3"]),
            onnx::port("flag", element::BOOL, &[]),
        ],
        &[onnx::port("y", element::FLOAT, &["rows", "3"])],
    )
    .message(15, &sparse);
    let function = Message::new()
        .text(1, "F")
        .text(4, "a")
        .text(5, "b")
        .message(7, &onnx::node("Relu", &["a"], &["b"], &[]))
        .message(9, &onnx::opset("", 17))
        .text(10, "my.own");
    onnx::model(&graph)
        .message(14, &Message::new().text(1, "key").text(2, "value"))
        .message(25, &function)
        .into_bytes()
}

#[test]
fn rich_model_is_accepted() {
    assert!(answers(&rich()));
}

#[test]
fn every_truncation_of_a_rich_model_is_answered() {
    let bytes = rich();
    for length in 0..bytes.len() {
        answers(&bytes[..length]);
    }
}

#[test]
fn every_byte_of_a_rich_model_may_be_anything() {
    let mut bytes = rich();
    for place in 0..bytes.len() {
        let kept = bytes[place];
        for byte in [0, 1, 0x7F, 0x80, 0xFF, kept ^ 1, kept.wrapping_add(8)] {
            bytes[place] = byte;
            answers(&bytes);
        }
        bytes[place] = kept;
    }
}

#[test]
fn deep_nesting_ends() {
    let mut graph = onnx::graph(&[], &[], &[], &[]);
    for _ in 0..2000 {
        let node = onnx::node(
            "If",
            &["c"],
            &["y"],
            &[onnx::graph_attribute("then_branch", &graph)],
        );
        graph = onnx::graph(&[node], &[], &[], &[]);
    }
    assert!(!answers(&onnx::model(&graph).into_bytes()));
}

#[test]
fn lengths_that_lie_take_no_memory() {
    // A weight that says to have 2^62 bytes, a name of 2^40, dimensions without end.
    for bytes in [
        &[0x4A, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40][..],
        &[0x3A, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20],
        &[0x3A, 0x05, 0x2A, 0xFF, 0xFF, 0xFF, 0x7F],
    ] {
        assert!(!answers(bytes));
    }
}

proptest! {
    #[test]
    fn random_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        answers(&bytes);
    }

    #[test]
    fn mutated_models_are_answered(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut bytes = rich();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        answers(&bytes);
    }

    #[test]
    fn shuffled_fields_are_answered(order in Just((0_usize..40).collect::<Vec<_>>()).prop_shuffle()) {
        let bytes = rich();
        let step = bytes.len() / 40;
        let shuffled: Vec<u8> =
            order.iter().flat_map(|&part| bytes[part * step..(part + 1) * step].to_vec()).collect();
        answers(&shuffled);
    }
}
