//! The bare loop: tokenize one text, run the session, nothing else.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;
use tokenizers::Tokenizer;

/// Opens the runtime library; once in a process.
pub(crate) fn runtime(library: &Path) -> Result<Environment> {
    ort::init_from(library)
        .context("loading ONNX Runtime")?
        .build()
        .context("starting ONNX Runtime")
}

/// A tokenizer and a session on one thread, as a program would hold them that serves nobody else.
pub(crate) struct BareEmbedder {
    tokenizer: Tokenizer,
    session: Session,
}

impl BareEmbedder {
    /// Loads `model.onnx` and `tokenizer.json` of `folder`.
    pub(crate) fn load(environment: &Environment, folder: &Path) -> Result<Self> {
        let tokenizer = Tokenizer::from_file(folder.join("tokenizer.json"))
            .map_err(|error| anyhow!("reading tokenizer.json: {error}"))?;
        let session = Session::builder(environment)?
            .with_intra_threads(1)
            .map_err(|error| anyhow!("setting threads: {error}"))?
            .commit_from_file(folder.join("model.onnx"))
            .context("loading model.onnx")?;
        Ok(Self { tokenizer, session })
    }

    /// Tokenizes and runs one text; gives back how many floats came out, so that nothing is optimized away.
    pub(crate) fn embed(&mut self, text: &str) -> Result<usize> {
        let encoding = self
            .tokenizer
            .encode_fast(text, true)
            .map_err(|error| anyhow!("tokenizing: {error}"))?;
        // The published file pads to 128 by itself; only the real tokens count, as in the server.
        let length = encoding
            .get_attention_mask()
            .iter()
            .filter(|&&kept| kept == 1)
            .count();
        let row = |values: &[u32]| -> Result<SessionInputValue<'static>> {
            let values: Vec<i64> = values[..length].iter().map(|&value| i64::from(value)).collect();
            Ok(Tensor::from_array(([1, length], values))?.into())
        };
        let outputs = self.session.run(vec![
            ("input_ids", row(encoding.get_ids())?),
            ("attention_mask", row(encoding.get_attention_mask())?),
            ("token_type_ids", row(encoding.get_type_ids())?),
        ])?;
        let (_, values) = outputs[0].try_extract_tensor::<f32>()?;
        Ok(values.len())
    }
}
