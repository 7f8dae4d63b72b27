//! The tests, a module a file. One that is not named here is not compiled: `xtask graph --check` says so.

#[macro_use]
mod common;
mod backends;
mod certified_bound;
mod coverage;
mod figures;
mod generators;
mod golden_format;
mod hostile;
mod hot_loop;
mod mutants;
mod not_checked;
mod properties;
mod ptx_certainty;
mod ptx_fallback;
mod ptx_golden;
mod ptx_mutants;
mod random;
mod roundings;
mod runner;
mod search_filter;
mod search_golden;
mod search_properties;
mod training_golden;
mod training_properties;
