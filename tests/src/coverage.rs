//! Which kernels a case is a case of.

use std::collections::BTreeSet;

use fouroversix_core::Kernel;
use fouroversix_core::config::{Outputs, Scaling};
use fouroversix_core::launch::{self, LaunchError};

use crate::case::Case;
use crate::dequantize_case::DequantizeCase;

/// Every kernel that a device may launch to answer a case: for the global scales, for the tensor
/// alone, and where there are such kernels for the tensor in a group and for whole rows at once.
///
/// # Errors
/// If the launch contract refuses the case.
pub fn kernels(case: &Case) -> Result<BTreeSet<Kernel>, LaunchError> {
    let (config, input) = (&case.config, case.input.element);
    let shape = case.input.shape;
    let (outputs, row_scaled) = (config.outputs(), config.scaling() == Scaling::Row);
    let mut launches = vec![launch::quantize(config, input, shape)?];
    let transforms = config.transforms();
    if transforms.is_none() {
        launches.push(launch::quantize_grouped(config, input, &[shape, shape])?);
    }
    if case.supplied_amax.is_some() {
        launches.push(launch::global_scales(1));
    } else if !transforms.is_none() {
        let sides = [
            (outputs.rowwise(), transforms.rowwise, false),
            (outputs.columnwise(), transforms.columnwise, true),
        ];
        for (_, transform, columnwise) in sides.into_iter().filter(|(asked, ..)| *asked) {
            launches.push(match transform {
                Some(_) => launch::amax_transform(input, shape, columnwise, 1)?,
                None => launch::amax(input, (shape[0] * shape[1]) as u64, 1),
            });
        }
    } else if !row_scaled {
        let elements = (shape[0] * shape[1]) as u64;
        launches.push(launch::amax(input, elements, 1));
        launches.push(launch::amax_grouped(input, &[elements], 1)?);
    } else {
        if outputs.rowwise() {
            launches.push(launch::amax_rows(input, shape)?);
        }
        if outputs.columnwise() {
            launches.push(launch::amax_columns(input, shape)?);
        }
        if outputs == Outputs::Rowwise {
            launches.push(launch::quantize_rows(config, input, shape)?);
        }
    }
    let launches = launches.into_iter().filter(|launch| !launch.grid.contains(&0));
    Ok(launches.map(|launch| launch.kernel).collect())
}

/// The kernel that a device launches to answer a dequantization.
///
/// # Errors
/// If the launch contract refuses the case.
pub fn dequantize_kernel(case: &DequantizeCase) -> Result<Kernel, LaunchError> {
    Ok(launch::dequantize(case.element, case.shape)?.kernel)
}
