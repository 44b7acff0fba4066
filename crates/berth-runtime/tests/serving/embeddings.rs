//! Texts into vectors on a fake whose states are `[token id, place]`, so that every pooling has a known answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use berth_domain::manifest::{Manifest, Pooling};
use berth_domain::tensor::Datatype;
use berth_inference::tensor::Elements;
use berth_inference::{Error, Interrupt, Tensor};
use berth_protocol::runner::{FailureKind, InferResponse, Operation};
use berth_runtime::{LoadError, Options, Runtime};

use crate::support::{IDLE, embedding, failure, json, load, load_with, request, spec};

/// What the model was given: shape and tokens of each run.
type Seen = Arc<Mutex<Vec<(Vec<usize>, Vec<i64>)>>>;

fn numbers(tensor: &Tensor) -> Vec<i64> {
    match tensor.elements() {
        Elements::Int64(values) => values.clone(),
        Elements::Int32(values) => values.iter().map(|&value| value.into()).collect(),
        other => unreachable!("token ids are integers, not {:?}", other.datatype()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "the numbers are tiny")]
fn states(inputs: &[(&str, &Tensor)]) -> Vec<Tensor> {
    let ids = inputs
        .iter()
        .find(|(name, _)| *name == "input_ids")
        .expect("token ids")
        .1;
    let (rows, length) = (ids.shape()[0], ids.shape()[1]);
    let elements = numbers(ids)
        .into_iter()
        .enumerate()
        .flat_map(|(index, id)| [id as f32, (index % length) as f32])
        .collect::<Vec<_>>();
    vec![Tensor::new(vec![rows, length, 2], elements).expect("fits")]
}

fn watched(manifest: &Manifest, options: &Options) -> (Runtime, Seen) {
    let seen = Seen::default();
    let record = Arc::clone(&seen);
    let runtime = load_with(manifest, options, move |inputs, _| {
        let ids = inputs
            .iter()
            .find(|(name, _)| *name == "input_ids")
            .expect("token ids")
            .1;
        let mut seen = record.lock().expect("no panic");
        seen.push((ids.shape().to_vec(), numbers(ids)));
        Ok(states(inputs))
    });
    (runtime.expect("it loads"), seen)
}

async fn embed(runtime: &Runtime, input: &str) -> InferResponse {
    let body = format!(r#"{{"model":"m","input":{input}}}"#);
    runtime.infer(request(Operation::Embeddings, &body)).await
}

async fn vectors(runtime: &Runtime, input: &str) -> Vec<Vec<f64>> {
    let answer = json(&embed(runtime, input).await);
    let data = answer["data"].as_array().expect("a list");
    let vector = |item: &serde_json::Value| {
        let numbers = item["embedding"].as_array().expect("a list");
        numbers
            .iter()
            .map(|number| number.as_f64().expect("a number"))
            .collect()
    };
    data.iter().map(vector).collect()
}

#[tokio::test]
async fn poolings_take_what_they_say() {
    // `a b` is [1, 4, 5, 2] with its special tokens.
    for (pooling, vector) in [
        (Pooling::Mean, [3.0, 1.5]),
        (Pooling::Cls, [1.0, 0.0]),
        (Pooling::LastToken, [2.0, 3.0]),
    ] {
        let runtime = load(&embedding(pooling, true), |inputs, _| Ok(states(inputs))).expect("it loads");
        assert_eq!(vectors(&runtime, r#""a b""#).await, [vector], "{pooling:?}");
        // The same beside a longer text, which pads it.
        let both = vectors(&runtime, r#"["a b c", "a b"]"#).await;
        assert_eq!(both[1], vector, "{pooling:?} with padding");
    }
}

#[tokio::test]
async fn graph_that_pools_by_itself_is_left_alone() {
    let mut manifest = embedding(Pooling::None, false);
    manifest.inputs = vec![spec("input_ids", Datatype::Int32, 2)];
    let runtime = load(&manifest, |inputs, _| {
        let rows = inputs[0].1.shape()[0];
        Ok(vec![
            Tensor::new(vec![rows, 2], [3f32, 4.0].repeat(rows)).expect("fits"),
        ])
    });
    assert_eq!(
        vectors(&runtime.expect("it loads"), r#"["a", "b"]"#).await,
        [[3.0, 4.0], [3.0, 4.0]]
    );
}

#[tokio::test]
async fn normalized_vectors_have_length_1() {
    let mut manifest = embedding(Pooling::Cls, false);
    manifest.text_embedding.as_mut().expect("it embeds").normalize = true;
    let runtime = load(&manifest, |inputs, _| {
        let shape = inputs[0].1.shape();
        let (rows, length) = (shape[0], shape[1]);
        let states = [3f32, 4.0].repeat(rows * length);
        Ok(vec![Tensor::new(vec![rows, length, 2], states).expect("fits")])
    });
    let vector = &vectors(&runtime.expect("it loads"), r#""a""#).await[0];
    assert!(
        (vector[0] - 0.6).abs() < 1e-6 && (vector[1] - 0.8).abs() < 1e-6,
        "{vector:?}"
    );
}

#[tokio::test]
async fn without_safe_padding_rows_of_one_length_share_a_run() {
    let (runtime, seen) = watched(&embedding(Pooling::Cls, false), &Options::default());
    let vectors = vectors(&runtime, r#"["a", "b c", "d", "a b"]"#).await;
    assert_eq!(vectors.len(), 4);
    // At first a row is also run alone, to see that it gets the same.
    let mut shared = seen.lock().expect("no panic").clone();
    shared.retain(|(shape, _)| shape[0] > 1);
    assert_eq!(
        shared,
        [
            (vec![2, 4], vec![1, 5, 6, 2, 1, 4, 5, 2]),
            (vec![2, 3], vec![1, 4, 2, 1, 7, 2]),
        ]
    );
}

#[tokio::test]
async fn runs_are_bounded_in_tokens_and_answers_keep_the_order() {
    let options = Options {
        batch_tokens: 8,
        ..Options::default()
    };
    let (runtime, seen) = watched(&embedding(Pooling::Mean, true), &options);
    let vectors = vectors(&runtime, r#"["a", "a b", "b", "a b c", "c"]"#).await;
    let means = [7.0 / 3.0, 3.0, 8.0 / 3.0, 18.0 / 5.0, 3.0];
    assert!(
        vectors
            .iter()
            .zip(means)
            .all(|(vector, mean)| (vector[0] - mean).abs() < 1e-6),
        "{vectors:?}"
    );
    for (shape, _) in seen.lock().expect("no panic").iter() {
        assert!(shape[0] * shape[1] <= 8, "{shape:?}");
    }
}

#[tokio::test]
async fn tokens_are_counted_as_read() {
    let (runtime, seen) = watched(&embedding(Pooling::Cls, false), &Options::default());
    let response = embed(&runtime, r#"["a b c", "a"]"#).await;
    let answer = json(&response);
    assert_eq!(
        seen.lock().expect("no panic")[0],
        (vec![1, 5], vec![1, 4, 5, 6, 2])
    );
    assert_eq!(answer["usage"]["prompt_tokens"], 8);
    assert_eq!(answer["usage"]["total_tokens"], 8);
    let units = response.units.expect("counted");
    assert_eq!((units.input_tokens, units.output_tokens, units.rows), (8, 0, 2));
}

#[tokio::test]
async fn text_with_more_tokens_than_the_model_reads_is_refused_and_never_cut() {
    let (runtime, seen) = watched(&embedding(Pooling::Cls, false), &Options::default());
    for (input, param, told) in [
        (
            r#""a b c d""#,
            "input",
            "reads 5 tokens at once, and `input` has 6",
        ),
        (r#"["a", "a b c d a b"]"#, "input[1]", "and `input[1]` has 8"),
    ] {
        let response = embed(&runtime, input).await;
        assert_eq!(failure(&response), ("context_length_exceeded", param));
        let message = response.failure.expect("a failure").message;
        assert!(message.contains(told), "{message}");
    }
    assert!(seen.lock().expect("no panic").is_empty(), "nothing is computed");
}

#[tokio::test]
async fn token_ids_are_read_as_they_stand() {
    let (runtime, seen) = watched(&embedding(Pooling::Cls, false), &Options::default());
    assert_eq!(vectors(&runtime, "[4, 5]").await, [[4.0, 0.0]]);
    assert_eq!(vectors(&runtime, "[[7], [6]]").await, [[7.0, 0.0], [6.0, 0.0]]);
    assert_eq!(seen.lock().expect("no panic")[0], (vec![1, 2], vec![4, 5]));
    for (input, code, param) in [
        ("[8]", "token_out_of_range", "input[0]"),
        ("[[4], [4, 8]]", "token_out_of_range", "input[1][1]"),
        ("[1,1,1,1,1,1]", "context_length_exceeded", "input"),
        ("[[1], [1,1,1,1,1,1]]", "context_length_exceeded", "input[1]"),
    ] {
        assert_eq!(failure(&embed(&runtime, input).await), (code, param), "{input}");
    }
}

#[tokio::test]
async fn answer_names_the_model_as_it_was_addressed() {
    let (runtime, _) = watched(&embedding(Pooling::Cls, false), &Options::default());
    let answer = json(&embed(&runtime, r#""a""#).await);
    assert_eq!(answer["model"], "the-model");
    assert_eq!(answer["object"], "list");
    assert_eq!(answer["data"][0]["index"], 0);
}

#[tokio::test]
async fn large_request_gives_the_same_as_a_small_one() {
    let (runtime, _) = watched(&embedding(Pooling::Mean, true), &Options::default());
    let many = format!("[{}]", vec![r#""a b              c""#; 2048].join(","));
    assert!(many.len() > 32 << 10);
    let all = vectors(&runtime, &many).await;
    let one = vectors(&runtime, r#""a b c""#).await;
    assert_eq!(all.len(), 2048);
    assert!(all.iter().all(|vector| *vector == one[0]));
}

#[tokio::test]
async fn model_that_cannot_work_on_tokens_within_its_bounds_has_failed() {
    for error in [Error::invalid_input as fn(&'static str) -> Error, Error::failed] {
        let runtime = load(&embedding(Pooling::Cls, false), move |_, _| Err(error("no"))).expect("it loads");
        let response = embed(&runtime, r#""a""#).await;
        assert_eq!(failure(&response), ("model_failed", ""));
        assert_eq!(response.failure.expect("a failure").kind(), FailureKind::Model);
    }
}

#[tokio::test]
async fn answer_beyond_the_limit_is_refused() {
    let options = Options {
        answer_bytes: 300,
        ..Options::default()
    };
    let (runtime, _) = watched(&embedding(Pooling::Cls, false), &options);
    json(&embed(&runtime, r#""a""#).await);
    let many = embed(&runtime, r#"["a", "b", "c", "d"]"#).await;
    assert_eq!(failure(&many), ("answer_too_large", ""));
    assert_eq!(many.failure.expect("a failure").kind(), FailureKind::TooLarge);
}

#[tokio::test]
async fn vector_that_makes_no_sense_is_the_models_failure() {
    for (shape, value) in [
        (vec![1, 3, 2], f32::NAN),
        (vec![1, 3, 4], 0.0),
        (vec![1, 2, 2], 0.0),
    ] {
        let runtime = load(&embedding(Pooling::Cls, false), move |_, _| {
            let count = shape.iter().product();
            Ok(vec![
                Tensor::new(shape.clone(), vec![value; count]).expect("fits"),
            ])
        });
        let response = embed(&runtime.expect("it loads"), r#""a""#).await;
        assert_eq!(failure(&response), ("model_failed", ""));
    }
}

#[tokio::test]
async fn model_that_embeds_no_texts_says_so() {
    let manifest = crate::support::tensors(vec![], vec![]);
    let runtime = load(&manifest, IDLE).expect("it loads");
    let response = embed(&runtime, r#""a""#).await;
    assert_eq!(failure(&response), ("operation_not_supported", ""));
    let unspecified = runtime.infer(request(Operation::Unspecified, "{}")).await;
    assert_eq!(failure(&unspecified), ("operation_not_supported", ""));
}

#[tokio::test]
async fn deadline_that_has_passed_is_refused_and_a_near_one_interrupts() {
    let runtime = load(&embedding(Pooling::Cls, false), |_, interrupt: &Interrupt| {
        while !interrupt.is_triggered() {
            std::thread::yield_now();
        }
        Err(Error::Interrupted)
    });
    let runtime = runtime.expect("it loads");
    let mut late = request(Operation::Embeddings, r#"{"model":"m","input":"a"}"#);
    for deadline in [1, 1_000_000, 1_000_030] {
        late.deadline_unix_ms = deadline;
        let response = tokio::time::timeout(Duration::from_secs(20), runtime.infer(late.clone())).await;
        let response = response.expect("it does not hang");
        assert_eq!(failure(&response), ("deadline_exceeded", ""));
        assert_eq!(response.failure.expect("a failure").kind(), FailureKind::Deadline);
    }
}

#[test]
fn graph_that_cannot_embed_is_refused_with_the_reason() {
    let fine = embedding(Pooling::Mean, false);
    let with = |change: fn(&mut Manifest)| {
        let mut manifest = fine.clone();
        change(&mut manifest);
        let Err(error) = load(&manifest, IDLE) else {
            unreachable!("it does not load");
        };
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        (error, cause.unwrap_or_default())
    };
    let (error, _) = with(|manifest| manifest.text_embedding = None);
    assert!(matches!(error, LoadError::NoTextEmbedding));
    let (_, cause) = with(|manifest| manifest.inputs.push(spec("pixel_values", Datatype::Fp32, 4)));
    assert!(cause.contains("`pixel_values`"), "{cause}");
    let (_, cause) = with(|manifest| manifest.inputs.clear());
    assert_eq!(cause, "the graph has no input `input_ids`");
    let (_, cause) = with(|manifest| manifest.inputs[0].datatype = Datatype::Fp32);
    assert!(cause.contains("`input_ids` is FP32"), "{cause}");
    let (_, cause) = with(|manifest| manifest.outputs[0].name = "other".to_owned());
    assert_eq!(cause, "the graph has no output `states`");
    let (_, cause) = with(|manifest| manifest.outputs[0].shape.truncate(2));
    assert!(cause.contains("has 2 dimensions"), "{cause}");
    let (_, cause) = with(|manifest| manifest.outputs[0].datatype = Datatype::Int64);
    assert!(cause.contains("is INT64"), "{cause}");
    let (_, cause) = with(|manifest| manifest.text_embedding.as_mut().expect("it embeds").max_tokens = 2);
    assert!(cause.contains("adds 2 special tokens"), "{cause}");
    let (_, cause) = with(|manifest| {
        manifest.text_embedding.as_mut().expect("it embeds").tokenizer = "none.json".to_owned();
    });
    assert!(cause.contains("`none.json` cannot be read"), "{cause}");
}
