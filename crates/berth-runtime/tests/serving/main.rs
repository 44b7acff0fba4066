//! A loaded model answers requests: through a fake backend, and through the real one with MiniLM.

mod embeddings;
mod minilm;
mod neighbors;
mod proof;
mod support;
mod tensors;
