//! The filter φ(d), tabulated: piecewise cubic from value and slope at equidistant nodes.
//!
//! Slopes are the filter's own, except where second derivatives must be continuous: there the
//! slopes of the cubic spline take their place, which are nearly the same.

use crate::error::Result;
use crate::memory::filled;
use crate::model::{Block, Model};

/// Fewest and most intervals that [`FilterTable::new`] tries.
const INTERVALS: std::ops::RangeInclusive<usize> = 1024..=8192;

/// Largest error of the interpolated slope at a quarter of an interval, relative to the largest
/// slope of the same filter. All reference models but the largest meet it with 512 intervals; see
/// `docs/design.md`.
const TOLERANCE: f64 = 2e-6;

/// One block's filter on [0, cutoff].
#[derive(Clone, Debug)]
pub struct FilterTable {
    /// Number of intervals.
    pub intervals: usize,
    /// Width of an interval (Å).
    pub step: f64,
    /// Filter values at a node, 3·hidden.
    pub width: usize,
    /// φ at node k: `values[k * width..][..width]`.
    values: Vec<f64>,
    /// Slope · step at node k.
    slopes: Vec<f64>,
}

impl FilterTable {
    /// Tabulates the filter of `block`, with as many intervals as its curvature needs.
    pub fn new(model: &Model, block: &Block) -> Result<Self> {
        let mut intervals = *INTERVALS.start();
        loop {
            let table = Self::with_intervals(model, block, intervals)?;
            if intervals >= *INTERVALS.end() || table.slope_error(model, block) <= TOLERANCE {
                return Ok(table);
            }
            intervals *= 2;
        }
    }

    /// Tabulates the filter of `block` with a given number of intervals.
    pub fn with_intervals(model: &Model, block: &Block, intervals: usize) -> Result<Self> {
        let width = block.filter.outputs();
        let step = model.cutoff / intervals as f64;
        let mut values = filled((intervals + 1) * width, 0.0)?;
        let mut slopes = filled((intervals + 1) * width, 0.0)?;
        for (node, (value, slope)) in
            values.chunks_exact_mut(width).zip(slopes.chunks_exact_mut(width)).enumerate()
        {
            block.filter.evaluate(model, node as f64 * step, value, slope);
            slope.iter_mut().for_each(|slope| *slope *= step);
        }
        if model.is_smooth() {
            spline(&values, &mut slopes, width)?;
        }
        Ok(Self { intervals, step, width, values, slopes })
    }

    /// Largest error of the slope a quarter into an interval (in the middle it is smallest), relative
    /// to the largest slope.
    fn slope_error(&self, model: &Model, block: &Block) -> f64 {
        let (mut value, mut slope) = (vec![0.0; self.width], vec![0.0; self.width]);
        let (mut exact, mut exact_slope) = (value.clone(), slope.clone());
        let largest = self.slopes.iter().fold(0.0_f64, |a, b| a.max(b.abs())) / self.step;
        // Curvature changes over many intervals, so a part of them tells.
        let error = (0..self.intervals).step_by(7).fold(0.0_f64, |error, k| {
            let d = (k as f64 + 0.25) * self.step;
            self.evaluate(d, &mut value, &mut slope);
            block.filter.evaluate(model, d, &mut exact, &mut exact_slope);
            slope.iter().zip(&exact_slope).fold(error, |error, (a, b)| error.max((a - b).abs()))
        });
        if largest > 0.0 { error / largest } else { 0.0 }
    }

    /// The cubic c₀ + t (c₁ + t (c₂ + t c₃)), t ∈ [0, 1], of filter value `channel` on `interval`.
    pub fn coefficients(&self, interval: usize, channel: usize) -> [f64; 4] {
        let here = interval * self.width + channel;
        let next = here + self.width;
        let rise = self.values[next] - self.values[here];
        let (m0, m1) = (self.slopes[here], self.slopes[next]);
        [self.values[here], m0, 3.0 * rise - 2.0 * m0 - m1, m0 + m1 - 2.0 * rise]
    }

    /// Writes the interpolated φ(d) and dφ/dd, `width` values each.
    pub fn evaluate(&self, d: f64, value: &mut [f64], slope: &mut [f64]) {
        let x = d / self.step;
        let interval = (x as usize).min(self.intervals - 1);
        let t = x - interval as f64;
        for (channel, (value, slope)) in value.iter_mut().zip(slope).enumerate() {
            let [c0, c1, c2, c3] = self.coefficients(interval, channel);
            *value = c0 + t * (c1 + t * (c2 + t * c3));
            *slope = (c1 + t * (2.0 * c2 + t * 3.0 * c3)) / self.step;
        }
    }
}

/// Replaces the slopes between the first and the last node by those that make the second derivative
/// continuous. With nodes at a distance of 1, m_{k−1} + 4 m_k + m_{k+1} = 3 (φ_{k+1} − φ_{k−1}),
/// solved by elimination from the first node on and substitution from the last one back.
fn spline(values: &[f64], slopes: &mut [f64], width: usize) -> Result<()> {
    let last = slopes.len() / width - 1;
    // m_k = e_k − factor_k m_{k+1} after elimination; the first node's slope is given.
    let mut factors = filled(last, 0.0)?;
    for k in 1..last {
        factors[k] = 1.0 / (4.0 - factors[k - 1]);
        for at in k * width..(k + 1) * width {
            let rise = 3.0 * (values[at + width] - values[at - width]);
            slopes[at] = (rise - slopes[at - width]) * factors[k];
        }
    }
    for k in (1..last).rev() {
        for at in k * width..(k + 1) * width {
            slopes[at] -= factors[k] * slopes[at + width];
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two known functions on [0, 2] as one table, slopes exact.
    fn known(intervals: usize) -> FilterTable {
        let step = 2.0 / intervals as f64;
        let at = |k: usize| (k as f64 * step, (-(k as f64) * step).exp());
        let both = |k: usize| [(3.0 * at(k).0).sin(), at(k).1];
        let slopes = |k: usize| [3.0 * (3.0 * at(k).0).cos() * step, -at(k).1 * step];
        FilterTable {
            intervals,
            step,
            width: 2,
            values: (0..=intervals).flat_map(both).collect(),
            slopes: (0..=intervals).flat_map(slopes).collect(),
        }
    }

    /// Largest jump of the second derivative at a node.
    fn jump(table: &FilterTable) -> f64 {
        let second = |interval, channel, t: f64| {
            let [_, _, c2, c3] = table.coefficients(interval, channel);
            (2.0 * c2 + 6.0 * t * c3) / (table.step * table.step)
        };
        (1..table.intervals)
            .flat_map(|node| [0, 1].map(|c| second(node - 1, c, 1.0) - second(node, c, 0.0)))
            .fold(0.0, |largest, jump| largest.max(jump.abs()))
    }

    #[test]
    fn spline_slopes_leave_no_jump_in_second_derivatives_and_lie_near_the_exact_ones() {
        let exact = known(64);
        let mut table = exact.clone();
        spline(&table.values, &mut table.slopes, 2).unwrap();
        assert!(jump(&exact) > 1e-4, "nothing to remove: {:e}", jump(&exact));
        assert!(jump(&table) < 1e-10, "{:e}", jump(&table));
        for (found, exact) in table.slopes.iter().zip(&exact.slopes) {
            assert!((found - exact).abs() < 5e-6 * table.step, "{found} and {exact}");
        }
        assert_eq!(table.slopes[..2], exact.slopes[..2]);
        assert_eq!(table.slopes[128..], exact.slopes[128..]);
    }
}
