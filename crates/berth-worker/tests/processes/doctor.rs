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
