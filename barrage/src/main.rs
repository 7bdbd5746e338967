//! The Barrage server's command.

use std::process::ExitCode;

/// Gives memory back to the system when a crowd has gone; the C library's keeps most of it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    barrage::cli::main()
}
