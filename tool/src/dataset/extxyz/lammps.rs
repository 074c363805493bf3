//! What LAMMPS writes: text dumps (`dump custom`) and data files (`write_data`).
//!
//! Elements are named by a dump's column `element` (`dump_modify element`), in a data file by type
//! labels or by comments behind the masses (`1 15.999  # O`).

use super::{Frame, Reader, comment::Comment, number, quoted};
use mlff_student::error::Result;
use mlff_student::model::atomic_number;

/// Within so many lines a data file says how many atoms it has.
const HEADER: usize = 100;

/// How each frame of a dump begins.
pub(super) const DUMP: &str = "ITEM: TIMESTEP";

/// Atom styles that data files name, and in which column, from 0, the type and x are.
const STYLES: [(&str, usize, usize); 8] = [
    ("atomic", 1, 2),
    ("charge", 1, 3),
    ("angle", 2, 3),
    ("bond", 2, 3),
    ("molecular", 2, 3),
    ("full", 2, 4),
    ("sphere", 1, 4),
    ("dipole", 1, 3),
];

/// Names of columns in a dump that are positions in Å, and those that are shares of the box.
const CARTESIAN: [[&str; 3]; 2] = [["x", "y", "z"], ["xu", "yu", "zu"]];
const SCALED: [[&str; 3]; 2] = [["xs", "ys", "zs"], ["xsu", "ysu", "zsu"]];

/// A box: its origin and its edges, one per row (Å).
struct Region {
    origin: [f64; 3],
    edges: [[f64; 3]; 3],
}

impl Region {
    /// Of lower and upper bounds and the tilts xy, xz, yz.
    fn new([x, y, z]: [[f64; 2]; 3], [xy, xz, yz]: [f64; 3]) -> Self {
        let edges = [[x[1] - x[0], 0.0, 0.0], [xy, y[1] - y[0], 0.0], [xz, yz, z[1] - z[0]]];
        Self { origin: [x[0], y[0], z[0]], edges }
    }

    /// Of the bounds of the box around a tilted one, as dumps give them.
    fn around([x, y, z]: [[f64; 2]; 3], tilts @ [xy, xz, yz]: [f64; 3]) -> Self {
        let least = |values: &[f64]| values.iter().fold(0.0, |a: f64, &b| a.min(b));
        let most = |values: &[f64]| values.iter().fold(0.0, |a: f64, &b| a.max(b));
        let along_x = [xy, xz, xy + xz];
        let x = [x[0] - least(&along_x), x[1] - most(&along_x)];
        let y = [y[0] - least(&[yz]), y[1] - most(&[yz])];
        Self::new([x, y, z], tilts)
    }

    fn position(&self, share: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|k| {
            self.origin[k] + (0..3).map(|edge| share[edge] * self.edges[edge][k]).sum::<f64>()
        })
    }
}

/// The numbers of a line, as many as there must be.
fn numbers<const N: usize>(line: &str) -> Option<[f64; N]> {
    let words: Vec<&str> = line.split_whitespace().take(N).collect();
    let found: Option<Vec<f64>> = words.into_iter().map(number).collect();
    found?.try_into().ok()
}

impl Reader {
    /// A frame of a dump whose first line was read.
    pub(super) fn dump_frame(&mut self) -> Result<Frame> {
        self.frames += 1;
        let line = self.lines;
        let mut atoms = None;
        let mut region = None;
        let mut periodic = [false; 3];
        loop {
            let Some(header) = self.next_line()? else {
                return Err(self.broken("expected ITEM: ATOMS, found the end of the file"));
            };
            let header = header.trim().to_string();
            if header.strip_prefix("ITEM: NUMBER OF ATOMS").is_some() {
                atoms = self.next_line()?.and_then(|text| text.trim().parse::<usize>().ok());
            } else if let Some(words) = header.strip_prefix("ITEM: BOX BOUNDS") {
                let words: Vec<&str> = words.split_whitespace().collect();
                let flags = words.get(words.len().saturating_sub(3)..).unwrap_or_default();
                if words.contains(&"abc") || flags.len() < 3 {
                    return Err(self.broken(format!(
                        "expected BOX BOUNDS with three flags such as pp, found {}: dump without \
                         dump_modify triclinic/general",
                        quoted(&header)
                    )));
                }
                periodic = std::array::from_fn(|k| flags[k].starts_with('p'));
                region = Some(self.bounds(words.contains(&"xy"))?);
            } else if let Some(columns) = header.strip_prefix("ITEM: ATOMS") {
                let (Some(atoms), Some(region)) = (atoms, region) else {
                    return Err(self.broken("expected the number of atoms and the box before them"));
                };
                let names: Vec<String> = columns.split_whitespace().map(str::to_string).collect();
                let mut frame = self.lammps_frame(line, &region, periodic)?;
                self.dumped_atoms(&names, atoms, &region, &mut frame)?;
                return Ok(frame);
            } else if header.starts_with("ITEM: UNITS") {
                let units = self.next_line()?.unwrap_or_default();
                if units.trim() != "metal" {
                    return Err(self.broken(format!(
                        "expected units metal (Å, eV), found {}: dump with units metal",
                        quoted(units.trim())
                    )));
                }
            }
        }
    }

    fn bounds(&mut self, tilted: bool) -> Result<Region> {
        let mut bounds = [[0.0; 2]; 3];
        let mut tilts = [0.0; 3];
        for k in 0..3 {
            let text = self.next_line()?.unwrap_or_default();
            let Some([low, high]) = numbers(&text) else {
                return Err(self.broken(format!("expected two bounds, found {}", quoted(&text))));
            };
            bounds[k] = [low, high];
            if tilted {
                let Some([.., tilt]) = numbers::<3>(&text) else {
                    return Err(self.broken(format!("expected a tilt, found {}", quoted(&text))));
                };
                tilts[k] = tilt;
            }
        }
        Ok(Region::around(bounds, tilts))
    }

    fn lammps_frame(&self, line: usize, region: &Region, periodic: [bool; 3]) -> Result<Frame> {
        Ok(Frame {
            number: self.frames,
            line,
            species: Vec::new(),
            positions: Vec::new(),
            cell: Some(region.edges),
            periodic,
            forces: Vec::new(),
            comment: Comment::parse("")?,
        })
    }

    fn dumped_atoms(
        &mut self,
        names: &[String],
        atoms: usize,
        region: &Region,
        frame: &mut Frame,
    ) -> Result<()> {
        let column = |name: &str| names.iter().position(|known| known == name);
        let three = |names: &[&str; 3]| {
            let found: Option<Vec<usize>> = names.iter().map(|name| column(name)).collect();
            found
        };
        let Some(element) = column("element") else {
            return Err(self.broken(
                "expected a column element: write dump custom ... id element x y z, and \
                 dump_modify element with the element of each type",
            ));
        };
        let cartesian = CARTESIAN.iter().find_map(three);
        let scaled = SCALED.iter().find_map(three);
        let Some(place) = cartesian.clone().or(scaled) else {
            return Err(self.broken("expected columns x y z, xu yu zu, xs ys zs or xsu ysu zsu"));
        };
        let force = three(&["fx", "fy", "fz"]);
        let id = column("id");
        let mut rows = Vec::new();
        for atom in 0..atoms {
            let Some(line) = self.next_line()? else {
                return Err(self.broken(format!(
                    "expected {atoms} atoms, found the end of the file after {atom}: the dump is \
                     truncated"
                )));
            };
            let words: Vec<&str> = line.split_whitespace().collect();
            let word = |column: usize| words.get(column).copied().unwrap_or_default();
            let triple = |columns: &[usize]| -> Option<[f64; 3]> {
                let found: Option<Vec<f64>> =
                    columns.iter().map(|&column| number(word(column))).collect();
                found?.try_into().ok()
            };
            let (Some(species), Some(position)) = (atomic_number(word(element)), triple(&place))
            else {
                return Err(self.broken(format!(
                    "expected an element and three coordinates, found {}",
                    quoted(&line)
                )));
            };
            let position = if cartesian.is_some() { position } else { region.position(position) };
            let order = id.and_then(|id| word(id).parse::<u64>().ok()).unwrap_or(atom as u64);
            rows.try_reserve(1)?;
            rows.push((order, i32::from(species), position, force.as_deref().map(triple)));
        }
        // LAMMPS writes them in the order of its processes.
        rows.sort_by_key(|row| row.0);
        for (_, species, position, force) in rows {
            frame.species.push(species);
            frame.positions.push(position);
            if let Some(force) = force {
                frame.forces.push(force.unwrap_or([f64::NAN; 3]));
            }
        }
        Ok(())
    }

    /// A data file whose first line was read.
    pub(super) fn data_frame(&mut self) -> Result<Option<Frame>> {
        let mut lines: Vec<String> = Vec::new();
        while let Some(line) = self.next_line()? {
            lines.try_reserve(1)?;
            lines.push(line);
            // What is no data file is not read to its end.
            if lines.len() == HEADER && !lines.iter().any(|line| line.trim().ends_with(" atoms")) {
                return Ok(None);
            }
        }
        let header = |name: &str| {
            lines.iter().find_map(|line| line.trim().strip_suffix(name).map(str::to_string))
        };
        // Its first line is free text, so that this is what shows a data file.
        let Some(atoms) = header(" atoms").and_then(|text| text.trim().parse::<usize>().ok())
        else {
            return Ok(None);
        };
        let bounds = ["xlo xhi", "ylo yhi", "zlo zhi"].map(&header);
        let bounds = bounds.map(|text| numbers::<2>(&text.unwrap_or_default()));
        let [Some(x), Some(y), Some(z)] = bounds else {
            return Err(self.broken("expected xlo xhi, ylo yhi and zlo zhi in a LAMMPS data file"));
        };
        let tilts = header("xy xz yz").and_then(|text| numbers(&text)).unwrap_or([0.0; 3]);
        let region = Region::new([x, y, z], tilts);
        self.frames += 1;
        // The boundary is in no data file; LAMMPS takes it as periodic unless told otherwise.
        let mut frame = self.lammps_frame(1, &region, [true; 3])?;
        let elements = self.elements(&lines)?;
        let (style, rows) = section(&lines, "Atoms");
        let known = STYLES.iter().find(|(name, ..)| Some(*name) == style);
        let Some(&(_, kind, place)) = known else {
            let names: Vec<&str> = STYLES.iter().map(|(name, ..)| *name).collect();
            return Err(self.broken(format!(
                "expected the atom style behind the section's name, such as Atoms # atomic (known: \
                 {}), found {}",
                names.join(", "),
                style.map_or_else(|| "none".into(), quoted)
            )));
        };
        let mut found = Vec::new();
        for row in rows {
            let words: Vec<&str> = row.split_whitespace().collect();
            let word = |column: usize| words.get(column).copied().unwrap_or_default();
            let species = elements.iter().find(|(name, _)| name == word(kind));
            let position = [0, 1, 2].map(|k| number(word(place + k)));
            let ([Some(x), Some(y), Some(z)], Some((_, species)), Ok(id)) =
                (position, species, word(0).parse::<u64>())
            else {
                return Err(self.broken(format!(
                    "expected an atom of style {}, of a type whose element is known, found {}",
                    style.unwrap_or_default(),
                    quoted(row)
                )));
            };
            found.try_reserve(1)?;
            found.push((id, *species, [x, y, z]));
        }
        if found.len() != atoms {
            return Err(self.broken(format!("expected {atoms} atoms, found {}", found.len())));
        }
        found.sort_by_key(|row| row.0);
        frame.species = found.iter().map(|row| row.1).collect();
        frame.positions = found.iter().map(|row| row.2).collect();
        Ok(Some(frame))
    }

    /// Names of atom types, numbers and labels, with the atomic numbers of their elements.
    fn elements(&self, lines: &[String]) -> Result<Vec<(String, i32)>> {
        let mut elements = Vec::new();
        let mut add = |name: &str, symbol: &str| {
            let number = atomic_number(symbol)?;
            elements.push((name.to_string(), i32::from(number)));
            Some(())
        };
        for row in section(lines, "Atom Type Labels").1 {
            if let [number, label] = row.split_whitespace().collect::<Vec<_>>()[..] {
                let _ = add(number, label).and_then(|()| add(label, label));
            }
        }
        for row in section(lines, "Masses").1 {
            let Some((values, symbol)) = row.split_once('#') else { continue };
            if let Some(name) = values.split_whitespace().next() {
                let _ = add(name, symbol.trim());
            }
        }
        if elements.is_empty() {
            return Err(self.broken(
                "expected the element of each type: write it behind its mass, such as \
                 '1 15.999  # O', or use type labels that are chemical symbols",
            ));
        }
        Ok(elements)
    }
}

/// The word behind a section's name (`Atoms # full`), and the lines below it.
fn section<'a>(lines: &'a [String], name: &str) -> (Option<&'a str>, Vec<&'a str>) {
    let begins = |line: &&String| {
        let (title, _) = line.split_once('#').unwrap_or((line, ""));
        title.trim() == name
    };
    let Some(start) = lines.iter().position(|line| begins(&line)) else {
        return (None, Vec::new());
    };
    let style = lines[start].split_once('#').map(|(_, style)| style.trim());
    let below = lines[start + 1..].iter().map(|line| line.trim());
    let rows = below.skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty());
    (style, rows.collect())
}
