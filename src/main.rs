//! The `tidegate` command: arguments in, an exit code out.

use std::process::ExitCode;

/// Fewer instructions and steadier memory than the system's allocator under many small buffers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidegate::commands::main()
}
