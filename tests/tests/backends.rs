//! Every backend that can run here, on the same cases.

mod common;

use common::cpu::Cpu;
use fouroversix::cpu::Path;
use fouroversix_conformance::oracle::Reference;

fn cpu_paths() -> impl Iterator<Item = Cpu> {
    Path::available().into_iter().map(Cpu)
}

golden_tests!(reference_golden, [Reference]);
golden_tests!(cpu_golden, cpu_paths());
generated_tests!(cpu_generated, cpu_paths());
