//! What a proof says of models that work, that refuse made-up inputs, and that fail.

use std::sync::{Arc, Mutex};

use berth_domain::manifest::Pooling;
use berth_domain::tensor::{Datatype, Dimension};
use berth_inference::{Error, Tensor};

use crate::support::{embedding, load, spec, tensors};

#[tokio::test]
async fn graph_is_run_on_zeros_and_ones_with_extents_1_and_2() {
    let mut x = spec("x", Datatype::Fp32, 2);
    x.shape = vec![Dimension::Symbolic("batch".to_owned()), Dimension::Fixed(2)];
    let manifest = tensors(vec![x], vec![spec("y", Datatype::Fp32, 2)]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let runtime = load(&manifest, move |inputs, _| {
        record.lock().expect("no panic").push(inputs[0].1.clone());
        Ok(vec![inputs[0].1.clone()])
    });
    let proof = runtime.expect("it loads").prove().await;
    assert_eq!((proof.failed, proof.warnings), (None, Vec::new()));
    let tensor = |rows: usize, value: f32| Tensor::new(vec![rows, 2], vec![value; rows * 2]).expect("fits");
    assert_eq!(
        *seen.lock().expect("no panic"),
        [tensor(1, 0.0), tensor(1, 1.0), tensor(2, 0.0), tensor(2, 1.0)]
    );
}

#[tokio::test]
async fn refusal_of_made_up_inputs_is_a_warning() {
    let manifest = tensors(
        vec![spec("x", Datatype::Int64, 1)],
        vec![spec("y", Datatype::Int64, 1)],
    );
    let runtime = load(&manifest, |inputs, _| match inputs[0].1.shape() {
        [1] => Ok(vec![inputs[0].1.clone()]),
        _ => Err(Error::invalid_input("index out of range")),
    });
    let proof = runtime.expect("it loads").prove().await;
    assert_eq!(proof.failed, None);
    assert_eq!(
        proof.warnings,
        [
            "On ones with open extents of 2: index out of range",
            "On zeros with open extents of 2: index out of range"
        ]
    );
}

#[tokio::test]
async fn model_that_accepts_no_made_up_input_is_said_to_be_unproved() {
    let manifest = tensors(
        vec![spec("x", Datatype::Int64, 1)],
        vec![spec("y", Datatype::Int64, 1)],
    );
    let runtime = load(&manifest, |_, _| Err(Error::failed("no"))).expect("it loads");
    let proof = runtime.prove().await;
    assert_eq!(proof.failed, None);
    assert!(
        proof
            .warnings
            .last()
            .is_some_and(|warning| warning.contains("not seen to work")),
        "{proof:?}"
    );
}

#[tokio::test]
async fn embedding_model_that_cannot_embed_a_text_has_failed() {
    let runtime = load(&embedding(Pooling::Mean, true), |_, _| {
        Err(Error::failed("broken"))
    })
    .expect("it loads");
    let proof = runtime.prove().await;
    assert_eq!(
        proof.failed.as_deref(),
        Some("A short text could not be embedded. broken")
    );
}
