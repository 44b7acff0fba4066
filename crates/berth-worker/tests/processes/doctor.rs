//! What the doctor says of this machine.

use std::path::Path;
use std::process::{Command, Output};

fn doctor(library: &Path, output: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_berth-worker"))
        .args(["doctor", "--output", output, "--library"])
        .arg(library)
        // As a person calls it, who does not know what the library wants.
        .env_remove("ORT_DISABLE_TELEMETRY")
        .output()
        .expect("it starts")
}

#[test]
fn library_machine_and_sandbox_are_reported() {
    let library = berth_test_support::onnxruntime_library().expect("the library is there");
    let output = doctor(&library, "json");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert!(
        report["library_version"]
            .as_str()
            .is_some_and(|version| version.starts_with("1.")),
        "{report}"
    );
    assert!(
        report["library_providers"]
            .as_array()
            .is_some_and(|list| list.contains(&"CPUExecutionProvider".into()))
    );
    assert_eq!(report["build_providers"][0], "cpu");
    assert!(
        report["memory_bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes > 64 << 20),
        "{report}"
    );
    assert!(
        report["sandbox"]
            .as_str()
            .is_some_and(|text| text.contains("seccomp")),
        "{report}"
    );
    let text = doctor(&library, "text");
    assert!(String::from_utf8_lossy(&text.stdout).contains("ONNX Runtime 1."));
}

#[test]
fn library_that_is_none_is_told_of() {
    let output = doctor(Path::new("/etc/hostname"), "text");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("/etc/hostname cannot be loaded as a library"),
        "{said}"
    );
}

/// What the attempts on the sandbox say: the report, and whether the program was content.
fn attempts(arguments: &[&str]) -> (serde_json::Value, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_berth-worker"))
        .args(["doctor", "--sandbox", "--output", "json", "--library"])
        .arg(berth_test_support::onnxruntime_library().expect("the library is there"))
        .args(arguments)
        .env("BERTH_DATABASE__PASSWORD_SECRET", "planted")
        .output()
        .expect("it starts");
    let report = serde_json::from_slice(&output.stdout);
    assert!(report.is_ok(), "{}", String::from_utf8_lossy(&output.stderr));
    (report.expect("one JSON object"), output.status.success())
}

fn outcomes(report: &serde_json::Value, fits: impl Fn(&str) -> bool) -> Vec<&serde_json::Value> {
    let rows = report["attempts"].as_array().expect("a list");
    rows.iter()
        .filter(|row| row["outcome"].as_str().is_some_and(&fits))
        .collect()
}

#[test]
fn every_attempt_on_the_sandbox_of_a_runner_is_stopped() {
    let (report, content) = attempts(&[]);
    let through = outcomes(&report, |outcome| !matches!(outcome, "stopped" | "killed"));
    assert!(through.is_empty(), "{through:#?}");
    assert!(content && report["holds"] == true);
    assert!(report["attempts"].as_array().expect("a list").len() > 20);
}

#[test]
fn attempts_get_through_where_there_is_no_sandbox_and_the_doctor_says_so() {
    let (report, content) = attempts(&["--open"]);
    assert!(!content && report["holds"] == false);
    // Who is not root, or is in a container, is stopped by others here and there.
    let through = outcomes(&report, |outcome| outcome == "got_through");
    assert!(through.len() > 12, "{report:#}");
    let unclear = outcomes(&report, |outcome| outcome == "unclear");
    assert!(unclear.is_empty(), "{unclear:#?}");
}
