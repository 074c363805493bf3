//! Results as bits, for promises of bitwise equality.

use mlff_student::engine::Results;

/// All numbers of `results`.
pub fn bits(results: &Results) -> Vec<u64> {
    let Results { energy, atomic_energies, forces, virial, atomic_virials } = results;
    std::iter::once(energy)
        .chain(atomic_energies)
        .chain(forces.as_flattened())
        .chain(virial)
        .chain(atomic_virials.as_flattened())
        .map(|x| x.to_bits())
        .collect()
}
