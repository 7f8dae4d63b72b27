//! The layer's shapes, products and recipes.

use fouroversix::{Config, Outputs, Rule, ScaleLayout, Scaling, ShapeError};

/// The size of a grouped linear layer and its micro-batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of activations, over all groups.
    pub m: usize,
    /// Output features.
    pub n: usize,
    /// Input features.
    pub k: usize,
    /// Groups, each with the same number of rows and its own weights.
    pub groups: usize,
}

impl Shape {
    /// Rows of a group's activations.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.m / self.groups
    }

    /// Floating point operations of the three products.
    #[must_use]
    pub fn operations(&self) -> f64 {
        3.0 * 2.0 * self.m as f64 * self.n as f64 * self.k as f64
    }

    /// `[rows, cols]` of one group's operand.
    pub(super) const fn operand(&self, operand: Operand) -> [usize; 2] {
        match operand {
            Operand::Activations => [self.rows(), self.k],
            Operand::Weights => [self.n, self.k],
            Operand::Gradients => [self.rows(), self.n],
        }
    }

    /// A dimension that the layer cannot have, as an error.
    pub(super) fn check(&self) -> Result<(), ShapeError> {
        let rows = 16 * self.groups.max(1);
        let dimensions = [("rows", self.m, rows), ("columns", self.n, 16), ("columns", self.k, 16)];
        for (dimension, length, multiple) in dimensions {
            if self.groups == 0 || length == 0 || !length.is_multiple_of(multiple) {
                return Err(ShapeError::Dimension { dimension, length, multiple });
            }
        }
        Ok(())
    }
}

/// What is quantized, once along its rows and once along its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// `X`.
    Activations,
    /// `W`.
    Weights,
    /// `dY`.
    Gradients,
}

impl Operand {
    pub(super) const ALL: [Self; 3] = [Self::Activations, Self::Weights, Self::Gradients];
}

/// A quantized form of an operand: the operand itself, or its transpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) operand: Operand,
    pub(super) transposed: bool,
}

/// A matrix product `D = A·Bᵀ`: `A` is `[rows, depth]`, `B` is `[columns, depth]`, both with the
/// summed dimension contiguous, which is how block scales lie along it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    /// `Y = X·Wᵀ`, `[m/G, n]`.
    Output,
    /// `dX = dY·W = dY·(Wᵀ)ᵀ`, `[m/G, k]`.
    InputGradient,
    /// `dW = dYᵀ·X = dYᵀ·(Xᵀ)ᵀ`, `[n, k]`.
    WeightGradient,
}

impl Product {
    pub(super) const ALL: [Self; 3] = [Self::Output, Self::InputGradient, Self::WeightGradient];

    /// `A` and `B`.
    pub(super) const fn forms(self) -> [Form; 2] {
        match self {
            Self::Output => [
                Form { operand: Operand::Activations, transposed: false },
                Form { operand: Operand::Weights, transposed: false },
            ],
            Self::InputGradient => [
                Form { operand: Operand::Gradients, transposed: false },
                Form { operand: Operand::Weights, transposed: true },
            ],
            Self::WeightGradient => [
                Form { operand: Operand::Gradients, transposed: true },
                Form { operand: Operand::Activations, transposed: true },
            ],
        }
    }

    /// `[rows, columns, depth]` of one group's product.
    pub(super) const fn dimensions(self, shape: &Shape) -> [usize; 3] {
        match self {
            Self::Output => [shape.rows(), shape.n, shape.k],
            Self::InputGradient => [shape.rows(), shape.k, shape.n],
            Self::WeightGradient => [shape.n, shape.k, shape.rows()],
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Output => "Y",
            Self::InputGradient => "dX",
            Self::WeightGradient => "dW",
        }
    }
}

/// How activations and weights are quantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The rule.
    pub rule: Rule,
}

impl Recipe {
    /// The baseline, plain NVFP4, and after it Four Over Six by each metric and error path, A = 256.
    pub const ALL: [Self; 5] = [
        Self { rule: Rule::Plain },
        Self { rule: Rule::MAE_FAST },
        Self { rule: Rule::MAE },
        Self { rule: Rule::MSE_FAST },
        Self { rule: Rule::MSE },
    ];

    /// `plain`, `mae fast`, …
    #[must_use]
    pub fn name(&self) -> String {
        // The bound is 256 in all of them.
        self.rule.to_string().trim_end_matches("-256").replace('-', " ")
    }

    /// How an operand is quantized: both forms.
    pub(super) fn config(&self, operand: Operand, layout: ScaleLayout) -> Config {
        let (rule, scaling) = match operand {
            Operand::Activations => (self.rule, Scaling::Tensor),
            Operand::Weights => (self.rule, Scaling::Tile),
            Operand::Gradients => (Rule::Plain, Scaling::Tensor),
        };
        Config::new(rule, scaling, Outputs::Both, layout)
            .expect("one amax for the tensor: defined for every rule")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_agree_with_their_forms() {
        let shape = Shape { m: 96, n: 32, k: 64, groups: 2 };
        for product in Product::ALL {
            let [rows, columns, depth] = product.dimensions(&shape);
            for (form, outer) in product.forms().into_iter().zip([rows, columns]) {
                let [a, b] = shape.operand(form.operand);
                let actual = if form.transposed { [b, a] } else { [a, b] };
                assert_eq!(actual, [outer, depth], "{product:?} {form:?}");
            }
            assert_eq!(rows * columns * depth, 48 * 32 * 64);
        }
        assert_eq!(shape.operations(), 6.0 * 96.0 * 32.0 * 64.0);
    }

    #[test]
    fn every_form_is_used_once() {
        let mut forms: Vec<Form> = Product::ALL.iter().flat_map(|it| it.forms()).collect();
        for operand in Operand::ALL {
            for transposed in [false, true] {
                let index = forms.iter().position(|it| *it == Form { operand, transposed });
                forms.swap_remove(index.expect("used"));
            }
        }
        assert!(forms.is_empty());
    }

    #[test]
    fn shapes_are_checked() {
        let shape = Shape { m: 96, n: 32, k: 64, groups: 2 };
        assert!(shape.check().is_ok());
        assert!(Shape { m: 80, ..shape }.check().is_err());
        assert!(Shape { n: 40, ..shape }.check().is_err());
        assert!(Shape { groups: 0, ..shape }.check().is_err());
    }
}
