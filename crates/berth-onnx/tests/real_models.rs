//! The model that the tests of the whole use, read as it was published.

use berth_domain::tensor::{Datatype, Dimension};
use berth_onnx::Limits;

#[test]
fn minilm_is_read_as_published() {
    let folder = berth_test_support::minilm_folder()
        .expect("BERTH_TEST_MINILM names the folder; `cargo xtask test` sets it");
    let summary = berth_onnx::inspect(&folder, "model.onnx", &Limits::default()).expect("is accepted");
    let ids: Vec<_> = summary
        .inputs
        .iter()
        .map(|input| (input.name.as_str(), input.datatype))
        .collect();
    assert_eq!(
        ids,
        [
            ("input_ids", Datatype::Int64),
            ("attention_mask", Datatype::Int64),
            ("token_type_ids", Datatype::Int64)
        ]
    );
    let [output] = summary.outputs.as_slice() else {
        panic!("one output: {:?}", summary.outputs);
    };
    assert_eq!(
        (output.name.as_str(), output.datatype),
        ("last_hidden_state", Datatype::Fp32)
    );
    assert_eq!(output.shape.len(), 3);
    assert_eq!(output.shape[2], Dimension::Fixed(384));
    // Its weights are quantized, not its values: each row stands for itself, and requests may share a batch.
    assert_eq!(summary.mixing_operators, Vec::<String>::new());
    assert!(!summary.rows_depend_on_neighbors);
    assert!(
        (20_000_000..25_000_000).contains(&summary.parameters),
        "{}",
        summary.parameters
    );
    assert!(summary.weight_bytes > summary.parameters);
}
