//! Texts into token ids.

use std::path::{Path, PathBuf};

use berth_domain::manifest::TextEmbedding;
use tokenizers::{Tokenizer, TruncationParams};

use super::{Input, Row};
use crate::failure::{Code, Failure};

/// Why a `tokenizer.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// It cannot be read.
    #[error("the tokenizer `{}` cannot be read", path.display())]
    Unreadable {
        /// Its path in the model's folder.
        path: PathBuf,
        /// What the library said.
        #[source]
        source: tokenizers::Error,
    },
    /// The manifest's length leaves no room for a token of the text.
    #[error("`max_tokens` is {max_tokens}, and the tokenizer adds {special} special tokens to every text")]
    NoRoom {
        /// The manifest's length.
        max_tokens: u32,
        /// How many tokens are added.
        special: usize,
    },
    /// It has no vocabulary.
    #[error("the tokenizer has no vocabulary")]
    NoVocabulary,
}

/// A tokenizer that cuts where the manifest says, and pads never.
pub(crate) struct Tokens {
    tokenizer: Tokenizer,
    /// The largest id.
    largest: u32,
    longest: usize,
    padding_id: u32,
}

impl Tokens {
    /// Reads the tokenizer that the manifest names.
    pub(crate) fn load(folder: &Path, embedding: &TextEmbedding) -> Result<Self, TokenizerError> {
        let unreadable = |source| TokenizerError::Unreadable {
            path: embedding.tokenizer.clone().into(),
            source,
        };
        let mut tokenizer = Tokenizer::from_file(folder.join(&embedding.tokenizer)).map_err(unreadable)?;
        let largest = tokenizer.get_vocab(true).into_values().max();
        let largest = largest.ok_or(TokenizerError::NoVocabulary)?;
        let padding_id = tokenizer.get_padding().map_or(0, |padding| padding.pad_id);
        let direction = tokenizer.get_truncation().map(|truncation| truncation.direction);
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(unreadable)?;
        let special = tokenizer.encode_fast("", true).map_err(unreadable)?.len();
        let max_tokens = usize::try_from(embedding.max_tokens).unwrap_or(usize::MAX);
        if special >= max_tokens {
            return Err(TokenizerError::NoRoom {
                max_tokens: embedding.max_tokens,
                special,
            });
        }
        let truncation = TruncationParams {
            max_length: max_tokens,
            direction: direction.unwrap_or_default(),
            ..TruncationParams::default()
        };
        tokenizer.with_truncation(Some(truncation)).map_err(unreadable)?;
        Ok(Self {
            tokenizer,
            largest,
            longest: max_tokens,
            padding_id,
        })
    }

    /// The id that fills rows up to the length of their neighbors.
    pub(crate) const fn padding_id(&self) -> u32 {
        self.padding_id
    }

    /// The token ids of every text. Asks before each whether it is still `wanted`.
    pub(crate) fn rows(
        &self,
        input: Input<'_>,
        wanted: impl Fn() -> Result<(), Failure>,
    ) -> Result<Vec<Row>, Failure> {
        match input {
            Input::Texts(texts) => texts
                .iter()
                .enumerate()
                .map(|(index, text)| {
                    wanted()?;
                    let encoding = self.tokenizer.encode_fast(&**text, true);
                    let encoding = encoding.map_err(|error| {
                        Failure::new(Code::ModelFailed, format!("The tokenizer failed: {error}."))
                    })?;
                    if encoding.is_empty() {
                        let place = if texts.len() == 1 {
                            "input".to_owned()
                        } else {
                            format!("input[{index}]")
                        };
                        let message = format!("`{place}` holds nothing that this model reads.");
                        return Err(Failure::of(Code::EmptyInput, place, message));
                    }
                    Ok(encoding.get_ids().into())
                })
                .collect(),
            Input::Tokens(lists) => {
                let single = lists.len() == 1;
                let rows = lists.into_iter().enumerate();
                rows.map(|(index, ids)| {
                    self.check(&ids).map_err(|failure| {
                        // Whoever sent one list sees its elements at `input[…]`, whoever sent several at `input[0][…]`.
                        let place = failure.param.unwrap_or_default();
                        let row = if single {
                            String::new()
                        } else {
                            format!("[{index}]")
                        };
                        Failure {
                            param: Some(format!("input{row}{place}")),
                            ..failure
                        }
                    })?;
                    Ok(ids.into())
                })
                .collect()
            }
        }
    }

    fn check(&self, ids: &[u32]) -> Result<(), Failure> {
        if ids.len() > self.longest {
            return Err(Failure::new(
                Code::ContextLengthExceeded,
                format!(
                    "This model reads {} tokens, and the list has {}.",
                    self.longest,
                    ids.len()
                ),
            ));
        }
        match ids.iter().position(|&id| id > self.largest) {
            None => Ok(()),
            Some(index) => Err(Failure::of(
                Code::TokenOutOfRange,
                format!("[{index}]"),
                format!(
                    "{} is not a token of this model; its tokens are 0 to {}.",
                    ids[index], self.largest
                ),
            )),
        }
    }
}
