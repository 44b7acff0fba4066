//! What the runtime says, in words for people.

use crate::onnx_runtime::faults::NODE;

/// What the runtime puts before the words of a node that fails.
const STATUS: &str = "Status Message: ";

/// The runtime's message of a failed run, without its own source lines and status codes: `the model's operator Gather
/// (`/embeddings/Gather`) says: …`.
pub(crate) fn of_run(message: &str) -> String {
    let message = without_source_line(message);
    let Some(rest) = message.find(NODE).map(|start| &message[start + NODE.len()..]) else {
        return message.trim().to_owned();
    };
    let operator = rest.split(" node").next().unwrap_or_default();
    let name = rest
        .split_once("Name:'")
        .and_then(|(_, rest)| rest.split_once('\''))
        .map(|(name, _)| name);
    let says = rest
        .rfind(STATUS)
        .map_or(rest, |start| &rest[start + STATUS.len()..]);
    let says = without_code(without_source_line(says)).trim();
    match name {
        Some(name) if !name.is_empty() => format!("the model's operator {operator} (`{name}`) says: {says}"),
        _ => format!("the model's operator {operator} says: {says}"),
    }
}

/// The runtime's message of a failed load. It names the file by its whole path, which is nobody's business.
pub(crate) fn of_load(message: &str, folder: &str) -> String {
    without_source_line(message)
        .replace(&format!("{folder}/"), "")
        .replace(folder, "the model's folder")
        .trim()
        .to_owned()
}

/// Some messages repeat the status in the runtime's own form: `[ONNXRuntimeError] : 1 : FAIL : …`.
fn without_code(message: &str) -> &str {
    let rest = message.trim_start().strip_prefix("[ONNXRuntimeError] : ");
    rest.and_then(|rest| rest.splitn(3, " : ").nth(2))
        .unwrap_or(message)
}

/// Some messages begin with a place in the runtime's source: `/onnxruntime_src/… [with …] `.
fn without_source_line(message: &str) -> &str {
    let message = message.trim_start();
    if !message.starts_with("/onnxruntime_src/") && !message.starts_with("/build/") {
        return message;
    }
    // `file:line signature message`: the signature ends with its last parenthesis before the message.
    message
        .split_once(") ")
        .map_or(message, |(_, message)| message.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_of_a_node_keeps_what_a_caller_can_use() {
        let message = "Non-zero status code returned while running Gather node. Name:'/embeddings/Gather' Status \
                       Message: indices element out of data bounds, idx=99 must be within the inclusive range [-2,1]";
        assert_eq!(
            of_run(message),
            "the model's operator Gather (`/embeddings/Gather`) says: indices element out of data bounds, idx=99 must be \
             within the inclusive range [-2,1]"
        );
    }

    #[test]
    fn place_in_the_source_is_left_out() {
        let message = "Non-zero status code returned while running Reshape node. Name:'r' Status Message: \
                       /onnxruntime_src/onnxruntime/core/providers/cpu/tensor/reshape_helper.h:41 \
                       onnxruntime::ReshapeHelper::ReshapeHelper(const onnxruntime::TensorShape&, bool) \
                       input_shape_size == size was false.";
        assert_eq!(
            of_run(message),
            "the model's operator Reshape (`r`) says: input_shape_size == size was false."
        );
    }

    #[test]
    fn status_within_the_message_is_left_out() {
        let message = "Non-zero status code returned while running Expand node. Name:'e' Status Message: \
                       /onnxruntime_src/onnxruntime/core/framework/op_kernel.cc:87 virtual OrtValue* \
                       onnxruntime::OpKernelContext::OutputMLValue(int, const onnxruntime::TensorShape&) \
                       [ONNXRuntimeError] : 1 : FAIL : Calculation for Tensor storage size overflowed\n";
        assert_eq!(
            of_run(message),
            "the model's operator Expand (`e`) says: Calculation for Tensor storage size overflowed"
        );
    }

    #[test]
    fn other_messages_stay_as_they_are() {
        assert_eq!(of_run("Missing Input: x"), "Missing Input: x");
        assert_eq!(
            of_load(
                "Load model from /var/cache/1/model.onnx failed:Protobuf parsing failed.",
                "/var/cache/1"
            ),
            "Load model from model.onnx failed:Protobuf parsing failed."
        );
    }
}
