//! What is measured.

use fouroversix::{
    Config, InputType, Outputs, RandomState, Rounding, Rule, ScaleLayout, Scaling, SignMask,
    Transforms,
};

/// What the input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// Nearly normal, variance 1.
    Normal,
    /// 0.7 everywhere.
    Constant,
    /// 0 everywhere.
    Zeros,
    /// The weights that the caller passed, repeated.
    Weights,
}

/// Which launches are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// The quantization, the amax being there. With row scaling and rowwise output it finds the
    /// amaxes in the same pass.
    Quantize,
    /// The amax pass.
    Amax,
    /// Both, one after the other.
    AmaxAndQuantize,
    /// The way back, to the case's element type.
    Dequantize,
}

/// One row of the table.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) group: &'static str,
    pub(super) name: String,
    pub(super) config: Config,
    pub(super) element: InputType,
    pub(super) shape: [usize; 2],
    pub(super) data: Data,
    pub(super) work: Work,
    /// Launched from a graph.
    pub(super) graph: bool,
}

const RULES: [Rule; 5] = [Rule::Plain, Rule::MAE_FAST, Rule::MAE, Rule::MSE_FAST, Rule::MSE];

/// The rule without its bound, which is 256 in all cases: `mae fast`.
fn rule_name(rule: Rule) -> String {
    rule.to_string().trim_end_matches("-256").replace('-', " ")
}

impl Case {
    fn new(group: &'static str, shape: [usize; 2], rule: Rule, scaling: Scaling) -> Self {
        let blocks = if scaling == Scaling::Tile { "2d" } else { "1d" };
        Self {
            group,
            name: format!("{blocks} {}", rule_name(rule)),
            config: Config::new(rule, scaling, Outputs::Rowwise, ScaleLayout::Linear)
                .expect("rowwise output is always defined"),
            element: InputType::Bf16,
            shape,
            data: Data::Normal,
            work: Work::Quantize,
            graph: false,
        }
    }

    fn outputs(self, outputs: Outputs) -> Self {
        let name = format!("{} {outputs}", self.name);
        let (rule, scaling) = (self.config.rule(), self.config.scaling());
        let config = Config::new(rule, scaling, outputs, self.config.scale_layout());
        Self { name, config: config.expect("defined by the contract"), ..self }
    }

    fn stochastic(self) -> Self {
        let rounding = Rounding::Stochastic(RandomState { seed: 1, offset: 0 });
        let config = self.config.to_builder().rounding(rounding).build();
        let name = format!("{} stochastic", self.name);
        Self { group: "training", name, config: config.expect("goes with everything"), ..self }
    }

    /// With the transform of each output.
    fn transformed(self) -> Self {
        let outputs = self.config.outputs();
        let mask = |asked: bool| asked.then_some(SignMask::TRANSFORMER_ENGINE);
        let transforms =
            Transforms { rowwise: mask(outputs.rowwise()), columnwise: mask(outputs.columnwise()) };
        let config = self.config.to_builder().transforms(transforms).build();
        let name = format!("{} transform", self.name);
        Self { group: "training", name, config: config.expect("one amax for the tensor"), ..self }
    }

    fn swizzled(self) -> Self {
        let (rule, scaling, outputs) =
            (self.config.rule(), self.config.scaling(), self.config.outputs());
        let config = Config::new(rule, scaling, outputs, ScaleLayout::Swizzled128x4);
        let config = config.expect("defined by the contract");
        Self { name: format!("{} swizzled", self.name), config, ..self }
    }

    fn element(self, element: InputType) -> Self {
        Self { name: format!("{} {}", self.name, element), element, ..self }
    }

    fn data(self, data: Data) -> Self {
        Self { name: format!("{} {data:?}", self.name).to_lowercase(), data, ..self }
    }

    fn work(self, work: Work, name: &str) -> Self {
        Self { name: format!("{} {name}", self.name), work, ..self }
    }

    /// `group name`, what filters match.
    pub(super) fn label(&self) -> String {
        format!("{} {}", self.group, self.name)
    }

    /// Bytes that the copy kernel reads and writes: those of the quantization, or dequantization.
    pub(super) fn copy_bytes(&self) -> u64 {
        match self.work {
            Work::Dequantize => self.bytes(),
            _ => Self { work: Work::Quantize, ..self.clone() }.bytes(),
        }
    }

    /// Bytes that the timed launches must read and write.
    pub(super) fn bytes(&self) -> u64 {
        let [rows, cols] = self.shape;
        let elements = rows * cols;
        let input = elements * self.element.bytes();
        let quantized = elements / 2 + elements / 16;
        let outputs = self.config.outputs();
        let count = usize::from(outputs.rowwise()) + usize::from(outputs.columnwise());
        let bytes = match self.work {
            Work::Quantize => input + count * quantized,
            Work::Amax => input,
            Work::AmaxAndQuantize => 2 * input + count * quantized,
            Work::Dequantize => input + quantized,
        };
        bytes as u64
    }
}

/// Every case, for large tensors of one shape and the small shapes.
pub(super) fn all(shape: [usize; 2]) -> Vec<Case> {
    use InputType::{Bf16, F16, F32};
    let new = |group, rule, scaling| Case::new(group, shape, rule, scaling);
    let mut cases = Vec::new();
    for scaling in [Scaling::Tensor, Scaling::Tile] {
        cases.extend(RULES.map(|rule| new("table", rule, scaling)));
    }
    for outputs in [Outputs::Columnwise, Outputs::Both] {
        for rule in [Rule::Plain, Rule::MAE_FAST, Rule::MSE] {
            cases.push(new("outputs", rule, Scaling::Tensor).outputs(outputs));
        }
        cases.push(new("outputs", Rule::MAE_FAST, Scaling::Tile).outputs(outputs));
    }
    for rule in [Rule::Plain, Rule::MAE_FAST, Rule::MSE] {
        cases.push(new("outputs", rule, Scaling::Tensor).swizzled());
    }
    for rule in RULES {
        let case = new("rows", rule, Scaling::Row);
        cases.push(Case { name: format!("{} one pass with row amax", case.name), ..case });
    }
    for element in [Bf16, F16, F32] {
        let case = new("amax", Rule::Plain, Scaling::Tensor).element(element);
        cases.push(Case { work: Work::Amax, name: format!("amax {}", element), ..case });
    }
    let case = new("amax", Rule::Plain, Scaling::Row).outputs(Outputs::Columnwise);
    cases.push(Case { work: Work::Amax, name: "amax of columns bf16".to_owned(), ..case });
    for rule in [Rule::Plain, Rule::MAE_FAST, Rule::MSE] {
        let case = new("amax", rule, Scaling::Tensor);
        cases.push(case.work(Work::AmaxAndQuantize, "with amax pass"));
    }
    for element in [Bf16, F16, F32] {
        let case = new("dequantize", Rule::Plain, Scaling::Tensor).element(element);
        let name = format!("to {}", element);
        cases.push(Case { work: Work::Dequantize, name, ..case });
    }
    let case = new("dequantize", Rule::Plain, Scaling::Tensor).swizzled();
    cases.push(Case { work: Work::Dequantize, name: "to bf16 swizzled".to_owned(), ..case });
    for element in [F16, F32] {
        cases.extend(RULES.map(|rule| new("types", rule, Scaling::Tensor).element(element)));
    }
    for data in [Data::Constant, Data::Zeros, Data::Weights] {
        cases.extend(RULES.map(|rule| new("data", rule, Scaling::Tensor).data(data)));
        cases.push(new("data", Rule::MSE, Scaling::Tile).data(data));
    }
    for rule in [Rule::Plain, Rule::MAE, Rule::MSE] {
        for scaling in [Scaling::Tensor, Scaling::Tile] {
            let case = new("training", rule, scaling);
            cases.push(case.clone().stochastic());
            for outputs in [Outputs::Columnwise, Outputs::Both] {
                let case = case.clone().outputs(outputs);
                cases.push(case.clone());
                cases.push(case.stochastic());
            }
        }
        let case = new("training", rule, Scaling::Row);
        let case = Case { name: format!("{} one pass with row amax", case.name), ..case };
        cases.push(case.stochastic());
        for outputs in [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both] {
            let case = new("training", rule, Scaling::Tensor);
            let case = match outputs {
                Outputs::Rowwise => case,
                outputs => case.outputs(outputs),
            };
            let with_amax = |case: Case| case.work(Work::AmaxAndQuantize, "with amax pass");
            cases.push(with_amax(case.clone()));
            cases.push(case.clone().transformed());
            cases.push(with_amax(case.clone().transformed()));
            cases.push(with_amax(case.transformed().stochastic()));
        }
    }
    for rule in [Rule::SEARCH_MSE, Rule::SEARCH_MAE] {
        for scaling in [Scaling::Tensor, Scaling::Tile] {
            let case = new("search", rule, scaling);
            cases.push(case.clone());
            for outputs in [Outputs::Columnwise, Outputs::Both] {
                cases.push(case.clone().outputs(outputs));
            }
            for data in [Data::Constant, Data::Zeros, Data::Weights] {
                cases.push(case.clone().data(data));
            }
        }
        for element in [F16, F32] {
            cases.push(new("search", rule, Scaling::Tensor).element(element));
        }
        let case = new("search", rule, Scaling::Row);
        cases.push(Case { name: format!("{} one pass with row amax", case.name), ..case });
    }
    cases.extend(small());
    cases
}

/// Activations of a few tokens, launched from a graph.
fn small() -> Vec<Case> {
    let mut cases = Vec::new();
    for cols in [2048, 4096, 7168] {
        for rows in [1, 8, 32, 128, 512, 2048] {
            for rule in [Rule::Plain, Rule::MAE_FAST, Rule::MSE] {
                let case = Case::new("small", [rows, cols], rule, Scaling::Tensor);
                let name = format!("{} {rows}x{cols}", case.name);
                cases.push(Case { name, graph: true, ..case });
            }
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_rows_of_the_pull_request() {
        let cases = all([16_384, 6144]);
        let table: Vec<&str> =
            cases.iter().filter(|it| it.group == "table").map(|it| it.name.as_str()).collect();
        let modes = ["plain", "mae fast", "mae strict", "mse fast", "mse strict"];
        let expected = modes.map(|mode| format!("1d {mode}")).into_iter();
        let expected: Vec<String> =
            expected.chain(modes.map(|mode| format!("2d {mode}"))).collect();
        assert_eq!(table, expected);
        // 2 bytes in, half a byte of codes and a sixteenth of a scale byte out.
        assert_eq!(cases[0].bytes(), 16_384 * 6144 * 41 / 16);
    }

    #[test]
    fn labels_are_unique() {
        let mut labels: Vec<String> = all([256, 256]).iter().map(Case::label).collect();
        labels.sort();
        let count = labels.len();
        labels.dedup();
        assert_eq!(labels.len(), count);
    }
}
