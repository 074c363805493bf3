//! Results as bits, for promises of bitwise equality.

use mlff_student::engine::Results;

/// All numbers of `results`.
pub fn bits(results: &Results) -> Vec<u64> {
    let Results { energy, atomic_energies, forces, virial, atomic_virials, outside, overlaps } =
        results;
    let atoms = outside.iter().chain(overlaps.as_flattened()).map(|&atom| u64::from(atom));
    std::iter::once(energy)
        .chain(atomic_energies)
        .chain(forces.as_flattened())
        .chain(virial)
        .chain(atomic_virials.as_flattened())
        .map(|x| x.to_bits())
        .chain(atoms)
        .collect()
}
