//! Covalent radii, which scale the repulsion and tell which atoms overlap.

/// By atomic number (Å): Cordero et al. 2008, doi 10.1039/b801115j; sp3 carbon, low spin.
const RADII: [f64; 55] = [
    0.0, 0.31, 0.28, 1.28, 0.96, 0.84, 0.76, 0.71, 0.66, 0.57, 0.58, 1.66, 1.41, 1.21, 1.11, 1.07,
    1.05, 1.02, 1.06, 2.03, 1.76, 1.70, 1.60, 1.53, 1.39, 1.39, 1.32, 1.26, 1.24, 1.32, 1.22, 1.22,
    1.20, 1.19, 1.20, 1.20, 1.16, 2.20, 1.95, 1.90, 1.75, 1.64, 1.54, 1.47, 1.46, 1.42, 1.39, 1.45,
    1.44, 1.42, 1.39, 1.39, 1.38, 1.39, 1.40,
];

/// Radius of an element up to xenon (Å); none is known of others.
pub fn radius(atomic_number: u8) -> Option<f64> {
    RADII.get(usize::from(atomic_number)).copied().filter(|&radius| radius > 0.0)
}
