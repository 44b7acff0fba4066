//! JSON objects whose fields are read one by one, so that a failure names the field. Values stay text until their reader
//! knows their type.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::failure::{Code, Failure};

/// The fields of an object, in order, with where the object stands in the body.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    path: String,
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// The object that is the whole body.
    pub(crate) fn body(body: &'a [u8]) -> Result<Self, Failure> {
        let fields = serde_json::from_slice(body).map_err(|error| match error.classify() {
            Category::Data => Failure::new(Code::InvalidType, "The body has to be a JSON object."),
            _ if body.trim_ascii().is_empty() => Failure::new(Code::InvalidJson, "The body is empty."),
            _ => Failure::new(Code::InvalidJson, format!("The body is not valid JSON: {error}.")),
        })?;
        Self::new(String::new(), fields)
    }

    /// The object that stands at `path`.
    pub(crate) fn nested(path: String, value: &'a RawValue) -> Result<Self, Failure> {
        match serde_json::from_str(value.get()) {
            Ok(fields) => Self::new(path, fields),
            Err(_) => Err(wrong_type(&path, "an object")),
        }
    }

    fn new(path: String, Fields { fields, beyond }: Fields<'a>) -> Result<Self, Failure> {
        let object = Self { path, fields };
        for (index, (name, _)) in object.fields.iter().enumerate() {
            if object.fields[..index].iter().any(|(earlier, _)| earlier == name) {
                let field = object.path_of(name);
                return Err(Failure::of(
                    Code::DuplicateParameter,
                    &field,
                    format!("`{field}` is there twice."),
                ));
            }
        }
        match beyond {
            None => Ok(object),
            // No object has so many, so one of them is unknown, and looking through all of them would take long.
            Some(name) => Err(object.unknown(&name)),
        }
    }

    fn unknown(&self, name: &str) -> Failure {
        let field = self.path_of(name);
        let message = format!("There is no field `{field}`.");
        Failure::of(Code::UnknownParameter, field, message)
    }

    /// Where a field of this object stands in the body.
    pub(crate) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Takes a field out, unless it is absent or null.
    pub(crate) fn optional(&mut self, name: &str) -> Option<&'a RawValue> {
        let index = self.fields.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.fields.swap_remove(index);
        (value.get() != "null").then_some(value)
    }

    /// Takes a field out that must be there.
    pub(crate) fn required(&mut self, name: &str) -> Result<&'a RawValue, Failure> {
        self.optional(name).ok_or_else(|| {
            let field = self.path_of(name);
            Failure::of(Code::MissingParameter, &field, format!("`{field}` is missing."))
        })
    }

    /// Fails when a field is left that nobody took out.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self.fields.first() {
            None => Ok(()),
            Some((name, _)) => Err(self.unknown(name)),
        }
    }
}

/// A text.
pub(crate) fn text<'a>(path: &str, value: &'a RawValue) -> Result<Cow<'a, str>, Failure> {
    if !value.get().starts_with('"') {
        return Err(wrong_type(path, "a text"));
    }
    match serde_json::from_str(value.get()) {
        Ok(Text(text)) => Ok(text),
        // The syntax was checked; what is left is half of a surrogate pair.
        Err(_) => Err(Failure::of(
            Code::InvalidValue,
            path,
            format!("`{path}` holds an escape sequence that is no character."),
        )),
    }
}

/// The elements of a list.
pub(crate) fn list<'a>(path: &str, value: &'a RawValue) -> Result<Vec<&'a RawValue>, Failure> {
    serde_json::from_str(value.get()).map_err(|_| wrong_type(path, "a list"))
}

/// A field that is not of the type it has to be.
pub(crate) fn wrong_type(path: &str, wanted: &str) -> Failure {
    Failure::of(Code::InvalidType, path, format!("`{path}` has to be {wanted}."))
}

/// A text that is borrowed where the JSON has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Most fields of an object. Each is compared with all others.
const FIELDS_LIMIT: usize = 64;

struct Fields<'a> {
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// The first field beyond the limit; what follows is not kept.
    beyond: Option<Cow<'a, str>>,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                let mut beyond = None;
                while let Some((Text(name), value)) = map.next_entry()? {
                    if fields.len() < FIELDS_LIMIT {
                        fields.push((name, value));
                    } else {
                        beyond.get_or_insert(name);
                    }
                }
                Ok(Fields { fields, beyond })
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &[u8]) -> (Code, Option<String>) {
        let failure = Object::body(body).expect_err("it is refused");
        (failure.code, failure.param)
    }

    #[test]
    fn bodies_that_are_no_objects_are_told_apart() {
        assert_eq!(code(b" "), (Code::InvalidJson, None));
        assert_eq!(code(b"{\"a\":"), (Code::InvalidJson, None));
        assert_eq!(code(b"{\"a\":1}x"), (Code::InvalidJson, None));
        assert_eq!(code(b"{\"a\":NaN}"), (Code::InvalidJson, None));
        assert_eq!(code(b"{\"a\":\"\xff\"}"), (Code::InvalidJson, None));
        assert_eq!(code(b"[]"), (Code::InvalidType, None));
        assert_eq!(
            code(b"{\"a\":1,\"\\u0061\":2}"),
            (Code::DuplicateParameter, Some("a".to_owned()))
        );
    }

    #[test]
    fn field_that_nobody_took_is_unknown() {
        let mut object = Object::body(br#"{"a":1,"b":null}"#).expect("an object");
        assert!(object.optional("b").is_none());
        let failure = object.required("c").expect_err("it is missing");
        assert_eq!(
            (failure.code, failure.param.as_deref()),
            (Code::MissingParameter, Some("c"))
        );
        let failure = object.finish().expect_err("`a` is left");
        assert_eq!(
            (failure.code, failure.param.as_deref()),
            (Code::UnknownParameter, Some("a"))
        );
    }

    #[test]
    fn field_beyond_those_that_any_object_has_is_unknown() {
        let body = |count: usize| {
            let fields: Vec<_> = (0..count).map(|index| format!("\"f{index}\":1")).collect();
            format!("{{{}}}", fields.join(","))
        };
        assert!(Object::body(body(FIELDS_LIMIT).as_bytes()).is_ok());
        let unknown = (Code::UnknownParameter, Some(format!("f{FIELDS_LIMIT}")));
        assert_eq!(code(body(FIELDS_LIMIT + 1).as_bytes()), unknown);
        // Far more cost no more than reading them.
        assert_eq!(code(body(200_000).as_bytes()), unknown);
        assert_eq!(
            code(body(100).replace('}', "").as_bytes()),
            (Code::InvalidJson, None)
        );
    }

    #[test]
    fn half_a_surrogate_pair_is_refused() {
        let mut object = Object::body(br#"{"a":"\ud800"}"#).expect("an object");
        let value = object.required("a").expect("it is there");
        assert_eq!(
            text("a", value).expect_err("no character").code,
            Code::InvalidValue
        );
    }
}
