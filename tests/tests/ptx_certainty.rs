//! The committed kernels are certain of no block whose errors are closer than their bound is proven for.

use fouroversix_conformance::backend::Backend;
use fouroversix_conformance::generate::uncertain;
use fouroversix_conformance::ptx::{PtxBackend, fallback};
use fouroversix_conformance::report;
use fouroversix_core::InstructionSet;

#[test]
fn blocks_at_the_bound_are_not_certain() {
    let cases = uncertain::cases(1);
    assert_eq!(cases.len(), 2 * 2 * 3 * 3);
    for isa in InstructionSet::ALL {
        for uncertain::Uncertain { case, blocks } in &cases {
            let kernels = PtxBackend::kernels_of(case).expect("the shape is valid");
            for kernel in kernels.into_iter().filter(|kernel| kernel.quantizes()) {
                let backend = PtxBackend::committed(isa).only(kernel);
                let outcome = backend.quantize(case).expect("the kernel runs");
                assert_eq!(report::difference(case, &outcome), None, "{isa} {kernel}: {case}");
                let counted = fallback::so_far(&backend, kernel).expect("the votes are known");
                assert!(counted.exact >= *blocks, "{isa} {kernel}: {case}: {counted:?}");
            }
        }
    }
}
