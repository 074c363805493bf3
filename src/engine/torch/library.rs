//! Finding and loading the library that holds libtorch, once for a process.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use once_cell::sync::OnceCell;

use super::functions::{LIBRARY, SYMBOL, Symbol, Table, VERSION};
use crate::error::{Error, ErrorKind, Result};

/// Names the library's file where it is not beside this one.
pub const VARIABLE: &str = "MLFF_STUDENT_TORCH";

static TABLE: OnceCell<&'static Table> = OnceCell::new();

/// The library's functions.
pub fn functions() -> Result<&'static Table> {
    TABLE.get_or_try_init(load).copied()
}

fn load() -> Result<&'static Table> {
    let path = match std::env::var_os(VARIABLE) {
        Some(path) => PathBuf::from(path),
        None => beside(&own_path()).unwrap_or_else(|| LIBRARY.into()),
    };
    let missing = |reason: &str| {
        Error::new(
            ErrorKind::Unsupported,
            format!(
                "engine torch needs {LIBRARY}, which `make trainer` builds, beside this library or \
                 named by {VARIABLE}: {reason}"
            ),
        )
    };
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| missing("the path holds a zero byte"))?;
    // SAFETY: the name ends with zero. What the library runs when it is loaded is libtorch's and
    // its own registration; it is never unloaded, since libtorch's threads outlive every evaluator.
    let library = unsafe {
        libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL | libc::RTLD_NODELETE)
    };
    if library.is_null() {
        return Err(missing(&last_error()));
    }
    // SAFETY: the library is loaded for good.
    let symbol = unsafe { libc::dlsym(library, SYMBOL.as_ptr()) };
    if symbol.is_null() {
        return Err(missing(&format!("{} is another library: {}", path.display(), last_error())));
    }
    // SAFETY: the symbol is a function of this type in every version.
    let table = unsafe { &*std::mem::transmute::<*mut c_void, Symbol>(symbol)() };
    if table.version != VERSION {
        return Err(missing(&format!(
            "expected version {VERSION} of its functions, found {} in {}: build it anew",
            table.version,
            path.display()
        )));
    }
    Ok(table)
}

/// The file that this code was loaded from, a library or a program.
fn own_path() -> PathBuf {
    // SAFETY: all zeros are a valid value of this C struct.
    let mut found: libc::Dl_info = unsafe { std::mem::zeroed() };
    let here: *const c_void = (own_path as fn() -> PathBuf) as *const c_void;
    // SAFETY: an address of code, and room for the answer.
    let known = unsafe { libc::dladdr(here, &mut found) } != 0 && !found.dli_fname.is_null();
    if !known {
        return PathBuf::new();
    }
    // SAFETY: the loader's string, which lives as long as this code.
    let name = unsafe { CStr::from_ptr(found.dli_fname) };
    PathBuf::from(OsStr::from_bytes(name.to_bytes()))
}

/// Where the library is, seen from the folder of this library or of a program: in a build folder,
/// in the folder around Cargo's `deps`, and installed (`install.mk`).
const PLACES: [&str; 4] = [".", "..", "mlff-student", "../lib/mlff-student"];

fn beside(own: &Path) -> Option<PathBuf> {
    let files = [Some(own.to_path_buf()), std::env::current_exe().ok()];
    files
        .into_iter()
        .flatten()
        .filter_map(|file| file.canonicalize().ok()?.parent().map(Path::to_path_buf))
        .flat_map(|folder| PLACES.map(|place| folder.join(place).join(LIBRARY)))
        .find(|path| path.exists())
}

fn last_error() -> String {
    // SAFETY: the string lives until this thread's next call of the loader.
    unsafe {
        let text = libc::dlerror();
        match text.is_null() {
            true => String::from("it cannot be loaded"),
            false => CStr::from_ptr(text).to_string_lossy().into_owned(),
        }
    }
}
