//! What happens in a runner: batching, and what a model's task does before and after.
