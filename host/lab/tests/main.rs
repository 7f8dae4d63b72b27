//! The tests, a module a file. One that is not named here is not compiled: `xtask graph --check` says so.

mod answers;
mod common;
mod program;
mod status;
mod transformed;
mod verify;
