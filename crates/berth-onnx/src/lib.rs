//! Reads and judges model graphs without a runtime.
