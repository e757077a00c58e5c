//! `sluice`: the server and its command line.

use std::process::ExitCode;

use sluice_gateway::{cli, logging};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    logging::start();
    cli::run()
}
