//! Logging, tracing and metrics: set-up and the names of fields and metrics.
