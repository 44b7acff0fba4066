//! The control plane: api, tasks, dev, gate, migrate, admin, and the client.

fn main() {}
