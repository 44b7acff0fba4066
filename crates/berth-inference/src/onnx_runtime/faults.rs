//! Whose fault a failed run is.
//!
//! The runtime has one code for most of what can go wrong while it runs, and says in words what it was. An operator that
//! stumbles in the middle of a run does so over the shapes or values that it was given, since the same graph ran before; so
//! the caller can act, unless the words tell of the machine.

use ort::ErrorCode;

/// What stands in the runtime's message of an operator that failed.
pub(super) const NODE: &str = "Non-zero status code returned while running ";

/// What the runtime and its providers say of trouble that no other input would have spared.
const MACHINE: [&str; 7] = [
    // Memory of the processor: the C++ library, and the runtime's own arena.
    "bad_alloc",
    "failed to allocate memory",
    "available memory of",
    // Memory and faults of a device; every CUDA library's error names the device.
    "out of memory",
    "; gpu=",
    "tensorrt ep",
    // Stopped from outside.
    "terminate flag",
];

/// Whether the data of the run is at fault, and not the model or the machine.
pub(super) fn is_of_data(code: ErrorCode, message: &str) -> bool {
    let refused = match code {
        // Said of inputs before any operator runs, too.
        ErrorCode::InvalidArgument => true,
        ErrorCode::GenericFailure | ErrorCode::RuntimeException => message.contains(NODE),
        _ => false,
    };
    refused && !tells_of_machine(message)
}

fn tells_of_machine(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    MACHINE.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(operator: &str, says: &str) -> String {
        format!("{NODE}{operator} node. Name:'n' Status Message: {says}")
    }

    #[test]
    fn operator_that_stumbles_over_its_data_blames_the_data() {
        for (code, message) in [
            (
                ErrorCode::GenericFailure,
                by(
                    "Add",
                    "Attempting to broadcast an axis by a dimension other than 1. 512 by 600",
                ),
            ),
            (
                ErrorCode::RuntimeException,
                by("Reshape", "input_shape_size == size was false."),
            ),
            (
                ErrorCode::InvalidArgument,
                by("Gather", "indices element out of data bounds, idx=99"),
            ),
            (
                ErrorCode::InvalidArgument,
                "Got invalid dimensions for input: x".to_owned(),
            ),
        ] {
            assert!(is_of_data(code, &message), "{code:?} {message}");
        }
    }

    #[test]
    fn machine_and_model_are_not_blamed_on_the_data() {
        for (code, message) in [
            (ErrorCode::RuntimeException, by("Expand", "std::bad_alloc")),
            (
                ErrorCode::RuntimeException,
                by(
                    "MatMul",
                    "Failed to allocate memory for requested buffer of size 4096",
                ),
            ),
            (
                ErrorCode::GenericFailure,
                by(
                    "Conv",
                    "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=n",
                ),
            ),
            (
                ErrorCode::GenericFailure,
                by("Conv", "CUDA failure 2: out of memory ; GPU=0 ; hostname=n"),
            ),
            (
                ErrorCode::GenericFailure,
                by("TRTKernel", "TensorRT EP execution context enqueue failed."),
            ),
            (
                ErrorCode::GenericFailure,
                by("Loop", "Exiting due to terminate flag being set to true."),
            ),
            (
                ErrorCode::ExecutionProviderFailure,
                by("Conv", "the device is gone"),
            ),
            (ErrorCode::NotImplemented, by("Resize", "not implemented")),
            (ErrorCode::GenericFailure, "the session is not ready".to_owned()),
        ] {
            assert!(!is_of_data(code, &message), "{code:?} {message}");
        }
    }
}
