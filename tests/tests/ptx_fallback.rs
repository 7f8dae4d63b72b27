//! How often the committed kernels need the contract's own sequence.

use std::sync::Arc;

use fouroversix_conformance::case::Input;
use fouroversix_conformance::ptx::fallback::{self, Fallback};
use fouroversix_conformance::rng::Rng;
use fouroversix_core::InstructionSet;
use fouroversix_core::config::{
    Config, E4m3Max, ErrorPath, InputType, Metric, Outputs, Rule, ScaleLayout, Scaling,
};
use fouroversix_reference::Bf16;

/// Whole warps of blocks to a row.
const SHAPE: [usize; 2] = [128, 512];
const ELEMENTS: usize = SHAPE[0] * SHAPE[1];

/// What every instruction set's kernels do with an input, by the kernel's name.
fn measured(element: impl FnMut(usize) -> f32) -> Vec<(String, Fallback)> {
    let bits = (0..ELEMENTS).map(element).map(|x| Bf16::from_f32(x).to_bits().into()).collect();
    let input = Arc::new(Input { element: InputType::Bf16, shape: SHAPE, bits });
    let mut out = Vec::new();
    for isa in InstructionSet::ALL {
        for scaling in [Scaling::Tensor, Scaling::Row, Scaling::Tile] {
            for metric in [Metric::Mae, Metric::Mse] {
                let (error_path, e4m3_max) = (ErrorPath::Strict, E4m3Max::M256);
                let rule = Rule::FourOverSix { metric, error_path, e4m3_max };
                let config = Config::new(rule, scaling, Outputs::Rowwise, ScaleLayout::Linear);
                let config = config.expect("rowwise outputs have every scaling");
                let kernel = fallback::kernel(&config, InputType::Bf16);
                let counted = fallback::measure(isa, kernel, config, &input);
                let counted = counted.unwrap_or_else(|error| panic!("{isa} {kernel}: {error}"));
                out.push((format!("{isa} {kernel}"), counted));
            }
        }
    }
    out
}

#[test]
fn zeros_and_constants_never_need_it() {
    for value in [0.0, 1.0, 0.7, -1e-3] {
        for (kernel, counted) in measured(|_| value) {
            assert_eq!(counted.exact, 0, "{kernel}: {value}, {counted:?}");
            assert!(counted.uncertain == 0 || counted.uncertain == counted.blocks, "{counted:?}");
        }
    }
}

#[test]
fn normal_numbers_need_it_rarely() {
    let mut rng = Rng::new(6);
    for (kernel, counted) in measured(|_| rng.normal()) {
        assert!(counted.exact * 200 < counted.blocks, "{kernel}: {counted:?}");
        assert!(counted.exact <= counted.uncertain, "{kernel}: {counted:?}");
    }
}

#[test]
fn each_block_with_nan_needs_it() {
    // One in each of five tiles.
    let nan =
        |i: usize| (i % SHAPE[1]).is_multiple_of(48) && i / SHAPE[1] == 37 && i % SHAPE[1] < 240;
    for (kernel, counted) in measured(|i| if nan(i) { f32::NAN } else { 1.0 }) {
        assert_eq!(counted.exact, 5, "{kernel}: {counted:?}");
        assert!(counted.left > 0, "{kernel}: {counted:?}");
    }
}
