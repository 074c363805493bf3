//! The tool's commands.

/// Runs the tool.
pub fn run() -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
