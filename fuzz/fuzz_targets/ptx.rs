//! Text that the executor reads: an error with a place, or a module.
#![no_main]

use fouroversix_ptx_executor::Module;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Module::parse(text) {
        Ok(module) => {
            for kernel in module.kernels() {
                let _ = (module.param_bytes(kernel), module.instructions(kernel).len());
            }
        }
        Err(error) => assert!(error.to_string().contains(':'), "{error}"),
    }
});
