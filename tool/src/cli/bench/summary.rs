//! Several measurements of one thing.

use serde::Serialize;

/// The middle of several measurements and how far they spread.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Summary {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Summary {
    /// Of at least one value.
    pub(super) fn new(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let half = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            0.5 * (sorted[half - 1] + sorted[half])
        } else {
            sorted[half]
        };
        Self { median, min: sorted[0], max: sorted[sorted.len() - 1] }
    }

    /// All of it times `factor`.
    pub(super) fn times(self, factor: f64) -> Self {
        Self { median: factor * self.median, min: factor * self.min, max: factor * self.max }
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn the_median_is_the_middle_of_any_number_of_values() {
        let of = |values: &[f64]| {
            let Summary { median, min, max } = Summary::new(values);
            [median, min, max]
        };
        assert_eq!(of(&[3.0]), [3.0, 3.0, 3.0]);
        assert_eq!(of(&[3.0, 1.0]), [2.0, 1.0, 3.0]);
        assert_eq!(of(&[9.0, 1.0, 2.0]), [2.0, 1.0, 9.0]);
    }
}
