//! Lists of numbers, read in one go: their grammar is checked and their values are computed in the same step.

use berth_domain::tensor::Datatype;
use berth_inference::Tensor;
use berth_inference::tensor::{Elements, count};

/// The tensor of this type and shape whose elements are `text`: a JSON list of numbers, flat or nested like the shape. `None` when
/// it is anything else; the reader of all values says what is wrong with it, if anything is.
pub(super) fn tensor(text: &[u8], datatype: Datatype, shape: &[usize]) -> Option<Tensor> {
    let elements: Elements = match datatype {
        Datatype::Uint8 => list::<u8>(text, shape)?.into(),
        Datatype::Uint16 => list::<u16>(text, shape)?.into(),
        Datatype::Uint32 => list::<u32>(text, shape)?.into(),
        Datatype::Uint64 => list::<u64>(text, shape)?.into(),
        Datatype::Int8 => list::<i8>(text, shape)?.into(),
        Datatype::Int16 => list::<i16>(text, shape)?.into(),
        Datatype::Int32 => list::<i32>(text, shape)?.into(),
        Datatype::Int64 => list::<i64>(text, shape)?.into(),
        Datatype::Fp32 => list::<f32>(text, shape)?.into(),
        Datatype::Fp64 => list::<f64>(text, shape)?.into(),
        Datatype::Bool | Datatype::Bytes | Datatype::Fp16 | Datatype::Bf16 => return None,
    };
    Tensor::new(shape.to_vec(), elements).ok()
}

fn list<T: Number>(text: &[u8], shape: &[usize]) -> Option<Vec<T>> {
    let count = count(shape)?;
    // An element takes two bytes at least, so a shape that promises more than there is reserves nothing.
    let mut elements = Vec::with_capacity(count.min(text.len() / 2 + 1));
    let is_nested = text.get(1..)?.trim_ascii_start().starts_with(b"[");
    let flat = [count];
    let extents = if is_nested { shape } else { &flat };
    let mut cursor = Cursor(text);
    cursor.level(extents, &mut elements)?;
    (cursor.0.is_empty() && elements.len() == count).then_some(elements)
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// Reads a list of `extents[0]` values: numbers, or lists where more extents follow.
    fn level<T: Number>(&mut self, extents: &[usize], elements: &mut Vec<T>) -> Option<()> {
        let (&extent, inner) = extents.split_first()?;
        self.step(b'[')?;
        for index in 0..extent {
            if index > 0 {
                self.step(b',')?;
            }
            self.space();
            if inner.is_empty() {
                elements.push(self.number()?);
            } else {
                self.level(inner, elements)?;
            }
        }
        self.step(b']')
    }

    fn space(&mut self) {
        while let Some((b' ' | b'\n' | b'\t' | b'\r', rest)) = self.0.split_first() {
            self.0 = rest;
        }
    }

    fn step(&mut self, wanted: u8) -> Option<()> {
        if self.0.first() != Some(&wanted) {
            self.space();
        }
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        (first == wanted).then_some(())
    }

    /// Reads a number: `-`, digits without a needless zero, a fraction, an exponent (RFC 8259, section 6).
    fn number<T: Number>(&mut self) -> Option<T> {
        let text = self.0;
        let mut at = 0;
        let negative = text.first() == Some(&b'-');
        at += usize::from(negative);
        let mut digits = Digits::default();
        let whole = digits.read(&text[at..]);
        if whole == 0 || (whole > 1 && text[at] == b'0') {
            return None;
        }
        at += whole;
        let mut exponent = 0i32;
        let mut is_whole = true;
        if text.get(at) == Some(&b'.') {
            let fraction = digits.read(&text[at + 1..]);
            if fraction == 0 {
                return None;
            }
            at += 1 + fraction;
            exponent = -i32::try_from(fraction).ok()?;
            is_whole = false;
        }
        if let Some(b'e' | b'E') = text.get(at) {
            let sign = text.get(at + 1);
            let signed = usize::from(matches!(sign, Some(b'+' | b'-')));
            let mut power = Digits::default();
            let length = power.read(&text[at + 1 + signed..]);
            if length == 0 {
                return None;
            }
            let power = i32::try_from(power.exactly()?).ok()?;
            exponent = exponent.checked_add(if sign == Some(&b'-') { -power } else { power })?;
            at += 1 + signed + length;
            is_whole = false;
        }
        let (number, rest) = text.split_at(at);
        self.0 = rest;
        let parts = Parts {
            negative,
            digits: digits.exactly(),
            exponent,
            is_whole,
        };
        T::of(&parts, number)
    }
}

/// Decimal digits, as a number as long as there are few enough.
#[derive(Default)]
struct Digits {
    value: u64,
    count: usize,
}

impl Digits {
    /// As many as any number in 64 bits holds.
    const MOST: usize = 19;

    /// Reads the digits at the beginning of `text`, and says how many there are.
    fn read(&mut self, text: &[u8]) -> usize {
        let mut length = 0;
        while let Some(digit) = text.get(length).map(|byte| byte.wrapping_sub(b'0'))
            && digit < 10
        {
            self.value = self.value.wrapping_mul(10).wrapping_add(u64::from(digit));
            length += 1;
        }
        self.count += length;
        length
    }

    fn exactly(&self) -> Option<u64> {
        (self.count <= Self::MOST).then_some(self.value)
    }
}

/// A number as it is written.
struct Parts {
    negative: bool,
    /// All digits, unless they are too many.
    digits: Option<u64>,
    /// The power of ten by which they are multiplied.
    exponent: i32,
    /// Whether there is neither a fraction nor an exponent.
    is_whole: bool,
}

/// What a number can be read as.
trait Number: Sized {
    /// The value of `parts`, which are written as `text`.
    fn of(parts: &Parts, text: &[u8]) -> Option<Self>;
}

macro_rules! integers {
    ($($type:ty)*) => {
        $(impl Number for $type {
            fn of(parts: &Parts, text: &[u8]) -> Option<Self> {
                if !parts.is_whole {
                    return None;
                }
                match parts.digits {
                    Some(digits) if parts.negative => Self::try_from(-i128::from(digits)).ok(),
                    Some(digits) => Self::try_from(digits).ok(),
                    None => std::str::from_utf8(text).ok()?.parse().ok(),
                }
            }
        })*
    };
}

integers! { u8 u16 u32 u64 i8 i16 i32 i64 }

impl Number for f64 {
    fn of(parts: &Parts, text: &[u8]) -> Option<Self> {
        exact(parts).or_else(|| slowly(text))
    }
}

impl Number for f32 {
    fn of(parts: &Parts, text: &[u8]) -> Option<Self> {
        /// Halfway between two neighbors, by the bits of an `f64` that an `f32` has no room for.
        const HALFWAY: u64 = 1 << 28;
        exact(parts)
            .filter(|value| {
                // Rounding twice is rounding once, unless the first time ends halfway between two of the coarser numbers.
                let size = value.abs();
                let is_usual = size >= f64::from(Self::MIN_POSITIVE) && size <= f64::from(Self::MAX);
                size == 0.0 || (is_usual && value.to_bits() & (2 * HALFWAY - 1) != HALFWAY)
            })
            .map(|value| {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "rounded to the nearest, as wanted"
                )]
                let rounded = value as Self;
                rounded
            })
            .or_else(|| slowly(text))
    }
}

/// The nearest number, where one multiplication or division of two exact ones gives it (Clinger, How to Read Floating Point
/// Numbers Accurately, 1990).
fn exact(parts: &Parts) -> Option<f64> {
    const POWERS: [f64; 23] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
        1e18, 1e19, 1e20, 1e21, 1e22,
    ];
    let digits = parts.digits.filter(|&digits| digits <= 1 << 53)?;
    #[expect(clippy::cast_precision_loss, reason = "whole numbers up to 2^53 are exact")]
    let digits = digits as f64;
    let power = *POWERS.get(usize::try_from(parts.exponent.unsigned_abs()).ok()?)?;
    let size = if parts.exponent < 0 {
        digits / power
    } else {
        digits * power
    };
    Some(if parts.negative { -size } else { size })
}

fn slowly<F: std::str::FromStr + Into<f64> + Copy>(text: &[u8]) -> Option<F> {
    let value: F = std::str::from_utf8(text).ok()?.parse().ok()?;
    value.into().is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn floats(text: &str, shape: &[usize]) -> Option<Vec<f32>> {
        list(text.as_bytes(), shape)
    }

    #[test]
    fn lists_are_read_flat_and_nested() {
        assert_eq!(floats("[1, -2.5e1 ,0.125]", &[3]), Some(vec![1.0, -25.0, 0.125]));
        assert_eq!(floats("[ ]", &[0]), Some(vec![]));
        assert_eq!(
            floats("[[1,2],\n[3,4] ]", &[2, 2]),
            Some(vec![1.0, 2.0, 3.0, 4.0])
        );
        assert_eq!(floats("[1,2,3,4]", &[2, 2]), Some(vec![1.0, 2.0, 3.0, 4.0]));
        assert_eq!(list::<u64>(b"[18446744073709551615]", &[1]), Some(vec![u64::MAX]));
        assert_eq!(list::<i64>(b"[-9223372036854775808]", &[1]), Some(vec![i64::MIN]));
    }

    #[test]
    fn anything_else_is_left_to_the_other_reader() {
        for text in [
            "[1,2",
            "[1,,2]",
            "[1 2]",
            "[,1]",
            "[1,2,]",
            "[1,2],",
            "[1,2]x",
            "[01,2]",
            "[+1,2]",
            "[1.,2]",
            "[.5,2]",
            "[1e,2]",
            "[1e+,2]",
            "[-,2]",
            "[NaN,2]",
            "[inf,2]",
            "[1,\"2\"]",
            "[1,null]",
            "[1e39,2]",
            "[1,2,3]",
            "[1]",
            "[[1,2]]",
            "[[1],[2]]",
            "1,2",
            "",
            "[",
            "\u{a0}[1,2]",
            "[1,\u{b}2]",
        ] {
            assert_eq!(floats(text, &[2]), None, "{text}");
        }
        assert_eq!(list::<u8>(b"[256]", &[1]), None);
        assert_eq!(list::<u8>(b"[-1]", &[1]), None);
        assert_eq!(list::<i32>(b"[1.0]", &[1]), None);
        assert_eq!(list::<i32>(b"[1e2]", &[1]), None);
        assert_eq!(floats("[[1,2],[3]]", &[2, 2]), None);
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_standard_library(
            text in "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?"
        ) {
            let list = format!("[{text}]");
            let single = text.parse::<f32>().ok().filter(|value| value.is_finite());
            let read = super::list::<f32>(list.as_bytes(), &[1]).map(|values| values[0]);
            prop_assert_eq!(read.map(f32::to_bits), single.map(f32::to_bits));
            let double = text.parse::<f64>().ok().filter(|value| value.is_finite());
            let read = super::list::<f64>(list.as_bytes(), &[1]).map(|values| values[0]);
            prop_assert_eq!(read.map(f64::to_bits), double.map(f64::to_bits));
            let whole = text.parse::<i64>().ok();
            let read = super::list::<i64>(list.as_bytes(), &[1]).map(|values| values[0]);
            prop_assert_eq!(read, whole);
        }

        #[test]
        fn floats_of_any_bits_come_back(bits: u32) {
            let value = f32::from_bits(bits);
            prop_assume!(value.is_finite());
            for text in [format!("[{value}]"), format!("[{value:e}]"), format!("[{:e}]", f64::from(value))] {
                let read = super::list::<f32>(text.as_bytes(), &[1]).map(|values| values[0].to_bits());
                prop_assert_eq!(read, Some(bits), "{}", text);
            }
        }
    }
}
