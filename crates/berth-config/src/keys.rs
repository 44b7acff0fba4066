//! Unknown keys: found before anything is read, told with the nearest known one.

use serde_json::Value;

use crate::check::Origins;
use crate::{Problem, schema};

/// A guess further away than this share of the key's length is no help.
const NEAR_ENOUGH: f64 = 0.6;

/// Takes the keys that no setting has out of `tree`, and tells each of them.
pub(crate) fn take_unknown(
    tree: &mut Value,
    schema: &Value,
    path: &str,
    origins: &Origins,
    problems: &mut Vec<Problem>,
) {
    let Some(known) = schema::properties(schema) else {
        return;
    };
    match tree {
        Value::Object(table) => {
            let unknown: Vec<_> = table
                .keys()
                .filter(|key| !known.contains_key(*key))
                .cloned()
                .collect();
            for key in unknown {
                table.remove(&key);
                let path = join(path, &key);
                let nearest = nearest(&path);
                let message = unknown_message(nearest.as_deref());
                problems.push(Problem {
                    origin: origins.of(&path),
                    path,
                    message,
                });
            }
            for (key, value) in table {
                take_unknown(value, &known[key], &join(path, key), origins, problems);
            }
        }
        Value::Array(list) => {
            for (index, item) in list.iter_mut().enumerate() {
                take_unknown(item, schema, &format!("{path}[{index}]"), origins, problems);
            }
        }
        _ => {}
    }
}

/// What is said of an unknown key.
pub(crate) fn unknown_message(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("is no setting; did you mean `{nearest}`?"),
        None => "is no setting".to_owned(),
    }
}

/// The known setting that looks most like `path`: a sibling where one is near, else any in the whole tree.
pub(crate) fn nearest(path: &str) -> Option<String> {
    let path = without_indices(path);
    let parent = parent(&path);
    let all: Vec<String> = schema::groups()
        .into_iter()
        .flat_map(|(group, fields)| fields.iter().map(move |field| join(group, field)))
        .collect();
    let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();
    let wanted = last(&path);
    let near = |distance: usize, length: usize| {
        let distance = u32::try_from(distance).map_or(f64::MAX, f64::from);
        let length = u32::try_from(length).map_or(f64::MAX, f64::from);
        distance <= length * NEAR_ENOUGH
    };
    let sibling = all
        .iter()
        .filter(|known| self::parent(known) == parent)
        .map(|known| (strsim::damerau_levenshtein(&last(known), &wanted), known))
        .filter(|(distance, known)| near(*distance, last(known).len().min(wanted.len())))
        .min();
    let anywhere = || {
        all.iter()
            .map(|known| (strsim::damerau_levenshtein(known, &path), known))
            .filter(|(distance, known)| near(*distance, known.len().min(path.len())) && *distance <= 8)
            .min()
    };
    sibling.or_else(anywhere).map(|(_, known)| known.clone())
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(parent, _)| parent)
}

fn without_indices(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}
