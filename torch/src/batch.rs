//! Labelled frames, prepared once and put together as tensors for every step.

use mlff_student::model::{Envelope, Repulsion, Seen};
use mlff_student::neighbors::neighborhood;
use mlff_student::{Error, ErrorKind, Result};
use mlff_student_tool::dataset::Frame;
use tch::{Device, Kind, Tensor};

/// Radial functions of all students trained here: sin(kπd/cutoff)/d, k = 1 … `size`, times an
/// envelope.
#[derive(Clone, Copy, Debug)]
pub struct Radial {
    /// Number of basis functions.
    pub size: usize,
    /// Pairs with d ≤ cutoff take part (Å).
    pub cutoff: f64,
    /// What brings them to zero at the cutoff.
    pub envelope: Envelope,
}

impl Radial {
    /// f_k = kπ/cutoff (1/Å).
    pub fn frequencies(&self) -> Vec<f64> {
        (1..=self.size).map(|k| k as f64 * std::f64::consts::PI / self.cutoff).collect()
    }

    /// Writes basis times envelope, then the envelope, and their slopes by the true distance:
    /// `size` + 1 values each.
    fn evaluate(&self, seen: Seen, values: &mut Vec<f32>, slopes: &mut Vec<f32>) {
        let Seen { distance: d, slope: change } = seen;
        let (envelope, envelope_slope) = self.envelope.at(d, self.cutoff);
        let step = std::f64::consts::PI / self.cutoff;
        let (sin, cos) = (step * d).sin_cos();
        let (mut s, mut c) = (sin, cos);
        for k in 1..=self.size {
            let value = s / d;
            let slope = (k as f64 * step * c - value) / d;
            values.push((value * envelope) as f32);
            slopes.push((change * (slope * envelope + value * envelope_slope)) as f32);
            // Angle addition: a sine and cosine for each k would take longer than the network.
            (s, c) = (s * cos + c * sin, c * cos - s * sin);
        }
        values.push(envelope as f32);
        slopes.push((change * envelope_slope) as f32);
    }
}

/// A frame ready for training: pairs, and labels without reference energies and repulsion.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Row of the embedding of each atom.
    species: Vec<u8>,
    /// Receiving and sending atom of each pair, by receiving atom.
    pairs: Vec<[u16; 2]>,
    /// r_j − r_i of each pair, images included (Å).
    vectors: Vec<[f32; 3]>,
    /// Pairs within the repulsion, and what the network sees of their distance.
    close: Vec<(usize, Seen)>,
    /// Label: the energy (eV) without reference energies and repulsion.
    energy: f64,
    /// Label: the force on each atom (eV/Å) without repulsion.
    forces: Vec<[f32; 3]>,
    /// ∂E/∂ε = stress × volume (eV), and the volume (Å³).
    strain: Option<([[f32; 3]; 3], f32)>,
}

/// An atom and one that it sees.
pub struct Pair {
    to: usize,
    from: usize,
    /// r_from − r_to, images included (Å).
    r: [f64; 3],
    /// Length of r (Å).
    d: f64,
}

/// The pairs of a frame within the cutoff (Å), by receiving atom; an error for atoms at one place
/// and cells without a volume.
pub fn pairs(frame: &Frame, cutoff: f64) -> Result<Vec<Pair>> {
    let list = neighborhood(&frame.positions, frame.cell, frame.periodic, cutoff)?;
    let mut pairs = Vec::with_capacity(list.neighbors.len());
    for (to, window) in list.offsets.windows(2).enumerate() {
        for &j in &list.neighbors[window[0]..window[1]] {
            let (from, position) = list.place(&frame.positions, j);
            let r: [f64; 3] = std::array::from_fn(|a| position[a] - frame.positions[to][a]);
            let d = r.iter().map(|x| x * x).sum::<f64>().sqrt();
            if d == 0.0 {
                return Err(Error::new(
                    ErrorKind::Numeric,
                    format!("expected atoms apart, found {to} and {from} at one place"),
                ));
            }
            if d < cutoff {
                pairs.push(Pair { to, from, r, d });
            }
        }
    }
    Ok(pairs)
}

/// What a network adds to: subtracted from labels before it is trained.
pub struct Baseline<'a> {
    /// Elements in the order of the embedding's rows (atomic numbers).
    pub species: &'a [u8],
    /// Energy of each (eV).
    pub reference_energies: &'a [f64],
    /// Repulsion whose energies and forces are subtracted from the labels.
    pub repulsion: Option<&'a Repulsion>,
}

impl Sample {
    /// Lists the pairs of a frame and subtracts the baseline from its labels.
    pub fn new(frame: &Frame, radial: &Radial, baseline: &Baseline<'_>) -> Result<Self> {
        let within = |error: Error| error.within(&frame.name);
        let species = frame
            .species
            .iter()
            .map(|z| baseline.species.iter().position(|known| known == z).map(|row| row as u8))
            .collect::<Option<Vec<u8>>>()
            .ok_or_else(|| {
                within(Error::new(
                    ErrorKind::Species,
                    "expected only elements of the student: name all of them under [student]",
                ))
            })?;
        if u16::try_from(species.len()).is_err() {
            return Err(within(Error::new(
                ErrorKind::InvalidArgument,
                format!("expected at most {} atoms, found {}", u16::MAX, species.len()),
            )));
        }
        let mut sample = Self {
            energy: frame.energy
                - species
                    .iter()
                    .map(|&row| baseline.reference_energies[usize::from(row)])
                    .sum::<f64>(),
            species,
            pairs: Vec::new(),
            vectors: Vec::new(),
            close: Vec::new(),
            forces: Vec::new(),
            strain: None,
        };
        let mut forces = frame.forces.clone();
        let mut strain = frame.stress.zip(frame.volume()).map(|(stress, volume)| {
            (stress.map(|row| row.map(|component| component * volume)), volume)
        });
        for Pair { to: i, from, r, d } in pairs(frame, radial.cutoff).map_err(within)? {
            sample.pairs.push([i as u16, from as u16]);
            sample.vectors.push(r.map(|x| x as f32));
            let Some(repulsion) = baseline.repulsion else { continue };
            let species = [frame.species[i], frame.species[from]];
            if d < repulsion.reach(species) {
                sample.close.push((sample.pairs.len() - 1, repulsion.seen(species, d)));
            }
            // Each pair stands in the list twice.
            let (value, slope) = repulsion.at(species, d);
            sample.energy -= 0.5 * value;
            for a in 0..3 {
                forces[i][a] -= slope * r[a] / d;
                if let Some((strain, _)) = &mut strain {
                    for b in 0..3 {
                        strain[a][b] -= 0.5 * slope * r[a] * r[b] / d;
                    }
                }
            }
        }
        sample.forces = forces.iter().map(|f| f.map(|x| x as f32)).collect();
        sample.strain =
            strain.map(|(strain, volume)| (strain.map(|row| row.map(|x| x as f32)), volume as f32));
        Ok(sample)
    }

    /// Number of pairs, which is what a step's time and memory follow.
    pub fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// Number of atoms.
    pub fn atoms(&self) -> usize {
        self.species.len()
    }
}

/// The pairs of a batch; those of one structure stand together, by receiving atom.
#[derive(Debug)]
pub struct Pairs {
    /// Receiving atom i of each pair, P.
    pub to: Tensor,
    /// Sending atom j of each pair, P.
    pub from: Tensor,
    /// First pair of each structure, and the end: S + 1, on the CPU.
    pub first: Tensor,
    /// Basis times envelope, then the envelope: P × (basis + 1).
    pub basis: Tensor,
    /// Its derivative by d.
    pub slope: Tensor,
    /// u = (r_j − r_i)/d, P × 3.
    pub unit: Tensor,
    /// d (Å), P × 1.
    pub distance: Tensor,
}

/// Some structures with their labels, without the baseline.
#[derive(Debug)]
pub struct Batch {
    /// Directed pairs within the cutoff.
    pub pairs: Pairs,
    /// Row of the embedding of each atom, N.
    pub species: Tensor,
    /// Structure of each atom, N.
    pub structure: Tensor,
    /// Number of atoms of each structure, S.
    pub atoms: Tensor,
    /// Label: energy of each structure (eV), S.
    pub energy: Tensor,
    /// Label: force on each atom (eV/Å), N × 3.
    pub forces: Tensor,
    /// ∂E/∂ε (eV), S × 3 × 3; zeros where there is no label.
    pub strain: Tensor,
    /// Volume (Å³), S; infinite where there is no label.
    pub volume: Tensor,
}

impl Batch {
    /// Puts samples together, on the CPU, in float32.
    pub fn new<'a>(samples: impl IntoIterator<Item = &'a Sample>, radial: &Radial) -> Self {
        let (mut to, mut from, mut first) = (Vec::new(), Vec::new(), vec![0_i64]);
        let (mut basis, mut slope) = (Vec::new(), Vec::new());
        let (mut unit, mut distance) = (Vec::new(), Vec::new());
        let (mut species, mut structure, mut atoms) = (Vec::new(), Vec::new(), Vec::new());
        let (mut energy, mut forces) = (Vec::new(), Vec::<f32>::new());
        let (mut strain, mut volume) = (Vec::<f32>::new(), Vec::new());
        for (index, sample) in samples.into_iter().enumerate() {
            let offset = species.len() as i64;
            let mut close = sample.close.iter().peekable();
            for (k, (&[i, j], r)) in sample.pairs.iter().zip(&sample.vectors).enumerate() {
                to.push(offset + i64::from(i));
                from.push(offset + i64::from(j));
                let r = r.map(f64::from);
                let d = r.iter().map(|x| x * x).sum::<f64>().sqrt();
                let seen = match close.next_if(|(pair, _)| *pair == k) {
                    Some(&(_, seen)) => seen,
                    None => Seen { distance: d, slope: 1.0 },
                };
                radial.evaluate(seen, &mut basis, &mut slope);
                unit.extend(r.map(|x| (x / d) as f32));
                distance.push(d as f32);
            }
            first.push(to.len() as i64);
            species.extend(sample.species.iter().map(|&row| i64::from(row)));
            structure.extend(std::iter::repeat_n(index as i64, sample.atoms()));
            atoms.push(sample.atoms() as f32);
            energy.push(sample.energy as f32);
            forces.extend(sample.forces.iter().flatten());
            let (label, size) = sample.strain.unwrap_or(([[0.0; 3]; 3], f32::INFINITY));
            strain.extend(label.iter().flatten());
            volume.push(size);
        }
        let columns = radial.size as i64 + 1;
        Self {
            pairs: Pairs {
                to: Tensor::from_slice(&to),
                from: Tensor::from_slice(&from),
                first: Tensor::from_slice(&first),
                basis: Tensor::from_slice(&basis).view([-1, columns]).set_requires_grad(true),
                slope: Tensor::from_slice(&slope).view([-1, columns]),
                unit: Tensor::from_slice(&unit).view([-1, 3]).set_requires_grad(true),
                distance: Tensor::from_slice(&distance).view([-1, 1]),
            },
            species: Tensor::from_slice(&species),
            structure: Tensor::from_slice(&structure),
            atoms: Tensor::from_slice(&atoms),
            energy: Tensor::from_slice(&energy),
            forces: Tensor::from_slice(&forces).view([-1, 3]),
            strain: Tensor::from_slice(&strain).view([-1, 3, 3]),
            volume: Tensor::from_slice(&volume),
        }
    }

    /// The batch on another device, or as another kind of numbers.
    pub fn to(&self, kind: Kind, device: Device) -> Self {
        let number = |tensor: &Tensor| tensor.detach().to_kind(kind).to_device(device);
        let index = |tensor: &Tensor| tensor.to_device(device);
        Self {
            pairs: Pairs {
                to: index(&self.pairs.to),
                from: index(&self.pairs.from),
                first: self.pairs.first.shallow_clone(),
                basis: number(&self.pairs.basis).set_requires_grad(true),
                slope: number(&self.pairs.slope),
                unit: number(&self.pairs.unit).set_requires_grad(true),
                distance: number(&self.pairs.distance),
            },
            species: index(&self.species),
            structure: index(&self.structure),
            atoms: number(&self.atoms),
            energy: number(&self.energy),
            forces: number(&self.forces),
            strain: number(&self.strain),
            volume: number(&self.volume),
        }
    }

    /// Number of structures.
    pub fn structures(&self) -> usize {
        self.atoms.size()[0] as usize
    }
}
