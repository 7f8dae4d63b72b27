//! What the layer must compute: products in FP64 from dequantized operands, and how far off a
//! product in bf16 with FP32 sums may be.

use approx::abs_diff_eq;
use fouroversix::{Amax, Error, Quantized, ScaleLayout};
use half::bf16;

use super::inputs::GroupInputs;
use super::problem::{Form, Operand, Product, Recipe, Shape};

/// Rows and columns of a [`square`].
pub(super) const SIDE: usize = 16;

/// One group's operands as they are multiplied.
#[derive(Clone, Debug)]
pub(super) struct Quantization {
    operands: [Quantized; 3],
}

impl Quantization {
    /// Quantizes on the CPU.
    pub(super) fn new(inputs: &GroupInputs<'_>, recipe: Recipe) -> Result<Self, Error> {
        let quantize = |operand| {
            let config = recipe.config(operand, ScaleLayout::Linear);
            let (input, shape) = (inputs.operand(operand), inputs.shape.operand(operand));
            fouroversix::quantize_outputs(input, shape, &config, None)
        };
        let [x, w, dy] = Operand::ALL.map(quantize);
        Ok(Self { operands: [x?, w?, dy?] })
    }

    /// A form's values, rounded to bf16 as the products in bf16 take them, or not.
    pub(super) fn values(&self, form: Form, rounded: bool) -> Result<Vec<f32>, Error> {
        values(&self.operands[form.operand as usize], form.transposed, rounded)
    }

    /// The exact product, but for sums in FP64.
    pub(super) fn product(
        &self,
        product: Product,
        shape: &Shape,
        rounded: bool,
    ) -> Result<Expected, Error> {
        let [.., depth] = product.dimensions(shape);
        let [a, b] = product.forms().map(|form| self.values(form, rounded));
        Ok(Expected::new(&a?, &b?, depth))
    }
}

fn values(quantized: &Quantized, transposed: bool, rounded: bool) -> Result<Vec<f32>, Error> {
    let tensor = if transposed { &quantized.columnwise } else { &quantized.rowwise };
    let tensor = tensor.as_ref().expect("both forms are configured");
    if rounded {
        return Ok(fouroversix::dequantize::<bf16>(tensor)?
            .into_iter()
            .map(bf16::to_f32)
            .collect());
    }
    fouroversix::dequantize(tensor)
}

/// The first row and column of the square of a product that is compared where the whole would take
/// too long: another for each group, the last one's at the end of the rows, the first one's at the
/// end of the columns.
pub(super) fn corner(product: Product, shape: &Shape, group: usize) -> [usize; 2] {
    let [rows, columns, _] = product.dimensions(shape);
    let at = |length: usize, part| (length / SIDE - 1) * part / shape.groups * SIDE;
    [at(rows, group + 1), at(columns, shape.groups - group)]
}

/// The 16 x 16 square of a product from `corner` on, a multiple of 16 both ways. `amax` is by
/// [`Operand`].
///
/// Blocks and tiles lie within 16 rows of an operand or of its transpose: no more is quantized.
pub(super) fn square(
    inputs: &GroupInputs<'_>,
    amax: [f32; 3],
    recipe: Recipe,
    product: Product,
    corner: [usize; 2],
    rounded: bool,
) -> Result<Expected, Error> {
    let [.., depth] = product.dimensions(&inputs.shape);
    let [a, b] = product.forms();
    let strip = |form: Form, first| {
        let amax = Amax::Tensor(amax[form.operand as usize]);
        let config = recipe.config(form.operand, ScaleLayout::Linear);
        let [_, cols] = inputs.shape.operand(form.operand);
        let input = inputs.operand(form.operand);
        let quantized = if form.transposed {
            let rows = input.chunks_exact(cols);
            let strip: Vec<bf16> = rows.flat_map(|row| &row[first..][..SIDE]).copied().collect();
            fouroversix::quantize_outputs(&strip, [depth, SIDE], &config, Some(amax))
        } else {
            let strip = &input[first * cols..][..SIDE * cols];
            fouroversix::quantize_outputs(strip, [SIDE, depth], &config, Some(amax))
        };
        values(&quantized?, form.transposed, rounded)
    };
    Ok(Expected::new(&strip(a, corner[0])?, &strip(b, corner[1])?, depth))
}

/// The square from `corner` on in rows of a product, `columns` elements each.
pub(super) fn cut(rows: &[bf16], columns: usize, first: usize) -> Vec<bf16> {
    rows.chunks_exact(columns).flat_map(|row| &row[first..][..SIDE]).copied().collect()
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
    /// `A·Bᵀ` with sums in FP64.
    fn new(a: &[f32], b: &[f32], depth: usize) -> Self {
        let mut values = Vec::with_capacity(a.len() / depth * (b.len() / depth));
        for a in a.chunks_exact(depth) {
            for b in b.chunks_exact(depth) {
                let products = || a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
                let magnitude = products().map(f64::abs).sum();
                values.push(Value { value: products().sum(), magnitude });
            }
        }
        Self { depth, values }
    }

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
    use crate::study::grouped::inputs::Inputs;

    const SHAPE: Shape = Shape { m: 48, n: 32, k: 64, groups: 1 };

    fn inputs() -> Inputs {
        Inputs::random(&SHAPE, 1)
    }

    fn quantization(recipe: Recipe) -> Quantization {
        Quantization::new(&inputs().group(&SHAPE, 0), recipe).unwrap()
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
            let quantization = quantization(recipe);
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
        let [x, w, dy] = Operand::ALL.map(|operand| inputs.group(&SHAPE, 0).operand(operand));
        let Shape { m, n, k, .. } = SHAPE;
        let at = |values: &[bf16], index: usize| values[index].to_f64();
        let sum = |length, term: &dyn Fn(usize) -> f64| (0..length).map(term).sum::<f64>();
        let layer = |product, i: usize, j: usize| match product {
            Product::Output => sum(k, &|l| at(x, i * k + l) * at(w, j * k + l)),
            Product::InputGradient => sum(n, &|l| at(dy, i * n + l) * at(w, l * k + j)),
            Product::WeightGradient => sum(m, &|l| at(dy, l * n + i) * at(x, l * k + j)),
        };
        for recipe in Recipe::ALL {
            let quantization = quantization(recipe);
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
        let quantization = quantization(Recipe::ALL[4]);
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
        let [plain, _, _, _, mse] = Recipe::ALL.map(quantization);
        for product in Product::ALL {
            let expected = mse.product(product, &SHAPE, true).unwrap();
            assert!(expected.mismatch(&in_bf16(&plain, product)).is_some(), "{product:?}");
        }
    }

    #[test]
    fn squares_are_cut_from_the_product() {
        let shape = Shape { m: 96, n: 48, k: 80, groups: 2 };
        let inputs = Inputs::random(&shape, 7);
        for (recipe, group) in Recipe::ALL.into_iter().zip([0, 1].into_iter().cycle()) {
            let inputs = inputs.group(&shape, group);
            let amax = Operand::ALL.map(|operand| fouroversix::amax(inputs.operand(operand)));
            let quantization = Quantization::new(&inputs, recipe).unwrap();
            for product in Product::ALL {
                let [_, columns, _] = product.dimensions(&shape);
                let [row, column] = corner(product, &shape, group);
                let whole = quantization.product(product, &shape, true).unwrap().values;
                let part = square(&inputs, amax, recipe, product, [row, column], true).unwrap();
                for (index, value) in part.values.iter().enumerate() {
                    let at = (row + index / SIDE) * columns + column + index % SIDE;
                    assert_eq!(value.value, whole[at].value, "{recipe:?} {product:?} {index}");
                }
                let rounded: Vec<bf16> = whole[row * columns..][..SIDE * columns]
                    .iter()
                    .map(|it| bf16::from_f64(it.value))
                    .collect();
                assert_eq!(part.mismatch(&cut(&rounded, columns, column)), None);
            }
        }
    }

    #[test]
    fn squares_reach_both_ends() {
        let shape = Shape { m: 96, n: 48, k: 80, groups: 2 };
        assert_eq!(corner(Product::Output, &shape, 0), [16, 32]);
        assert_eq!(corner(Product::Output, &shape, 1), [32, 16]);
        let whole = Shape { m: 16, n: 16, k: 16, groups: 1 };
        assert_eq!(corner(Product::WeightGradient, &whole, 0), [0, 0]);
    }
}
