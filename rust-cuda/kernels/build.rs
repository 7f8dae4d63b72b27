//! Tells the sources which back end they are compiled for, and what the instruction set can do.

use fouroversix_core::InstructionSet;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=FOUROVERSIX_ISA");
    let name = std::env::var("FOUROVERSIX_ISA").expect("FOUROVERSIX_ISA names an instruction set");
    let set = InstructionSet::from_name(&name).expect("FOUROVERSIX_ISA is a known set");
    println!("cargo::rustc-cfg=nvvm");
    for capability in set.cfgs() {
        println!("cargo::rustc-cfg={capability}");
    }
}
