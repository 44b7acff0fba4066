//! What nodes tell each other when keys change.
//!
//! Every change to keys moves the counter `keys` of the database on by one in its own transaction. The push through
//! coordination carries the counter's new value with the public ids that changed, so a node that got every push knows,
//! when it reads the counter, that it has missed nothing and may keep the rest of its cache.

use std::fmt;
use std::str::FromStr;

use crate::key_text::PublicId;

/// One message on the topic `keys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Announcement {
    /// Keys changed.
    Changed {
        /// The counter's value after the change.
        value: i64,
        /// Which keys.
        keys: Keys,
    },
    /// Nothing changed: a node tests whether it still hears anything.
    Heartbeat(u64),
}

/// The keys that a change touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Any of them.
    All,
    /// These.
    These(Vec<PublicId>),
}

impl fmt::Display for Announcement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed {
                value,
                keys: Keys::All,
            } => write!(out, "{value}:*"),
            Self::Changed {
                value,
                keys: Keys::These(keys),
            } => {
                write!(out, "{value}:")?;
                for (place, key) in keys.iter().enumerate() {
                    write!(out, "{}{key}", if place == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::Heartbeat(nonce) => write!(out, ".{nonce}"),
        }
    }
}

/// A message of another form: another version of Berth sent it. The reader should take everything as changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an announcement of a form that this version does not know")]
pub(crate) struct Unknown;

impl FromStr for Announcement {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        if let Some(nonce) = text.strip_prefix('.') {
            return nonce.parse().map(Self::Heartbeat).map_err(|_| Unknown);
        }
        let (value, keys) = text.split_once(':').ok_or(Unknown)?;
        let value = value.parse().map_err(|_| Unknown)?;
        let keys = if keys == "*" {
            Keys::All
        } else {
            let ids = keys.split(',').map(str::parse).collect::<Result<_, _>>();
            Keys::These(ids.map_err(|_| Unknown)?)
        };
        Ok(Self::Changed { value, keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_survive_their_text_form() {
        let id = |text: &str| text.parse().expect("a public id");
        for (announcement, text) in [
            (Announcement::Heartbeat(7), ".7"),
            (
                Announcement::Changed {
                    value: 41,
                    keys: Keys::All,
                },
                "41:*",
            ),
            (
                Announcement::Changed {
                    value: 42,
                    keys: Keys::These(vec![id("0123456789abcdef"), id("ABCDEFGHIJKLMNOP")]),
                },
                "42:0123456789abcdef,ABCDEFGHIJKLMNOP",
            ),
        ] {
            assert_eq!(announcement.to_string(), text);
            assert_eq!(text.parse(), Ok(announcement));
        }
    }

    #[test]
    fn other_texts_are_no_announcements() {
        for text in [
            "",
            ":",
            ".",
            ".x",
            "*",
            "41",
            "41:",
            "x:*",
            "41:short",
            "41:0123456789abcdef,",
        ] {
            assert_eq!(text.parse::<Announcement>(), Err(Unknown), "{text:?}");
        }
    }
}
