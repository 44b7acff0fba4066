//! The whole Open Inference Protocol as tritonclient speaks it: over HTTP, as JSON and in binary, and over gRPC.

use berth_test_support::onnx_models::{echo, element, spinner};
use berth_test_support::wait_until;
use serde_json::{Value, json};

use crate::clients::python;
use crate::installation::{LIMIT, OneMachine};
use crate::processes::runners;
use crate::tenant::Tenant;

/// Every datatype by its name in the protocol and its number in ONNX.
const DATATYPES: [(&str, i64); 14] = [
    ("BOOL", element::BOOL),
    ("UINT8", element::UINT8),
    ("UINT16", element::UINT16),
    ("UINT32", element::UINT32),
    ("UINT64", element::UINT64),
    ("INT8", element::INT8),
    ("INT16", element::INT16),
    ("INT32", element::INT32),
    ("INT64", element::INT64),
    ("FP16", element::FLOAT16),
    ("BF16", element::BFLOAT16),
    ("FP32", element::FLOAT),
    ("FP64", element::DOUBLE),
    ("BYTES", element::STRING),
];

const ECHO: &str = "every-type";

/// A key of the tenant's project with these scopes.
async fn key(tenant: &Tenant, scopes: &[&str]) -> String {
    let body = json!({"title": "a key", "scopes": scopes});
    let made = tenant
        .post(&tenant.path("/api-keys"), &body)
        .await
        .expect("answers");
    let made = made.accepted().expect("is made");
    made.text_of("secret").expect("is told")
}

#[tokio::test]
async fn triton_client_is_served_in_every_form() {
    let state = OneMachine::state().expect("a folder");
    let settings = [
        // Whatever stops the runner, it is not the time.
        ("BERTH_HTTP__INFERENCE_TIMEOUT", "30m"),
        ("BERTH_HTTP__BODY_LIMITS__INFERENCE", "256KiB"),
        ("BERTH_TELEMETRY__LOG_LEVEL", "info"),
    ];
    let machine = OneMachine::start_with(state.path(), false, &settings)
        .await
        .expect("starts");
    let tenant = Tenant::sign_up(machine.told("address").expect("is told"), "tenant")
        .await
        .expect("signs up");
    let serve = |model, bytes| tenant.serve(model, "model.onnx", bytes);
    serve("spinner", spinner()).await.expect("is served");
    let runner = runners(machine.process.pid())[0];
    serve(ECHO, echo(&DATATYPES)).await.expect("is served");
    let told = json!({
        "address": machine.told("address").expect("is told"),
        "grpc": machine.told("grpc").expect("is told"),
        "key": key(&tenant, &["inference.run", "deployments.read", "deployments.write"]).await,
        "weak": key(&tenant, &["inference.run"]).await,
        "echo": ECHO,
        "spinner": "spinner",
        "runner": runner,
    });
    let told = told.to_string();
    let got = tokio::task::spawn_blocking(move || python("triton_whole.py", &[&told]))
        .await
        .expect("no panic")
        .expect("the client is served");

    for (form, differing) in got["forms"].as_object().expect("an object") {
        assert_eq!(differing, &json!([]), "{form}");
    }
    let chosen = &got["chosen"];
    for protocol in ["http", "grpc"] {
        assert_eq!(chosen[protocol], json!(["INT8_out", "BYTES_out"]));
    }
    assert_eq!(chosen["ids"], json!(["mine", "mine"]));
    assert_eq!(chosen["versions"], json!(["1", "1"]));
    assert_described(&got["described"]);
    assert_refused(&got["errors"]);

    let stream = got["stream"].as_array().expect("a list");
    assert_eq!(
        (&stream[0], &stream[2]),
        (&json!(["first", []]), &json!(["last", []]))
    );
    assert!(
        stream[1].as_str().is_some_and(|told| told.contains("INT8")),
        "{stream:?}"
    );

    let repository = &got["repository"];
    for protocol in ["http", "grpc"] {
        assert_eq!(repository[format!("{protocol} stopped")], json!(["UNAVAILABLE"]));
        assert_eq!(repository[format!("{protocol} ready")], true);
        assert_eq!(repository[format!("{protocol} answers")], json!([]));
    }

    assert!(
        got["cancel"]["cancelled"]
            .as_str()
            .is_some_and(|told| told.contains("CANCELLED")),
        "{}",
        got["cancel"]
    );
    assert_eq!(got["cancel"]["late"]["status"], "StatusCode.DEADLINE_EXCEEDED");
    // Both are told in the log as requests for whose answer nobody waited.
    let gone = || {
        let log = machine.process.output();
        let lines = log.lines().filter(|line| line.contains("http.status=499"));
        lines.filter(|line| line.contains("ModelInfer")).count()
    };
    wait_until(LIMIT, async || gone() >= 1).await.expect("is told");
    let log = machine.process.output();
    assert!(!log.contains("request failed"), "no fault of the server: {log}");
}

/// What the server and the model say of themselves is the same over both protocols.
fn assert_described(described: &Value) {
    for sign in ["live", "ready", "model_ready"] {
        assert_eq!(described[sign], json!([true, true]), "{sign}");
    }
    assert_eq!(described["server"][0]["name"], "berth");
    assert_eq!(described["server"][1]["name"], "berth");
    let extensions = described["server"][0]["extensions"].as_array().expect("a list");
    assert!(
        extensions.contains(&json!("binary_tensor_data")),
        "{extensions:?}"
    );
    for (place, of) in [("metadata", "inputs"), ("config", "input")] {
        let [rest, rpc] = [0, 1].map(|protocol| &described[place][protocol][of]);
        assert_eq!(rest.as_array().map(Vec::len), Some(DATATYPES.len()));
        for ((one, other), (name, _)) in rest
            .as_array()
            .expect("a list")
            .iter()
            .zip(rpc.as_array().expect("a list"))
            .zip(DATATYPES)
        {
            assert_eq!((&one["name"], &other["name"]), (&json!(name), &json!(name)));
            let kind = if place == "metadata" {
                "datatype"
            } else {
                "data_type"
            };
            assert_eq!(one[kind], other[kind], "{name}");
        }
    }
    for protocol in 0..2 {
        let [counted] = &described["statistics"][protocol].as_array().expect("a list")[..] else {
            unreachable!("there is one version");
        };
        // Over gRPC the client writes numbers of 64 bits as texts.
        let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        assert_eq!(counted["name"], ECHO);
        // Seven forms, and a choice over each protocol.
        assert_eq!(number(&counted["execution_count"]), Some(9), "{counted}");
        assert_eq!(number(&counted["inference_stats"]["success"]["count"]), Some(9));
        assert_eq!(described["all_statistics"][protocol], 2);
        let index = described["index"][protocol].as_array().expect("a list");
        let names: Vec<_> = index
            .iter()
            .map(|entry| (&entry["name"], &entry["state"]))
            .collect();
        let ready = json!("READY");
        assert_eq!(names, [(&json!(ECHO), &ready), (&json!("spinner"), &ready)]);
    }
}

/// What is wrong is told with the status of each protocol.
fn assert_refused(errors: &Value) {
    for (what, http, grpc) in [
        ("unknown", "404", "NOT_FOUND"),
        ("wrong_key", "401", "UNAUTHENTICATED"),
        ("shape", "400", "INVALID_ARGUMENT"),
        ("oversize", "413", "RESOURCE_EXHAUSTED"),
        ("may_not", "403", "PERMISSION_DENIED"),
    ] {
        let [rest, rpc] = [0, 1].map(|protocol| &errors[what][protocol]);
        assert_eq!(rest["status"], http, "{what}: {rest}");
        assert_eq!(rpc["status"], format!("StatusCode.{grpc}"), "{what}: {rpc}");
        assert_eq!(rest["message"], rpc["message"], "{what}");
    }
}
