//! Neighbors one version apart work together: bytes of every released form are still read, and unknown fields are
//! ignored.

use berth_protocol::runner::{FailureKind, InferRequest, InferResponse, Operation};
use berth_protocol::worker::{ProveVersionRequest, StatusResponse};
use prost::Message as _;

/// Protocol buffers by hand: a field with a varint.
fn varint(field: u8, value: u8) -> Vec<u8> {
    assert!(field < 16 && value < 128);
    vec![field << 3, value]
}

/// Protocol buffers by hand: a field with bytes, text or a message.
fn delimited(field: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).expect("a short value");
    assert!(field < 16 && length < 128);
    [&[field << 3 | 2, length], value].concat()
}

#[test]
fn request_of_version_1_is_read() {
    let bytes = [
        delimited(1, b"req_1"),
        delimited(2, b"org_1"),
        delimited(3, b"proj_1"),
        delimited(4, b"minilm"),
        delimited(5, b"3"),
        varint(6, 1),
        delimited(7, b"{}"),
        varint(8, 100),
        delimited(9, b"00-"),
    ]
    .concat();
    let request = InferRequest::decode(bytes.as_slice()).expect("decodes");
    assert_eq!(
        request,
        InferRequest {
            request_id: "req_1".to_owned(),
            organization: "org_1".to_owned(),
            project: "proj_1".to_owned(),
            model: "minilm".to_owned(),
            version: "3".to_owned(),
            operation: Operation::Embeddings.into(),
            body: b"{}".as_slice().into(),
            deadline_unix_ms: 100,
            traceparent: "00-".to_owned(),
            header_bytes: None,
            replica: String::new(),
        }
    );
}

#[test]
fn failure_of_version_1_is_read() {
    let failure = [
        varint(1, 3),
        delimited(2, b"queue_full"),
        delimited(3, b"words"),
        delimited(4, b"input"),
    ]
    .concat();
    let response = InferResponse::decode(delimited(6, &failure).as_slice()).expect("decodes");
    let failure = response.failure.expect("a failure");
    assert_eq!(failure.kind(), FailureKind::Overloaded);
    assert_eq!(
        (
            failure.code.as_str(),
            failure.message.as_str(),
            failure.param.as_str()
        ),
        ("queue_full", "words", "input")
    );
}

#[test]
fn prove_request_of_version_1_is_read() {
    let file = [delimited(1, b"model.onnx"), delimited(2, b"00ff"), varint(3, 7)].concat();
    let bytes = [
        delimited(1, b"org_1"),
        delimited(2, b"ver_1"),
        delimited(3, b"{}"),
        delimited(4, &file),
        varint(5, 9),
    ]
    .concat();
    let request = ProveVersionRequest::decode(bytes.as_slice()).expect("decodes");
    assert_eq!(request.files.len(), 1);
    assert_eq!(
        (
            request.files[0].path.as_str(),
            request.files[0].size_bytes,
            request.deadline_unix_ms
        ),
        ("model.onnx", 7, 9)
    );
}

#[test]
fn field_of_a_later_version_is_ignored() {
    let bytes = [
        delimited(1, b"worker_1"),
        delimited(14, b"from the future"),
        varint(15, 2),
    ]
    .concat();
    let status = StatusResponse::decode(bytes.as_slice()).expect("decodes");
    assert_eq!((status.worker.as_str(), status.protocol), ("worker_1", 2));
}
