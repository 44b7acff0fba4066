//! The elements of a tensor, read from JSON that is known to be well-formed: flat, or nested like the shape.

use std::fmt;

use berth_domain::tensor::Datatype;
use berth_inference::Tensor;
use berth_inference::tensor::{Elements, count};
use serde_json::value::RawValue;

use crate::failure::{Code, Failure};

/// The tensor of this type and shape whose elements are `value`, which stands at `field`.
pub(super) fn tensor(
    field: &str,
    value: &RawValue,
    datatype: Datatype,
    shape: Vec<usize>,
) -> Result<Tensor, Failure> {
    let reader = Reader {
        rest: value.get().as_bytes(),
        field,
        shape: &shape,
    };
    let elements: Elements = match datatype {
        Datatype::Bool => reader.read(truth)?.into(),
        Datatype::Uint8 => reader.read(integer::<u8>)?.into(),
        Datatype::Uint16 => reader.read(integer::<u16>)?.into(),
        Datatype::Uint32 => reader.read(integer::<u32>)?.into(),
        Datatype::Uint64 => reader.read(integer::<u64>)?.into(),
        Datatype::Int8 => reader.read(integer::<i8>)?.into(),
        Datatype::Int16 => reader.read(integer::<i16>)?.into(),
        Datatype::Int32 => reader.read(integer::<i32>)?.into(),
        Datatype::Int64 => reader.read(integer::<i64>)?.into(),
        Datatype::Fp32 => reader.read(float::<f32>)?.into(),
        Datatype::Fp64 => reader.read(float::<f64>)?.into(),
        Datatype::Bytes => reader.read(string)?.into(),
        Datatype::Fp16 | Datatype::Bf16 => {
            let message = format!("{} has no JSON form.", datatype.as_str());
            return Err(Failure::of(Code::DatatypeWithoutJsonForm, field, message));
        }
    };
    Tensor::new(shape, elements).map_err(|error| {
        Failure::of(
            Code::DataMismatch,
            field,
            format!("The tensor is wrong: {error}."),
        )
    })
}

/// Why one element is refused; the reader says which one.
enum Refused {
    Type(&'static str),
    Range(&'static str),
}

/// Reads one element from the text of a JSON scalar.
type Parse<T> = fn(&str) -> Result<T, Refused>;

struct Reader<'a> {
    rest: &'a [u8],
    field: &'a str,
    shape: &'a [usize],
}

impl<'a> Reader<'a> {
    fn read<T>(mut self, parse: Parse<T>) -> Result<Vec<T>, Failure> {
        let Some(count) = count(self.shape) else {
            let message = format!("The shape {:?} is too large.", self.shape);
            return Err(Failure::of(Code::DataMismatch, self.field, message));
        };
        // An element takes two bytes at least, so a shape that promises more than there is reserves nothing.
        let mut elements = Vec::with_capacity(count.min(self.rest.len() / 2 + 1));
        if self.shape.is_empty() && self.peek() != Some(b'[') {
            self.element(parse, &mut elements)?;
        } else if self.shape.len() > 1 && self.is_nested() {
            self.nested(0, parse, &mut elements)?;
        } else {
            self.flat(count, parse, &mut elements)?;
        }
        Ok(elements)
    }

    /// Whether a list begins here whose first element is a list.
    fn is_nested(&self) -> bool {
        let inside = self.rest.trim_ascii_start().strip_prefix(b"[");
        inside.is_some_and(|inside| inside.trim_ascii_start().starts_with(b"["))
    }

    fn flat<T>(&mut self, count: usize, parse: Parse<T>, elements: &mut Vec<T>) -> Result<(), Failure> {
        self.open("a list")?;
        let mut found = 0;
        while !self.closes() {
            if found == count {
                return Err(self.mismatch(format_args!("`{}` holds more than {count} elements", self.field)));
            }
            self.element(parse, elements)?;
            found += 1;
            self.comma();
        }
        if found < count {
            return Err(self.mismatch(format_args!("`{}` holds {found} elements", self.field)));
        }
        Ok(())
    }

    fn nested<T>(&mut self, level: usize, parse: Parse<T>, elements: &mut Vec<T>) -> Result<(), Failure> {
        let Some(&extent) = self.shape.get(level) else {
            return self.element(parse, elements);
        };
        self.open("lists that are nested like `shape`")?;
        let mut found = 0;
        while !self.closes() {
            if found == extent {
                return Err(self.mismatch(format_args!(
                    "a list of dimension {level} holds more than {extent} elements"
                )));
            }
            self.nested(level + 1, parse, elements)?;
            found += 1;
            self.comma();
        }
        if found < extent {
            return Err(self.mismatch(format_args!("a list of dimension {level} holds {found} elements")));
        }
        Ok(())
    }

    fn element<T>(&mut self, parse: Parse<T>, elements: &mut Vec<T>) -> Result<(), Failure> {
        let text = self.scalar();
        let index = elements.len();
        match parse(text) {
            Ok(element) => {
                elements.push(element);
                Ok(())
            }
            Err(Refused::Type(_)) if text.is_empty() => {
                Err(self.mismatch(format_args!("element {index} is nested deeper")))
            }
            Err(Refused::Type(wanted)) => Err(Failure::of(
                Code::InvalidType,
                self.field,
                format!("Element {index} of `{}` has to be {wanted}.", self.field),
            )),
            Err(Refused::Range(wanted)) => Err(Failure::of(
                Code::DataOutOfRange,
                self.field,
                format!(
                    "Element {index} of `{}` is not in the range of {wanted}.",
                    self.field
                ),
            )),
        }
    }

    /// The text of the scalar that begins here; empty when a list or an object begins.
    fn scalar(&mut self) -> &'a str {
        self.rest = self.rest.trim_ascii_start();
        let length = match self.rest.first() {
            Some(b'"') => string_length(self.rest),
            _ => self
                .rest
                .iter()
                .position(|byte| {
                    matches!(byte, b',' | b']' | b'[' | b'{' | b'}') || byte.is_ascii_whitespace()
                })
                .unwrap_or(self.rest.len()),
        };
        let (scalar, rest) = self.rest.split_at(length);
        self.rest = rest;
        // It is cut at ASCII characters, so it is whole.
        std::str::from_utf8(scalar).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.rest.trim_ascii_start().first().copied()
    }

    fn open(&mut self, wanted: &str) -> Result<(), Failure> {
        match self.rest.trim_ascii_start().strip_prefix(b"[") {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(crate::json::wrong_type(self.field, wanted)),
        }
    }

    /// Whether the list ends here; steps over its end.
    fn closes(&mut self) -> bool {
        self.rest = self.rest.trim_ascii_start();
        let rest = self.rest.strip_prefix(b"]");
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn comma(&mut self) {
        self.rest = self.rest.trim_ascii_start();
        self.rest = self.rest.strip_prefix(b",").unwrap_or(self.rest);
    }

    fn mismatch(&self, what: fmt::Arguments<'_>) -> Failure {
        let message = format!("The shape is {:?}, and {what}.", self.shape);
        Failure::of(Code::DataMismatch, self.field, message)
    }
}

/// The length of the JSON text that begins here, quotes included.
fn string_length(rest: &[u8]) -> usize {
    let mut escaped = false;
    for (index, &byte) in rest.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    rest.len()
}

fn truth(text: &str) -> Result<bool, Refused> {
    text.parse().map_err(|_| Refused::Type("true or false"))
}

/// A whole number, written as one: `1.0` is not.
fn integer<T: std::str::FromStr + Named>(text: &str) -> Result<T, Refused> {
    text.parse().map_err(|_| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            Refused::Range(T::NAME)
        } else {
            Refused::Type("a whole number")
        }
    })
}

fn float<T: std::str::FromStr + Named + Into<f64> + Copy>(text: &str) -> Result<T, Refused> {
    // Rust would also read `inf` and `nan`, which are no JSON and cannot stand here; texts begin with a quote.
    match text.parse::<T>() {
        Ok(number) if number.into().is_finite() => Ok(number),
        Ok(_) => Err(Refused::Range(T::NAME)),
        Err(_) => Err(Refused::Type("a number")),
    }
}

fn string(text: &str) -> Result<Vec<u8>, Refused> {
    serde_json::from_str::<String>(text)
        .map(String::into_bytes)
        .map_err(|_| Refused::Type("a text of whole characters"))
}

/// What a number type is called.
trait Named {
    const NAME: &'static str;
}

macro_rules! named {
    ($($type:ty = $datatype:ident,)*) => {
        $(impl Named for $type {
            const NAME: &'static str = Datatype::$datatype.as_str();
        })*
    };
}

named! {
    u8 = Uint8, u16 = Uint16, u32 = Uint32, u64 = Uint64,
    i8 = Int8, i16 = Int16, i32 = Int32, i64 = Int64,
    f32 = Fp32, f64 = Fp64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(datatype: Datatype, shape: &[usize], json: &str) -> Result<Elements, Code> {
        let value: Box<RawValue> = serde_json::from_str(json).expect("well-formed JSON");
        tensor("data", &value, datatype, shape.to_vec())
            .map(|tensor| tensor.into_parts().1)
            .map_err(|failure| failure.code)
    }

    #[test]
    fn every_datatype_with_a_json_form_is_read() {
        for (datatype, json, elements) in [
            (Datatype::Bool, "[true,false]", vec![true, false].into()),
            (Datatype::Uint8, "[0,255]", vec![0u8, 255].into()),
            (Datatype::Uint16, "[0,65535]", vec![0u16, 65535].into()),
            (Datatype::Uint32, "[0,4294967295]", vec![0u32, u32::MAX].into()),
            (
                Datatype::Uint64,
                "[0,18446744073709551615]",
                vec![0u64, u64::MAX].into(),
            ),
            (Datatype::Int8, "[-128,127]", vec![i8::MIN, i8::MAX].into()),
            (Datatype::Int16, "[-32768,32767]", vec![i16::MIN, i16::MAX].into()),
            (
                Datatype::Int32,
                "[-2147483648,2147483647]",
                vec![i32::MIN, i32::MAX].into(),
            ),
            (
                Datatype::Int64,
                "[-9223372036854775808,9223372036854775807]",
                vec![i64::MIN, i64::MAX].into(),
            ),
            (
                Datatype::Fp32,
                "[1e-45,-3.4028235e38]",
                vec![1e-45f32, f32::MIN].into(),
            ),
            (
                Datatype::Fp64,
                "[-0.0,1.7976931348623157E+308]",
                vec![-0.0f64, f64::MAX].into(),
            ),
            (
                Datatype::Bytes,
                r#"["a,]\"\\", "\u00fc\ud83e\udd80"]"#,
                vec![b"a,]\"\\".to_vec(), "ü🦀".into()].into(),
            ),
        ] {
            assert_eq!(read(datatype, &[2], json), Ok(elements), "{datatype:?}");
        }
        for datatype in [Datatype::Fp16, Datatype::Bf16] {
            assert_eq!(read(datatype, &[1], "[1]"), Err(Code::DatatypeWithoutJsonForm));
        }
    }

    #[test]
    fn flat_and_nested_data_are_the_same() {
        let elements = Ok(Elements::from(vec![1i32, 2, 3, 4, 5, 6]));
        for json in ["[1,2,3,4,5,6]", " [ [ 1 , 2 ] , [ 3 , 4 ] , [ 5 , 6 ] ] "] {
            assert_eq!(read(Datatype::Int32, &[3, 2], json), elements);
        }
    }

    #[test]
    fn scalars_and_empty_tensors_are_read() {
        for json in ["7", "[7]"] {
            assert_eq!(read(Datatype::Int64, &[], json), Ok(vec![7i64].into()));
        }
        for (shape, json) in [
            (vec![0], "[]"),
            (vec![0, 2], "[]"),
            (vec![2, 0], "[[],[]]"),
            (vec![2, 0], "[ ]"),
        ] {
            assert_eq!(
                read(Datatype::Fp32, &shape, json),
                Ok(Vec::<f32>::new().into()),
                "{json}"
            );
        }
    }

    #[test]
    fn data_that_does_not_fit_the_shape_is_refused() {
        for (shape, json) in [
            (vec![2], "[1]"),
            (vec![2], "[1,2,3]"),
            (vec![2], "[]"),
            (vec![2], "[[1,2]]"),
            (vec![2, 2], "[[1,2],[3]]"),
            (vec![2, 2], "[[1,2],[3,4],[5,6]]"),
            (vec![2, 2], "[[1,2]]"),
            (vec![2, 2], "[[1,2],[3,[4]]]"),
            (vec![], "[]"),
            (vec![], "[1,2]"),
            (vec![usize::MAX, 3], "[1]"),
            (vec![1_000_000_000], "[1]"),
        ] {
            assert_eq!(
                read(Datatype::Int32, &shape, json),
                Err(Code::DataMismatch),
                "{shape:?} {json}"
            );
        }
    }

    #[test]
    fn elements_of_the_wrong_type_are_refused() {
        for (datatype, json) in [
            (Datatype::Int32, "[1.0]"),
            (Datatype::Int32, "[1e3]"),
            (Datatype::Int32, "[true]"),
            (Datatype::Int32, "[null]"),
            (Datatype::Int32, r#"["1"]"#),
            (Datatype::Int32, "7"),
            (Datatype::Int32, "{}"),
            (Datatype::Bool, "[1]"),
            (Datatype::Fp32, r#"["NaN"]"#),
            (Datatype::Fp32, "[false]"),
            (Datatype::Bytes, "[1]"),
            (Datatype::Bytes, r#"["\ud800"]"#),
        ] {
            assert_eq!(
                read(datatype, &[1], json),
                Err(Code::InvalidType),
                "{datatype:?} {json}"
            );
        }
        assert_eq!(read(Datatype::Int32, &[2, 1], "[[1],2]"), Err(Code::InvalidType));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for (datatype, json) in [
            (Datatype::Uint8, "[256]"),
            (Datatype::Uint8, "[-1]"),
            (Datatype::Int64, "[9223372036854775808]"),
            (Datatype::Fp32, "[1e39]"),
            (Datatype::Fp64, "[-1e309]"),
        ] {
            assert_eq!(
                read(datatype, &[1], json),
                Err(Code::DataOutOfRange),
                "{datatype:?} {json}"
            );
        }
    }
}
