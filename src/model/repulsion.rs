//! Short-range repulsion: a pair energy that keeps colliding atoms apart where no training data
//! are.
//!
//! E(d) = k Z Z′ / d · Φ(d / a) · u(d / (ρ + ρ′)), with the screening function Φ and length a of
//! Ziegler, Biersack and Littmark (The Stopping and Range of Ions in Solids, Pergamon 1985), and
//! the polynomial envelope u, whose second derivative is continuous, to end it.
//!
//! No training data reach far into it, so there it must rule alone: a pair has a *core*, inside
//! which the network sees it no closer ([`Repulsion::seen`]). Whatever the weights are, two atoms
//! that approach each other inside the core repel as the formula above does.

use super::filter::Envelope;

/// e² / (4 π ε₀) (eV Å).
pub const COULOMB: f64 = 14.399645;

/// Screening length of two charges Z, Z′: this / (Z^0.23 + Z′^0.23) (Å).
pub const LENGTH: f64 = 0.46850;
/// Power of Z in the screening length.
pub const EXPONENT: f64 = 0.23;

/// Φ(x) = Σ c exp(−b x), as (c, b).
pub const SCREENING: [(f64, f64); 4] =
    [(0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162)];

/// Envelope u that ends the repulsion at its reach.
pub const ENVELOPE: Envelope = Envelope::Polynomial { power: 6 };

/// The repulsion of a model's atoms.
#[derive(Clone, Debug, PartialEq)]
pub struct Repulsion {
    /// ρ by atomic number, one for each embedding row (Å): a pair repels below ρ + ρ′. Elements
    /// with 0 take no part.
    pub radii: Vec<f64>,
    /// Radius of a pair's core, as a share of ρ + ρ′, from 0 (no core) to below 1.
    pub core: f64,
}

/// The distance of a pair as the network sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The distance that the filters are evaluated at (Å).
    pub distance: f64,
    /// Its slope by the true distance: 1 outside of the repulsion, 0 inside the core.
    pub slope: f64,
}

impl Repulsion {
    /// ρ of an element (Å); 0: it takes no part.
    pub fn radius(&self, number: u8) -> f64 {
        self.radii.get(usize::from(number)).copied().unwrap_or(0.0)
    }

    /// The distance from which on two elements do not repel each other (Å); 0 if they never do.
    pub fn reach(&self, species: [u8; 2]) -> f64 {
        match species.map(|z| self.radius(z)) {
            [a, b] if a > 0.0 && b > 0.0 => a + b,
            _ => 0.0,
        }
    }

    /// Upper bound of [`Self::reach`] over all elements (Å).
    pub fn longest(&self) -> f64 {
        2.0 * self.radii.iter().fold(0.0_f64, |a, &b| a.max(b))
    }

    /// What the network sees of a pair at distance `d` (Å): the distance itself from
    /// [`Self::reach`] on, a constant inside the core, and between them a slope
    /// t² (3 − 2t), t = 0 … 1, so that second derivatives are continuous.
    pub fn seen(&self, species: [u8; 2], d: f64) -> Seen {
        let reach = self.reach(species);
        let core = self.core * reach;
        if d >= reach || core <= 0.0 {
            return Seen { distance: d, slope: 1.0 };
        }
        let t = ((d - core) / (reach - core)).max(0.0);
        // The integral of the slope from t to 1.
        let lost = 0.5 - t * t * t * (1.0 - 0.5 * t);
        Seen { distance: reach - (reach - core) * lost, slope: t * t * (3.0 - 2.0 * t) }
    }

    /// Energy (eV) of a pair at distance `d` (Å), and its slope (eV/Å); zero from
    /// [`Self::reach`] on.
    pub fn at(&self, species: [u8; 2], d: f64) -> (f64, f64) {
        let reach = self.reach(species);
        if d >= reach {
            return (0.0, 0.0);
        }
        let [z, other] = species.map(f64::from);
        let length = LENGTH / (z.powf(EXPONENT) + other.powf(EXPONENT));
        let (mut screening, mut screening_slope) = (0.0, 0.0);
        for (c, b) in SCREENING {
            let term = c * (-b * d / length).exp();
            screening += term;
            screening_slope -= b / length * term;
        }
        let (envelope, envelope_slope) = ENVELOPE.at(d, reach);
        let coulomb = COULOMB * z * other / d;
        let slope = (screening_slope - screening / d) * envelope + screening * envelope_slope;
        (coulomb * screening * envelope, coulomb * slope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(radii: &[(usize, f64)]) -> Repulsion {
        let mut all = vec![0.0; 18];
        radii.iter().for_each(|&(z, radius)| all[z] = radius);
        Repulsion { radii: all, core: 0.75 }
    }

    #[test]
    fn the_network_sees_distances_as_they_are_outside_and_none_below_those_of_the_core() {
        let repulsion = of(&[(1, 0.2), (8, 0.4)]);
        assert_eq!(repulsion.seen([1, 8], 0.6), Seen { distance: 0.6, slope: 1.0 });
        assert_eq!(repulsion.seen([1, 6], 0.1), Seen { distance: 0.1, slope: 1.0 });
        let inside = repulsion.seen([1, 8], 0.45);
        assert_eq!((inside, inside.slope), (repulsion.seen([8, 1], 0.01), 0.0));
        assert!((inside.distance - 0.525).abs() < 1e-15);
        let none = Repulsion { core: 0.0, ..repulsion };
        assert_eq!(none.seen([1, 8], 0.1), Seen { distance: 0.1, slope: 1.0 });
    }

    #[test]
    fn what_the_network_sees_has_two_continuous_derivatives() {
        let repulsion = of(&[(1, 0.2), (8, 0.4)]);
        let at = |d| repulsion.seen([1, 8], d);
        let step = 1e-5;
        for k in 0..3000 {
            let d = 0.4 + 1e-4 * f64::from(k) + 0.3e-4;
            let difference = (at(d + step).distance - at(d - step).distance) / (2.0 * step);
            assert!((difference - at(d).slope).abs() < 1e-7, "{d}: {difference}");
            let bend = |d: f64| (at(d + step).slope - at(d - step).slope) / (2.0 * step);
            // The third derivative is at most 6 / (0.6 − 0.45)².
            assert!((bend(d + 1e-4) - bend(d)).abs() < 1.1 * 1e-4 * 6.0 / 0.0225, "{d}");
        }
    }

    /// Energy (eV) and force (eV/Å) of `pair_style zbl` in LAMMPS, by Z, Z′ and distance (Å).
    const LAMMPS: [([u8; 2], f64, f64, f64); 5] = [
        ([1, 1], 0.2, 33.2823266255, 270.168016151),
        ([1, 8], 0.3, 103.333109101, 694.86642166),
        ([6, 6], 0.5, 119.908059584, 619.738330004),
        ([8, 17], 0.4, 627.842648217, 3956.04698211),
        ([16, 17], 0.75, 176.774120815, 781.861878769),
    ];

    #[test]
    fn half_way_to_its_end_it_is_the_known_potential_times_the_known_envelope() {
        // u(½) and u′(½) for p = 6: 1 − 28/64 + 48/128 − 21/256 and −168/32 + 336/64 − 168/128.
        let (envelope, slope) = (0.85546875, -1.3125);
        for (species, d, energy, force) in LAMMPS {
            let repulsion = of(&species.map(|z| (usize::from(z), d)));
            let (found, found_slope) = repulsion.at(species, d);
            let (energy, expected) =
                (envelope * energy, -envelope * force + energy * slope / (2.0 * d));
            assert!((found / energy - 1.0).abs() < 1e-8, "{species:?}: {found} and {energy} eV");
            assert!((found_slope / expected - 1.0).abs() < 1e-8, "{species:?}: {found_slope}");
        }
    }

    #[test]
    fn elements_without_a_radius_do_not_repel() {
        let repulsion = of(&[(1, 0.2), (8, 0.4)]);
        assert!(repulsion.at([1, 8], 0.5).0 > 0.0);
        assert_eq!(repulsion.at([1, 6], 0.1), (0.0, 0.0));
        assert_eq!(repulsion.at([6, 6], 0.1), (0.0, 0.0));
        assert_eq!(repulsion.at([1, 8], 0.2 + 0.4), (0.0, 0.0));
    }
}
