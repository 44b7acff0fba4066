//! The one shape of lists: pages by key.

use std::str::FromStr;

use berth_store::page::{List, Order, Page};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::errors::{Code, Failure};

const USUAL_LIMIT: u32 = 50;
/// The most items of a page, of every list.
pub(crate) const LARGEST_LIMIT: u32 = 200;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// At most so many items.
    #[param(minimum = 1, maximum = 200, default = 50, nullable = false)]
    limit: Option<u32>,
    /// Only items after the one with this id; the `last_id` of one page gives the next.
    #[param(nullable = false)]
    after: Option<String>,
    /// Only items before the one with this id.
    #[param(nullable = false)]
    before: Option<String>,
    /// The order, by time of making.
    #[param(nullable = false, inline)]
    order: Option<Direction>,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// The oldest first.
    Asc,
    /// The newest first.
    Desc,
}

impl Paging {
    /// The page of a list whose ids are of the kind `Id`.
    pub(crate) fn page<Id: FromStr>(&self) -> Result<Page<Id>, Failure> {
        let limit = self.limit.unwrap_or(USUAL_LIMIT);
        if !(1..=LARGEST_LIMIT).contains(&limit) {
            return Err(Failure::new(
                Code::InvalidValue,
                format!("`limit` is a number from 1 to {LARGEST_LIMIT}."),
            ));
        }
        Ok(Page {
            limit,
            after: id("after", self.after.as_deref())?,
            before: id("before", self.before.as_deref())?,
            order: match self.order {
                Some(Direction::Asc) => Order::Ascending,
                Some(Direction::Desc) | None => Order::Descending,
            },
        })
    }
}

fn id<Id: FromStr>(name: &str, text: Option<&str>) -> Result<Option<Id>, Failure> {
    text.map(|text| {
        text.parse().map_err(|_| {
            Failure::new(
                Code::InvalidValue,
                format!("`{name}` is the id of an item of this list."),
            )
        })
    })
    .transpose()
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = List)]
pub(crate) struct ListBody<T> {
    /// The items.
    data: Vec<T>,
    /// The id of the first item; null when there is none.
    #[schema(required)]
    first_id: Option<String>,
    /// The id of the last item, for `after`; null when there is none.
    #[schema(required)]
    last_id: Option<String>,
    /// Whether more items follow.
    has_more: bool,
}

/// Something that a list holds.
pub(crate) trait Item {
    /// Its id, as `after` and `before` take it.
    fn id(&self) -> String;
}

impl<T: Item> ListBody<T> {
    /// The body for a page.
    pub(crate) fn of<R>(page: List<R>) -> Self
    where
        T: From<R>,
    {
        let data: Vec<T> = page.items.into_iter().map(T::from).collect();
        Self {
            first_id: data.first().map(Item::id),
            last_id: data.last().map(Item::id),
            data,
            has_more: page.has_more,
        }
    }
}

#[cfg(test)]
mod tests {
    use berth_domain::id::ApiKeyId;

    use super::*;

    fn paging(query: &str) -> Result<Page<ApiKeyId>, Code> {
        let paging = actix_web::web::Query::<Paging>::from_query(query)
            .expect("parses")
            .into_inner();
        paging.page().map_err(|failure| failure.code())
    }

    #[test]
    fn newest_fifty_come_first() {
        let page = paging("").expect("a page");
        assert_eq!(
            (page.limit, page.order, page.after),
            (50, Order::Descending, None)
        );
    }

    #[test]
    fn limits_and_ids_out_of_range_are_refused() {
        for query in [
            "limit=0",
            "limit=201",
            "after=x",
            "before=org_01jd00000000000000000000",
        ] {
            assert_eq!(paging(query), Err(Code::InvalidValue), "{query}");
        }
    }
}
