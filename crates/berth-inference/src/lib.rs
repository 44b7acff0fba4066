//! The inference backend trait with a fake beside it, and ONNX Runtime behind it.
