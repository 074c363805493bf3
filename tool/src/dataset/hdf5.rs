//! Datasets in HDF5: one array for each quantity over all frames
//! (`docs/src/reference/datasets.md`).

use std::path::Path;

use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::{Attribute, Datatype, Hdf5File, OpenOptions};

use super::{Frame, Source, Split, content};
use mlff_student::error::{Error, ErrorKind, Result};

/// What every HDF5 file begins with.
pub(super) const SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";

/// Most bytes that a byte of a file becomes when it is unpacked: DEFLATE's bound. An array may be
/// so many times the size of the whole file.
const MOST_UNPACKED: u64 = 1032;

const FORMAT: &str = "mlff-student-dataset";
const FORMAT_VERSION: i64 = 1;

/// Reads a whole file. Labels that are no numbers stay, for which the frame is dropped.
pub(super) fn read(path: &Path) -> Result<(Source, Vec<Frame>)> {
    let name = path.display().to_string();
    read_file(path, &name).map_err(|error| error.within(name))
}

fn read_file(path: &Path, name: &str) -> Result<(Source, Vec<Frame>)> {
    let file = Arrays::open(path)?;
    let attributes = file.attributes()?;
    let text = |key: &str| {
        let Some(attribute) = attributes.iter().find(|attribute| attribute.name == key) else {
            return Ok(None);
        };
        attribute.read_string().map(Some).map_err(|error| {
            broken(format!(
                "expected text in the attribute {key}, found something else ({error}): write it \
                 again"
            ))
        })
    };
    if text("format")?.as_deref() == Some(FORMAT) {
        check_version(attributes.iter().find(|attribute| attribute.name == "format_version"))?;
    }
    let content_hash = text("content_hash")?;
    let frames = file.frames(name, content_hash.as_deref())?;
    let source = Source {
        path: name.to_string(),
        teacher: text("teacher")?,
        units: text("units")?,
        content_hash,
        frames: frames.len(),
    };
    Ok((source, frames))
}

fn check_version(version: Option<&Attribute>) -> Result<()> {
    let found = version.and_then(|version| version.read_as_f64().ok());
    if found == Some(FORMAT_VERSION as f64) {
        return Ok(());
    }
    let found = found.map_or("none".into(), |version| version.to_string());
    Err(broken(format!(
        "expected format_version {FORMAT_VERSION} of {FORMAT}, found {found}: use a version of \
         this program that knows it, or write the data anew"
    )))
}

fn broken(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}

/// The datasets of a file.
struct Arrays(Hdf5File);

impl Arrays {
    fn open(path: &Path) -> Result<Self> {
        let unreadable = |error: std::io::Error| {
            Error::new(ErrorKind::Io, format!("expected a file that can be read: {error}"))
        };
        // The header of an array that was never written may claim any size.
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        let most = usize::try_from(size.saturating_mul(MOST_UNPACKED)).unwrap_or(usize::MAX);
        let options = OpenOptions::default().with_max_read_bytes(most);
        let file = Hdf5File::open_with_options(path, options).map_err(|error| match error {
            Hdf5Error::Io(error) => unreadable(error),
            error => damaged(&error),
        })?;
        let (expected, found) = (file.superblock().eof_address, file.storage().len());
        if found < expected {
            return Err(broken(format!(
                "expected {expected} bytes, as the file's header says, found {found}: it is \
                 truncated; copy it or write it again"
            )));
        }
        Ok(Self(file))
    }

    fn attributes(&self) -> Result<Vec<Attribute>> {
        let root = self.0.root_group().map_err(|error| damaged(&error))?;
        root.attributes().map_err(|error| damaged(&error))
    }

    /// All frames; those of the `hash`, where there is one.
    fn frames(&self, file: &str, hash: Option<&str>) -> Result<Vec<Frame>> {
        let species = self.integers("structures/atomic_numbers", &[Any])?;
        let offsets = self.integers("metadata/atom_offsets", &[Any])?;
        let (atoms, count) = (species.len(), offsets.len().saturating_sub(1));
        check_offsets(&offsets, atoms)?;
        let vectors = |name| self.floats(name, &[Is(atoms, "atoms"), Is(3, "directions")]);
        let matrices =
            |name| self.floats(name, &[Is(count, "frames"), Is(3, "rows"), Is(3, "columns")]);
        let positions = vectors("structures/positions")?;
        let forces = vectors("labels/forces")?;
        let cells = matrices("structures/cells")?;
        let stresses = self.optional("labels/stress", matrices)?;
        let pbc = self.integers("structures/pbc", &[Is(count, "frames"), Is(3, "directions")])?;
        let per_frame = |name| self.floats(name, &[Is(count, "frames")]);
        let energies = per_frame("labels/energy")?;
        let temperatures = self.optional("metadata/temperature", per_frame)?;
        let texts = |name| self.optional(name, |name| self.strings(name, count));
        let (names, kinds) = (texts("metadata/name")?, texts("metadata/kind")?);
        let (molecules, scaffolds) = (texts("metadata/molecule")?, texts("metadata/scaffold")?);
        let splits = texts("metadata/split")?;

        let mut frames = Vec::new();
        frames.try_reserve_exact(count)?;
        let vectors = |values: &[f64]| values.as_chunks::<3>().0.to_vec();
        let ends = offsets.iter().zip(offsets.iter().skip(1));
        for (frame, (&start, &end)) in ends.enumerate() {
            // Checked above to lie within the arrays and to ascend.
            let range = start as usize..end as usize;
            let within = |width: usize| width * range.start..width * range.end;
            let text = |texts: &Option<Vec<String>>| match texts {
                Some(texts) => texts.get(frame).cloned().unwrap_or_default(),
                None => String::new(),
            };
            let matrix = |values: &[f64]| -> [[f64; 3]; 3] {
                let rows = values.as_chunks::<3>().0;
                std::array::from_fn(|row| rows.get(3 * frame + row).copied().unwrap_or_default())
            };
            let place = format!("{file}, frame {}", frame + 1);
            let name = text(&names);
            let temperature = temperatures.as_ref().and_then(|values| values.get(frame)).copied();
            let stress = stresses.as_deref().map(matrix);
            let species = species.get(range.clone()).unwrap_or_default();
            frames.push(Frame {
                split: Split::read(&text(&splits)).map_err(|error| error.within(&place))?,
                name: if name.is_empty() { place } else { name },
                kind: text(&kinds),
                temperature: temperature.filter(|temperature| temperature.is_finite()),
                molecule: text(&molecules),
                scaffold: text(&scaffolds),
                species: species.iter().map(|&z| u8::try_from(z).unwrap_or(0)).collect(),
                positions: vectors(positions.get(within(3)).unwrap_or_default()),
                cell: Some(matrix(&cells)).filter(|cell| *cell != [[0.0; 3]; 3]),
                periodic: std::array::from_fn(|k| pbc.get(3 * frame + k).is_some_and(|&v| v != 0)),
                energy: energies.get(frame).copied().unwrap_or(f64::NAN),
                forces: vectors(forces.get(within(3)).unwrap_or_default()),
                stress: stress.filter(|stress| !stress.iter().flatten().all(|v| v.is_nan())),
            });
        }
        match hash {
            Some(hash) => content::check(&frames, names.as_deref(), hash).map(|()| frames),
            None => Ok(frames),
        }
    }

    /// Values of any integer type, or of an enumeration (Python's bool).
    fn integers(&self, name: &str, shape: &[Size]) -> Result<Vec<i64>> {
        let dataset = self.dataset(name, shape)?;
        macro_rules! widened {
            ($type:ty) => {
                dataset
                    .read_array::<$type>()
                    .map(|values| values.iter().map(|&v| v as i64).collect())
            };
        }
        let values = match dataset.dtype() {
            Datatype::FixedPoint { size: 1, signed: false, .. } => widened!(u8),
            Datatype::FixedPoint { size: 1, signed: true, .. } => widened!(i8),
            Datatype::FixedPoint { size: 2, signed: false, .. } => widened!(u16),
            Datatype::FixedPoint { size: 2, signed: true, .. } => widened!(i16),
            Datatype::FixedPoint { size: 4, signed: false, .. } => widened!(u32),
            Datatype::FixedPoint { size: 4, signed: true, .. } => widened!(i32),
            Datatype::FixedPoint { size: 8, signed: false, .. } => widened!(u64),
            Datatype::FixedPoint { size: 8, signed: true, .. } => widened!(i64),
            Datatype::Enum { base, .. }
                if matches!(**base, Datatype::FixedPoint { size: 1, .. }) =>
            {
                dataset.read_raw_bytes().map(|bytes| bytes.into_iter().map(i64::from).collect())
            }
            other => return Err(wrong_type(name, "integers or booleans", other)),
        };
        values.map_err(|error| damaged(&error).within(name))
    }

    fn floats(&self, name: &str, shape: &[Size]) -> Result<Vec<f64>> {
        let dataset = self.dataset(name, shape)?;
        let values = match dataset.dtype() {
            Datatype::FloatingPoint { size: 8, .. } => {
                dataset.read_array::<f64>().map(|values| values.into_raw_vec_and_offset().0)
            }
            Datatype::FloatingPoint { size: 4, .. } => dataset
                .read_array::<f32>()
                .map(|values| values.iter().map(|&value| f64::from(value)).collect()),
            other => return Err(wrong_type(name, "float32 or float64", other)),
        };
        values.map_err(|error| damaged(&error).within(name))
    }

    fn strings(&self, name: &str, count: usize) -> Result<Vec<String>> {
        let dataset = self.dataset(name, &[Is(count, "frames")])?;
        match dataset.dtype() {
            Datatype::String { .. } | Datatype::VarLen { .. } => {
                dataset.read_strings().map_err(|error| damaged(&error).within(name))
            }
            other => Err(wrong_type(name, "strings", other)),
        }
    }

    /// What `read` gives, where the dataset is there.
    fn optional<'a, T>(
        &self,
        name: &'a str,
        read: impl Fn(&'a str) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.find(name)?.is_some() { read(name).map(Some) } else { Ok(None) }
    }

    fn find(&self, name: &str) -> Result<Option<hdf5_reader::Dataset>> {
        match self.0.dataset(name) {
            Ok(dataset) => Ok(Some(dataset)),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(damaged(&error).within(name)),
        }
    }

    fn dataset(&self, name: &str, shape: &[Size]) -> Result<hdf5_reader::Dataset> {
        let Some(dataset) = self.find(name)? else {
            return Err(broken(format!(
                "expected a dataset {name}, found none: write it, as \
                 docs/src/reference/datasets.md describes"
            )));
        };
        let found = dataset.shape();
        let fits = found.len() == shape.len()
            && found.iter().zip(shape).all(|(&found, expected)| match expected {
                Any => true,
                Is(size, _) => found == *size as u64,
            });
        if fits {
            return Ok(dataset);
        }
        let expected: Vec<String> = shape.iter().map(Size::to_string).collect();
        let found: Vec<String> = found.iter().map(u64::to_string).collect();
        Err(broken(format!(
            "{name}: expected the shape ({}), found ({}): write it again; positions and forces \
             have a row for each atom of all frames, the rest one for each frame",
            expected.join(" × "),
            found.join(" × ")
        )))
    }
}

/// A dimension of a shape.
enum Size {
    Any,
    Is(usize, &'static str),
}
use Size::{Any, Is};

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Any => f.write_str("any"),
            Is(size, what) => write!(f, "{size} {what}"),
        }
    }
}

/// What went wrong, without where.
fn cause(error: &Hdf5Error) -> &Hdf5Error {
    match error {
        Hdf5Error::Context { source, .. } => cause(source),
        error => error,
    }
}

fn is_absence(error: &Hdf5Error) -> bool {
    matches!(cause(error), Hdf5Error::DatasetNotFound(_) | Hdf5Error::GroupNotFound(_))
}

fn damaged(error: &Hdf5Error) -> Error {
    if let Hdf5Error::ResourceLimit(what) = cause(error) {
        return broken(format!(
            "expected arrays that fit the file's size, found more ({what}): one was never written, \
             or the file is damaged; write it again"
        ));
    }
    broken(format!(
        "expected a whole HDF5 file, found damage ({error}): it is truncated or corrupt, or uses a \
         compression other than gzip; copy it or write it again"
    ))
}

fn wrong_type(name: &str, expected: &str, found: &Datatype) -> Error {
    let found = match found {
        Datatype::FixedPoint { .. } => "integers".into(),
        Datatype::FloatingPoint { size, .. } => format!("float{}", 8 * size),
        Datatype::String { .. } | Datatype::VarLen { .. } => "strings".into(),
        other => format!("{other:?}"),
    };
    broken(format!("{name}: expected {expected}, found {found}: write it again"))
}

/// Offsets are 0, …, `atoms`, ascending.
fn check_offsets(offsets: &[i64], atoms: usize) -> Result<()> {
    let ends = (offsets.first().copied(), offsets.last().copied());
    if ends != (Some(0), i64::try_from(atoms).ok()) {
        let found = match ends {
            (Some(first), Some(last)) => format!("{first} … {last}"),
            _ => "none".into(),
        };
        return Err(broken(format!(
            "metadata/atom_offsets: expected numbers from 0 to the {atoms} atoms in \
             structures/atomic_numbers, one more than frames, found {found}: write it again"
        )));
    }
    for (frame, pair) in offsets.windows(2).enumerate() {
        let &[start, end] = pair else { continue };
        if start > end {
            return Err(broken(format!(
                "metadata/atom_offsets: expected ascending numbers, found {end} after {start} at \
                 frame {}: write it again",
                frame + 1
            )));
        }
    }
    Ok(())
}
