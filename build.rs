//! Gives the shared library its SONAME, keeps it loaded for the life of the process, and tells tests whether
//! the reference data are there.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CI");
    println!("cargo:rustc-check-cfg=cfg(reference_data)");
    // Tests that need the data are ignored, with that reason, where they are not; in CI they fail.
    let data = "../shared/reference";
    let there = std::path::Path::new(data).exists();
    if there || std::env::var_os("CI").is_some() {
        println!("cargo:rustc-cfg=reference_data");
    }
    if there {
        // A path that does not exist would make every build a new one.
        println!("cargo:rerun-if-changed={data}");
    }
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // The number is the ABI's major version (`mlff_abi_version`).
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libmlff_student.so.0");
        // Thread pools and thread-local error messages must not be unmapped under a host that
        // closes its plugins (LAMMPS does on `clear`).
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
