//! The envelope of lists.

use serde::{Deserialize, Serialize};

/// A list as the OpenAI API wraps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = OpenAiList)]
pub struct List<T> {
    /// Always `list`.
    #[schema(pattern = "^list$", example = "list")]
    pub object: String,
    /// The items.
    pub data: Vec<T>,
    /// The id of the first item; null when there is none.
    #[schema(required)]
    pub first_id: Option<String>,
    /// The id of the last item, for `after`; null when there is none.
    #[schema(required)]
    pub last_id: Option<String>,
    /// Whether more items follow.
    pub has_more: bool,
}

impl<T> List<T> {
    /// The list of `data`, whose ids `id` tells.
    pub fn new(data: Vec<T>, has_more: bool, id: impl Fn(&T) -> &str) -> Self {
        Self {
            object: "list".to_owned(),
            first_id: data.first().map(|item| id(item).to_owned()),
            last_id: data.last().map(|item| id(item).to_owned()),
            data,
            has_more,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_the_list_are_named() {
        let list = List::new(vec!["a", "b"], true, |item| item);
        assert_eq!(
            serde_json::to_string(&list).expect("serializes"),
            r#"{"object":"list","data":["a","b"],"first_id":"a","last_id":"b","has_more":true}"#
        );
        let empty = List::new(Vec::<String>::new(), false, |item| item);
        assert_eq!((empty.first_id, empty.last_id), (None, None));
    }
}
