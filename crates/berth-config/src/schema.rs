//! The JSON schema of the settings, and the questions that reading asks of it.

use serde::de::{self, DeserializeOwned, Visitor};
use serde_json::{Map, Value};

use crate::Config;
use crate::sections::{amqp, artifacts, auth, coordination, database, gate, grpc, http, mail, redis};
use crate::sections::{peers, tasks, telemetry, worker};

/// The JSON schema of the settings file, as it is committed to `docs/berth.schema.json`.
pub fn schema_document() -> Value {
    let settings =
        schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Config>();
    schema.insert("title".to_owned(), "Settings of Berth".into());
    schema.to_value()
}

/// The groups of fields, each with the names of its fields in the order of the source code, which is the order for
/// readers. JSON objects do not keep it.
pub(crate) fn groups() -> Vec<(&'static str, &'static [&'static str])> {
    vec![
        ("", fields::<Config>()),
        ("http", fields::<http::Http>()),
        ("http.body_limits", fields::<http::BodyLimits>()),
        ("http.cors", fields::<http::Cors>()),
        ("http.tls", fields::<http::Tls>()),
        ("grpc", fields::<grpc::Grpc>()),
        ("database", fields::<database::Database>()),
        ("redis", fields::<redis::Redis>()),
        ("coordination", fields::<coordination::Coordination>()),
        ("amqp", fields::<amqp::Amqp>()),
        ("artifacts", fields::<artifacts::Artifacts>()),
        ("artifacts.s3", fields::<artifacts::S3>()),
        ("auth", fields::<auth::Auth>()),
        ("auth.throttle", fields::<auth::Throttle>()),
        ("auth.peppers", fields::<auth::Pepper>()),
        ("auth.signing_keys", fields::<auth::SigningKey>()),
        ("mail", fields::<mail::Mail>()),
        ("gate", fields::<gate::Gate>()),
        ("tasks", fields::<tasks::Tasks>()),
        ("worker", fields::<worker::Worker>()),
        ("peers", fields::<peers::Peers>()),
        ("peers.tls", fields::<peers::PeerTls>()),
        ("telemetry", fields::<telemetry::Telemetry>()),
    ]
}

/// The fields of a group: of a table, of a table that may be absent, or of the tables in a list.
pub(crate) fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    if let Some(properties) = schema.get("properties") {
        return properties.as_object();
    }
    if let Some(items) = schema.get("items") {
        return properties_of_table(items);
    }
    properties_of_table(schema)
}

fn properties_of_table(schema: &Value) -> Option<&Map<String, Value>> {
    let direct = schema.get("properties").and_then(Value::as_object);
    let among = || {
        let kinds = schema.get("anyOf")?.as_array()?;
        kinds.iter().find_map(|kind| kind.get("properties")?.as_object())
    };
    direct.or_else(among)
}

/// Whether a schema admits a JSON type.
pub(crate) fn admits(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(only)) => only == kind,
        Some(Value::Array(several)) => several.iter().any(|one| one == kind),
        _ => schema
            .get("anyOf")
            .and_then(Value::as_array)
            .is_some_and(|kinds| kinds.iter().any(|one| admits(one, kind))),
    }
}

/// Whether a field holds a secret.
pub(crate) fn is_secret(schema: &Value) -> bool {
    schema.get("writeOnly") == Some(&Value::Bool(true))
}

/// The schema of a setting; `None` for a path that leads nowhere.
pub(crate) fn find<'a>(root: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter()
        .try_fold(root, |schema, name| properties(schema)?.get(name))
}

/// The names of a struct's fields, which serde hands to whatever reads it.
fn fields<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // The reader stops with an error once it has the names; there is nothing to read.
    let _ = T::deserialize(FieldNames(&mut names));
    names
}

struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> de::Deserializer<'de> for FieldNames<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("only structs have fields"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(de::Error::custom("the names are all that is wanted"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every table in the schema, as a path.
    fn tables(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
        let Some(properties) = properties(schema) else {
            return;
        };
        found.insert(path.to_owned());
        for (name, inner) in properties {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            tables(inner, &path, found);
        }
    }

    #[test]
    fn every_group_of_fields_is_listed_with_all_its_fields() {
        let schema = schema_document();
        let mut found = BTreeSet::new();
        tables(&schema, "", &mut found);
        let listed: BTreeSet<_> = groups().into_iter().map(|(path, _)| path.to_owned()).collect();
        assert_eq!(found, listed);
        for (path, fields) in groups() {
            let parts: Vec<_> = path
                .split('.')
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect();
            let table = find(&schema, &parts).and_then(properties).expect("a table");
            let in_schema: BTreeSet<_> = table.keys().map(String::as_str).collect();
            assert_eq!(in_schema, fields.iter().copied().collect(), "{path}");
        }
    }

    #[test]
    fn every_field_is_documented() {
        let schema = schema_document();
        for (path, fields) in groups() {
            for field in fields {
                let parts: Vec<_> = path
                    .split('.')
                    .chain([*field])
                    .filter(|part| !part.is_empty())
                    .map(str::to_owned)
                    .collect();
                let inner = find(&schema, &parts).expect("a field");
                assert!(
                    inner.get("description").is_some(),
                    "{path}.{field} has no description"
                );
            }
        }
    }

    #[test]
    fn every_secret_has_a_twin_that_names_a_file() {
        let schema = schema_document();
        let mut secrets = 0;
        for (path, fields) in groups() {
            let parts: Vec<_> = path
                .split('.')
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect();
            let table = find(&schema, &parts).and_then(properties).expect("a table");
            for field in fields.iter().filter(|field| is_secret(&table[**field])) {
                secrets += 1;
                assert!(
                    table.contains_key(&format!("{field}_file")),
                    "{path}.{field} has no twin"
                );
            }
        }
        assert!(secrets >= 8, "secrets are marked in the schema");
    }
}
