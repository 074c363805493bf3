//! Two properties that a force field should have, measured: energies that do not depend on
//! orientation, and no jump where a pair crosses the cutoff.
//!
//! All in float64 with exact filters, so that the figures are the model's and not the engine's.

use std::f64::consts::TAU;
use std::sync::Arc;

use serde::Serialize;

use mlff_student::engine::{Calculator, Check, FilterMode, Options, Precision, Structure};
use mlff_student::error::Result;
use mlff_student::model::{Model, symbol};
use mlff_student::vector::{self, dot};

/// Changes of the energy below this are rounding (eV).
pub(super) const ROUNDING: f64 = 1e-7;

/// How far from the cutoff a jump is measured, as a share of it.
const STEP: f64 = 1e-9;

const ROTATIONS: usize = 32;

/// Ethanol (trans), MP2 geometry of the G2 test set.
pub(super) const ETHANOL: [(i32, [f64; 3]); 9] = [
    (6, [1.168181, -0.400382, 0.0]),
    (6, [0.0, 0.559462, 0.0]),
    (8, [-1.190083, -0.227669, 0.0]),
    (1, [-1.946623, 0.381525, 0.0]),
    (1, [0.042557, 1.207508, 0.886933]),
    (1, [0.042557, 1.207508, -0.886933]),
    (1, [2.115891, 0.1448, 0.0]),
    (1, [1.128599, -1.037234, 0.885881]),
    (1, [1.128599, -1.037234, -0.885881]),
];

/// Two waters (0.9572 Å, 104.52°) turned against each other, so that the two oxygen atoms alone
/// cross the cutoff when the second one moves along x.
const WATERS: [[(i32, [f64; 3]); 3]; 2] = [
    [(8, [0.0; 3]), (1, [0.9572, 0.0, 0.0]), (1, [-0.239987, 0.926627, 0.0])],
    [(8, [0.0; 3]), (1, [0.585882, 0.756950, 0.0]), (1, [0.585882, -0.756950, 0.0])],
];

/// How the energy depends on the orientation.
#[derive(Serialize)]
pub(super) struct Rotation {
    pub(super) structure: &'static str,
    pub(super) rotations: usize,
    /// Largest |E(turned) − E(as given)| (eV).
    pub(super) largest_energy_change: f64,
}

/// How the energy jumps where one pair crosses the cutoff.
#[derive(Serialize)]
pub(super) struct Jump {
    pub(super) structure: String,
    /// E(just inside) − E(just outside) (eV).
    pub(super) energy: f64,
}

/// Evaluates small molecules with a model.
pub(super) struct Measure {
    model: Arc<Model>,
    calculator: Calculator,
}

impl Measure {
    pub(super) fn new(model: &Arc<Model>) -> Result<Self> {
        let options = Options {
            precision: Precision::Double,
            filter: FilterMode::Exact,
            // Its shapes are no structures.
            check: Check::Off,
            ..Options::default()
        };
        let calculator = Calculator::new(Arc::clone(model), options)?;
        Ok(Self { model: Arc::clone(model), calculator })
    }

    fn energy(&mut self, atoms: impl Iterator<Item = (i32, [f64; 3])>) -> Result<f64> {
        let (species, positions): (Vec<i32>, Vec<[f64; 3]>) = atoms.unzip();
        let (species, positions) = (&species, &positions);
        let structure = Structure { species, positions, cell: None, periodic: [false; 3] };
        Ok(self.calculator.compute_structure(&structure)?.energy)
    }

    /// Turns ethanol, or its shape in another element where the model lacks some of ethanol's.
    pub(super) fn rotation(&mut self) -> Result<Rotation> {
        let known = self.knows(&[1, 6, 8]);
        let substitute = self.some_element();
        let atoms = ETHANOL.map(|(z, r)| (if known { z } else { substitute }, r));
        let unturned = self.energy(atoms.into_iter())?;
        let mut largest_energy_change: f64 = 0.0;
        for k in 0..ROTATIONS {
            let matrix = rotation(k);
            let turn = |(z, r)| (z, matrix.map(|row| dot(row, r)));
            let turned = self.energy(atoms.into_iter().map(turn))?;
            largest_energy_change = largest_energy_change.max((turned - unturned).abs());
        }
        let structure = if known { "ethanol" } else { "nine atoms of one element" };
        Ok(Rotation { structure, rotations: ROTATIONS, largest_energy_change })
    }

    /// Moves two atoms, and two waters, across the cutoff.
    pub(super) fn jumps(&mut self) -> Result<Vec<Jump>> {
        let cutoff = self.model.cutoff;
        let z = self.some_element();
        let pair = self.jump(|x| [(z, [0.0; 3]), (z, [x, 0.0, 0.0])].into_iter())?;
        let name = u8::try_from(z).ok().and_then(symbol).unwrap_or("?");
        let mut jumps = vec![Jump { structure: format!("{name}–{name} pair"), energy: pair }];
        // At shorter cutoffs the hydrogen atoms of the two would touch.
        if self.knows(&[1, 8]) && cutoff > 3.0 {
            let [first, second] = WATERS;
            let moved = move |x| second.map(|(z, r)| (z, [r[0] + x, r[1], r[2]]));
            let energy = self.jump(|x| first.into_iter().chain(moved(x)))?;
            jumps.push(Jump { structure: "water dimer".into(), energy });
        }
        Ok(jumps)
    }

    fn jump<I>(&mut self, at: impl Fn(f64) -> I) -> Result<f64>
    where
        I: Iterator<Item = (i32, [f64; 3])>,
    {
        let cutoff = self.model.cutoff;
        Ok(self.energy(at(cutoff * (1.0 - STEP)))? - self.energy(at(cutoff * (1.0 + STEP)))?)
    }

    fn knows(&self, species: &[u8]) -> bool {
        let scope = self.model.scope();
        species.iter().all(|&z| scope.knows(z))
    }

    /// Oxygen, or the first element that the model knows.
    fn some_element(&self) -> i32 {
        let first = self.model.species.first().copied().unwrap_or(8);
        i32::from(if self.knows(&[8]) { 8 } else { first })
    }
}

/// The `k`-th of a fixed series of rotations, spread evenly: unit quaternions (Shoemake 1992) at
/// the points of an additive recurrence.
fn rotation(k: usize) -> [[f64; 3]; 3] {
    // Powers of the real root of x⁴ = x + 1, which spread points best in three dimensions.
    let [a, b, c] = [0.8191725134, 0.6710436067, 0.5497004779]
        .map(|step: f64| (0.5 + step * (k + 1) as f64).fract());
    let (x, y) = ((1.0 - a).sqrt() * (TAU * b).sin(), (1.0 - a).sqrt() * (TAU * b).cos());
    let (z, w) = (a.sqrt() * (TAU * c).sin(), a.sqrt() * (TAU * c).cos());
    vector::rotation([x, y, z, w])
}
