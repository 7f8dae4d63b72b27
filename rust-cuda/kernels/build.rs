//! Tells the sources which back end and which instruction set they are compiled for.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=FOUROVERSIX_ISA");
    let isa = std::env::var("FOUROVERSIX_ISA").expect("FOUROVERSIX_ISA names an instruction set");
    println!("cargo::rustc-cfg=nvvm");
    println!("cargo::rustc-cfg=isa=\"{isa}\"");
}
