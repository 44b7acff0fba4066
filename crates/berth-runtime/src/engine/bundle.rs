//! What may share a run, and how much one run takes.

/// A run may compute so many weights for nothing, whatever its size: the fixed cost of a run is more.
const SPARE: u64 = 32;

/// What decides with whom a piece of work can share a run. Its weight is `rows × width`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    /// Only pieces of the same key share a run; one without runs alone.
    pub(crate) key: Option<u64>,
    /// How many rows it has.
    pub(crate) rows: u64,
    /// How wide each row is: the tokens of the longest one, or 1.
    pub(crate) width: u64,
    /// How much of its weight is no padding.
    pub(crate) used: u64,
    /// The most that a run of this kind weighs.
    pub(crate) limit: u64,
}

impl Form {
    /// What it weighs by itself.
    pub(crate) const fn weight(&self) -> u64 {
        self.rows.saturating_mul(self.width)
    }
}

/// Pieces that are to share a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bundle {
    whole: Form,
}

impl Bundle {
    /// A run of this piece alone, however much it weighs.
    pub(super) const fn of(form: Form) -> Self {
        Self { whole: form }
    }

    /// What the run weighs, padding included.
    pub(super) const fn weight(&self) -> u64 {
        self.whole.weight()
    }

    /// The same with one piece more, unless that is not the same kind, weighs more than `most`, or pads too much: a fifth
    /// of the run.
    pub(super) fn with(&self, form: &Form, most: u64) -> Option<Self> {
        if self.whole.key.is_none() || self.whole.key != form.key {
            return None;
        }
        let whole = Form {
            key: form.key,
            rows: self.whole.rows.saturating_add(form.rows),
            width: self.whole.width.max(form.width),
            used: self.whole.used.saturating_add(form.used),
            limit: self.whole.limit.min(form.limit),
        };
        (whole.weight() <= whole.limit.min(most) && wastes_little(whole.weight(), whole.used))
            .then_some(Self { whole })
    }
}

/// Whether a run of this weight has little padding.
pub(crate) const fn wastes_little(weight: u64, used: u64) -> bool {
    let padding = weight.saturating_sub(used);
    padding <= SPARE || padding.saturating_mul(5) <= weight
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(rows: u64, width: u64) -> Form {
        Form {
            key: Some(1),
            rows,
            width,
            used: rows * width,
            limit: 512,
        }
    }

    #[test]
    fn weight_counts_padding_and_is_bounded() {
        let both = Bundle::of(form(1, 60)).with(&form(1, 64), 512).expect("fits");
        assert_eq!(both.weight(), 128);
        assert!(both.with(&form(1, 64), 191).is_none());
        assert!(both.with(&form(6, 64), 1000).is_some());
        assert!(both.with(&form(7, 64), 1000).is_none());
        assert_eq!(
            Bundle::of(form(1, 9000)).weight(),
            9000,
            "alone it may weigh more"
        );
    }

    #[test]
    fn padding_is_at_most_a_fifth_or_next_to_nothing() {
        assert!(Bundle::of(form(1, 200)).with(&form(1, 100), 512).is_none());
        assert!(Bundle::of(form(1, 200)).with(&form(1, 150), 512).is_some());
        assert!(Bundle::of(form(1, 9)).with(&form(1, 30), 512).is_some());
    }

    #[test]
    fn other_kinds_and_loners_do_not_share() {
        let other = Form {
            key: Some(2),
            ..form(1, 4)
        };
        let loner = Form {
            key: None,
            ..form(1, 4)
        };
        assert!(Bundle::of(form(1, 4)).with(&other, 512).is_none());
        assert!(Bundle::of(loner).with(&loner, 512).is_none());
    }
}
