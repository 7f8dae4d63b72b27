//! The layer's inputs, in host memory.

use half::bf16;
use rayon::prelude::*;

use super::problem::{Operand, Shape};
use crate::study::sample::{Distribution, fill};

/// Random tensors of all groups, by [`Operand`], a group's one after the other's.
#[derive(Clone, Debug)]
pub(super) struct Inputs([Vec<bf16>; 3]);

impl Inputs {
    /// For a layer of this shape, or one with fewer rows or groups, which takes their beginning.
    ///
    /// Magnitudes are as in training: outputs near 1, small gradients.
    pub(super) fn random(shape: &Shape, seed: u64) -> Self {
        Self(Operand::ALL.map(|operand| {
            let [_, cols] = shape.operand(operand);
            let (rows, scale) = match operand {
                Operand::Activations => (shape.m, 1.0),
                Operand::Weights => (shape.n * shape.groups, 1.0 / 64.0),
                Operand::Gradients => (shape.m, 1.0 / 1024.0),
            };
            let mut values = vec![bf16::ZERO; rows * cols];
            fill(Distribution::Normal, seed + operand as u64, 0, &mut values);
            // A power of two: exact.
            values.par_iter_mut().for_each(|x| *x = bf16::from_f32(x.to_f32() * scale));
            values
        }))
    }

    /// One group's tensors in a layer of this shape.
    pub(super) fn group(&self, shape: &Shape, index: usize) -> GroupInputs<'_> {
        let part = |operand: Operand| {
            let length = shape.operand(operand).iter().product::<usize>();
            &self.0[operand as usize][index * length..][..length]
        };
        GroupInputs { shape: *shape, tensors: Operand::ALL.map(part) }
    }
}

/// One group's tensors.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupInputs<'a> {
    pub(super) shape: Shape,
    tensors: [&'a [bf16]; 3],
}

impl<'a> GroupInputs<'a> {
    pub(super) fn operand(&self, operand: Operand) -> &'a [bf16] {
        self.tensors[operand as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_apart_and_in_order() {
        let shape = Shape { m: 96, n: 32, k: 64, groups: 3 };
        let inputs = Inputs::random(&shape, 1);
        for operand in Operand::ALL {
            let parts: Vec<bf16> = (0..3)
                .flat_map(|group| inputs.group(&shape, group).operand(operand))
                .copied()
                .collect();
            assert_eq!(parts, inputs.0[operand as usize]);
        }
        let smaller = Shape { m: 48, groups: 1, ..shape };
        let part = inputs.group(&smaller, 0);
        assert_eq!(part.operand(Operand::Gradients), &inputs.0[2][..48 * 32]);
        assert_eq!(
            part.operand(Operand::Weights),
            inputs.group(&shape, 0).operand(Operand::Weights)
        );
    }
}
