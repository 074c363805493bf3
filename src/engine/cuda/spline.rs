//! The filter φ(d) as a cubic spline: values at equidistant nodes, and slopes that make second
//! derivatives continuous.

use crate::engine::table::Interpolation;
use crate::error::Result;
use crate::memory::filled;
use crate::model::{Block, Model};

/// One block's filter on [0, cutoff].
#[derive(Clone, Debug)]
pub struct Spline {
    /// Number of intervals.
    pub intervals: usize,
    /// Width of an interval (Å).
    step: f64,
    /// Filter values at a node, 3·hidden.
    width: usize,
    /// φ at node k: `values[k * width..][..width]`.
    values: Vec<f64>,
    /// Slope · step at node k.
    slopes: Vec<f64>,
}

impl Interpolation for Spline {
    const FEWEST: usize = 256;

    /// Slopes at the first node, and at the cutoff where the filter does not end smoothly, are the
    /// filter's own.
    fn with_intervals(model: &Model, block: &Block, intervals: usize) -> Result<Self> {
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
        match model.is_smooth() {
            true => spline(&mut values, &mut slopes, width)?,
            false => clamped_spline(&values, &mut slopes, width)?,
        }
        Ok(Self { intervals, step, width, values, slopes })
    }

    fn evaluate(&self, d: f64, value: &mut [f64], slope: &mut [f64]) {
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

impl Spline {
    /// The cubic c₀ + t (c₁ + t (c₂ + t c₃)), t ∈ [0, 1], of filter value `channel` on `interval`.
    fn coefficients(&self, interval: usize, channel: usize) -> [f64; 4] {
        let here = interval * self.width + channel;
        let next = here + self.width;
        let rise = self.values[next] - self.values[here];
        let (m0, m1) = (self.slopes[here], self.slopes[next]);
        [self.values[here], m0, 3.0 * rise - 2.0 * m0 - m1, m0 + m1 - 2.0 * rise]
    }

    /// The control points of filter value `channel` as a cubic B-spline, at nodes −1 to `intervals`
    /// + 1.
    ///
    /// With control points P at a distance of 1, φ_k = (P_{k−1} + 4 P_k + P_{k+1}) / 6,
    /// m_k = (P_{k+1} − P_{k−1}) / 2 and φ″_k = P_{k−1} − 2 P_k + P_{k+1}.
    pub fn control_points(&self, channel: usize) -> Vec<f64> {
        let last = self.intervals;
        let slope = |node: usize| self.slopes[node * self.width + channel];
        let mut points = vec![0.0; last + 3];
        for node in 0..=last {
            let [_, _, c2, c3] = self.coefficients(node.min(last - 1), channel);
            let bend = if node < last { 2.0 * c2 } else { 2.0 * c2 + 6.0 * c3 };
            points[node + 1] = self.values[node * self.width + channel] - bend / 6.0;
        }
        points[0] = points[2] - 2.0 * slope(0);
        points[last + 2] = points[last] + 2.0 * slope(last);
        points
    }
}

/// Makes the second derivative continuous, at the cutoff too, where the filter and its first two
/// derivatives vanish. With nodes at a distance of 1, slopes obey
/// m_{k−1} + 4 m_k + m_{k+1} = 3 (φ_{k+1} − φ_{k−1}); they are solved for by elimination from the
/// first node on, whose slope is given, and substitution back.
///
/// A cubic can only end with two vanishing derivatives as a (1 − t)³, so on the last interval
/// φ_{n−1} = a and m_{n−1} = −3 a, and the second derivative at its begin, 6 a, is that of the
/// interval before where a = (m_{n−2} + 3 φ_{n−2}) / 12. The value at this one node is then not the
/// filter's own, but as near to it as the cubics are elsewhere.
fn spline(values: &mut [f64], slopes: &mut [f64], width: usize) -> Result<()> {
    let before = values.len() / width - 3;
    let factors = eliminate(values, slopes, width, before)?;
    for at in before * width..(before + 1) * width {
        // Where φ_{n−1} and m_{n−1} are put in, 4 m_{n−2} becomes 3.5 m_{n−2}.
        let rise = 1.5 * values[at] - 3.0 * values[at - width];
        slopes[at] = (rise - slopes[at - width]) / (3.5 - factors[before - 1]);
        let a = (slopes[at] + 3.0 * values[at]) / 12.0;
        (values[at + width], slopes[at + width]) = (a, -3.0 * a);
        (values[at + 2 * width], slopes[at + 2 * width]) = (0.0, 0.0);
    }
    substitute_back(slopes, &factors, width);
    Ok(())
}

/// The slopes of the spline through `values` that has the given slopes at both ends, by the
/// equations of [`spline`].
fn clamped_spline(values: &[f64], slopes: &mut [f64], width: usize) -> Result<()> {
    let factors = eliminate(values, slopes, width, values.len() / width - 1)?;
    substitute_back(slopes, &factors, width);
    Ok(())
}

/// Turns the slopes of nodes 1 to `end` − 1 into e_k of m_k = e_k − factor_k m_{k+1}, and gives the
/// factors.
fn eliminate(values: &[f64], slopes: &mut [f64], width: usize, end: usize) -> Result<Vec<f64>> {
    let mut factors = filled(end, 0.0)?;
    for k in 1..end {
        factors[k] = 1.0 / (4.0 - factors[k - 1]);
        for at in k * width..(k + 1) * width {
            let rise = 3.0 * (values[at + width] - values[at - width]);
            slopes[at] = (rise - slopes[at - width]) * factors[k];
        }
    }
    Ok(factors)
}

/// Turns e_k into slopes, from the node behind them, whose slope is known, to the first.
fn substitute_back(slopes: &mut [f64], factors: &[f64], width: usize) {
    for k in (1..factors.len()).rev() {
        for at in k * width..(k + 1) * width {
            slopes[at] -= factors[k] * slopes[at + width];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two functions on [0, 2] that end as filters do, as one table, slopes exact.
    fn known(intervals: usize) -> Spline {
        let step = 2.0 / intervals as f64;
        // g (1 − d/2)³ and its slope, for two g.
        let ended = |d: f64, g: f64, slope: f64| {
            let u = 1.0 - d / 2.0;
            (g * u.powi(3), (slope * u.powi(3) - 1.5 * g * u * u) * step)
        };
        let both = |k: usize| {
            let d = k as f64 * step;
            let (sine, wave) = ((3.0 * d).sin(), 3.0 * (3.0 * d).cos());
            [ended(d, sine, wave), ended(d, (-d).exp(), -(-d).exp())]
        };
        let (values, slopes) = (0..=intervals).flat_map(both).unzip();
        Spline { intervals, step, width: 2, values, slopes }
    }

    /// Largest jump of the second derivative at a node; beyond the last one it is 0.
    fn jump(table: &Spline) -> f64 {
        let second = |interval, channel, t: f64| {
            let [_, _, c2, c3] = table.coefficients(interval, channel);
            (2.0 * c2 + 6.0 * t * c3) / (table.step * table.step)
        };
        let before = |node, channel| second(node - 1, channel, 1.0);
        let after = |node, channel| match node < table.intervals {
            true => second(node, channel, 0.0),
            false => 0.0,
        };
        (1..=table.intervals)
            .flat_map(|node| [0, 1].map(|channel| before(node, channel) - after(node, channel)))
            .fold(0.0, |largest, jump| largest.max(jump.abs()))
    }

    #[test]
    fn spline_slopes_leave_no_jump_in_second_derivatives_and_lie_near_the_exact_ones() {
        let exact = known(64);
        let mut table = exact.clone();
        spline(&mut table.values, &mut table.slopes, 2).unwrap();
        assert!(jump(&exact) > 1e-4, "nothing to remove: {:e}", jump(&exact));
        assert!(jump(&table) < 1e-10, "{:e}", jump(&table));
        for (found, exact) in table.slopes.iter().zip(&exact.slopes) {
            assert!((found - exact).abs() < 5e-6 * table.step, "{found} and {exact}");
        }
        // Between nodes a cubic spline is off by up to 5/384 step⁴ |φ⁗|, here 1e-6.
        for (found, exact) in table.values.iter().zip(&exact.values) {
            assert!((found - exact).abs() < 2e-7, "{found} and {exact}");
        }
        assert_eq!(table.slopes[..2], exact.slopes[..2]);
        assert_eq!((&table.values[128..], &table.slopes[128..]), (&[0.0; 2][..], &[0.0; 2][..]));
    }

    #[test]
    fn a_clamped_spline_keeps_values_and_end_slopes_and_leaves_no_jump_inside() {
        let exact = known(64);
        let mut table = exact.clone();
        clamped_spline(&table.values, &mut table.slopes, 2).unwrap();
        let inside = Spline { intervals: 63, ..table.clone() };
        assert!(jump(&exact) > 1e-4, "nothing to remove: {:e}", jump(&exact));
        // Beyond what counts as the last node `jump` expects 0, so its own is left out.
        let second = |interval, channel, t: f64| {
            let [_, _, c2, c3] = inside.coefficients(interval, channel);
            (2.0 * c2 + 6.0 * t * c3) / (table.step * table.step)
        };
        for (node, channel) in (1..64).flat_map(|node| [(node, 0), (node, 1)]) {
            let jump = second(node - 1, channel, 1.0) - second(node, channel, 0.0);
            assert!(jump.abs() < 1e-10, "{jump:e} at node {node}");
        }
        assert_eq!(table.values, exact.values);
        assert_eq!(table.slopes[..2], exact.slopes[..2]);
        assert_eq!(table.slopes[128..], exact.slopes[128..]);
    }

    #[test]
    fn control_points_give_the_same_cubics() {
        let mut table = known(64);
        clamped_spline(&table.values, &mut table.slopes, 2).unwrap();
        for channel in [0, 1] {
            let points = table.control_points(channel);
            for interval in 0..64 {
                let [c0, c1, c2, c3] = table.coefficients(interval, channel);
                for t in [0.0, 0.3, 1.0_f64] {
                    let r = 1.0 - t;
                    let weights = [
                        r * r * r,
                        4.0 + t * t * (3.0 * t - 6.0),
                        1.0 + 3.0 * t * (1.0 + t * r),
                        t * t * t,
                    ];
                    let sum: f64 =
                        weights.iter().zip(&points[interval..]).map(|(w, p)| w * p).sum();
                    let expected = c0 + t * (c1 + t * (c2 + t * c3));
                    assert!((sum / 6.0 - expected).abs() < 1e-14, "{} and {expected}", sum / 6.0);
                }
            }
        }
    }
}
