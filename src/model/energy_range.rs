//! The energies of atoms that a student saw in training, and what becomes of others.
//!
//! Products of features grow without limit where no frame taught a network anything, and energies
//! of −10³⁰ eV are the result. But an atom cannot be bound much better than the best bound atoms of
//! the training data. So the network's energy x of an atom is taken as it is within the range of
//! its element, and saturates beyond:
//!
//! ```text
//! x < low:   low − b tanh((low − x) / b)        b = 0.5 eV: never below low − b
//! x > high:  high + a asinh((x − high) / a)     a = 20 eV: x itself nearby, its logarithm far away
//! ```
//!
//! Value, slope and second derivative are continuous at both ends.
//!
//! The range holds all but one in 10,000 atoms of the training frames, so an atom just outside is
//! ordinary. [`is_outside`] tells atoms that are so far outside that the network guesses.

/// b of the formula (eV).
pub const BELOW: f64 = 0.5;

/// a of the formula (eV).
pub const ABOVE: f64 = 20.0;

/// An atom is far outside if its network energy is so much below the range (eV).
pub const FAR_BELOW: f64 = 0.25;

/// An atom is far outside if its network energy is so much above the range (eV). Hot and colliding
/// atoms have high energies, so more is allowed there.
pub const FAR_ABOVE: f64 = 5.0;

/// For each element, between which energies the network's energies of atoms lay in training.
#[derive(Clone, Debug, PartialEq)]
pub struct EnergyRange {
    /// (low, high) by atomic number, one for each embedding row, without reference energies and
    /// repulsion (eV). Elements that were not seen have (0, 0).
    pub bounds: Vec<[f64; 2]>,
}

/// The bounds of an element without a known range (eV): none.
pub const UNBOUNDED: [f64; 2] = [f64::NEG_INFINITY, f64::INFINITY];

/// The energy of an atom whose network gives `x` (eV), and its slope by x.
pub fn bounded(x: f64, [low, high]: [f64; 2]) -> (f64, f64) {
    if x < low {
        let tanh = ((low - x) / BELOW).tanh();
        (low - BELOW * tanh, 1.0 - tanh * tanh)
    } else if x > high {
        let y = (x - high) / ABOVE;
        (high + ABOVE * y.asinh(), 1.0 / y.hypot(1.0))
    } else {
        // NaN too: it is found with the results.
        (x, 1.0)
    }
}

/// Whether an atom is far outside the energies of its element, from its bounded energy (eV):
/// [`bounded`] grows with the network's energy, so that need not be kept.
pub fn is_outside(bounded: f64, [low, high]: [f64; 2]) -> bool {
    // Nearly all atoms are in the range.
    if low <= bounded && bounded <= high {
        return false;
    }
    let [lowest, highest] = ordinary([low, high]);
    bounded < lowest || bounded > highest
}

/// Between which bounded energies an atom is not far outside (eV).
pub fn ordinary([low, high]: [f64; 2]) -> [f64; 2] {
    [bounded(low - FAR_BELOW, [low, high]).0, bounded(high + FAR_ABOVE, [low, high]).0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atoms_are_outside_where_their_network_energy_is_far_from_the_range() {
        let range = [-1.0, 3.0];
        let outside = |x| is_outside(bounded(x, range).0, range);
        for x in [-1.249, -1.0, 0.0, 3.0, 7.999] {
            assert!(!outside(x), "{x}");
        }
        for x in [-1e32, -1.251, 8.001, 1e32] {
            assert!(outside(x), "{x}");
        }
        // What is no number is an error of its own.
        assert!(!outside(f64::NAN));
        for x in [-1e32, 0.0, 1e32] {
            assert!(!is_outside(bounded(x, UNBOUNDED).0, UNBOUNDED), "{x}");
        }
    }

    #[test]
    fn energies_in_the_range_are_not_touched_and_others_end_where_the_formulas_say() {
        let range = [-1.0, 3.0];
        for x in [-1.0, 0.0, 3.0] {
            assert_eq!(bounded(x, range), (x, 1.0));
        }
        assert_eq!(bounded(-1e32, range), (-1.5, 0.0));
        let (value, slope) = bounded(1e32, range);
        assert!((value - (3.0 + 20.0 * (1e31_f64).ln())).abs() < 1e-9 && slope < 1e-30, "{value}");
        assert_eq!(bounded(-1e300, UNBOUNDED), (-1e300, 1.0));
        assert!(bounded(f64::NAN, range).0.is_nan());
    }

    #[test]
    fn the_energy_has_two_continuous_derivatives() {
        let range = [-1.0, 3.0];
        let step = 1e-4;
        for k in 0..8000 {
            let x = -3.0 + 0.001 * f64::from(k);
            let difference =
                (bounded(x + step, range).0 - bounded(x - step, range).0) / (2.0 * step);
            assert!((difference - bounded(x, range).1).abs() < 1e-6, "{x}: {difference}");
            let bend =
                |x: f64| (bounded(x + step, range).1 - bounded(x - step, range).1) / (2.0 * step);
            // The third derivative is at most 2 / b².
            assert!((bend(x + 0.001) - bend(x)).abs() < 1.1e-3 * 2.0 / (BELOW * BELOW), "{x}");
        }
    }
}
