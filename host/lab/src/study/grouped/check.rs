//! Compares the layer's products on the device with FP64.

use std::sync::Arc;

use cudarc::driver::CudaStream;
use fouroversix::Error;
use half::bf16;

use super::inputs::Inputs;
use super::layer::{Memory, Step};
use super::matmul::Operands;
use super::problem::{Operand, Product, Recipe, Shape};
use super::reference::{Expected, Quantization, SIDE, corner, cut, square};

/// How much of each product is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// A square, see [`corner`].
    Square,
}

/// A layer with its inputs on both sides.
pub(super) struct Layer<'a> {
    shape: Shape,
    inputs: &'a Inputs,
    memory: &'a Memory,
    rounded: bool,
    /// Of each group, by [`Operand`].
    amax: Vec<[f32; 3]>,
}

impl<'a> Layer<'a> {
    pub(super) fn new(
        shape: Shape,
        inputs: &'a Inputs,
        memory: &'a Memory,
        operands: Operands,
    ) -> Self {
        let amax = (0..shape.groups).map(|group| {
            let inputs = inputs.group(&shape, group);
            Operand::ALL.map(|operand| fouroversix::amax(inputs.operand(operand)))
        });
        let rounded = operands == Operands::Bf16;
        Self { shape, inputs, memory, rounded, amax: amax.collect() }
    }

    /// Runs a step and compares every product of every group: how many were within tolerance, or
    /// the first that was not, in words.
    pub(super) fn check(
        &self,
        stream: &Arc<CudaStream>,
        step: &Step<'_>,
        recipe: Recipe,
        extent: Extent,
    ) -> Result<Result<usize, String>, Error> {
        step.launch(stream.cu_stream())?;
        let mut within = 0;
        for group in 0..self.shape.groups {
            let compared = match extent {
                Extent::Whole => self.whole(stream, recipe, group)?,
                Extent::Square => self.squares(stream, recipe, group)?,
            };
            for (product, (expected, actual)) in Product::ALL.into_iter().zip(compared) {
                if let Some(mismatch) = expected.mismatch(&actual) {
                    let (product, recipe, shape) = (product.name(), recipe.name(), self.shape);
                    return Ok(Err(format!(
                        "{product} of group {group} for {recipe} on {shape:?}: {extent:?}, \
                         {mismatch:?}"
                    )));
                }
                within += 1;
            }
        }
        Ok(Ok(within))
    }

    fn whole(
        &self,
        stream: &Arc<CudaStream>,
        recipe: Recipe,
        group: usize,
    ) -> Result<Vec<(Expected, Vec<bf16>)>, Error> {
        let quantization = Quantization::new(&self.inputs.group(&self.shape, group), recipe)?;
        let each = |product: Product| {
            let [rows, ..] = product.dimensions(&self.shape);
            let expected = quantization.product(product, &self.shape, self.rounded)?;
            Ok((expected, self.memory.output(stream, product, group, 0..rows)?))
        };
        Product::ALL.into_iter().map(each).collect()
    }

    fn squares(
        &self,
        stream: &Arc<CudaStream>,
        recipe: Recipe,
        group: usize,
    ) -> Result<Vec<(Expected, Vec<bf16>)>, Error> {
        let (inputs, amax) = (self.inputs.group(&self.shape, group), self.amax[group]);
        let each = |product: Product| {
            let corner = corner(product, &self.shape, group);
            let expected = square(&inputs, amax, recipe, product, corner, self.rounded)?;
            let [_, columns, _] = product.dimensions(&self.shape);
            let [row, column] = corner;
            let rows = self.memory.output(stream, product, group, row..row + SIDE)?;
            Ok((expected, cut(&rows, columns, column)))
        };
        Product::ALL.into_iter().map(each).collect()
    }
}
