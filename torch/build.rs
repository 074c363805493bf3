//! Compiles the fused message against libtorch and lets the trainer find libtorch when it runs.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/message.cpp");
    let lib = std::env::var("DEP_TCH_LIBTORCH_LIB")
        .expect("torch-sys names the folder of libtorch: set LIBTORCH as CONTRIBUTING.md says");
    let include = format!("{lib}/../include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(3)
        .flag("-fopenmp-simd")
        // Sums over channels may be taken in vector order; no NaN or infinity is a valid input.
        .flag("-ffast-math")
        // libtorch's headers are not ours to warn about.
        .flag("-isystem")
        .flag(&include)
        .flag("-isystem")
        .flag(format!("{include}/torch/csrc/api/include"))
        .file("src/message.cpp")
        .compile("mlff_message");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol=mkl_serv_intel_cpu*");
    // The engine's library must not pass for the one that loads it: it exports nothing of the
    // libraries inside it. Its SONAME is that of mlff-student all the same, whose link arguments
    // Cargo passes on, behind any of ours.
    println!("cargo:rustc-cdylib-link-arg=-Wl,--exclude-libs,ALL");
}
