//! Names that people choose: short handles for models, deployments, projects and organizations; titles; e-mail addresses.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// A text that does not fit the kind of name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a handle.
    #[error(
        "a name has 1 to 64 characters, small letters, digits, `-`, `_` and `.`, and begins and ends with a letter or digit"
    )]
    Handle,
    /// Not a title.
    #[error("a title has 1 to 200 characters, none of them a control character, and is not blank")]
    Title,
    /// Not an e-mail address.
    #[error("an e-mail address has the form `name@host`, at most 254 characters, without spaces")]
    Email,
}

fn handle(text: &str) -> Result<String, Error> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let fits = (1..=64).contains(&bytes.len())
        && bytes
            .iter()
            .all(|&byte| inner(byte) || matches!(byte, b'-' | b'_' | b'.'))
        && inner(bytes[0])
        && inner(bytes[bytes.len() - 1]);
    if fits {
        Ok(text.to_owned())
    } else {
        Err(Error::Handle)
    }
}

fn title(text: &str) -> Result<String, Error> {
    let text = text.trim();
    let fits = (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fits {
        Ok(text.to_owned())
    } else {
        Err(Error::Title)
    }
}

fn email(text: &str) -> Result<String, Error> {
    let text = text.trim();
    let plain = text.len() <= 254
        && !text
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';'));
    match text.rsplit_once('@') {
        Some((name, host))
            if plain
                && !name.is_empty()
                && !name.contains('@')
                && !host.is_empty()
                && !host.starts_with('.')
                && !host.ends_with('.') =>
        {
            Ok(text.to_lowercase())
        }
        _ => Err(Error::Email),
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $parse:ident, $schema:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                $parse(text).map(Self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                let text = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::schema::Type::String);
                let shape: fn(utoipa::openapi::ObjectBuilder) -> utoipa::openapi::ObjectBuilder = $schema;
                shape(text).into()
            }
        }

        impl utoipa::ToSchema for $name {}
    )*};
}

names! {
    /// A handle: what stands in URLs and in the `model` field. Small letters, digits, `-`, `_`, `.`; 1 to 64 characters.
    Handle, handle, |text| text.pattern(Some("^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$")).max_length(Some(64));
    /// A title for people to read; 1 to 200 characters.
    Title, title, |text| text.min_length(Some(1)).max_length(Some(200));
    /// An e-mail address, in lower case, by which a person signs in.
    Email, email, |text| text.max_length(Some(254));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_small_letters_digits_and_inner_punctuation() {
        for good in ["a", "all-minilm-l6-v2", "gpt.4_1", &"x".repeat(64)] {
            assert!(good.parse::<Handle>().is_ok(), "{good:?}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a b",
            "a/b",
            "a@1",
            "é",
            "..",
            &"x".repeat(65),
        ] {
            assert_eq!(bad.parse::<Handle>(), Err(Error::Handle), "{bad:?}");
        }
    }

    #[test]
    fn titles_are_trimmed_and_keep_every_script() {
        assert_eq!(
            "  Größe 模型 ".parse::<Title>().map(|title| title.to_string()),
            Ok("Größe 模型".to_owned())
        );
        for bad in ["", "   ", "a\u{7}b", &"x".repeat(201)] {
            assert_eq!(bad.parse::<Title>(), Err(Error::Title), "{bad:?}");
        }
    }

    #[test]
    fn email_addresses_are_compared_in_lower_case() {
        assert_eq!(
            "Ada@Example.COM".parse::<Email>().map(|email| email.to_string()),
            Ok("ada@example.com".to_owned())
        );
        for bad in ["", "ada", "@x", "ada@", "a b@x", "a@b@c", "ada@.x", "<ada@x>"] {
            assert_eq!(bad.parse::<Email>(), Err(Error::Email), "{bad:?}");
        }
    }
}
