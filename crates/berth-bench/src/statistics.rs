//! Percentiles of samples, and medians over rounds with their interval.

/// A figure over rounds: its median, and the ends of its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    /// The median of the rounds.
    pub(crate) value: f64,
    /// Lower end of the interval.
    pub(crate) low: f64,
    /// Upper end of the interval.
    pub(crate) high: f64,
}

/// 97.5 % points of Student's t for 1, 2, … degrees of freedom.
const STUDENT_T: [f64; 9] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

/// A figure that was read once and has no spread.
pub(crate) fn exactly(value: f64) -> Estimate {
    Estimate {
        value,
        low: value,
        high: value,
    }
}

/// The `share` quantile (0 to 1) of `samples`, by nearest rank. Zero when there are none.
pub(crate) fn quantile(samples: &mut [f64], share: f64) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    samples.sort_unstable_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank"
    )]
    let rank = ((samples.len() as f64 * share).ceil() as usize).clamp(1, samples.len());
    samples[rank - 1]
}

/// The median over rounds, with an interval by Student's t around it.
pub(crate) fn estimate(rounds: &[f64]) -> Estimate {
    let mut sorted = rounds.to_vec();
    let value = quantile(&mut sorted, 0.5);
    #[expect(clippy::cast_precision_loss, reason = "a handful of rounds")]
    let count = rounds.len() as f64;
    if rounds.len() < 2 {
        return exactly(value);
    }
    let mean = rounds.iter().sum::<f64>() / count;
    let variance = rounds.iter().map(|round| (round - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let half = STUDENT_T.get(rounds.len() - 2).copied().unwrap_or(1.96) * (variance / count).sqrt();
    Estimate {
        value,
        low: value - half,
        high: value + half,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let mut samples: Vec<f64> = (1..=100).map(f64::from).collect();
        assert!((quantile(&mut samples, 0.5) - 50.0).abs() < f64::EPSILON);
        assert!((quantile(&mut samples, 0.99) - 99.0).abs() < f64::EPSILON);
    }

    #[test]
    fn equal_rounds_have_no_interval() {
        let estimate = estimate(&[2.0; 5]);
        assert!((estimate.high - estimate.low).abs() < f64::EPSILON);
    }
}
