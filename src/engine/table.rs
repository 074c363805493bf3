//! The filter φ(d), tabulated: piecewise cubic from value and slope at equidistant nodes.

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
    /// dφ/dd · step at node k.
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
