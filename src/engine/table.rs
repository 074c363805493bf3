//! The filter φ(d), tabulated: piecewise of fifth degree, from value, slope and second derivative
//! at equidistant nodes, which are those of the filter itself: all three are continuous, at the
//! cutoff too.

use crate::error::Result;
use crate::memory::filled;
use crate::model::{Block, Model};

/// Coefficients of a polynomial of fifth degree.
pub const TERMS: usize = 6;

/// Most intervals of all.
const MOST: usize = 8192;

/// Largest error of the interpolated slope at a quarter of an interval, relative to the largest
/// slope of the same filter; see `docs/src/decisions/003-filter-tables.md`.
const TOLERANCE: f64 = 2e-6;

/// Distance of the slopes that a second derivative is formed of, as a share of the cutoff: fourth
/// order leaves 1e-9 of it for the narrowest basis functions, rounding less.
const NEARBY: f64 = 2e-4;

/// Where slopes are taken for a second derivative, and twelve times their weights, for a step of 1;
/// at the first node, and mirrored at the last one, on one side alone.
const CENTRAL: &[[f64; 2]] = &[[-2.0, 1.0], [-1.0, -8.0], [1.0, 8.0], [2.0, -1.0]];
const ONE_SIDED: &[[f64; 2]] = &[[0.0, -25.0], [1.0, 48.0], [2.0, -36.0], [3.0, 16.0], [4.0, -3.0]];

/// What takes the place of a block's filter on [0, cutoff].
pub trait Interpolation: Sized {
    /// Fewest intervals that are tried.
    const FEWEST: usize;

    /// Interpolates the filter of `block` with a given number of intervals.
    fn with_intervals(model: &Model, block: &Block, intervals: usize) -> Result<Self>;

    /// Writes the interpolated φ(d) and dφ/dd.
    fn evaluate(&self, d: f64, value: &mut [f64], slope: &mut [f64]);

    /// Interpolates the filter of `block`, with as many intervals as its curvature needs.
    fn new(model: &Model, block: &Block) -> Result<Self> {
        Self::with_intervals(model, block, intervals::<Self>(model, block, Self::FEWEST)?)
    }

    /// How many intervals the filters of all messages need where they share the places of pairs.
    fn shared_intervals(model: &Model) -> Result<usize> {
        model
            .blocks
            .iter()
            .try_fold(Self::FEWEST, |fewest, block| intervals::<Self>(model, block, fewest))
    }
}

/// How many intervals the filter of `block` needs: `fewest`, doubled while its curvature asks for
/// more.
fn intervals<T: Interpolation>(model: &Model, block: &Block, fewest: usize) -> Result<usize> {
    let mut intervals = fewest;
    while intervals < MOST && slope_error::<T>(model, block, intervals)? > TOLERANCE {
        intervals *= 2;
    }
    Ok(intervals)
}

/// Largest error of the slope a quarter into an interval (in the middle it is smallest), relative
/// to the largest slope.
fn slope_error<T: Interpolation>(model: &Model, block: &Block, intervals: usize) -> Result<f64> {
    let found = T::with_intervals(model, block, intervals)?;
    let step = model.cutoff / intervals as f64;
    let mut scratch = [(); 4].map(|()| vec![0.0; block.filter.outputs()]);
    let [value, slope, exact, exact_slope] = &mut scratch;
    let (mut error, mut largest) = (0.0_f64, 0.0_f64);
    // Curvature changes over many intervals of a fine table, so a part of them tells.
    for k in (0..intervals).step_by(intervals.div_ceil(64)) {
        let d = (k as f64 + 0.25) * step;
        found.evaluate(d, value, slope);
        block.filter.evaluate(model, d, exact, exact_slope);
        for (a, b) in slope.iter().zip(&*exact_slope) {
            (error, largest) = (error.max((a - b).abs()), largest.max(b.abs()));
        }
    }
    Ok(if largest > 0.0 { error / largest } else { 0.0 })
}

/// One block's filter on [0, cutoff].
#[derive(Clone, Debug)]
pub struct FilterTable {
    /// Number of intervals on [0, cutoff].
    pub intervals: usize,
    /// Width of an interval (Å).
    step: f64,
    /// Filter values at a node, 3·hidden.
    width: usize,
    /// φ, φ′ · step and φ″ · step² at node k: `nodes[k * width..][..width]`.
    nodes: Vec<[f64; 3]>,
}

impl Interpolation for FilterTable {
    const FEWEST: usize = 64;

    fn with_intervals(model: &Model, block: &Block, intervals: usize) -> Result<Self> {
        let width = block.filter.outputs();
        let step = model.cutoff / intervals as f64;
        let mut nodes = filled((intervals + 1) * width, [0.0; 3])?;
        let (mut value, mut slope) = (vec![0.0; width], vec![0.0; width]);
        let nearby = NEARBY * model.cutoff;
        for (k, node) in nodes.chunks_exact_mut(width).enumerate() {
            if k == intervals && model.is_smooth() {
                // All three vanish, exactly.
                continue;
            }
            let d = k as f64 * step;
            let (stencil, side) = match k {
                0 => (ONE_SIDED, nearby),
                k if k == intervals => (ONE_SIDED, -nearby),
                _ => (CENTRAL, nearby),
            };
            for [place, weight] in stencil {
                block.filter.evaluate(model, d + place * side, &mut value, &mut slope);
                let weight = weight / (12.0 * side) * step * step;
                node.iter_mut().zip(&slope).for_each(|(node, slope)| node[2] += weight * slope);
            }
            block.filter.evaluate(model, d, &mut value, &mut slope);
            for (node, (value, slope)) in node.iter_mut().zip(value.iter().zip(&slope)) {
                (node[0], node[1]) = (*value, slope * step);
            }
        }
        Ok(Self { intervals, step, width, nodes })
    }

    fn evaluate(&self, d: f64, value: &mut [f64], slope: &mut [f64]) {
        let x = d / self.step;
        let interval = (x as usize).min(self.intervals - 1);
        let t = x - interval as f64;
        for (channel, (value, slope)) in value.iter_mut().zip(slope).enumerate() {
            let [c0, c1, c2, c3, c4, c5] = self.coefficients(interval, channel);
            *value = c0 + t * (c1 + t * (c2 + t * (c3 + t * (c4 + t * c5))));
            let rise = c1 + t * (2.0 * c2 + t * (3.0 * c3 + t * (4.0 * c4 + t * 5.0 * c5)));
            *slope = rise / self.step;
        }
    }
}

impl FilterTable {
    /// The polynomial c₀ + t (c₁ + t (c₂ + …)), t ∈ [0, 1], of filter value `channel` on
    /// `interval`.
    pub fn coefficients(&self, interval: usize, channel: usize) -> [f64; TERMS] {
        let here = interval * self.width + channel;
        let ([f, m, q], [f1, m1, q1]) = (self.nodes[here], self.nodes[here + self.width]);
        // What c₃ + c₄ + c₅, 3 c₃ + 4 c₄ + 5 c₅ and 6 c₃ + 12 c₄ + 20 c₅ have to be.
        let (rise, turn, bend) = (f1 - f - m - 0.5 * q, m1 - m - q, q1 - q);
        [
            f,
            m,
            0.5 * q,
            10.0 * rise - 4.0 * turn + 0.5 * bend,
            -15.0 * rise + 7.0 * turn - bend,
            6.0 * rise - 3.0 * turn + 0.5 * bend,
        ]
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    /// Two functions on [0, 2] that end as filters do, value and first two derivatives.
    fn functions(d: f64) -> [[f64; 3]; 2] {
        let u = 1.0 - d / 2.0;
        let ended = |[g, slope, bend]: [f64; 3]| {
            [
                g * u.powi(3),
                slope * u.powi(3) - 1.5 * g * u * u,
                bend * u.powi(3) - 3.0 * slope * u * u + 1.5 * g * u,
            ]
        };
        let (sine, cosine) = (3.0 * d).sin_cos();
        [ended([sine, 3.0 * cosine, -9.0 * sine]), ended([1.0, -1.0, 1.0].map(|x| x * (-d).exp()))]
    }

    fn known(intervals: usize) -> FilterTable {
        let step = 2.0 / intervals as f64;
        let nodes = (0..=intervals)
            .flat_map(|k| {
                functions(k as f64 * step).map(|[f, m, q]| [f, m * step, q * step * step])
            })
            .collect();
        FilterTable { intervals, step, width: 2, nodes }
    }

    /// Largest errors of value and slope between the nodes.
    fn errors(table: &FilterTable) -> [f64; 2] {
        let (mut value, mut slope) = ([0.0; 2], [0.0; 2]);
        (0..1000).fold([0.0_f64; 2], |largest, k| {
            let d = 0.002 * f64::from(k);
            table.evaluate(d, &mut value, &mut slope);
            functions(d).iter().enumerate().fold(largest, |[a, b], (channel, exact)| {
                [a.max((value[channel] - exact[0]).abs()), b.max((slope[channel] - exact[1]).abs())]
            })
        })
    }

    #[test]
    fn values_slopes_and_second_derivatives_are_the_nodes_own_from_both_sides() {
        let table = known(64);
        for (interval, channel) in (0..64).flat_map(|interval| [(interval, 0), (interval, 1)]) {
            let [c0, c1, c2, c3, c4, c5] = table.coefficients(interval, channel);
            let [here, next] = [interval, interval + 1].map(|node| table.nodes[2 * node + channel]);
            assert_eq!([c0, c1, 2.0 * c2], here);
            let end = [
                c0 + c1 + c2 + c3 + c4 + c5,
                c1 + 2.0 * c2 + 3.0 * c3 + 4.0 * c4 + 5.0 * c5,
                2.0 * c2 + 6.0 * c3 + 12.0 * c4 + 20.0 * c5,
            ];
            for (found, expected) in end.iter().zip(next) {
                assert!((found - expected).abs() < 1e-14, "{found} and {expected}");
            }
        }
    }

    #[test]
    fn errors_fall_with_the_sixth_power_of_the_interval_those_of_slopes_with_the_fifth() {
        let ([value, slope], [finer, finer_slope]) = (errors(&known(8)), errors(&known(16)));
        assert!(value < 1e-5 && slope < 1e-4, "{value:e}, {slope:e}");
        assert!((50.0..80.0).contains(&(value / finer)), "{value:e}, {finer:e}");
        assert!((25.0..40.0).contains(&(slope / finer_slope)), "{slope:e}, {finer_slope:e}");
    }
}
