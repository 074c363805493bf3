//! Gives the shared library its SONAME, keeps it loaded for the life of the process, and tells
//! tests whether the reference data are there.

#[path = "tests/support/reference_data.rs"]
mod reference_data;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    reference_data::tell(".");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // The number is the ABI's major version (`mlff_abi_version`).
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libmlff_student.so.0");
        // Thread pools and thread-local error messages must not be unmapped under a host that
        // closes its plugins (LAMMPS does on `clear`).
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
