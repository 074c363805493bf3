//! The options of a calculator: what each is called, which values it takes and what they mean.
//!
//! Every face takes its words from [`OPTIONS`]: the C API (`mlff_options_set`,
//! `mlff_options_describe`), and through it LAMMPS and Python; the tool reads the table itself.

use crate::error::{Error, ErrorKind, Result};

/// How to evaluate a model.
///
/// ```
/// use mlff_student::engine::{Check, Options, Precision};
///
/// // One thread, float32 features, warnings on stderr, but for what is said otherwise.
/// let options = Options { precision: Precision::Double, threads: 2, ..Options::default() };
/// assert_eq!(options.check, Check::Warn);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whose code evaluates: this library's, or libtorch.
    pub backend: Backend,
    /// Which device evaluates: the processor or a GPU.
    pub device: Device,
    /// Arithmetic of the features.
    pub precision: Precision,
    /// Evaluation of the filters.
    pub filter: FilterMode,
    /// Threads; 0 means 1, which suits one process for each core.
    pub threads: usize,
    /// Instructions of the fast kernels.
    pub instruction_set: InstructionSet,
    /// What is done about atoms where the student learned nothing, and atoms that overlap.
    pub check: Check,
}

/// All options, in the order in which faces list them. A new one is a field of [`Options`] and a
/// row here.
pub const OPTIONS: [Row; 7] = [
    Row {
        name: "device",
        about: "where to compute: the processor, or an NVIDIA GPU by its number from 0",
        values: Values::Device,
    },
    Row {
        name: "engine",
        about: "whose code: this library's kernels, or libtorch (slow, for comparison; TorchScript \
                models always run there)",
        values: choice(Backend::WORDS, |o| o.backend as usize, |o, k| o.backend = Backend::ALL[k]),
    },
    Row {
        name: "precision",
        about: "float32 features and filters with float64 sums, or float64 throughout (slow, for \
                checking)",
        values: choice(
            Precision::WORDS,
            |o| o.precision as usize,
            |o, k| o.precision = Precision::ALL[k],
        ),
    },
    Row {
        name: "threads",
        about: "threads of each process; the results do not depend on them",
        values: Values::Threads,
    },
    Row {
        name: "filter",
        about: "filters from a table, or computed for every pair (slow, for checking)",
        values: choice(
            FilterMode::WORDS,
            |o| o.filter as usize,
            |o, k| o.filter = FilterMode::ALL[k],
        ),
    },
    Row {
        name: "isa",
        about: "instructions of the kernels; other than best for tests",
        values: choice(
            InstructionSet::WORDS,
            |o| o.instruction_set as usize,
            |o, k| o.instruction_set = InstructionSet::ALL[k],
        ),
    },
    Row {
        name: "check",
        about: "where atoms are far outside of what the student learned, or overlap: one warning \
                of each, nothing unless asked, an error, or no search",
        values: choice(Check::WORDS, |o| o.check as usize, |o, k| o.check = Check::ALL[k]),
    },
];

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The word that names the option in files, commands and messages.
    pub name: &'static str,
    /// What it decides, in one sentence without a full stop.
    pub about: &'static str,
    /// Which values it takes.
    pub values: Values,
}

/// Which values an option takes.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// `cpu`, `cuda` or `cuda:N`.
    Device,
    /// A number from 1 to [`MOST_THREADS`].
    Threads,
    /// One of a few words. The first is the default.
    Choice {
        /// Each with other spellings that are understood too.
        words: &'static [&'static [&'static str]],
        /// Index of the word that is set.
        get: fn(&Options) -> usize,
        /// Sets the word of this index.
        set: fn(&mut Options, usize),
    },
}

const fn choice(
    words: &'static [&'static [&'static str]],
    get: fn(&Options) -> usize,
    set: fn(&mut Options, usize),
) -> Values {
    Values::Choice { words, get, set }
}

/// More threads than any machine has cores are a mistake, not a wish.
pub const MOST_THREADS: usize = 4096;

impl Row {
    /// The option of this name.
    pub fn find(name: &str) -> Result<&'static Self> {
        if let Some(row) = OPTIONS.iter().find(|row| row.name == name) {
            return Ok(row);
        }
        let nearest = OPTIONS.iter().min_by_key(|row| strsim::levenshtein(name, row.name));
        let known: Vec<String> =
            OPTIONS.iter().map(|row| format!("{} {}", row.name, row.pattern())).collect();
        Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "'{name}' is no option, the nearest is '{}': expected one of {}",
                nearest.map_or("", |row| row.name),
                known.join(", ")
            ),
        ))
    }

    /// Its values as documentation writes them: `mixed|double`.
    pub fn pattern(&self) -> String {
        match self.values {
            Values::Device => "cpu|cuda|cuda:N".into(),
            Values::Threads => "N".into(),
            Values::Choice { words, .. } => {
                words.iter().map(|word| word[0]).collect::<Vec<_>>().join("|")
            }
        }
    }

    /// The value that `options` has.
    pub fn get(&self, options: &Options) -> String {
        match self.values {
            Values::Device => match options.device {
                Device::Cpu => "cpu".into(),
                Device::Cuda(index) => format!("cuda:{index}"),
            },
            Values::Threads => options.threads.max(1).to_string(),
            Values::Choice { words, get, .. } => words[get(options)][0].into(),
        }
    }

    /// Sets it from a word; on error `options` is as it was.
    pub fn set(&self, options: &mut Options, value: &str) -> Result<()> {
        let done = match self.values {
            Values::Device => device(value).map(|device| options.device = device),
            Values::Threads => value
                .parse()
                .ok()
                .filter(|threads| (1..=MOST_THREADS).contains(threads))
                .map(|threads| options.threads = threads),
            Values::Choice { words, set, .. } => words
                .iter()
                .position(|spellings| spellings.contains(&value))
                .map(|index| set(options, index)),
        };
        done.ok_or_else(|| {
            let message = format!("{} must be {}, found '{value}'", self.name, self.expected());
            Error::new(ErrorKind::InvalidArgument, message)
        })
    }

    fn expected(&self) -> String {
        match self.values {
            Values::Device => "cpu, cuda or cuda: and the number of a GPU".into(),
            Values::Threads => format!("a number from 1 to {MOST_THREADS}"),
            Values::Choice { words, .. } => {
                let (last, others) = words.split_last().expect("an option has words");
                let others: Vec<&str> = others.iter().map(|word| word[0]).collect();
                format!("{} or {}", others.join(", "), last[0])
            }
        }
    }
}

impl Options {
    /// Sets an option by its name and a word; on error it stays as it was.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        Row::find(name)?.set(self, value)
    }
}

fn device(value: &str) -> Option<Device> {
    match value {
        "cpu" => Some(Device::Cpu),
        "cuda" => Some(Device::Cuda(0)),
        _ => {
            let index: i32 = value.strip_prefix("cuda:")?.parse().ok()?;
            usize::try_from(index).ok().map(Device::Cuda)
        }
    }
}

/// Where to evaluate a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The NVIDIA GPU of this number, counted from 0.
    Cuda(usize),
}

/// An enum whose values have words. The first is the default; its number is that of the C API.
macro_rules! words {
    (
        $(#[$of_all:meta])*
        $name:ident {
            $(#[$of_first:meta])* $first:ident = $first_word:literal $(| $first_other:literal)*,
            $($(#[$of_one:meta])* $one:ident = $word:literal $(| $other:literal)*,)*
        }
    ) => {
        $(#[$of_all])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name {
            $(#[$of_first])*
            #[default]
            $first,
            $($(#[$of_one])* $one,)*
        }

        impl $name {
            /// Every value, in the order of the C API's numbers.
            pub const ALL: &[Self] = &[Self::$first, $(Self::$one),*];
            /// The words for each value; the first is the one that is written.
            pub const WORDS: &[&[&str]] =
                &[&[$first_word $(, $first_other)*], $(&[$word $(, $other)*]),*];

            /// The word that is written.
            pub fn name(self) -> &'static str {
                Self::WORDS[self as usize][0]
            }
        }
    };
}

words! {
    /// Which arithmetic the features use. Positions, distances, energies and virial sums are
    /// float64 in all of them.
    Precision {
        /// float32 features and filters (fast kernels).
        Mixed = "mixed",
        /// float64 throughout (plain loops, for checking).
        Double = "double",
    }
}

words! {
    /// How the filter φ(d) is evaluated.
    FilterMode {
        /// Interpolation in a table made at load: of fifth degree on processors, cubic splines on
        /// GPUs. (Under LAMMPS' hybrid, "table" would be read as the pair style of that name.)
        Table = "table" | "tabulated",
        /// The network itself, for every pair (slow, for checking).
        Exact = "exact",
    }
}

words! {
    /// Whose code evaluates a model.
    Backend {
        /// This library's kernels, and libtorch for what they cannot evaluate: TorchScript models.
        Own = "own",
        /// libtorch: plain tensor operations and automatic differentiation (slow, for comparison).
        Torch = "torch",
    }
}

words! {
    /// Which instructions the fast kernels use.
    InstructionSet {
        /// The widest that this processor has.
        Best = "best",
        /// What every processor of this kind has: SSE2 on x86-64, else plain Rust.
        Portable = "portable",
        /// AVX2 with FMA.
        Avx2 = "avx2",
        /// AVX-512 F.
        Avx512 = "avx512",
    }
}

words! {
    /// What is done where a student is taken for what it did not learn.
    Check {
        /// A line on stderr, once for atoms outside and once for overlaps in a calculator's life.
        Warn = "warn",
        /// Nothing: whoever calls asks for [`Findings`](super::Findings).
        Report = "report",
        /// The compute fails with [`ErrorKind::Outside`].
        Strict = "strict",
        /// Overlaps are not looked for, and atoms outside are not spoken of.
        Off = "off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_every_option_is_set_by_its_words_and_read_back() {
        for row in &OPTIONS {
            let Values::Choice { words, .. } = row.values else { continue };
            assert_eq!(row.get(&Options::default()), words[0][0], "{}", row.name);
            for spellings in words {
                for word in *spellings {
                    let mut options = Options::default();
                    options.set(row.name, word).unwrap();
                    assert_eq!(row.get(&options), spellings[0]);
                }
            }
        }
        let mut options = Options::default();
        for (device, read_back) in [("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:3", "cuda:3")] {
            options.set("device", device).unwrap();
            assert_eq!(OPTIONS[0].get(&options), read_back);
        }
        options.set("threads", "8").unwrap();
        assert_eq!(options.threads, 8);
    }

    #[test]
    fn what_is_wrong_with_a_word_is_said_and_nothing_changes() {
        let mut options = Options::default();
        for (name, value, said) in [
            ("precison", "mixed", "'precison' is no option, the nearest is 'precision'"),
            ("precision", "single", "precision must be mixed or double, found 'single'"),
            ("isa", "", "isa must be best, portable, avx2 or avx512, found ''"),
            ("threads", "0", "threads must be a number from 1 to 4096, found '0'"),
            ("threads", "-1", "found '-1'"),
            ("device", "cuda:", "device must be cpu, cuda or cuda: and the number of a GPU"),
            ("device", "cuda:-1", "found 'cuda:-1'"),
            ("device", "gpu", "found 'gpu'"),
        ] {
            let error = options.set(name, value).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.message().contains(said), "{error}");
        }
        assert_eq!(options, Options::default());
    }
}
