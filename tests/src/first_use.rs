//! The first thing that a stranger does: sign up, make a key, push a model, deploy it, call it.

use anyhow::Result;
use berth_test_support::minilm_folder;
use serde_json::Value;

use crate::clients::{CommandLine, python};
use crate::installation::{Cluster, OneMachine};
use crate::tenant::{PASSWORD, Tenant, packed};

pub(crate) const MODEL: &str = "all-minilm-l6-v2";

/// How the vector of "A man is playing a guitar." begins.
const KNOWN: [f64; 5] = [0.01939, -0.00235, -0.00788, -0.06321, -0.16841];

/// The int8 kernels of ONNX Runtime round differently on different processors.
const TOLERANCE: f64 = 0.005;

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .collect()
}

/// Fails unless it is the vector of the known text.
pub(crate) fn assert_known(vector: &Value) {
    assert_eq!(numbers(vector).len(), 384);
    assert_beginning_is_known(vector);
}

/// Fails unless it begins as that vector does.
pub(crate) fn assert_beginning_is_known(vector: &Value) {
    let vector = numbers(vector);
    assert!(vector.len() >= KNOWN.len(), "{vector:?}");
    for (found, known) in vector.iter().zip(KNOWN) {
        assert!(
            (found - known).abs() <= TOLERANCE,
            "{:?} is not {KNOWN:?}",
            &vector[..5]
        );
    }
}

fn assert_near(found: &Value, known: f64) {
    let found = found.as_f64().expect("a number");
    assert!((found - known).abs() <= 0.01, "{found} is not {known}");
}

/// What the official OpenAI client gets.
fn assert_openai_client_is_served(address: &str, key: &str) {
    let got = python("openai_embeddings.py", &[address, key, MODEL]).expect("the client is served");
    for form in ["default", "floats", "tokens"] {
        assert_known(&got[form]);
    }
    assert_eq!(got["prompt_tokens"], 9);
    assert_eq!(got["indices"], serde_json::json!([0, 1, 2]));
    assert_near(&got["near"], 0.6658);
    assert_near(&got["far"], -0.0497);
    assert_eq!(
        got["alone_and_among_others"], 0.0,
        "a row does not depend on its batch"
    );
    assert!(
        got["models"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|name| name == MODEL),
        "{}",
        got["models"]
    );
    assert!(got["request_id"].is_string());
    assert_eq!(
        got["retrieved"],
        serde_json::json!([MODEL, format!("{MODEL}@1")]),
        "what can be called can be asked for"
    );
    assert_eq!(got["unknown_model"]["class"], "NotFoundError");
    assert_eq!(got["unknown_model"]["code"], "model_not_found");
    assert_eq!(got["dimensions"]["class"], "BadRequestError");
    assert_eq!(got["wrong_key"]["class"], "AuthenticationError");
}

/// What tritonclient gets.
fn assert_triton_client_is_served(address: &str, key: &str) {
    let got = python("triton_infer.py", &[address, key, MODEL]).expect("the client is served");
    for form in ["vector", "without_outputs", "default_output", "binary_inputs"] {
        assert_known(&got[form]);
    }
    assert_eq!(got["shape"], serde_json::json!([1, 9, 384]));
    assert_eq!(got["id"], "a request");
    for sign in ["live", "ready", "model_ready"] {
        assert_eq!(got[sign], true, "{sign}");
    }
    assert_eq!(got["metadata"]["name"], MODEL);
    assert_eq!(got["unknown_model"], "404");
}

/// The path by the command line on one machine, beside the demo that it sets up by itself.
#[tokio::test]
async fn stranger_gets_an_answer_on_one_machine() {
    let state = OneMachine::state().expect("a folder");
    let machine = OneMachine::start(state.path(), true).await.expect("starts");
    let address = machine.told("address").expect("is told").to_owned();
    assert_known(&machine.summary["embedding"]);
    let demo_key = machine.told("api_key").expect("is told").to_owned();
    assert_triton_client_is_served(&address, &demo_key);

    let stranger = Tenant::sign_up(&address, "stranger").await.expect("signs up");
    let key = push_by_command_line(&stranger).expect("the command line works");
    assert_openai_client_is_served(&address, &key);
    drop(machine);

    // A later start finds everything as it was.
    let machine = OneMachine::start(state.path(), true).await.expect("starts again");
    assert_eq!(machine.told("api_key").expect("is told"), demo_key);
    assert_known(&machine.summary["embedding"]);
    assert!(
        !machine.process.output().contains("uploading"),
        "{}",
        machine.process.output()
    );
}

/// Signs in, makes a key, pushes and deploys the model and calls it; returns the key.
fn push_by_command_line(stranger: &Tenant) -> Result<String> {
    let berth = CommandLine::new()?;
    let login = [
        "login",
        "--url",
        &stranger.address,
        "--email",
        "stranger@example.com",
        "--password-stdin",
    ];
    let outcome = berth.run(&login, &format!("{PASSWORD}\n"))?;
    assert!(outcome.status.success(), "{}", outcome.errors);
    assert_eq!(berth.json(&["whoami"])?["user"]["email"], "stranger@example.com");
    assert_eq!(
        berth.json(&["organizations"])?[0]["organization_id"],
        stranger.organization.as_str()
    );
    assert_eq!(
        berth.json(&["projects", "list"])?[0]["project_id"],
        stranger.project.as_str()
    );

    let folder = minilm_folder()?.display().to_string();
    let version = berth.json(&["models", "push", &folder, "--name", MODEL, "--wait"])?;
    assert_eq!(version["state"], "ready", "{version}");
    let key = berth.json(&["keys", "create", "for the tests", "--use"])?;
    let deployed = berth.json(&["deployments", "create", MODEL])?;
    assert_eq!(deployed["name"], MODEL, "{deployed}");

    let embedded =
        until_served(|| berth.run(&["embed", "A man is playing a guitar.", "--output", "json"], ""))?;
    let embedded: Value = serde_json::from_str(&embedded)?;
    assert_known(&embedded["data"][0]["embedding"]);
    let inferred = berth.json(&[
        "infer",
        MODEL,
        "--input",
        "input_ids=[[101, 102]]",
        "--input",
        "attention_mask=[[1, 1]]",
        "--input",
        "token_type_ids=[[0, 0]]",
    ])?;
    assert_eq!(inferred["outputs"][0]["shape"], serde_json::json!([1, 2, 384]));
    Ok(key["secret"].as_str().unwrap_or_default().to_owned())
}

/// Runs a command until a worker has loaded the model.
pub(crate) fn until_served(run: impl Fn() -> Result<crate::clients::Outcome>) -> Result<String> {
    let begin = std::time::Instant::now();
    loop {
        let outcome = run()?;
        match outcome.number() {
            0 => return Ok(outcome.output),
            // Nothing answers yet: trying again later helps.
            5 if begin.elapsed() < crate::installation::LIMIT => {}
            number => anyhow::bail!("the command ended with {number}: {}", outcome.errors),
        }
    }
}

/// The path over the API of a cluster; every node serves what was made on another.
#[tokio::test]
async fn stranger_gets_an_answer_from_a_cluster() {
    let cluster = Cluster::start().await.expect("starts");
    let stranger = Tenant::sign_up(cluster.address(), "stranger")
        .await
        .expect("signs up");
    let archive = packed(&minilm_folder().expect("is named")).expect("is packed");
    stranger
        .serve(MODEL, "model.tar.gz", archive)
        .await
        .expect("is served");
    let key = stranger.make_key().await.expect("makes a key");
    let other = stranger.at(&cluster.apis[1].1);
    other
        .wait_until_served(MODEL, &key)
        .await
        .expect("is served by the other node");
    assert_openai_client_is_served(&other.address, &key.text);
    assert_triton_client_is_served(&stranger.address, &key.text);
}
