//! The one door: dev, test, ci, soak, bench, openapi, tidy and the generators.

fn main() {}
