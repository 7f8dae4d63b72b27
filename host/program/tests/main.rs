//! The tests, a module a file. One that is not named here is not compiled: `xtask graph --check` says so.

mod cli_activations;
mod cli_bad_input;
mod cli_declared;
mod cli_dequantize;
mod cli_encoded;
mod cli_experts;
mod cli_families;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod cli_faults;
#[cfg(target_os = "linux")]
mod cli_fp8;
#[cfg(target_os = "linux")]
mod cli_full;
#[cfg(target_os = "linux")]
mod cli_kill;
#[cfg(target_os = "linux")]
mod cli_memory;
mod cli_output;
#[cfg(target_os = "linux")]
mod cli_parts;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod cli_power;
mod cli_quantize;
mod cli_recipe;
mod cli_rule;
#[cfg(target_os = "linux")]
mod cli_safety;
#[cfg(target_os = "linux")]
mod cli_sources;
mod cli_status;
mod cli_verify;
mod common;
#[cfg(feature = "cuda")]
mod quantizers;
#[cfg(target_os = "linux")]
mod stage;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod trace;
