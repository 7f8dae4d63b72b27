//! What is compared: modes, and what two tensors differ in.

use fouroversix::{
    Config, InputType, Nvfp4Tensor, Outputs, Quantized, RandomState, Rounding, Rule, ScaleLayout,
    Scaling, SignMask, Transforms,
};
use fouroversix_conformance::case::with_searches;
use fouroversix_core::launch;

/// A configuration without its scale layout, on one element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode {
    pub(super) element: InputType,
    pub(super) rule: Rule,
    pub(super) scaling: Scaling,
    pub(super) outputs: Outputs,
    pub(super) stochastic: bool,
    /// Of each output.
    pub(super) transform: bool,
}

/// The random state, and the masks of both outputs.
const STATE: RandomState = RandomState { seed: 0x5EED_0123_4567_89AB, offset: 0xFFFF_FFFF };
const MASKS: [SignMask; 2] = [SignMask::TRANSFORMER_ENGINE, SignMask(0x1234)];

impl Mode {
    /// Every mode that the contract defines, those of training last.
    pub(super) fn all() -> Vec<Self> {
        let nearest = Self::of_inference();
        let mut modes = nearest.clone();
        for [stochastic, transform] in [[true, false], [false, true], [true, true]] {
            let training = nearest.iter().map(|mode| Self { stochastic, transform, ..*mode });
            modes.extend(training.filter(|mode| mode.has_kernels()));
        }
        modes
    }

    /// Those of nearest rounding without transforms.
    fn of_inference() -> Vec<Self> {
        let mut modes = Vec::new();
        for element in [InputType::Bf16, InputType::F16, InputType::F32] {
            for scaling in [Scaling::Tensor, Scaling::Tile, Scaling::Row] {
                for rule in with_searches() {
                    for outputs in [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both] {
                        let (stochastic, transform) = (false, false);
                        let mode = Self { element, rule, scaling, outputs, stochastic, transform };
                        if mode.config(ScaleLayout::Linear).is_some() {
                            modes.push(mode);
                        }
                    }
                }
            }
        }
        modes
    }

    /// Whether a device can answer it.
    fn has_kernels(&self) -> bool {
        let config = self.config(ScaleLayout::Linear);
        config.is_some_and(|config| launch::check_features(&config).is_ok())
    }

    /// None where the contract has no such combination.
    pub(super) fn config(self, layout: ScaleLayout) -> Option<Config> {
        let Self { rule, scaling, outputs, stochastic, transform, .. } = self;
        let [rowwise, columnwise] = MASKS.map(|mask| transform.then_some(mask));
        let transforms = Transforms {
            rowwise: rowwise.filter(|_| outputs.rowwise()),
            columnwise: columnwise.filter(|_| outputs.columnwise()),
        };
        let rounding = if stochastic { Rounding::Stochastic(STATE) } else { Rounding::Nearest };
        let config = Config::new(rule, scaling, outputs, layout).ok()?;
        config.to_builder().rounding(rounding).transforms(transforms).build().ok()
    }

    /// For example `bf16 mse-strict-256 tile both`.
    pub(super) fn name(self) -> String {
        let Self { element, rule, scaling, outputs, stochastic, transform } = self;
        let words = [(transform, " transform"), (stochastic, " stochastic")];
        let words: String = words.into_iter().filter(|it| it.0).map(|it| it.1).collect();
        format!("{element} {rule} {scaling} {outputs}{words}")
    }

    /// Whether the name has these words. They may be parts of its words, as in "mse-strict", except for the
    /// element type: `f16` is not in `bf16`.
    pub(super) fn has(self, words: &str) -> bool {
        let (name, element) = (self.name(), self.element.name());
        let part = |part: &str, word: &str| part == word || part != element && part.contains(word);
        words.split_whitespace().all(|word| name.split(' ').any(|one| part(one, word)))
    }

    /// Whether `other` differs in its outputs alone: one run of the CPU serves both.
    pub(super) fn shares_expectation(self, other: Self) -> bool {
        Self { outputs: other.outputs, ..self } == other
    }
}

/// Where two quantizations differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Bytes of codes and scales, and amaxes, that differ.
    pub(super) count: u64,
    /// The first of them.
    pub(super) first: Option<Place>,
}

/// One place where two quantizations differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `rowwise` or `columnwise`.
    pub(super) output: &'static str,
    /// `codes`, `scales` or `amax`.
    pub(super) part: &'static str,
    /// Offset in it.
    pub(super) offset: usize,
    /// What the CPU has there.
    pub(super) expected: u32,
    /// What the device has.
    pub(super) actual: u32,
}

impl Difference {
    /// Compares the outputs that `actual` has. An output that `expected` lacks is a difference.
    pub(super) fn between(expected: &Quantized, actual: &Quantized) -> Self {
        let mut this = Self::default();
        let parts = [
            ("rowwise", &expected.rowwise, &actual.rowwise),
            ("columnwise", &expected.columnwise, &actual.columnwise),
        ];
        for (output, expected, actual) in parts {
            match (expected, actual) {
                (Some(expected), Some(actual)) => this.tensors(output, expected, actual),
                (_, None) => {}
                (None, Some(_)) => this.count += 1,
            }
        }
        this
    }

    fn tensors(&mut self, output: &'static str, expected: &Nvfp4Tensor, actual: &Nvfp4Tensor) {
        self.bytes(output, "codes", expected.codes(), actual.codes());
        self.bytes(output, "scales", expected.scales(), actual.scales());
        let bits = |amax: &[f32]| amax.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let (expected, actual) = (bits(expected.global_amax()), bits(actual.global_amax()));
        self.slices(output, "amax", &expected, &actual);
    }

    /// Compares bytes: fast where all are equal.
    pub(super) fn bytes(
        &mut self,
        output: &'static str,
        part: &'static str,
        expected: &[u8],
        actual: &[u8],
    ) {
        if expected != actual {
            self.slices(output, part, expected, actual);
        }
    }

    fn slices<T: Copy + PartialEq + Into<u32>>(
        &mut self,
        output: &'static str,
        part: &'static str,
        expected: &[T],
        actual: &[T],
    ) {
        self.count += expected.len().abs_diff(actual.len()) as u64;
        for (offset, (expected, actual)) in expected.iter().zip(actual).enumerate() {
            if expected != actual {
                self.count += 1;
                let (expected, actual) = ((*expected).into(), (*actual).into());
                let place = Place { output, part, offset, expected, actual };
                self.first.get_or_insert(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_modes_of_the_contract_are_there() {
        // Nine rules times three outputs for tensor and tile; for row nine rowwise, and plain's
        // other two. As many with stochastic rounding, and tensor's with a transform, of each rounding.
        // Four searches with nearest rounding.
        let searches = 4 * (3 + 3 + 1);
        assert_eq!(Mode::all().len(), 3 * (2 * (27 + 27 + 11) + 2 * 27 + searches));
    }

    #[test]
    fn differences_are_counted_and_placed() {
        let input: Vec<f32> = (0..256).map(|i| (i as f32 * 0.37).sin()).collect();
        let config = Config::rowwise(Rule::Plain);
        let expected =
            fouroversix::quantize_outputs(&input, [16, 16], &config, None).expect("valid");
        assert_eq!(Difference::between(&expected, &expected.clone()), Difference::default());

        let tensor = expected.rowwise.clone().expect("asked for");
        let (mut codes, mut scales, amax) = tensor.clone().into_parts();
        codes[9] ^= 0x10;
        scales[3] ^= 1;
        let (layout, bound) = (tensor.scale_layout(), tensor.e4m3_max());
        let broken = Nvfp4Tensor::from_parts(codes, scales, amax, [16, 16], layout, bound);
        let broken = Quantized { rowwise: Some(broken.expect("same shape")), columnwise: None };
        let difference = Difference::between(&expected, &broken);
        assert_eq!(difference.count, 2);
        let first = difference.first.expect("counted");
        assert_eq!((first.part, first.offset), ("codes", 9));
        assert_eq!(first.expected ^ first.actual, 0x10);
    }

    #[test]
    fn words_select_modes() {
        let count = |words: &str| Mode::all().into_iter().filter(|mode| mode.has(words)).count();
        assert_eq!(["bf16", "f16", "f32", "float", ""].map(count), [212, 212, 212, 0, 636]);
        assert_eq!(count("f16 mse-strict-256 tile both"), 2);
        assert_eq!(count("f16 mse-strict-256 tile both stochastic"), 1);
        assert_eq!(count("mse-strict both"), count("both mse-strict"));
    }
}
