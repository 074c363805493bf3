//! Tells tests whether the reference data are there.

#[path = "../tests/support/reference_data.rs"]
mod reference_data;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    reference_data::tell("..");
}
