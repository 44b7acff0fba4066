//! Long lists of numbers, taken out of a JSON body before it is read.
//!
//! A tensor in JSON is nearly all of its body, and a reader that goes through it for each level of objects, and once more
//! for its numbers, takes longer than a small model runs. So each long list that follows a name `data` is left out, by
//! looking for its end alone, and what remains is read as JSON. It stands for the whole body when each place with a list left
//! out turns out to be the data of an input, and its text to be a list of numbers and nothing else: a well-formed list was
//! replaced by a well-formed list. Otherwise the body is read as it came.

use std::cell::Cell;

use memchr::{memchr2_iter, memmem};
use serde_json::value::RawValue;

/// Shorter lists are read as they come.
const LONG: usize = 512;

/// The name before a list that may be left out.
const NAME: &[u8] = b"\"data\"";

/// A body without its long lists.
pub(super) struct Hoisted<'a> {
    /// The body with an empty list in the place of each.
    rest: Vec<u8>,
    /// The lists, brackets included, by where their place is in `rest`.
    lists: Vec<(usize, &'a [u8])>,
    taken: Cell<usize>,
}

impl<'a> Hoisted<'a> {
    /// Takes the lists out of `json`; `None` when it has none that is long.
    pub(super) fn of(json: &'a [u8]) -> Option<Self> {
        let mut hoisted = Self {
            rest: Vec::new(),
            lists: Vec::new(),
            taken: Cell::new(0),
        };
        let mut kept = 0;
        for name in memmem::find_iter(json, NAME) {
            if name < kept {
                continue;
            }
            let Some(begin) = list_after(json, name + NAME.len()) else {
                continue;
            };
            // One that does not end makes the body no JSON.
            let list = list(&json[begin..])?;
            if list.len() < LONG {
                continue;
            }
            hoisted.rest.extend_from_slice(&json[kept..begin]);
            hoisted.lists.push((hoisted.rest.len(), list));
            hoisted.rest.extend_from_slice(b"[]");
            kept = begin + list.len();
        }
        hoisted.rest.extend_from_slice(&json[kept..]);
        (!hoisted.lists.is_empty()).then_some(hoisted)
    }

    /// What is left of the body.
    pub(super) fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// The list that was left out where `value`, a part of the rest, stands.
    pub(super) fn take(&self, value: &RawValue) -> Option<&'a [u8]> {
        let place = (value.get().as_ptr() as usize).checked_sub(self.rest.as_ptr() as usize)?;
        let index = self
            .lists
            .binary_search_by_key(&place, |&(place, _)| place)
            .ok()?;
        self.taken.set(self.taken.get() + 1);
        Some(self.lists[index].1)
    }

    /// Whether each list was taken. (None is taken twice: a value is read once.)
    pub(super) fn is_used_up(&self) -> bool {
        self.taken.get() == self.lists.len()
    }
}

/// Where the list begins that stands after a colon at `from`.
fn list_after(json: &[u8], from: usize) -> Option<usize> {
    let skip = |from: usize| {
        let rest = &json[from..];
        from + (rest.len() - rest.trim_ascii_start().len())
    };
    let colon = skip(from);
    (json.get(colon) == Some(&b':')).then_some(())?;
    let begin = skip(colon + 1);
    (json.get(begin) == Some(&b'[')).then_some(begin)
}

/// The list at the beginning of `json`, as far as brackets tell.
fn list(json: &[u8]) -> Option<&[u8]> {
    let mut depth = 0usize;
    for place in memchr2_iter(b'[', b']', json) {
        if json[place] == b'[' {
            depth += 1;
            continue;
        }
        depth -= 1;
        if depth == 0 {
            return json.get(..=place);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(inside: &str) -> String {
        format!("[{}1]", inside.repeat(LONG))
    }

    #[test]
    fn long_lists_after_their_name_are_taken_out() {
        let list = long("1,");
        let json = format!(r#"{{"a":{{"data" : {list}}},"data":[1,2],"b":[{{"data":{list},"x":{list}}}]}}"#);
        let hoisted = Hoisted::of(json.as_bytes()).expect("two are long");
        assert_eq!(
            std::str::from_utf8(hoisted.rest()).expect("text"),
            format!(r#"{{"a":{{"data" : []}},"data":[1,2],"b":[{{"data":[],"x":{list}}}]}}"#)
        );
        assert!(hoisted.lists.iter().all(|(_, text)| *text == list.as_bytes()));
        assert!(!hoisted.is_used_up());
    }

    #[test]
    fn bodies_without_such_lists_are_left_alone() {
        for json in ["", "{}", r#"{"data":[1]}"#, r#""data""#, r#""data":"#] {
            assert!(Hoisted::of(json.as_bytes()).is_none(), "{json}");
        }
        let endless = long("[1,");
        assert!(Hoisted::of(format!(r#"{{"data":{endless}"#).as_bytes()).is_none());
    }

    #[test]
    fn nested_lists_are_taken_out_whole() {
        let list = long("[1],");
        let json = format!(r#"{{"data":{list}}}"#);
        let hoisted = Hoisted::of(json.as_bytes()).expect("it is long");
        assert_eq!(hoisted.rest(), br#"{"data":[]}"#);
    }
}
