//! Texts into token ids.

use std::path::{Path, PathBuf};

use berth_domain::manifest::TextEmbedding;
use tokenizers::Tokenizer;

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

/// A tokenizer that neither cuts nor pads, and refuses what is longer than the manifest says.
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

    /// The token ids of every text, special tokens included. Asks before each whether it is still `wanted`.
    ///
    /// A row that is longer than the model reads is refused: a vector of its beginning would be taken for one of the whole.
    pub(crate) fn rows(
        &self,
        input: Input<'_>,
        wanted: impl Fn() -> Result<(), Failure>,
    ) -> Result<Vec<Row>, Failure> {
        match input {
            Input::Texts(texts) => {
                let place = |index| place(texts.len(), index);
                let texts = texts.iter().enumerate();
                texts
                    .map(|(index, text)| {
                        wanted()?;
                        self.encode(text, || place(index))
                    })
                    .collect()
            }
            Input::Tokens(lists) => {
                let count = lists.len();
                let rows = lists.into_iter().enumerate();
                rows.map(|(index, ids)| {
                    self.check(&ids, || place(count, index))?;
                    Ok(ids.into())
                })
                .collect()
            }
        }
    }

    fn encode(&self, text: &str, place: impl Fn() -> String) -> Result<Row, Failure> {
        let encoding = self
            .tokenizer
            .encode_fast(text, true)
            .map_err(|error| Failure::new(Code::ModelFailed, format!("The tokenizer failed: {error}.")))?;
        if encoding.is_empty() {
            let place = place();
            let message = format!("`{place}` holds nothing that this model reads.");
            return Err(Failure::of(Code::EmptyInput, place, message));
        }
        self.fit(encoding.len(), place)?;
        Ok(encoding.get_ids().into())
    }

    fn check(&self, ids: &[u32], place: impl Fn() -> String) -> Result<(), Failure> {
        self.fit(ids.len(), &place)?;
        match ids.iter().position(|&id| id > self.largest) {
            None => Ok(()),
            Some(index) => Err(Failure::of(
                Code::TokenOutOfRange,
                format!("{}[{index}]", place()),
                format!(
                    "{} is not a token of this model; its tokens are 0 to {}.",
                    ids[index], self.largest
                ),
            )),
        }
    }

    fn fit(&self, tokens: usize, place: impl Fn() -> String) -> Result<(), Failure> {
        if tokens <= self.longest {
            return Ok(());
        }
        let (place, longest) = (place(), self.longest);
        let message = format!("This model reads {longest} tokens at once, and `{place}` has {tokens}.");
        Err(Failure::of(Code::ContextLengthExceeded, place, message))
    }
}

/// Where a row stands in the body: whoever sent one sees it at `input`, whoever sent several at `input[0]`.
fn place(count: usize, index: usize) -> String {
    if count == 1 {
        "input".to_owned()
    } else {
        format!("input[{index}]")
    }
}
