//! Compiles the kernels with `rustc_codegen_nvvm`, and cuts the PTX into one module for each.

use std::path::PathBuf;
use std::{env, fs};

use cuda_builder::{CudaBuilder, NvvmArch};

#[path = "../xtask/src/modules.rs"]
mod modules;

/// Runs on every device that has kernels at all.
const DEFAULT_ISA: &str = "sm_80";

fn main() {
    println!("cargo::rerun-if-changed=../kernels-gpu/src");
    println!("cargo::rerun-if-changed=../host/core/src");
    println!("cargo::rerun-if-changed=../xtask/src/modules.rs");
    println!("cargo::rerun-if-env-changed=FOUROVERSIX_ISA");
    let isa = env::var("FOUROVERSIX_ISA").unwrap_or_else(|_| DEFAULT_ISA.to_owned());
    let arch = match isa.as_str() {
        "sm_80" => NvvmArch::Compute80,
        "sm_89" => NvvmArch::Compute89,
        "sm_100f" => NvvmArch::Compute100f,
        "sm_120f" => NvvmArch::Compute120f,
        other => panic!("FOUROVERSIX_ISA is {other}: use sm_80, sm_89, sm_100f or sm_120f"),
    };
    // SAFETY: a build script has one thread. The kernels' build script reads it.
    unsafe { env::set_var("FOUROVERSIX_ISA", &isa) };
    println!("cargo::rustc-env=FOUROVERSIX_ISA={isa}");

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let ptx = CudaBuilder::new("kernels")
        .arch(arch)
        // The numeric contract: every operation rounds by itself.
        .fma_contraction(false)
        .override_libm(false)
        .copy_to(out.join("kernels.ptx"))
        .build()
        .expect("rustc_codegen_nvvm compiles the kernels, see docs/rust-cuda.md");

    // A kernel in use is a module in use: the driver compiles no other.
    let text = fs::read_to_string(ptx).expect("cuda_builder wrote the PTX");
    let mut table = String::from("static MODULES: &[(&str, &str)] = &[\n");
    for (name, module) in modules::modules(&text) {
        fs::write(out.join(format!("{name}.ptx")), module).expect("OUT_DIR is writable");
        table += &format!(
            "({name:?}, include_str!(concat!(env!(\"OUT_DIR\"), \"/{name}.ptx\"))),\n"
        );
    }
    fs::write(out.join("modules.rs"), table + "];\n").expect("OUT_DIR is writable");
}
