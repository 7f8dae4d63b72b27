//! The tests, a module a file. One that is not named here is not compiled: `xtask graph --check` says so.

mod input;
mod small;
