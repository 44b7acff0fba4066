//! Numbers of bytes as people write them: `512KiB`, `64MiB`, `10GB`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The units that are read; shown are only those of 1024, largest first.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// So many kibibytes.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// So many mebibytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// So many gibibytes.
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// How many bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// How many bytes, as a length in memory; the largest one where the number does not fit.
    pub fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A text that is no number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a size such as `512KiB`, `64MiB` or `10GiB`")]
pub struct NotASize;

impl FromStr for Size {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, NotASize> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let &(_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(NotASize)?;
        let count: u64 = number.parse().map_err(|_| NotASize)?;
        count.checked_mul(size).map(Self).ok_or(NotASize)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |size: u64| self.0 >= size && self.0.is_multiple_of(size);
        let (unit, size) = UNITS[..5]
            .iter()
            .copied()
            .find(|&(_, size)| exact(size))
            .unwrap_or(("B", 1));
        write!(out, "{}{unit}", self.0 / size)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer).map_err(|_| D::Error::custom(NotASize))?;
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^[0-9]+(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_with_a_unit() {
        for (text, bytes) in [
            ("0B", 0),
            ("10B", 10),
            ("512KiB", 524_288),
            ("64MiB", 67_108_864),
            ("1GB", 1_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Size::bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn texts_that_are_no_size_are_refused() {
        for text in [
            "",
            "1",
            "MiB",
            "1.5GiB",
            "-1B",
            "1 MiB",
            "1mib",
            "1M",
            "99999999999TiB",
            "1é",
        ] {
            assert_eq!(text.parse::<Size>(), Err(NotASize), "{text:?}");
        }
    }

    #[test]
    fn shown_form_reads_back_as_the_same_size() {
        for bytes in [0, 1, 1_000, 1_024, 1_536, 1 << 20, (1 << 40) + 1] {
            let size = Size::bytes(bytes);
            assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
