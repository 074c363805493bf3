//! The program `mlff-student`; everything it does lives in [`mlff_student_tool::cli`].

fn main() -> std::process::ExitCode {
    mlff_student_tool::cli::run()
}
