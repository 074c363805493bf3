//! The tool `mlff-student`; everything it does lives in [`mlff_student::cli`].

fn main() -> std::process::ExitCode {
    mlff_student::cli::run()
}
