//! A few mutants of the committed PTX, which the cases must kill. `ptx-mutants --count 200` is the long
//! run.

use fouroversix_conformance::ptx::mutants::{self, Cases, Verdict};

/// Of 200 mutants a sixth is equivalent, most for reasons that take more than the changed line
/// (`docs/benchmarks/ptx-mutants.md`): of a dozen, four may survive.
#[test]
fn mutants_are_killed() {
    let cases = Cases::all().expect("the carried selection follows its format");
    let mut survived = Vec::new();
    for trial in mutants::draw(7, 12, "quantize_1d_rowwise", &cases) {
        let mutant = &trial.mutant;
        let place = format!("{} {}:{}", trial.isa, trial.kernel, mutant.pos.line);
        let change = format!("{place} {} -> {}", mutant.from, mutant.to);
        match trial.judge(&cases) {
            Verdict::Killed(how) => println!("{change}: killed by {how}"),
            Verdict::Equivalent(why) => println!("{change}: equivalent, {why}"),
            Verdict::Survived => survived.push(change),
        }
    }
    assert!(survived.len() <= 4, "survived: {survived:#?}");
}

/// Mutants that round the first approximation of a quotient by 6·A otherwise are equivalent: it is
/// corrected to the same number.
#[test]
fn residuals_correct_quotients() {
    for divisor in [6.0 * 448.0, 6.0 * 256.0] {
        let reciprocal = 1.0f32 / divisor;
        for significand in 0..1u32 << 23 {
            let p = f32::from_bits(1f32.to_bits() | significand);
            let nearest = p * reciprocal;
            for q in [nearest.next_down(), nearest, nearest.next_up()] {
                let corrected = (-q).mul_add(divisor, p).mul_add(reciprocal, q);
                assert_eq!(corrected.to_bits(), (p / divisor).to_bits(), "{p} / {divisor} by {q}");
            }
        }
    }
}
