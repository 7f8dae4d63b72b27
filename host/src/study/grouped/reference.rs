//! What the layer must compute: products in FP64 from dequantized operands, and how far off a
//! product in bf16 with FP32 sums may be.

use approx::abs_diff_eq;
use fouroversix_kernels::config::ScaleLayout;
use half::bf16;

use super::problem::{Form, Operand, Product, Recipe, Shape};
use crate::error::Error;
use crate::tensor::{Nvfp4Tensor, Quantized};

/// One group's tensors.
#[derive(Clone, Debug)]
pub(super) struct Inputs {
    pub(super) shape: Shape,
    pub(super) x: Vec<bf16>,
    pub(super) w: Vec<bf16>,
    pub(super) dy: Vec<bf16>,
}

impl Inputs {
    fn operand(&self, operand: Operand) -> &[bf16] {
        match operand {
            Operand::Activations => &self.x,
            Operand::Weights => &self.w,
            Operand::Gradients => &self.dy,
        }
    }
}

/// One group's operands as they are multiplied.
#[derive(Clone, Debug)]
pub(super) struct Quantization {
    operands: [Quantized; 3],
}

impl Quantization {
    /// Quantizes on the CPU.
    pub(super) fn new(inputs: &Inputs, recipe: Recipe) -> Result<Self, Error> {
        let quantize = |operand| {
            let config = recipe.config(operand, ScaleLayout::Linear);
            crate::quantize(inputs.operand(operand), inputs.shape.operand(operand), &config)
        };
        let [x, w, dy] = Operand::ALL.map(quantize);
        Ok(Self { operands: [x?, w?, dy?] })
    }

    fn form(&self, form: Form) -> &Nvfp4Tensor {
        let quantized = &self.operands[form.operand as usize];
        let tensor = if form.transposed { &quantized.columnwise } else { &quantized.rowwise };
        tensor.as_ref().expect("both forms are configured")
    }

    /// A form's values, rounded to bf16 as the products in bf16 take them, or not.
    pub(super) fn values(&self, form: Form, rounded: bool) -> Result<Vec<f32>, Error> {
        let tensor = self.form(form);
        if rounded {
            return Ok(crate::dequantize::<bf16>(tensor)?.into_iter().map(bf16::to_f32).collect());
        }
        crate::dequantize(tensor)
    }

    /// The exact product, but for sums in FP64.
    pub(super) fn product(
        &self,
        product: Product,
        shape: &Shape,
        rounded: bool,
    ) -> Result<Expected, Error> {
        let [rows, columns, depth] = product.dimensions(shape);
        let [a, b] = product.forms().map(|form| self.values(form, rounded));
        let (a, b) = (a?, b?);
        let mut expected = Expected { depth, values: Vec::with_capacity(rows * columns) };
        for a in a.chunks_exact(depth) {
            for b in b.chunks_exact(depth) {
                let products = || a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
                let magnitude = products().map(f64::abs).sum();
                expected.values.push(Value { value: products().sum(), magnitude });
            }
        }
        Ok(expected)
    }
}

/// An element of a product.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) value: f64,
    /// The sum of the magnitudes of what was summed.
    magnitude: f64,
}

/// A product in FP64.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) values: Vec<Value>,
    depth: usize,
}

impl Expected {
    /// How far a bf16 result of a product with FP32 sums may be from `value`.
    ///
    /// Products of operands are exact in FP32 (bf16 has 8 significant bits, NVFP4 fewer). Each of
    /// fewer than `depth` additions, in any order, is off by at most 2⁻²³ of a partial sum, tensor
    /// cores cutting bits off where others round; a partial sum is at most the sum of magnitudes.
    /// The scale factor of NVFP4 products adds at most four roundings. The result is rounded to
    /// bf16: half a unit in the last place is at most 2⁻⁸ of it.
    fn tolerance(&self, value: Value) -> f64 {
        let sums = (self.depth + 4) as f64 * f64::exp2(-23.0) * value.magnitude;
        f64::exp2(-8.0) * (value.value.abs() + sums) + sums
    }

    /// The first element that is not what it must be.
    pub(super) fn mismatch(&self, actual: &[bf16]) -> Option<Mismatch> {
        assert_eq!(actual.len(), self.values.len());
        self.values.iter().zip(actual).enumerate().find_map(|(index, (expected, actual))| {
            let (actual, tolerance) = (actual.to_f64(), self.tolerance(*expected));
            let equal = abs_diff_eq!(actual, expected.value, epsilon = tolerance);
            (!equal).then_some(Mismatch { index, actual, expected: expected.value, tolerance })
        })
    }
}

/// An element that is off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mismatch {
    pub(super) index: usize,
    pub(super) actual: f64,
    pub(super) expected: f64,
    pub(super) tolerance: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::{Distribution, fill};

    const SHAPE: Shape = Shape { m: 48, n: 32, k: 64, groups: 1 };

    fn inputs() -> Inputs {
        let tensor = |seed, operand| {
            let [rows, cols] = SHAPE.operand(operand);
            let mut values = vec![bf16::ZERO; rows * cols];
            fill(Distribution::Normal, seed, 0, &mut values);
            values
        };
        let [x, w, dy] = [
            tensor(1, Operand::Activations),
            tensor(2, Operand::Weights),
            tensor(3, Operand::Gradients),
        ];
        Inputs { shape: SHAPE, x, w, dy }
    }

    /// `D = A·Bᵀ` as a device without FP4 computes it: bf16 in, FP32 sums, bf16 out.
    fn in_bf16(quantization: &Quantization, product: Product) -> Vec<bf16> {
        let [.., depth] = product.dimensions(&SHAPE);
        let [a, b] = product.forms().map(|form| quantization.values(form, true).unwrap());
        let mut out = Vec::new();
        for a in a.chunks_exact(depth) {
            for b in b.chunks_exact(depth) {
                let sum = a.iter().zip(b).fold(0.0_f32, |sum, (a, b)| sum + a * b);
                out.push(bf16::from_f32(sum));
            }
        }
        out
    }

    #[test]
    fn products_with_fp32_sums_pass() {
        for recipe in Recipe::ALL {
            let quantization = Quantization::new(&inputs(), recipe).unwrap();
            for product in Product::ALL {
                let expected = quantization.product(product, &SHAPE, true).unwrap();
                let actual = in_bf16(&quantization, product);
                assert_eq!(expected.mismatch(&actual), None, "{recipe:?} {product:?}");
            }
        }
    }

    /// From the inputs themselves, by the layer's own formulas: quantization loses about a tenth.
    #[test]
    fn products_are_those_of_the_layer() {
        let inputs = inputs();
        let Shape { m, n, k, .. } = SHAPE;
        let at = |values: &[bf16], index: usize| values[index].to_f64();
        let sum = |length, term: &dyn Fn(usize) -> f64| (0..length).map(term).sum::<f64>();
        let layer = |product, i: usize, j: usize| match product {
            Product::Output => sum(k, &|l| at(&inputs.x, i * k + l) * at(&inputs.w, j * k + l)),
            Product::InputGradient => {
                sum(n, &|l| at(&inputs.dy, i * n + l) * at(&inputs.w, l * k + j))
            }
            Product::WeightGradient => {
                sum(m, &|l| at(&inputs.dy, l * n + i) * at(&inputs.x, l * k + j))
            }
        };
        for recipe in Recipe::ALL {
            let quantization = Quantization::new(&inputs, recipe).unwrap();
            for product in Product::ALL {
                let [_, columns, _] = product.dimensions(&SHAPE);
                let expected = quantization.product(product, &SHAPE, false).unwrap();
                let (mut error, mut power) = (0.0, 0.0);
                for (index, value) in expected.values.iter().enumerate() {
                    let exact = layer(product, index / columns, index % columns);
                    error += (value.value - exact).powi(2);
                    power += exact * exact;
                }
                assert!(error < 0.03 * power, "{recipe:?} {product:?}: {}", error / power);
            }
        }
    }

    #[test]
    fn one_wrong_element_fails() {
        let quantization = Quantization::new(&inputs(), Recipe::ALL[4]).unwrap();
        for product in Product::ALL {
            let expected = quantization.product(product, &SHAPE, true).unwrap();
            let mut actual = in_bf16(&quantization, product);
            // Two units in the last place of the largest element.
            let largest = (0..actual.len())
                .max_by(|a, b| actual[*a].to_f32().abs().total_cmp(&actual[*b].to_f32().abs()));
            let largest = largest.unwrap();
            actual[largest] = bf16::from_bits(actual[largest].to_bits() + 2);
            let mismatch = expected.mismatch(&actual).expect("it is wrong");
            assert_eq!(mismatch.index, largest);
        }
    }

    #[test]
    fn another_recipe_fails() {
        let [plain, _, _, _, mse] =
            Recipe::ALL.map(|recipe| Quantization::new(&inputs(), recipe).unwrap());
        for product in Product::ALL {
            let expected = mse.product(product, &SHAPE, true).unwrap();
            assert!(expected.mismatch(&in_bf16(&plain, product)).is_some(), "{product:?}");
        }
    }
}
