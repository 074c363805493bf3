//! The installed shared library, loaded and called as another program calls it: what is timed is
//! what LAMMPS runs, not what was compiled into this tool.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::system::System;
use mlff_student::c_api::{
    self, MLFF_ABI_VERSION, mlff_calculator, mlff_calculator_info, mlff_exchange_fn, mlff_model,
    mlff_neighbor_list, mlff_options, mlff_results, mlff_status, mlff_structure,
};
use mlff_student::engine::{InstructionSet, OPTIONS, Options};
use mlff_student::error::{Error, ErrorKind, Result};

const FILE: &str = "libmlff_student.so";

/// The functions, with the types of `include/mlff_student.h`.
struct Functions {
    version: unsafe extern "C" fn() -> *const c_char,
    last_error: unsafe extern "C" fn() -> *const c_char,
    model_load: unsafe extern "C" fn(*const c_char, *mut *mut mlff_model) -> mlff_status,
    model_free: unsafe extern "C" fn(*mut mlff_model),
    options_set:
        unsafe extern "C" fn(*mut mlff_options, *const c_char, *const c_char) -> mlff_status,
    calculator_new: unsafe extern "C" fn(
        *const mlff_model,
        *const mlff_options,
        *mut *mut mlff_calculator,
    ) -> mlff_status,
    calculator_free: unsafe extern "C" fn(*mut mlff_calculator),
    get_info:
        unsafe extern "C" fn(*const mlff_calculator, *mut mlff_calculator_info) -> mlff_status,
    set_neighbor_list:
        unsafe extern "C" fn(*mut mlff_calculator, *const mlff_neighbor_list) -> mlff_status,
    compute: unsafe extern "C" fn(
        *mut mlff_calculator,
        *const f64,
        mlff_exchange_fn,
        *mut c_void,
        *mut mlff_results,
    ) -> mlff_status,
    compute_structure: unsafe extern "C" fn(
        *mut mlff_calculator,
        *const mlff_structure,
        *mut mlff_results,
    ) -> mlff_status,
    compute_batch: unsafe extern "C" fn(
        *mut mlff_calculator,
        u32,
        *const mlff_structure,
        *mut mlff_results,
    ) -> mlff_status,
}

// What is loaded has the types of this crate's functions, or this does not compile.
const _: Functions = Functions {
    version: c_api::mlff_version,
    last_error: c_api::mlff_last_error,
    model_load: c_api::mlff_model_load,
    model_free: c_api::mlff_model_free,
    options_set: c_api::mlff_options_set,
    calculator_new: c_api::mlff_calculator_new,
    calculator_free: c_api::mlff_calculator_free,
    get_info: c_api::mlff_calculator_get_info,
    set_neighbor_list: c_api::mlff_calculator_set_neighbor_list,
    compute: c_api::mlff_calculator_compute,
    compute_structure: c_api::mlff_calculator_compute_structure,
    compute_batch: c_api::mlff_calculator_compute_batch,
};

/// A loaded `libmlff_student.so`. It stays loaded, as it asks for.
pub(super) struct Library {
    path: PathBuf,
    functions: Functions,
}

fn unusable<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// The library that belongs to this tool: beside it in a build folder, in `../lib` where it is
/// installed.
pub(super) fn installed() -> Result<PathBuf> {
    let tool = std::env::current_exe().map_err(|error| {
        let message = format!("cannot find this tool's own folder ({error}): give --library PATH");
        Error::new(ErrorKind::Io, message)
    })?;
    let folder = tool.parent().unwrap_or(Path::new("/"));
    let places = [folder.join(FILE), folder.join("../lib").join(FILE)];
    places.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        let [first, second] = places.map(|path| path.display().to_string());
        let message =
            format!("expected the library at {first} or {second}: give --library PATH to {FILE}");
        Error::new(ErrorKind::Io, message)
    })
}

impl Library {
    /// Loads the library at `path`; refuses one whose C API is another.
    pub(super) fn open(path: &Path) -> Result<Self> {
        // An absolute path, or the linker would search its own folders.
        let path = path.canonicalize().map_err(|error| {
            let message = format!(
                "{}: cannot be opened ({error}): give --library PATH to {FILE}",
                path.display()
            );
            Error::new(ErrorKind::Io, message)
        })?;
        let name = c_string(&path)?;
        // SAFETY: a C string. Whoever names a library asks for its initialisers to be run.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            // SAFETY: after a failure this is a C string, valid until the next such call.
            let text = unsafe { CStr::from_ptr(libc::dlerror()) }.to_string_lossy().into_owned();
            return unusable(format!("cannot load the library ({text}): give --library {FILE}"));
        }
        let within = |error: Error| error.within(path.display());
        let functions = check_abi(handle).and_then(|()| Functions::find(handle)).map_err(within)?;
        Ok(Self { path, functions })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its version.
    pub(super) fn version(&self) -> String {
        // SAFETY: documented to give a C string that lives as long as the process.
        unsafe { CStr::from_ptr((self.functions.version)()) }.to_string_lossy().into_owned()
    }

    /// A calculator of `system` with the model in a file.
    pub(super) fn calculator<'a>(
        &'a self,
        model: &Path,
        system: &'a System,
        options: Options,
    ) -> Result<Calculator<'a>> {
        let file = c_string(model)?;
        let options = self.options(&options)?;
        let mut loaded = std::ptr::null_mut();
        let mut handle = std::ptr::null_mut();
        // SAFETY: all arguments are as the header documents them; the model may be freed before
        // its calculator.
        unsafe {
            self.check((self.functions.model_load)(file.as_ptr(), &mut loaded))?;
            let status = (self.functions.calculator_new)(loaded, &options, &mut handle);
            (self.functions.model_free)(loaded);
            self.check(status)?;
        }
        Ok(Calculator { library: self, system, handle })
    }

    /// The same options in C, set by their names.
    fn options(&self, options: &Options) -> Result<mlff_options> {
        let mut raw = mlff_options {
            struct_size: size_of::<mlff_options>() as u32,
            device: 0,
            device_index: 0,
            precision: 0,
            filter: 0,
            threads: 0,
            instruction_set: 0,
            engine: 0,
            check: 0,
            further: [0; 7],
        };
        for row in &OPTIONS {
            let text = |text: &str| {
                CString::new(text)
                    .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
            };
            let (name, value) = (text(row.name)?, text(&row.get(options))?);
            // SAFETY: a struct that says its size, and two C strings.
            self.check(unsafe {
                (self.functions.options_set)(&mut raw, name.as_ptr(), value.as_ptr())
            })?;
        }
        Ok(raw)
    }

    fn check(&self, status: mlff_status) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: documented to give a C string, valid until this thread's next failing call.
        let text = unsafe { CStr::from_ptr((self.functions.last_error)()) };
        Err(Error::new(ErrorKind::Unsupported, text.to_string_lossy()).within(self.path.display()))
    }
}

fn c_string(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| {
        let message = format!("{}: a file's name cannot hold a zero byte", path.display());
        Error::new(ErrorKind::InvalidArgument, message)
    })
}

/// Types of functions differ between major versions, so nothing else is called before this.
fn check_abi(handle: *mut c_void) -> Result<()> {
    // SAFETY: this symbol has had this type in all versions.
    let abi_version: unsafe extern "C" fn() -> u32 = unsafe { find(handle, c"mlff_abi_version") }?;
    // SAFETY: it takes nothing and cannot fail.
    let found = unsafe { abi_version() } >> 16;
    let expected = MLFF_ABI_VERSION >> 16;
    if found == expected {
        return Ok(());
    }
    unusable(format!(
        "expected a library of C API version {expected}, found {found}: use the mlff-student that \
         was installed with it, or another --library"
    ))
}

/// # Safety
/// `F` is a function pointer of the type that the symbol has.
unsafe fn find<F: Copy>(handle: *mut c_void, name: &CStr) -> Result<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: a loaded library and a C string.
    let address = unsafe { libc::dlsym(handle, name.as_ptr()) };
    if address.is_null() {
        return unusable(format!(
            "expected the symbol {}, found none: this is no {FILE} of version {} or later, give \
             another --library",
            name.to_string_lossy(),
            env!("CARGO_PKG_VERSION")
        ));
    }
    // SAFETY: not null, and a function pointer of this type, as the caller promises.
    Ok(unsafe { std::mem::transmute_copy(&address) })
}

impl Functions {
    fn find(handle: *mut c_void) -> Result<Self> {
        // SAFETY: the types are those of the header, whose major version was compared.
        unsafe {
            Ok(Self {
                version: find(handle, c"mlff_version")?,
                last_error: find(handle, c"mlff_last_error")?,
                model_load: find(handle, c"mlff_model_load")?,
                model_free: find(handle, c"mlff_model_free")?,
                options_set: find(handle, c"mlff_options_set")?,
                calculator_new: find(handle, c"mlff_calculator_new")?,
                calculator_free: find(handle, c"mlff_calculator_free")?,
                get_info: find(handle, c"mlff_calculator_get_info")?,
                set_neighbor_list: find(handle, c"mlff_calculator_set_neighbor_list")?,
                compute: find(handle, c"mlff_calculator_compute")?,
                compute_structure: find(handle, c"mlff_calculator_compute_structure")?,
                compute_batch: find(handle, c"mlff_calculator_compute_batch")?,
            })
        }
    }
}

/// Asks for energy and forces.
fn results(forces: &mut [[f64; 3]]) -> mlff_results {
    mlff_results {
        struct_size: size_of::<mlff_results>() as u32,
        reserved: 0,
        energy: 0.0,
        virial: [0.0; 9],
        stress: [0.0; 9],
        atomic_energies: std::ptr::null_mut(),
        forces: forces.as_mut_ptr().cast(),
        atomic_virials: std::ptr::null_mut(),
    }
}

/// A calculator of the loaded library, and the system that it computes.
pub(super) struct Calculator<'a> {
    library: &'a Library,
    system: &'a System,
    handle: *mut mlff_calculator,
}

/// What a calculator says of itself.
#[derive(Clone, Copy)]
pub(super) struct Info {
    /// The instructions in use; `Best` on a GPU.
    pub(super) set: InstructionSet,
    /// Bytes.
    pub(super) memory: u64,
    /// Wall time by part (s): see `mlff_calculator_info`.
    pub(super) seconds: [f64; 7],
}

impl Calculator<'_> {
    /// Takes the neighbor list.
    pub(super) fn set_neighbor_list(&mut self) -> Result<()> {
        let system = self.system;
        let lists: Vec<&[i32]> = (0..system.atoms).map(|atom| system.neighbors_of(atom)).collect();
        let numneigh: Vec<i32> = lists.iter().map(|list| list.len() as i32).collect();
        let firstneigh: Vec<*const i32> = lists.iter().map(|list| list.as_ptr()).collect();
        let owner: Vec<i32> = system.owners().iter().map(|&atom| atom as i32).collect();
        let list = mlff_neighbor_list {
            struct_size: size_of::<mlff_neighbor_list>() as u32,
            owned: system.atoms as i32,
            ghosts: system.ghosts() as i32,
            centers: system.atoms as i32,
            species: system.species.as_ptr(),
            ilist: std::ptr::null(),
            numneigh: numneigh.as_ptr(),
            firstneigh: firstneigh.as_ptr(),
            owner: owner.as_ptr(),
            list_cutoff: system.list_cutoff(),
            neighbor_mask: 0,
            reserved: 0,
        };
        // SAFETY: the arrays have the lengths that the struct gives, and outlive the call.
        self.library
            .check(unsafe { (self.library.functions.set_neighbor_list)(self.handle, &list) })
    }

    /// Energy (eV) and forces (eV/Å) with the list of [`Self::set_neighbor_list`].
    pub(super) fn compute(&mut self, forces: &mut Vec<[f64; 3]>) -> Result<f64> {
        forces.resize(self.system.atoms, [0.0; 3]);
        let mut results = results(forces);
        // SAFETY: positions of all atoms and ghosts of the list in use, room for all forces;
        // no exchange is needed, as every ghost has an owner.
        self.library.check(unsafe {
            (self.library.functions.compute)(
                self.handle,
                self.system.positions.as_ptr().cast(),
                None,
                std::ptr::null_mut(),
                &mut results,
            )
        })?;
        Ok(results.energy)
    }

    /// Energy (eV) and forces (eV/Å) of the atoms without ghosts, from their positions alone.
    pub(super) fn compute_structure(&mut self, forces: &mut Vec<[f64; 3]>) -> Result<f64> {
        forces.resize(self.system.atoms, [0.0; 3]);
        let mut results = results(forces);
        // SAFETY: species and positions of all atoms, room for all forces.
        self.library.check(unsafe {
            (self.library.functions.compute_structure)(self.handle, &self.structure(), &mut results)
        })?;
        Ok(results.energy)
    }

    /// The same for as many copies as `forces` has, in one call.
    pub(super) fn compute_batch(&mut self, forces: &mut [Vec<[f64; 3]>]) -> Result<()> {
        let structures = vec![self.structure(); forces.len()];
        let mut results: Vec<mlff_results> = forces
            .iter_mut()
            .map(|forces| {
                forces.resize(self.system.atoms, [0.0; 3]);
                results(forces)
            })
            .collect();
        // SAFETY: as many results as structures, each as for one.
        self.library.check(unsafe {
            (self.library.functions.compute_batch)(
                self.handle,
                structures.len() as u32,
                structures.as_ptr(),
                results.as_mut_ptr(),
            )
        })
    }

    fn structure(&self) -> mlff_structure {
        mlff_structure {
            struct_size: size_of::<mlff_structure>() as u32,
            atoms: self.system.atoms as i32,
            species: self.system.species.as_ptr(),
            positions: self.system.positions.as_ptr().cast(),
            cell: std::ptr::null(),
            periodic: [0; 3],
            reserved: 0,
        }
    }

    /// What it uses, and where its time went.
    pub(super) fn info(&self) -> Result<Info> {
        let mut info = mlff_calculator_info {
            struct_size: size_of::<mlff_calculator_info>() as u32,
            instruction_set: 0,
            memory: 0,
            threads: 0,
            exchanges: 0,
            seconds: [0.0; 7],
            row_bytes: 0,
            reserved: 0,
        };
        // SAFETY: a calculator and a struct, as documented.
        self.library.check(unsafe { (self.library.functions.get_info)(self.handle, &mut info) })?;
        let set = InstructionSet::ALL.get(info.instruction_set as usize).copied();
        let set = set.unwrap_or_default();
        Ok(Info { set, memory: info.memory, seconds: info.seconds })
    }
}

impl Drop for Calculator<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `calculator_new` and not used again.
        unsafe { (self.library.functions.calculator_free)(self.handle) };
    }
}
