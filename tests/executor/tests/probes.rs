//! The one-instruction kernels that the executor is checked with on a GPU: here they must exist for
//! everything that the committed kernels use, and run.

use std::sync::atomic::{AtomicUsize, Ordering};

use fouroversix_ptx::{self as ptx, InstructionSet, Kernel};
use fouroversix_ptx_executor::probe::{self, Probe};

fn committed() -> (Vec<Probe>, Vec<probe::Unprobed>) {
    let texts = InstructionSet::ALL
        .into_iter()
        .flat_map(|set| Kernel::ALL.into_iter().filter_map(move |kernel| ptx::source(set, kernel)));
    probe::probes(texts).expect("committed kernels parse")
}

#[test]
fn every_probe_runs() {
    let (probes, _) = committed();
    assert!(probes.len() > 100, "{} probes", probes.len());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(probe) = probes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let inputs = probe.inputs(0);
                    let expected = probe.expected(&inputs);
                    let expected =
                        expected.unwrap_or_else(|e| panic!("{}: {e}", probe.instruction));
                    assert_eq!(probe.difference(&expected, &expected), None);
                    // A wrong bit anywhere in the results is seen.
                    let mut wrong = expected.clone();
                    wrong[probe::RECORD * 5] ^= 4;
                    assert!(probe.difference(&expected, &wrong).is_some(), "{}", probe.instruction);
                }
            });
        }
    });
}

/// What may be without a probe: control flow, synchronization, and what only means something where it
/// stands (parameters, special registers, addresses of variables). A copy that has not landed yet is
/// synchronization too.
const UNPROBED: [&str; 11] = [
    "bar.sync",
    "bar.warp.sync",
    "bra",
    "bra.uni",
    "cp.async.cg.shared.global",
    "cp.async.wait_all",
    "fence.acq_rel.gpu",
    "ld.param.b32",
    "ld.param.b64",
    "mov.u32",
    "ret",
];

#[test]
fn everything_else_has_a_probe() {
    let (probes, without) = committed();
    for instruction in ["fma.rn.f32", "cvt.rn.f16x2.f32", "cvt.rn.satfinite.e2m1x2.f32"] {
        assert!(probes.iter().any(|p| p.mnemonic == instruction), "{instruction} has no probe");
    }
    for unprobed in without {
        assert!(UNPROBED.contains(&unprobed.mnemonic.as_str()), "{unprobed:?}");
    }
}
