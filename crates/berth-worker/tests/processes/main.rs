//! Runners and nodes as the processes that they are.

mod demands;
mod doctor;
mod models;
mod node;
mod nodes;
mod probes;
mod runner;
mod runners;
mod sharing;

#[path = "../../../berth-inference/tests/onnx_runtime/graph.rs"]
#[expect(dead_code, reason = "its other users need all of it")]
mod graph;
