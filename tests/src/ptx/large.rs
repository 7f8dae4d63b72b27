//! Cases of the sizes at which kernels take paths that small ones don't: several turns of unrolled
//! loops, several tiles with tails in both directions, more than 128 rows of swizzled scales.

use std::sync::Arc;

use fouroversix_core::config::{Config, InputType, Outputs, Rule, ScaleLayout, Scaling};

use crate::case::{Case, with_searches};
use crate::generate::{ELEMENTS, PATTERNS, SCALINGS, narrow};
use crate::oracle;

/// How a case's name begins whose columnwise scales have an odd address, and its codes an aligned one.
pub(super) const ODD_SCALES: &str = "large odd scales";

/// The cases, with the reference's expectations. Every kernel has some of every layout.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    let mut turn = 0;
    for (number, rule) in with_searches().into_iter().enumerate() {
        let first = turn;
        for element in ELEMENTS {
            for scaling in SCALINGS {
                for outputs in [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both] {
                    turn += 1;
                    for form in forms(rule, number + turn - first) {
                        let Ok(config) = Config::new(rule, scaling, outputs, form.layout()) else {
                            continue;
                        };
                        out.extend(case(turn, config, element, form.shape(config)));
                    }
                }
            }
        }
    }
    // Tiles of which whole lines are stored at once: 256 columns, and an even number of them down.
    for (turn, element) in ELEMENTS.into_iter().enumerate() {
        for layout in [ScaleLayout::Linear, ScaleLayout::Swizzled128x4] {
            for rule in with_searches() {
                for outputs in [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both] {
                    let tile = Config::new(rule, Scaling::Tile, outputs, layout);
                    let whole = tile.ok().and_then(|config| case(turn, config, element, [32, 256]));
                    out.extend(whole.clone().filter(|_| outputs.columnwise()).map(|whole| Case {
                        name: whole.name.replacen("large", ODD_SCALES, 1),
                        ..whole
                    }));
                    out.extend(whole);
                }
            }
        }
    }
    // Rows longer than a block of threads takes at once, and tensors longer than a grid does.
    for (element, layout) in ELEMENTS.into_iter().zip([
        ScaleLayout::Linear,
        ScaleLayout::Swizzled128x4,
        ScaleLayout::Linear,
    ]) {
        for rule in with_searches().into_iter().step_by(4) {
            let row = Config::new(rule, Scaling::Row, Outputs::Rowwise, layout);
            out.extend(row.ok().and_then(|config| case(1, config, element, [1, 73_744])));
        }
        let tensor = Config::rowwise(Rule::Plain);
        // As many as it takes for each way to launch the amax.
        for turn in 2..10 {
            out.extend(case(turn, tensor, element, [16, 18_480]));
        }
        for rule in with_searches().into_iter().step_by(4) {
            let row = Config::new(rule, Scaling::Row, Outputs::Rowwise, layout);
            out.extend(row.ok().and_then(|config| peaks(config, element)));
        }
    }
    out
}

/// More than one block of threads either way, and more than 128 lines of scales.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// With tails of all kinds.
    Linear,
    Swizzled,
    /// Whole tiles of 4 scales.
    SwizzledWhole,
    /// Small after all: a power of two of lines, so that steps of as many lines end at a tile's last.
    SwizzledPower,
}

/// Kernels that four rules share, the searches' too, have a case of every form with one for each rule; the plain ones need
/// them all.
fn forms(rule: Rule, turn: usize) -> Vec<Form> {
    let all = [Form::Linear, Form::Swizzled, Form::SwizzledWhole, Form::SwizzledPower];
    if rule == Rule::Plain { all.to_vec() } else { vec![all[turn % all.len()]] }
}

impl Form {
    fn layout(self) -> ScaleLayout {
        match self {
            Self::Linear => ScaleLayout::Linear,
            Self::Swizzled | Self::SwizzledWhole | Self::SwizzledPower => {
                ScaleLayout::Swizzled128x4
            }
        }
    }

    fn shape(self, config: Config) -> [usize; 2] {
        let columns = config.scaling() != Scaling::Tile && config.outputs().columnwise();
        match (self, columns) {
            (Self::SwizzledWhole, false) => [192, 192],
            (Self::SwizzledWhole, true) => [256, 192],
            (Self::SwizzledPower, _) => [32, 64],
            (_, false) => [144, 144],
            (_, true) => [272, 144],
        }
    }
}

/// Rows of several turns of a block of threads, each with its amax at another place of another turn.
fn peaks(config: Config, element: InputType) -> Option<Case> {
    let shape = [64, 16_400];
    let mut input = PATTERNS[0].input(element, shape, 64);
    for row in 0..shape[0] {
        // Every low bit of its magnitude is set: a lost one shows.
        let magnitude = narrow(63.75 * 2f32.powi(row as i32 % 4), element);
        let last_bits =
            1 << (8 * element.bytes() - 1) | if element == InputType::F32 { 0xFFFF } else { 0 };
        // Both halves of a block's elements for each of a thread's loads.
        input.bits[row * shape[1] + 257 * row + 8 * (row / 32)] = magnitude | last_bits;
    }
    let expected = oracle::quantize(config, &input, None).ok()?;
    let name = "large peaks".to_owned();
    Some(Case { name, config, input: Arc::new(input), supplied_amax: None, expected })
}

fn case(turn: usize, config: Config, element: InputType, shape: [usize; 2]) -> Option<Case> {
    // Patterns whose blocks differ: a wrong place shows.
    let patterns = ["normal", "any-finite-bits", "subnormal-scales", "signed-zeros", "nan"];
    let name = patterns[turn % patterns.len()];
    let pattern = PATTERNS.iter().find(|pattern| pattern.name == name)?;
    let input = pattern.input(element, shape, turn as u64);
    let expected = oracle::quantize(config, &input, None).ok()?;
    let name = format!("large {name} {turn}");
    Some(Case { name, config, input: Arc::new(input), supplied_amax: None, expected })
}
