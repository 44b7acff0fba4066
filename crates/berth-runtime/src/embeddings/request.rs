//! The body of the request.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::failure::{Code, Failure};
use crate::json::{self, Object};

/// Most texts in one request, as OpenAI has it.
const ROW_LIMIT: usize = 2048;

/// Most bytes of one text: far beyond what a model reads, and not yet slow to tokenize.
const TEXT_LIMIT_BYTES: usize = 1 << 20;

/// What is asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Request<'a> {
    pub(crate) input: Input<'a>,
    /// Whether the vectors are written in base64.
    pub(crate) base64: bool,
}

/// What to embed: at least one text, none of them empty.
#[derive(Debug, PartialEq)]
pub(crate) enum Input<'a> {
    Texts(Vec<Cow<'a, str>>),
    Tokens(Vec<Vec<u32>>),
}

impl<'a> Request<'a> {
    /// Reads the body for a model whose vectors have `dimensions` numbers.
    pub(crate) fn parse(body: &'a [u8], dimensions: u32) -> Result<Self, Failure> {
        let mut object = Object::body(body)?;
        // Its value was used to find this model, and the answer shows what the router says.
        json::text("model", object.required("model")?)?;
        if let Some(value) = object.optional("user") {
            json::text("user", value)?;
        }
        let base64 = match object.optional("encoding_format") {
            None => false,
            Some(value) => match &*json::text("encoding_format", value)? {
                "float" => false,
                "base64" => true,
                _ => {
                    let message = "`encoding_format` has to be `float` or `base64`.";
                    return Err(Failure::of(Code::InvalidValue, "encoding_format", message));
                }
            },
        };
        if let Some(value) = object.optional("dimensions") {
            let Ok(wanted) = serde_json::from_str::<u32>(value.get()) else {
                return Err(json::wrong_type("dimensions", "a positive whole number"));
            };
            if wanted != dimensions {
                return Err(Failure::of(
                    Code::UnsupportedParameter,
                    "dimensions",
                    format!(
                        "The vectors of this model have {dimensions} numbers; another length cannot be had."
                    ),
                ));
            }
        }
        let input = input(object.required("input")?)?;
        object.finish()?;
        Ok(Self { input, base64 })
    }
}

fn input(value: &RawValue) -> Result<Input<'_>, Failure> {
    if value.get().starts_with('"') {
        return Ok(Input::Texts(vec![text("input", value)?]));
    }
    let elements = json::list("input", value).map_err(|_| {
        json::wrong_type(
            "input",
            "a text, a list of texts, a list of token ids, or a list of such lists",
        )
    })?;
    let Some(first) = elements.first() else {
        return Err(empty("input", "list"));
    };
    let first = first.get();
    if first.starts_with('"') {
        let texts = rows(&elements)?.map(|(path, element)| text(&path, element));
        return texts.collect::<Result<_, _>>().map(Input::Texts);
    }
    if first.starts_with('[') {
        let lists = rows(&elements)?.map(|(path, element)| tokens(&path, &json::list(&path, element)?));
        return lists.collect::<Result<_, _>>().map(Input::Tokens);
    }
    Ok(Input::Tokens(vec![tokens("input", &elements)?]))
}

/// The elements of a list of rows, each with where it stands.
fn rows<'e, 'a>(
    elements: &'e [&'a RawValue],
) -> Result<impl Iterator<Item = (String, &'a RawValue)> + use<'e, 'a>, Failure> {
    if elements.len() > ROW_LIMIT {
        return Err(Failure::of(
            Code::TooManyInputs,
            "input",
            format!(
                "`input` may have {ROW_LIMIT} elements at most, and it has {}.",
                elements.len()
            ),
        ));
    }
    let numbered = elements.iter().enumerate();
    Ok(numbered.map(|(index, &element)| (format!("input[{index}]"), element)))
}

fn text<'a>(path: &str, value: &'a RawValue) -> Result<Cow<'a, str>, Failure> {
    let text = json::text(path, value)?;
    if text.is_empty() {
        return Err(empty(path, "text"));
    }
    if text.len() > TEXT_LIMIT_BYTES {
        return Err(Failure::of(
            Code::TextTooLong,
            path,
            format!(
                "`{path}` has {} bytes, and a text may have {TEXT_LIMIT_BYTES}.",
                text.len()
            ),
        ));
    }
    Ok(text)
}

fn tokens(path: &str, elements: &[&RawValue]) -> Result<Vec<u32>, Failure> {
    if elements.is_empty() {
        return Err(empty(path, "list"));
    }
    let numbered = elements.iter().enumerate();
    let ids = numbered.map(|(index, element)| {
        element.get().parse().map_err(|_| {
            let path = format!("{path}[{index}]");
            // A number that is too large or negative is still a number.
            if serde_json::from_str::<i64>(element.get()).is_ok() {
                Failure::of(
                    Code::TokenOutOfRange,
                    &path,
                    format!("`{path}` is not a token of this model."),
                )
            } else {
                json::wrong_type(&path, "a token id")
            }
        })
    });
    ids.collect()
}

fn empty(path: &str, what: &str) -> Failure {
    Failure::of(Code::EmptyInput, path, format!("`{path}` is an empty {what}."))
}

#[cfg(test)]
mod tests {
    use berth_wire::openai::{EmbeddingsRequest, EncodingFormat};

    use super::*;

    fn parse(body: &str) -> Result<Request<'_>, (Code, Option<String>)> {
        Request::parse(body.as_bytes(), 384).map_err(|failure| (failure.code, failure.param))
    }

    fn input_of(input: &str) -> Result<String, (Code, Option<String>)> {
        let body = format!(r#"{{"model":"m","input":{input}}}"#);
        parse(&body).map(|request| format!("{:?}", request.input))
    }

    #[test]
    fn four_forms_of_input_are_read() {
        for (input, read) in [
            (r#""a""#, r#"Texts(["a"])"#),
            (r#"["a","\u0062"]"#, r#"Texts(["a", "b"])"#),
            ("[1, 2]", "Tokens([[1, 2]])"),
            ("[[1], [2, 3]]", "Tokens([[1], [2, 3]])"),
        ] {
            assert_eq!(input_of(input).as_deref(), Ok(read));
        }
    }

    #[test]
    fn bad_input_names_the_code_and_the_element() {
        for (input, code, param) in [
            (r#""""#, Code::EmptyInput, "input"),
            ("[]", Code::EmptyInput, "input"),
            (r#"["a",""]"#, Code::EmptyInput, "input[1]"),
            ("[[1],[]]", Code::EmptyInput, "input[1]"),
            (r#"["a",1]"#, Code::InvalidType, "input[1]"),
            (r#"[1,"a"]"#, Code::InvalidType, "input[1]"),
            (r#"[[1],"a"]"#, Code::InvalidType, "input[1]"),
            (r#"[["a"]]"#, Code::InvalidType, "input[0][0]"),
            ("[null]", Code::InvalidType, "input[0]"),
            ("[1.5]", Code::InvalidType, "input[0]"),
            ("[-1]", Code::TokenOutOfRange, "input[0]"),
            ("[4294967296]", Code::TokenOutOfRange, "input[0]"),
            ("{}", Code::InvalidType, "input"),
            ("7", Code::InvalidType, "input"),
            (r#""\udc00""#, Code::InvalidValue, "input"),
            ("null", Code::MissingParameter, "input"),
        ] {
            assert_eq!(input_of(input), Err((code, Some(param.to_owned()))), "{input}");
        }
        let many = format!("[{}]", vec![r#""a""#; ROW_LIMIT + 1].join(","));
        assert_eq!(
            input_of(&many),
            Err((Code::TooManyInputs, Some("input".to_owned())))
        );
        let long = format!("\"{}\"", "a".repeat(TEXT_LIMIT_BYTES + 1));
        assert_eq!(
            input_of(&long),
            Err((Code::TextTooLong, Some("input".to_owned())))
        );
    }

    #[test]
    fn bad_fields_are_named() {
        for (fields, code, param) in [
            (r#""model":"m""#, Code::MissingParameter, "input"),
            (r#""input":"a""#, Code::MissingParameter, "model"),
            (r#""model":1,"input":"a""#, Code::InvalidType, "model"),
            (
                r#""model":"m","input":"a","inputs":"b""#,
                Code::UnknownParameter,
                "inputs",
            ),
            (
                r#""model":"m","input":"a","input":"b""#,
                Code::DuplicateParameter,
                "input",
            ),
            (r#""model":"m","input":"a","user":1"#, Code::InvalidType, "user"),
            (
                r#""model":"m","input":"a","encoding_format":"hex""#,
                Code::InvalidValue,
                "encoding_format",
            ),
            (
                r#""model":"m","input":"a","encoding_format":1"#,
                Code::InvalidType,
                "encoding_format",
            ),
            (
                r#""model":"m","input":"a","dimensions":"384""#,
                Code::InvalidType,
                "dimensions",
            ),
            (
                r#""model":"m","input":"a","dimensions":-1"#,
                Code::InvalidType,
                "dimensions",
            ),
            (
                r#""model":"m","input":"a","dimensions":256"#,
                Code::UnsupportedParameter,
                "dimensions",
            ),
        ] {
            assert_eq!(
                parse(&format!("{{{fields}}}")),
                Err((code, Some(param.to_owned()))),
                "{fields}"
            );
        }
    }

    #[test]
    fn everything_that_the_public_description_allows_is_read() {
        let body = r#"{"model":"m","input":["a"],"encoding_format":"base64","dimensions":384,"user":"u"}"#;
        let public: EmbeddingsRequest = serde_json::from_str(body).expect("the public form");
        assert_eq!(public.encoding_format, Some(EncodingFormat::Base64));
        let written = serde_json::to_string(&public).expect("serializes");
        assert_eq!(parse(&written), parse(body));
        assert!(parse(body).is_ok_and(|request| request.base64));
    }
}
