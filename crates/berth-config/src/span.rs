//! Lengths of time as people write them: `250ms`, `30s`, `1h30m`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The units, largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A length of time, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(u64);

impl Span {
    /// So many milliseconds.
    pub const fn milliseconds(count: u64) -> Self {
        Self(count)
    }

    /// So many seconds.
    pub const fn seconds(count: u64) -> Self {
        Self(count * 1_000)
    }

    /// So many minutes.
    pub const fn minutes(count: u64) -> Self {
        Self::seconds(count * 60)
    }

    /// So many hours.
    pub const fn hours(count: u64) -> Self {
        Self::minutes(count * 60)
    }

    /// So many days.
    pub const fn days(count: u64) -> Self {
        Self::hours(count * 24)
    }

    /// The standard library's form.
    pub const fn get(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// Whether it has no length.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.get()
    }
}

/// A text that is no length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a length of time such as `250ms`, `30s`, `10m`, `1h30m` or `7d`")]
pub struct NotASpan;

impl FromStr for Span {
    type Err = NotASpan;

    fn from_str(text: &str) -> Result<Self, NotASpan> {
        let mut rest = text.trim();
        let mut total = 0_u64;
        let mut largest_allowed = u64::MAX;
        if rest.is_empty() {
            return Err(NotASpan);
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(letters);
            let &(_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(NotASpan)?;
            if size >= largest_allowed {
                return Err(NotASpan);
            }
            largest_allowed = size;
            let count: u64 = number.parse().map_err(|_| NotASpan)?;
            let part = count.checked_mul(size).ok_or(NotASpan)?;
            total = total.checked_add(part).ok_or(NotASpan)?;
            rest = tail;
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return out.write_str("0s");
        }
        let mut rest = self.0;
        for (name, size) in UNITS {
            if rest >= size {
                write!(out, "{}{name}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer).map_err(|_| D::Error::custom(NotASpan))?;
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^([0-9]+(d|h|m|s|ms))+$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_numbers_with_units_in_falling_order() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("250ms", 250),
            ("30s", 30_000),
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            (" 1s500ms ", 1_500),
        ] {
            assert_eq!(text.parse(), Ok(Span::milliseconds(milliseconds)), "{text}");
        }
    }

    #[test]
    fn texts_that_are_no_span_are_refused() {
        for text in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "30m1h",
            "1s1s",
            "1y",
            "99999999999999999999s",
            "1s2",
            "1é",
        ] {
            assert_eq!(text.parse::<Span>(), Err(NotASpan), "{text:?}");
        }
    }

    #[test]
    fn shown_form_reads_back_as_the_same_span() {
        for milliseconds in [0, 1, 999, 1_000, 61_000, 5_400_000, 86_400_001] {
            let span = Span::milliseconds(milliseconds);
            assert_eq!(span.to_string().parse(), Ok(span));
        }
    }
}
