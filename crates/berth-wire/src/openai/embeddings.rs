//! `POST /v1/embeddings`.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Texts to turn into vectors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingsRequest {
    /// The name of a deployment, or `name@version`.
    #[schema(example = "all-minilm-l6-v2")]
    pub model: String,
    /// One text, several texts, one text as token ids, or several texts as token ids.
    pub input: EmbeddingInput,
    /// How the vectors are written; `float` unless stated. Public clients ask for `base64` by themselves.
    #[serde(default)]
    #[schema(nullable = false)]
    pub encoding_format: Option<EncodingFormat>,
    /// The length that the vectors should have. Only the model's own length can be had.
    #[serde(default)]
    #[schema(nullable = false, minimum = 1)]
    pub dimensions: Option<u32>,
    /// The caller's name for its end user; accepted and not used.
    #[serde(default)]
    #[schema(nullable = false)]
    pub user: Option<String>,
}

/// What to embed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum EmbeddingInput {
    /// One text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// One text as token ids of the model's tokenizer.
    Tokens(Vec<u32>),
    /// Several texts as token ids.
    TokenLists(Vec<Vec<u32>>),
}

impl EmbeddingInput {
    /// How many vectors are asked for.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(_) | Self::Tokens(_) => 1,
            Self::Texts(texts) => texts.len(),
            Self::TokenLists(lists) => lists.len(),
        }
    }

    /// Whether no vector is asked for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

// By hand, since an untagged enum would hold the whole input twice and could not say which element is wrong.
impl<'de> Deserialize<'de> for EmbeddingInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InputVisitor)
    }
}

/// One element of a list: the first decides what the list is.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "each element of `input` is a text, a token id, or a list of token ids"
)]
enum Element {
    Text(String),
    Token(u32),
    Tokens(Vec<u32>),
}

struct InputVisitor;

impl<'de> Visitor<'de> for InputVisitor {
    type Value = EmbeddingInput;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a text, a list of texts, a list of token ids, or a list of lists of token ids")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<EmbeddingInput, E> {
        Ok(EmbeddingInput::Text(text.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<EmbeddingInput, E> {
        Ok(EmbeddingInput::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<EmbeddingInput, A::Error> {
        match list.next_element()? {
            None => Ok(EmbeddingInput::Texts(Vec::new())),
            Some(Element::Text(first)) => rest(first, list).map(EmbeddingInput::Texts),
            Some(Element::Token(first)) => rest(first, list).map(EmbeddingInput::Tokens),
            Some(Element::Tokens(first)) => rest(first, list).map(EmbeddingInput::TokenLists),
        }
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<EmbeddingInput, E> {
        Err(E::invalid_type(serde::de::Unexpected::Unit, &self))
    }
}

fn rest<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(first: T, mut list: A) -> Result<Vec<T>, A::Error> {
    let mut all = vec![first];
    while let Some(next) = list.next_element()? {
        all.push(next);
    }
    Ok(all)
}

/// How vectors are written in the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFormat {
    /// A list of numbers.
    #[default]
    Float,
    /// Base64 of the numbers as little-endian 32-bit floats.
    Base64,
}

/// The vectors, in the order of the input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EmbeddingsResponse {
    /// Always `list`.
    #[schema(pattern = "^list$", example = "list")]
    pub object: String,
    /// One vector for each text.
    pub data: Vec<Embedding>,
    /// The model, as the request named it.
    pub model: String,
    /// What was counted.
    pub usage: EmbeddingUsage,
}

impl EmbeddingsResponse {
    /// The answer with these vectors, in the order of the input.
    pub fn new(model: impl Into<String>, vectors: Vec<Vector>, prompt_tokens: u64) -> Self {
        Self {
            object: "list".to_owned(),
            data: (0..)
                .zip(vectors)
                .map(|(index, embedding)| Embedding {
                    object: "embedding".to_owned(),
                    index,
                    embedding,
                })
                .collect(),
            model: model.into(),
            usage: EmbeddingUsage {
                prompt_tokens,
                total_tokens: prompt_tokens,
            },
        }
    }
}

/// One vector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Embedding {
    /// Always `embedding`.
    #[schema(pattern = "^embedding$", example = "embedding")]
    pub object: String,
    /// Which text of the input this is, counted from 0.
    pub index: u32,
    /// The vector.
    pub embedding: Vector,
}

/// A vector in the form that the request asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Vector {
    /// A list of numbers.
    Float(Vec<f32>),
    /// Base64 of little-endian 32-bit floats.
    Base64(String),
}

impl Vector {
    /// `numbers` in the form `format`.
    pub fn new(numbers: Vec<f32>, format: EncodingFormat) -> Self {
        match format {
            EncodingFormat::Float => Self::Float(numbers),
            EncodingFormat::Base64 => {
                let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
                Self::Base64(BASE64_STANDARD.encode(bytes))
            }
        }
    }
}

/// What an embeddings request is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EmbeddingUsage {
    /// Tokens that were read, special tokens included.
    pub prompt_tokens: u64,
    /// The same: nothing is written.
    pub total_tokens: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(json: &str) -> Result<EmbeddingInput, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn four_forms_of_input_are_told_apart() {
        assert_eq!(input(r#""a""#), Ok(EmbeddingInput::Text("a".to_owned())));
        assert_eq!(
            input(r#"["a","b"]"#),
            Ok(EmbeddingInput::Texts(vec!["a".to_owned(), "b".to_owned()]))
        );
        assert_eq!(input("[1,2]"), Ok(EmbeddingInput::Tokens(vec![1, 2])));
        assert_eq!(
            input("[[1],[2,3]]"),
            Ok(EmbeddingInput::TokenLists(vec![vec![1], vec![2, 3]]))
        );
        assert_eq!(input("[]").map(|input| input.len()), Ok(0));
    }

    #[test]
    fn mixed_negative_and_other_inputs_are_refused() {
        for json in [
            r#"["a",1]"#,
            r#"[1,"a"]"#,
            "[-1]",
            "[1.5]",
            "[4294967296]",
            "null",
            "{}",
            "7",
            "[null]",
            "[[\"a\"]]",
        ] {
            assert!(input(json).is_err(), "{json} was accepted");
        }
    }

    #[test]
    fn unknown_field_is_refused() {
        let refused = serde_json::from_str::<EmbeddingsRequest>(r#"{"model":"m","input":"a","inputs":"b"}"#);
        assert!(refused.expect_err("refused").to_string().contains("inputs"));
    }

    #[test]
    fn base64_is_of_little_endian_floats() {
        assert_eq!(
            Vector::new(vec![1.0, -2.5], EncodingFormat::Base64),
            Vector::Base64("AACAPwAAIMA=".to_owned())
        );
    }

    #[test]
    fn answer_has_the_known_shape() {
        let answer = EmbeddingsResponse::new("m", vec![Vector::new(vec![0.5], EncodingFormat::Float)], 3);
        assert_eq!(
            serde_json::to_string(&answer).expect("serializes"),
            concat!(
                r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"#,
                r#""model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}"#
            )
        );
    }
}
