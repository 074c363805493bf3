//! Used by build scripts: tells tests whether the reference data are beside the project.

/// `root` is the project's folder as the package's folder sees it.
pub fn tell(root: &str) {
    println!("cargo:rerun-if-env-changed=CI");
    println!("cargo:rustc-check-cfg=cfg(reference_data)");
    // Tests that need the data are ignored, with that reason, where they are not; in CI they fail.
    let data = format!("{root}/../shared/reference");
    let there = std::path::Path::new(&data).exists();
    if there || std::env::var_os("CI").is_some() {
        println!("cargo:rustc-cfg=reference_data");
    }
    if there {
        // A path that does not exist would make every build a new one.
        println!("cargo:rerun-if-changed={data}");
    }
}
