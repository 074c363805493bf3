//! The report as Markdown.

use std::fmt::Write;

use super::aligned::aligned;
use super::{Errors, Group, Report, SHORTEST_FORCE, Worst};

impl Report {
    /// The report on a terminal.
    pub fn text(&self) -> String {
        aligned(&self.markdown(&[]))
    }

    /// The report for people; `pictures` are names of image files beside it.
    pub fn markdown(&self, pictures: &[String]) -> String {
        // Writing to a string cannot fail.
        let mut text = String::new();
        let Self { model, data, overall, .. } = self;
        let _ = writeln!(
            text,
            "# {} against its labels\n\n\
             {}, hidden {}, {} blocks, {} parameters, cutoff {} Å; teacher {}.\n",
            model.file,
            model.architecture,
            model.hidden,
            model.blocks,
            model.parameters,
            model.cutoff_angstrom,
            model.teacher.as_deref().unwrap_or("not given"),
        );
        let _ = writeln!(
            text,
            "{} frames, {} atoms, {} molecules, {} scaffolds; labels by {}.\n",
            data.frames,
            data.atoms,
            data.molecules,
            data.scaffolds,
            data.teacher.as_deref().unwrap_or("a method that is not given"),
        );
        for source in &data.sources {
            let hash = source.content_hash.as_deref().map(|hash| format!(", content {hash}"));
            let _ = writeln!(
                text,
                "- {}: {} frames{}",
                source.path,
                source.frames,
                hash.unwrap_or_default()
            );
        }
        for note in &self.notes {
            let _ = writeln!(text, "- note: {note}");
        }
        for dropped in &self.dropped {
            let _ = writeln!(text, "- {}", dropped.sentence());
        }
        if self.dropped.is_empty() {
            text += "- no frame was dropped\n";
        }
        text += "\n## All frames\n\n";
        let (forces, energy) = (&overall.forces, &overall.energy_fitted_references);
        let _ = writeln!(
            text,
            "Mean absolute errors: forces {:.4} eV/Å, energies {:.2} meV/atom (references \
             fitted).\n",
            forces.mae_ev_per_angstrom, energy.mae_mev_per_atom
        );
        text += &summary(overall);
        let _ = writeln!(
            text,
            "\nForces: over x, y and z of each atom; angles between force vectors where the \
             label's is longer than {SHORTEST_FORCE} eV/Å. Energies: student minus label per atom, \
             each frame counted once; \"references fitted\" means after adding one energy per \
             element to the student's, fitted on these frames, which is what remains to compare \
             where the reference energies of two teachers differ."
        );
        for (title, groups) in [
            ("split", &self.by_split),
            ("kind of structure", &self.by_kind),
            ("temperature", &self.by_temperature),
            ("number of atoms", &self.by_size),
            ("element", &self.by_element),
        ] {
            text += &table(title, groups);
        }
        if !self.by_element.is_empty() {
            text += "\nBy element: forces on its atoms, energies of frames that have it. Fitted \
                     references: ";
            let references = self.fitted_references_ev.iter();
            let references: Vec<String> =
                references.map(|(symbol, energy)| format!("{symbol} {energy:.4}")).collect();
            let _ = writeln!(text, "{} eV.", references.join(", "));
        }
        text += &self.outside.markdown();
        text += &worst("Largest errors of forces", &self.worst_forces);
        text += &worst("Largest errors of energies, references fitted", &self.worst_energies);
        if !pictures.is_empty() {
            text += "\n## Pictures\n";
            for picture in pictures {
                let _ = writeln!(text, "\n![{picture}]({picture})");
            }
        }
        text
    }
}

fn summary(errors: &Errors) -> String {
    let mut text = String::from("| quantity | MAE | RMSE | more |\n| --- | --- | --- | --- |\n");
    let energies = [
        ("energy, as it is", &errors.energy),
        ("energy, references fitted", &errors.energy_fitted_references),
    ];
    for (name, energy) in energies {
        let _ = writeln!(
            text,
            "| {name} (meV/atom) | {:.2} | {:.2} | mean {:.2} |",
            energy.mae_mev_per_atom, energy.rmse_mev_per_atom, energy.mean_mev_per_atom
        );
    }
    let forces = &errors.forces;
    let _ = writeln!(
        text,
        "| forces (eV/Å) | {:.4} | {:.4} | R² {}, mean angle {}, mean absolute label {:.3} |",
        forces.mae_ev_per_angstrom,
        forces.rmse_ev_per_angstrom,
        shown(forces.r2, 4),
        shown(forces.mean_angle_degrees, 1) + "°",
        forces.mean_absolute_label_ev_per_angstrom,
    );
    if let Some(stress) = &errors.stress {
        let _ = writeln!(
            text,
            "| stress (meV/Å³) | {:.3} | {:.3} | MAE {:.3} GPa, {} periodic frames |",
            stress.mae_mev_per_cubic_angstrom,
            stress.rmse_mev_per_cubic_angstrom,
            stress.mae_gpa,
            stress.frames
        );
    }
    text
}

fn table(title: &str, groups: &[Group]) -> String {
    let mut text = format!(
        "\n## By {title}\n\n| {title} | frames | atoms | energy MAE | references fitted | force \
         MAE | RMSE | R² | angle | stress MAE |\n| --- | --: | --: | --: | --: | --: | --: | --: | \
         --: | --: |\n| | | | meV/atom | meV/atom | eV/Å | eV/Å | | ° | meV/Å³ |\n"
    );
    for Group { name, errors } in groups {
        let Errors { energy, energy_fitted_references, forces, stress, .. } = errors;
        let stress = stress.as_ref().map(|stress| stress.mae_mev_per_cubic_angstrom);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.2} | {:.2} | {:.4} | {:.4} | {} | {} | {} |",
            cell(name),
            errors.frames,
            errors.atoms,
            energy.mae_mev_per_atom,
            energy_fitted_references.mae_mev_per_atom,
            forces.mae_ev_per_angstrom,
            forces.rmse_ev_per_angstrom,
            shown(forces.r2, 4),
            shown(forces.mean_angle_degrees, 1),
            shown(stress, 3),
        );
    }
    text
}

/// A name from the data, which must not end its cell.
pub(super) fn cell(name: &str) -> String {
    name.replace('|', "\\|")
}

fn worst(title: &str, frames: &[Worst]) -> String {
    let mut text = format!(
        "\n## {title}\n\n| frame | kind | formula | force RMSE (eV/Å) | largest ΔF (eV/Å) | energy \
         (meV/atom) |\n| --- | --- | --- | --: | --: | --: |\n"
    );
    for frame in frames {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.3} | {:.3} | {:.2} |",
            cell(&frame.name),
            cell(&frame.kind),
            frame.formula,
            frame.force_rmse_ev_per_angstrom,
            frame.largest_force_error_ev_per_angstrom,
            frame.energy_error_mev_per_atom,
        );
    }
    text
}

fn shown(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.decimals$}"))
}
