//! Which rows of one request share a run, where requests never do.

use super::Row;
use crate::engine::wastes_little;

/// Groups of rows by index. Rows of equal length share a run; with `padding` also rows of similar length. A run has at most
/// `tokens` tokens, padding included, unless a single row has more.
pub(crate) fn of(rows: &[Row], padding: bool, tokens: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    // The longest first: then the first row of a group tells how long its run is.
    order.sort_by_key(|&index| std::cmp::Reverse(rows[index].len()));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let (mut longest, mut used) = (0, 0);
    for index in order {
        let length = rows[index].len();
        let little = |weight: usize, used: usize| wastes_little(weight as u64, used as u64);
        match groups.last_mut() {
            Some(group)
                if (length == longest || padding && little((group.len() + 1) * longest, used + length))
                    && (group.len() + 1) * longest <= tokens =>
            {
                used += length;
                group.push(index);
            }
            _ => {
                (longest, used) = (length, length);
                groups.push(vec![index]);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(lengths: &[usize]) -> Vec<Row> {
        lengths.iter().map(|&length| vec![0; length].into()).collect()
    }

    #[test]
    fn without_padding_only_equal_lengths_share_a_run() {
        assert_eq!(
            of(&rows(&[3, 5, 3, 5, 3]), false, 100),
            [vec![1, 3], vec![0, 2, 4]]
        );
    }

    #[test]
    fn with_padding_a_run_is_as_wide_as_its_longest_row() {
        assert_eq!(of(&rows(&[2, 5, 3, 4]), true, 12), [vec![1, 3], vec![2, 0]]);
    }

    #[test]
    fn row_beyond_the_bound_runs_alone() {
        assert_eq!(of(&rows(&[9, 9]), true, 4), [vec![0], vec![1]]);
        assert!(of(&[], true, 4).is_empty());
    }

    #[test]
    fn every_row_is_in_exactly_one_run() {
        let lengths: Vec<usize> = (0..50).map(|index| 1 + index * 7 % 13).collect();
        for padding in [false, true] {
            let mut all = of(&rows(&lengths), padding, 40).concat();
            all.sort_unstable();
            assert_eq!(all, (0..50).collect::<Vec<_>>());
        }
    }
}
