//! Plots of a report.

use std::path::Path;

use super::{Group, Prediction, Report, symbol};
use crate::dataset::Frame;
use crate::plot::{self, Labels};
use mlff_student::error::Result;

/// Draws parity, error histograms and errors by group into `folder`; gives the files' names.
pub fn draw(
    folder: &Path,
    report: &Report,
    frames: &[Frame],
    predictions: &[Prediction],
) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut place = |name: &str| {
        names.push(name.to_string());
        folder.join(name)
    };
    let pairs = || frames.iter().zip(predictions);
    let forces: Vec<(f64, f64)> = pairs()
        .flat_map(|(frame, prediction)| {
            let components = frame.forces.iter().flatten().zip(prediction.forces.iter().flatten());
            components.map(|(&label, &found)| (label, found))
        })
        .collect();
    let errors = |points: &[(f64, f64)], scale: f64| -> Vec<f64> {
        points.iter().map(|(label, found)| scale * (found - label)).collect()
    };
    let overall = &report.overall.forces;
    let mut notes = vec![
        format!("MAE {:.4} eV/Å", overall.mae_ev_per_angstrom),
        format!("RMSE {:.4} eV/Å", overall.rmse_ev_per_angstrom),
    ];
    notes.extend(overall.r2.map(|r2| format!("R² {r2:.4}")));
    let components = format!("{} components", forces.len());
    let labels = Labels {
        title: &format!("Forces, {components}"),
        x: "teacher's force component (eV/Å)",
        y: "student's force component (eV/Å)",
        notes: &notes,
    };
    plot::parity(&place("forces-parity.png"), labels, &forces)?;
    let labels = Labels {
        title: "Errors of force components",
        x: "student − teacher (eV/Å)",
        y: "components",
        notes: &notes,
    };
    plot::histogram(&place("forces-errors.png"), labels, &errors(&forces, 1.0))?;

    let energies = without_references(report, frames, predictions);
    let fitted = &report.overall.energy_fitted_references;
    let notes = [
        format!("MAE {:.2} meV/atom", fitted.mae_mev_per_atom),
        format!("RMSE {:.2} meV/atom", fitted.rmse_mev_per_atom),
    ];
    let labels = Labels {
        title: &format!("Energies, {} frames, references fitted", frames.len()),
        x: "teacher's energy − best sum over elements (eV/atom)",
        y: "student's energy − the same (eV/atom)",
        notes: &notes,
    };
    plot::parity(&place("energies-parity.png"), labels, &energies)?;
    let labels = Labels {
        title: "Errors of energies, references fitted",
        x: "student − teacher (meV/atom)",
        y: "frames",
        notes: &notes,
    };
    plot::histogram(&place("energies-errors.png"), labels, &errors(&energies, 1000.0))?;

    for (name, title, groups) in [
        ("forces-by-element.png", "element", &report.by_element),
        ("forces-by-kind.png", "kind of structure", &report.by_kind),
        ("forces-by-temperature.png", "temperature", &report.by_temperature),
    ] {
        if groups.len() < 2 {
            continue;
        }
        let labels = Labels {
            title: &format!("Force errors by {title}"),
            x: "force MAE (eV/Å)",
            y: "",
            notes: &[],
        };
        let bar = |group: &Group| (group.name.clone(), group.errors.forces.mae_ev_per_angstrom);
        let bars: Vec<(String, f64)> = groups.iter().map(bar).collect();
        plot::bars(&place(name), labels, &bars)?;
    }
    Ok(names)
}

/// Label and prediction per atom (eV), the fitted references added to the prediction, and the best
/// sum over elements of the labels taken from both, so that the differences between formulas do
/// not hide the errors.
fn without_references(
    report: &Report,
    frames: &[Frame],
    predictions: &[Prediction],
) -> Vec<(f64, f64)> {
    let zero: Vec<Prediction> = frames
        .iter()
        .map(|_| Prediction {
            energy: 0.0,
            forces: Vec::new(),
            stress: None,
            outside: Vec::new(),
            overlaps: Vec::new(),
        })
        .collect();
    let labels = super::references::fit(frames, &zero).unwrap_or_default();
    let point = |(frame, prediction): (&Frame, &Prediction)| {
        let atoms = frame.species.len() as f64;
        let of_labels: f64 =
            frame.species.iter().map(|z| labels.get(z).copied().unwrap_or(0.0)).sum();
        let fitted = |z: &u8| {
            symbol(*z).and_then(|symbol| report.fitted_references_ev.get(symbol)).unwrap_or(&0.0)
        };
        let of_student: f64 = frame.species.iter().map(fitted).sum();
        ((frame.energy - of_labels) / atoms, (prediction.energy + of_student - of_labels) / atoms)
    };
    frames.iter().zip(predictions).map(point).collect()
}
