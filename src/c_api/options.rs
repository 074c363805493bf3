//! `mlff_options`: how a calculator evaluates its model, by fields or by names.

use std::ffi::{CString, c_char};
use std::ptr::null;

use once_cell::sync::OnceCell;

use super::arguments::{invalid, not_null, string};
use super::boundary::status_of;
use super::device::{self, MLFF_DEVICE_CPU, MLFF_DEVICE_CUDA};
use super::status::mlff_status;
use super::versioned::{self, versioned};
use crate::engine::{Device, MOST_THREADS, OPTIONS, Options, Row, Values};
use crate::error::Result;

/// This library's kernels; libtorch for TorchScript models, which they cannot evaluate.
/// @since 0.1.0
pub const MLFF_ENGINE_OWN: i32 = 0;
/// libtorch, on one process: plain tensor operations and automatic differentiation, slow, for
/// comparison. Needs libmlff_student_torch.so beside this library or named by the environment
/// variable MLFF_STUDENT_TORCH. @since 0.1.0
pub const MLFF_ENGINE_TORCH: i32 = 1;

/// Features and filters in float32; positions, distances, energies and virial sums in float64.
/// @since 0.1.0
pub const MLFF_PRECISION_MIXED: i32 = 0;
/// All in float64: slow, for checking. @since 0.1.0
pub const MLFF_PRECISION_DOUBLE: i32 = 1;

/// Filters interpolated in a table. @since 0.1.0
pub const MLFF_FILTER_TABLE: i32 = 0;
/// Filters computed anew for every pair: slow, for checking. @since 0.1.0
pub const MLFF_FILTER_EXACT: i32 = 1;

/// The widest instructions that this processor has. @since 0.1.0
pub const MLFF_ISA_BEST: i32 = 0;
/// Instructions that every processor has. @since 0.1.0
pub const MLFF_ISA_PORTABLE: i32 = 1;
/// AVX2 with FMA. @since 0.1.0
pub const MLFF_ISA_AVX2: i32 = 2;
/// AVX-512 F. @since 0.1.0
pub const MLFF_ISA_AVX512: i32 = 3;

/// A line on stderr, once for atoms outside and once for overlaps in a calculator's life.
/// @since 0.1.0
pub const MLFF_CHECK_WARN: i32 = 0;
/// Nothing is said: the caller asks, with mlff_calculator_get_check(). @since 0.1.0
pub const MLFF_CHECK_REPORT: i32 = 1;
/// The compute fails with MLFF_ERROR_OUTSIDE. @since 0.1.0
pub const MLFF_CHECK_STRICT: i32 = 2;
/// Nothing is checked. @since 0.1.0
pub const MLFF_CHECK_OFF: i32 = 3;

/// How a calculator evaluates its model. Zero-filled but for struct_size: the defaults. Fields may
/// be set directly or with mlff_options_set().
///
/// @since 0.1.0
#[derive(Clone, Copy)]
#[repr(C)]
pub struct mlff_options {
    /// sizeof(mlff_options).
    pub struct_size: u32,
    /// MLFF_DEVICE_*.
    pub device: i32,
    /// Which of several devices of this kind; 0 for the processor.
    pub device_index: i32,
    /// MLFF_PRECISION_*. This, filter and instruction_set mean nothing for TorchScript models,
    /// which have a precision of their own.
    pub precision: i32,
    /// MLFF_FILTER_*.
    pub filter: i32,
    /// Threads; 0 means 1, which suits one process for each core. On a GPU they mean nothing, and
    /// with MLFF_PRECISION_DOUBLE only mlff_calculator_compute_batch() uses more than one. They do
    /// not follow a fork: in the child a calculator of several threads, or of a GPU, is
    /// MLFF_ERROR_STATE.
    pub threads: u32,
    /// MLFF_ISA_*; other than MLFF_ISA_BEST for tests. Ignored with MLFF_PRECISION_DOUBLE.
    pub instruction_set: i32,
    /// MLFF_ENGINE_*.
    pub engine: i32,
    /// MLFF_CHECK_*: what is done where the student is taken for what it did not learn, see
    /// mlff_check.
    pub check: i32,
    /// 0. Room for options of later versions, which mlff_options_set() sets by name.
    pub further: [i32; 7],
}
versioned!(mlff_options, published [32, 40, 64], fields
    struct_size device device_index precision filter threads instruction_set engine check further);

/// One option by its name, see mlff_options_describe(). Texts are the library's and live as long
/// as it is loaded.
///
/// @since 0.1.0
#[derive(Clone, Copy)]
#[repr(C)]
pub struct mlff_option_info {
    /// In: sizeof(mlff_option_info).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// What mlff_options_set() calls it; NULL behind the last option.
    pub name: *const c_char,
    /// Its values: words between bars (mixed|double), where N stands for a number.
    pub values: *const c_char,
    /// The value that zero-filled options have.
    pub default_value: *const c_char,
    /// What it decides, without a full stop.
    pub about: *const c_char,
}
versioned!(mlff_option_info, published [40], fields
    struct_size reserved name values default_value about);

/// Sets an option by its name, to a value given as a word: precision to double, device to cuda:1.
/// mlff_options_describe() lists names and values.
///
/// Thread-safe for different options.
///
/// @param options the caller's, with struct_size set; untouched on error
/// @param name zero-terminated
/// @param value zero-terminated
/// @return MLFF_OK or MLFF_ERROR_INVALID_ARGUMENT (no option of this name, no such value)
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_options_set(
    options: *mut mlff_options,
    name: *const c_char,
    value: *const c_char,
) -> mlff_status {
    status_of(|| {
        // SAFETY: all are what is documented.
        let (mut raw, name, value) =
            unsafe { (versioned::read(options)?, string(name, "name")?, string(value, "value")?) };
        let row = Row::find(&name.to_string_lossy())?;
        let mut set = options_of(&raw)?;
        row.set(&mut set, &value.to_string_lossy())?;
        write_fields(&mut raw, &set);
        // SAFETY: `options` was read there.
        unsafe { versioned::write(options, &raw) };
        Ok(())
    })
}

/// Gives the value of an option as a word.
///
/// Thread-safe.
///
/// @param options borrowed for the call; NULL means the defaults
/// @param name zero-terminated
/// @param value out: the word, zero-terminated; untouched on error
/// @param size bytes that value holds; 32 are enough
/// @return MLFF_OK or MLFF_ERROR_INVALID_ARGUMENT (no option of this name, or value is too short)
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_options_get(
    options: *const mlff_options,
    name: *const c_char,
    value: *mut c_char,
    size: u32,
) -> mlff_status {
    status_of(|| {
        // SAFETY: `options` is what is documented.
        let options = unsafe { options_or_defaults(options) }?;
        // SAFETY: as documented, a C string.
        let word = Row::find(&unsafe { string(name, "name") }?.to_string_lossy())?.get(&options);
        let out = not_null(value, "value")?.cast_mut();
        if word.len() >= size as usize {
            return invalid(format!(
                "size is {size}: expected at least {} bytes for the value and its end",
                word.len() + 1
            ));
        }
        // SAFETY: `out` holds `size` bytes, more than the word has.
        unsafe {
            std::ptr::copy_nonoverlapping(word.as_ptr(), out.cast(), word.len());
            out.add(word.len()).write(0);
        }
        Ok(())
    })
}

/// Describes the options one by one: a program that lists them, or takes them from its users, needs
/// no change for new ones.
///
/// Thread-safe.
///
/// @param index from 0; behind the last option, info.name is NULL
/// @param info in: struct_size; out: the rest, untouched on error
/// @return MLFF_OK or MLFF_ERROR_INVALID_ARGUMENT
///
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mlff_options_describe(
    index: u32,
    info: *mut mlff_option_info,
) -> mlff_status {
    status_of(|| {
        // SAFETY: `info` is what is documented.
        let mut out = unsafe { versioned::read(info) }?;
        let texts = texts().get(index as usize);
        let [name, values, default_value, about] =
            texts.map_or([null(); 4], |texts| texts.each_ref().map(|text| text.as_ptr()));
        out = mlff_option_info { name, values, default_value, about, ..out };
        // SAFETY: `info` was read there.
        unsafe { versioned::write(info, &out) };
        Ok(())
    })
}

/// Name, values, default and meaning of each option, as C reads them.
fn texts() -> &'static [[CString; 4]] {
    static TEXTS: OnceCell<Vec<[CString; 4]>> = OnceCell::new();
    TEXTS.get_or_init(|| {
        let text = |text: &str| CString::new(text).expect("no text of an option holds a zero");
        let texts = |row: &Row| {
            [row.name, &row.pattern(), &row.get(&Options::default()), row.about].map(text)
        };
        OPTIONS.iter().map(texts).collect()
    })
}

/// What a caller's options mean; null means the defaults.
///
/// # Safety
/// `options` is null or points to options that nobody changes during the call.
pub(super) unsafe fn options_or_defaults(options: *const mlff_options) -> Result<Options> {
    if options.is_null() {
        return Ok(Options::default());
    }
    // SAFETY: not null, and the caller's promise.
    options_of(&unsafe { versioned::read(options) }?)
}

/// The field of an option that is one of a few words, and its name. Options that came later, and
/// have no field of their own, take the places of `further` in the order of the table.
fn field<'a>(options: &'a mut mlff_options, row: &Row) -> (&'a mut i32, &'static str) {
    match row.name {
        "precision" => (&mut options.precision, "precision"),
        "filter" => (&mut options.filter, "filter"),
        "isa" => (&mut options.instruction_set, "instruction_set"),
        "engine" => (&mut options.engine, "engine"),
        "check" => (&mut options.check, "check"),
        name => (&mut options.further[further(name)], name),
    }
}

/// How many later options have room in [`mlff_options`].
const FURTHER: usize = size_of_field(|options: &mlff_options| &options.further) / size_of::<i32>();

const fn size_of_field<T>(_: fn(&mlff_options) -> &T) -> usize {
    size_of::<T>()
}

/// Options that have fields of their own, all of which were there before the others.
const WITH_FIELDS: usize = 7;

/// The place of a later option.
fn further(name: &str) -> usize {
    let index = OPTIONS.iter().position(|row| row.name == name);
    index.expect("an option of the table") - WITH_FIELDS
}

const _: () = assert!(OPTIONS.len() - WITH_FIELDS <= FURTHER, "mlff_options has no room for them");

/// What a caller's options mean.
fn options_of(raw: &mlff_options) -> Result<Options> {
    let mut options = Options::default();
    let mut raw = *raw;
    for row in &OPTIONS {
        let Values::Choice { words, set, .. } = row.values else { continue };
        let (&mut value, field) = field(&mut raw, row);
        match usize::try_from(value) {
            Ok(index) if index < words.len() => set(&mut options, index),
            _ => {
                let known: Vec<String> = (0..words.len())
                    .map(|index| format!("{} ({index})", constant(row, index)))
                    .collect();
                return invalid(format!(
                    "mlff_options.{field} is {value}: expected {} (zero-fill structs before use)",
                    known.join(" or ")
                ));
            }
        }
    }
    let unused = &raw.further[OPTIONS.len() - WITH_FIELDS..];
    if unused.iter().any(|&value| value != 0) {
        return invalid(format!(
            "mlff_options.further is {:?}: expected 0 (zero-fill structs before use)",
            raw.further
        ));
    }
    options.threads = raw.threads as usize;
    if options.threads > MOST_THREADS {
        return invalid(format!(
            "mlff_options.threads is {}: expected at most {MOST_THREADS}, and no more than the \
             cores of this process",
            raw.threads
        ));
    }
    let kind = device::kind(raw.device, "mlff_options.device")?;
    options.device = match (kind, usize::try_from(raw.device_index)) {
        (MLFF_DEVICE_CUDA, Ok(index)) => Device::Cuda(index),
        (MLFF_DEVICE_CPU, Ok(0)) => Device::Cpu,
        _ => {
            return invalid(format!(
                "mlff_options.device_index is {}: expected 0 with MLFF_DEVICE_CPU, and the number \
                 of a GPU, from 0, with MLFF_DEVICE_CUDA",
                raw.device_index
            ));
        }
    };
    Ok(options)
}

/// Writes `options` into the fields of `raw`.
fn write_fields(raw: &mut mlff_options, options: &Options) {
    for row in &OPTIONS {
        if let Values::Choice { get, .. } = row.values {
            *field(raw, row).0 = get(options) as i32;
        }
    }
    raw.threads = options.threads as u32;
    (raw.device, raw.device_index) = match options.device {
        Device::Cpu => (MLFF_DEVICE_CPU, 0),
        Device::Cuda(index) => (MLFF_DEVICE_CUDA, index as i32),
    };
}

/// The C constant of a word: MLFF_PRECISION_DOUBLE.
fn constant(row: &Row, index: usize) -> String {
    let Values::Choice { words, .. } = row.values else { return String::new() };
    format!("MLFF_{}_{}", row.name, words[index][0]).to_uppercase()
}
