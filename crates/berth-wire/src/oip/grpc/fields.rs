//! Messages of protocol buffers, field by field and without a copy. Whoever reads a message of a stranger whole builds
//! whatever the stranger likes: a field of two bytes can become an object of a hundred. So tensors are read piece by piece,
//! with a bound on each.

use std::fmt;

/// Most fields of one message that is read so. Lists of numbers are packed into one field each.
const FIELDS_LIMIT: usize = 1 << 20;

/// Most fields of a request that is to be routed: several times what any model has of inputs and outputs.
const ROUTING_FIELDS_LIMIT: usize = 10_000;

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// They end in the middle of a field.
    Truncated,
    /// A field begins with what no field begins with.
    Key,
    /// A text is not UTF-8.
    Text,
    /// There are more fields than any sensible message has.
    TooManyFields,
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Truncated => "it ends in the middle of a field",
            Self::Key => "a field has a number or a type that there is not",
            Self::Text => "a text is not UTF-8",
            Self::TooManyFields => "it has too many fields",
        })
    }
}

impl std::error::Error for Malformed {}

/// What a field holds, as it stands in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A whole number, a truth value or a name of an enumeration.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes.
    Fixed32(u32),
    /// Bytes, a text, a message or a packed list.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The value as a text.
    pub fn text(self) -> Result<&'a str, Malformed> {
        match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|_| Malformed::Text),
            _ => Err(Malformed::Key),
        }
    }
}

/// The fields of a message, in order, with their numbers. Ends after the first that is malformed.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Fields<'a> {
    /// Of this message.
    pub fn new(message: &'a [u8]) -> Self {
        Self {
            rest: message,
            left: FIELDS_LIMIT,
        }
    }

    /// The numbers of a packed list: varints, one after the other.
    pub fn packed(list: &'a [u8]) -> impl Iterator<Item = Result<u64, Malformed>> {
        let mut reader = Self::new(list);
        std::iter::from_fn(move || (!reader.rest.is_empty()).then(|| reader.varint())).scan(
            false,
            |ended, number| {
                let go_on = !*ended;
                *ended = number.is_err();
                go_on.then_some(number)
            },
        )
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0u64;
        for (index, &byte) in self.rest.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                // The tenth byte has room for one bit.
                return if index == 9 && byte > 1 {
                    Err(Malformed::Key)
                } else {
                    Ok(number)
                };
            }
        }
        Err(if self.rest.len() < 10 {
            Malformed::Truncated
        } else {
            Malformed::Key
        })
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        if self.left == 0 {
            return Err(Malformed::TooManyFields);
        }
        self.left -= 1;
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| Malformed::Key)?;
        if number == 0 {
            return Err(Malformed::Key);
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            // Groups are of an older language; nobody writes them.
            _ => return Err(Malformed::Key),
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Where a `ModelInferRequest` wants to go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Routing<'a> {
    /// The model.
    pub model_name: &'a str,
    /// Its version; empty for any.
    pub model_version: &'a str,
    /// The caller's name for the request; may be empty.
    pub id: &'a str,
}

impl<'a> Routing<'a> {
    /// Of this request, whose tensors are stepped over.
    pub fn of(request: &'a [u8]) -> Result<Self, Malformed> {
        let mut routing = Self::default();
        let fields = Fields {
            left: ROUTING_FIELDS_LIMIT,
            ..Fields::new(request)
        };
        for field in fields {
            match field? {
                (1, value) => routing.model_name = value.text()?,
                (2, value) => routing.model_version = value.text()?,
                (3, value) => routing.id = value.text()?,
                _ => {}
            }
        }
        Ok(routing)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::oip::grpc::inference::ModelInferRequest;
    use crate::oip::grpc::inference::model_infer_request::InferInputTensor;

    fn request() -> Vec<u8> {
        ModelInferRequest {
            model_name: "m".to_owned(),
            model_version: "3".to_owned(),
            id: "größe".to_owned(),
            inputs: vec![InferInputTensor {
                name: "x".to_owned(),
                shape: vec![1, -1, i64::MAX],
                ..InferInputTensor::default()
            }],
            raw_input_contents: vec![vec![7; 300].into()],
            ..ModelInferRequest::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn routing_is_read_over_the_tensors() {
        let request = request();
        let routing = Routing::of(&request).expect("is read");
        assert_eq!(
            (routing.model_name, routing.model_version, routing.id),
            ("m", "3", "größe")
        );
        assert_eq!(Routing::of(&[]), Ok(Routing::default()));
    }

    #[test]
    fn fields_are_those_that_were_written() {
        let request = request();
        let numbers: Vec<u32> = Fields::new(&request)
            .map(|field| field.expect("well-formed").0)
            .collect();
        assert_eq!(numbers, [1, 2, 3, 5, 7]);
        let packed: Vec<u64> = Fields::packed(&[1, 0xac, 0x02])
            .map(|number| number.expect("well-formed"))
            .collect();
        assert_eq!(packed, [1, 300]);
    }

    #[test]
    fn whatever_is_cut_or_changed_is_read_or_refused() {
        let request = request();
        for length in 0..request.len() {
            // No cut is misread as a whole message, but at the end of a field.
            let read = Fields::new(&request[..length]).collect::<Result<Vec<_>, _>>();
            let decoded = ModelInferRequest::decode(&request[..length]).is_ok();
            assert_eq!(read.is_ok(), decoded, "{length} bytes");
        }
        for place in 0..request.len() {
            for bit in 0..8 {
                let mut changed = request.clone();
                changed[place] ^= 1 << bit;
                // It ends, and does not panic.
                let _ = Fields::new(&changed).count();
                let _ = Routing::of(&changed);
            }
        }
    }

    #[test]
    fn what_no_writer_writes_is_refused() {
        for (bytes, why) in [
            (&[0x0a, 0x05, 1][..], Malformed::Truncated),
            (&[0x0a][..], Malformed::Truncated),
            (&[0x09, 1, 2][..], Malformed::Truncated),
            (&[0x02, 0][..], Malformed::Key),
            (&[0x0b][..], Malformed::Key),
            (
                &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02][..],
                Malformed::Key,
            ),
            (&[0x0a, 1, 0xff][..], Malformed::Text),
            (&[0x08, 1][..], Malformed::Key),
        ] {
            assert_eq!(Routing::of(bytes), Err(why), "{bytes:?}");
        }
        let many = [0x2a, 0].repeat(ROUTING_FIELDS_LIMIT + 1);
        assert_eq!(Routing::of(&many), Err(Malformed::TooManyFields));
    }
}
