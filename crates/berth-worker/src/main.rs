//! The node that holds models, and the runner of one model.

fn main() {}
