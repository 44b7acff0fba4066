//! Lists page by key: ids sort by the time they were made, so a page begins behind an id and no count is ever skipped.

use uuid::Uuid;

/// The order of a list, by time of making.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The oldest first.
    Ascending,
    /// The newest first.
    #[default]
    Descending,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<Id> {
    /// At most so many.
    pub limit: u32,
    /// Only what comes after this one in the order of the list.
    pub after: Option<Id>,
    /// Only what comes before this one. Without `after`, the page that ends right before it.
    pub before: Option<Id>,
    /// The order of the list.
    pub order: Order,
}

impl<Id> Page<Id> {
    /// The first `limit`, in this order.
    pub fn first(limit: u32, order: Order) -> Self {
        Self {
            limit,
            after: None,
            before: None,
            order,
        }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T> {
    /// What is on the page, in the order of the list.
    pub items: Vec<T>,
    /// Whether more follows in the direction in which the page was asked for.
    pub has_more: bool,
}

impl<T> List<T> {
    /// The same part of the list with every item turned into another.
    pub fn map<U>(self, turn: impl FnMut(T) -> U) -> List<U> {
        List {
            items: self.items.into_iter().map(turn).collect(),
            has_more: self.has_more,
        }
    }
}

/// A page as a statement sees it: ids between two bounds, in one direction, one more than wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) above: Uuid,
    pub(crate) below: Uuid,
    pub(crate) ascending: bool,
    pub(crate) fetch: i64,
    reversed: bool,
    limit: usize,
}

impl Window {
    pub(crate) fn of<Id: Copy + Into<Uuid>>(page: &Page<Id>) -> Self {
        let ascending = page.order == Order::Ascending;
        let (after, before) = (page.after.map(Into::into), page.before.map(Into::into));
        let (above, below) = if ascending {
            (after, before)
        } else {
            (before, after)
        };
        // The page before an id is the nearest one, so it is read backwards from there.
        let reversed = before.is_some() && after.is_none();
        Self {
            above: above.unwrap_or(Uuid::nil()),
            below: below.unwrap_or(Uuid::max()),
            ascending: ascending != reversed,
            fetch: i64::from(page.limit) + 1,
            reversed,
            limit: usize::try_from(page.limit).unwrap_or(usize::MAX),
        }
    }

    /// Takes the one too many off, and puts the rows in the order of the list.
    pub(crate) fn list<R, T, E>(self, mut rows: Vec<R>) -> Result<List<T>, E>
    where
        T: TryFrom<R, Error = E>,
    {
        let has_more = rows.len() > self.limit;
        rows.truncate(self.limit);
        if self.reversed {
            rows.reverse();
        }
        let items = rows.into_iter().map(T::try_from).collect::<Result<_, _>>()?;
        Ok(List { items, has_more })
    }
}

/// Fetches the rows of a [`Window`]: `$1` and `$2` are its bounds, `$3` how many; the statement's own arguments follow.
macro_rules! fetch_window {
    ($connection:expr, $window:expr, $row:ident, $statement:tt, $key:tt $(, $argument:expr)* $(,)?) => {
        if $window.ascending {
            sqlx::query_as!(
                $row,
                $statement + " AND " + $key + " > $1 AND " + $key + " < $2 ORDER BY " + $key + " ASC LIMIT $3",
                $window.above, $window.below, $window.fetch $(, $argument)*
            )
            .fetch_all($connection)
            .await
        } else {
            sqlx::query_as!(
                $row,
                $statement + " AND " + $key + " > $1 AND " + $key + " < $2 ORDER BY " + $key + " DESC LIMIT $3",
                $window.above, $window.below, $window.fetch $(, $argument)*
            )
            .fetch_all($connection)
            .await
        }
    };
}

pub(crate) use fetch_window;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// What Postgres would do with a window over the ids 1 to 9.
    fn read(page: Page<Uuid>) -> (Vec<u128>, bool) {
        let window = Window::of(&page);
        let mut ids: Vec<u128> = (1..=9)
            .filter(|&id| Uuid::from_u128(id) > window.above && Uuid::from_u128(id) < window.below)
            .collect();
        if !window.ascending {
            ids.reverse();
        }
        ids.truncate(usize::try_from(window.fetch).expect("small"));
        let list: List<u128> = window.list::<_, _, Infallible>(ids).expect("infallible");
        (list.items, list.has_more)
    }

    fn page(after: Option<u128>, before: Option<u128>, order: Order) -> Page<Uuid> {
        Page {
            limit: 3,
            after: after.map(Uuid::from_u128),
            before: before.map(Uuid::from_u128),
            order,
        }
    }

    #[test]
    fn pages_walk_the_list_in_both_orders() {
        use Order::{Ascending, Descending};
        for (asked, expected) in [
            (page(None, None, Ascending), (vec![1, 2, 3], true)),
            (page(Some(6), None, Ascending), (vec![7, 8, 9], false)),
            (page(None, None, Descending), (vec![9, 8, 7], true)),
            (page(Some(3), None, Descending), (vec![2, 1], false)),
            (page(Some(2), Some(5), Ascending), (vec![3, 4], false)),
            (page(Some(8), Some(4), Descending), (vec![7, 6, 5], false)),
        ] {
            assert_eq!(read(asked), expected, "{asked:?}");
        }
    }

    #[test]
    fn page_before_an_id_ends_right_before_it() {
        assert_eq!(read(page(None, Some(7), Order::Ascending)), (vec![4, 5, 6], true));
        assert_eq!(
            read(page(None, Some(3), Order::Descending)),
            (vec![6, 5, 4], true)
        );
        assert_eq!(read(page(None, Some(7), Order::Descending)), (vec![9, 8], false));
    }
}
