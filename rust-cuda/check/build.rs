//! Hands the committed PTX to the program, in place of what `rustc_codegen_nvvm` would compile.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-env-changed=FOUROVERSIX_ISA");
    let isa = env::var("FOUROVERSIX_ISA").unwrap_or_else(|_| "sm_80".to_owned());
    println!("cargo::rustc-env=FOUROVERSIX_ISA={isa}");
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let folder = folder.join("../../kernels-gpu/ptx").join(isa);
    println!("cargo::rerun-if-changed={}", folder.display());
    let files = fs::read_dir(&folder).expect("FOUROVERSIX_ISA has committed PTX");
    let mut files: Vec<PathBuf> =
        files.map(|file| file.expect("the folder is readable").path()).collect();
    files.sort_by_key(|file| file.file_stem().map(ToOwned::to_owned));
    let mut table = String::from("static MODULES: &[(&str, &str)] = &[\n");
    for file in files {
        let name = file.file_stem().expect("a file has a name").to_string_lossy();
        table += &format!("({name:?}, include_str!({:?})),\n", file.display().to_string());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("modules.rs"), table + "];\n").expect("OUT_DIR is writable");
}
