//! The Barrage server's command.

use std::process::ExitCode;

fn main() -> ExitCode {
    barrage::cli::main()
}
