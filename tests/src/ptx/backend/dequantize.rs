//! Dequantizations, and the copies that measurements compare with.

use fouroversix_core::abi::{
    DequantizeParams, Divisor, E4M3_MAX_256, QuantizeParams, ROW_SCALED, SWIZZLED,
};
use fouroversix_core::config::{E4m3Max, InputType, ScaleLayout, Scaling};
use fouroversix_core::launch;

use super::super::host::{elements, float_bytes};
use super::{PtxBackend, is_skippable};
use crate::backend::BackendError;
use crate::dequantize_case::DequantizeCase;

impl PtxBackend {
    pub(super) fn dequantize_case(&self, case: &DequantizeCase) -> Result<Vec<u32>, BackendError> {
        let mut machine = self.machine();
        let [rows, cols] = case.shape;
        let amax = &case.tensor.global_amax;
        // Amaxes may stand alone or in `GlobalScale`s, of which only the first word is read.
        let distance = if (rows / 16) % 2 == 0 { 1 } else { 4 };
        let mut spaced = Vec::new();
        for x in amax {
            spaced.extend([*x, f32::NAN, f32::NAN, f32::NAN].into_iter().take(distance));
        }
        let width = case.element.bytes();
        let output = machine.memory.alloc(rows * cols * width);
        let mut flags = (distance as u32) << 16;
        for (set, flag) in [
            (case.e4m3_max == E4m3Max::M256, E4M3_MAX_256),
            (case.scaling == Scaling::Row, ROW_SCALED),
            (case.scale_layout == ScaleLayout::Swizzled128x4, SWIZZLED),
        ] {
            flags |= if set { flag } else { 0 };
        }
        let mut params = DequantizeParams {
            codes: machine.memory.alloc_from(&case.tensor.codes),
            scales: machine.memory.alloc_from(&case.tensor.scales),
            amax: machine.memory.alloc_from(&float_bytes(&spaced)),
            output,
            skip: 0,
            rows: rows as u32,
            cols: cols as u32,
            by_blocks: Divisor::new((cols / 16) as u32),
            flags,
            reserved: 0,
        };
        let launch = launch::dequantize(case.element, case.shape)?;
        if is_skippable(case) {
            params.skip = machine.memory.alloc_from(&1u32.to_le_bytes());
            self.run(&mut machine, &launch, &params)?;
            if machine.memory.written(output, rows * cols * width)?.contains(&true) {
                return Err(format!("{} writes though it is skipped", launch.kernel).into());
            }
            machine.memory.write(params.skip, &[0; 4])?;
        }
        self.run(&mut machine, &launch, &params)?;
        Ok(elements(&machine.memory.read(output, rows * cols * width)?, width))
    }

    /// Runs the byte-equal copies that measurements compare with, on `elements` of one type.
    ///
    /// # Errors
    /// If a kernel faults or leaves a byte of its outputs unwritten.
    pub fn run_copies(&self, element: InputType, shape: [usize; 2]) -> Result<(), BackendError> {
        let [rows, cols] = shape;
        let mut machine = self.machine();
        let elements = rows * cols;
        let memory = &mut machine.memory;
        let input = memory.alloc_from(&vec![1; elements * element.bytes()]);
        let mut tensor = launch::tensor(shape);
        tensor.input = input;
        for both in [false, true] {
            let memory = &mut machine.memory;
            tensor.codes = memory.alloc(elements / 2);
            tensor.scales = memory.alloc(elements / 16);
            if both {
                tensor.codes_t = memory.alloc(elements / 2);
                tensor.scales_t = memory.alloc(elements / 16);
            }
            let params = QuantizeParams { tensor, ..QuantizeParams::default() };
            self.run(&mut machine, &launch::copy_quantize(element, shape)?, &params)?;
            machine.memory.read(tensor.codes, elements / 2)?;
            machine.memory.read(tensor.scales, elements / 16)?;
        }
        machine.memory.read(tensor.codes_t, elements / 2)?;
        machine.memory.read(tensor.scales_t, elements / 16)?;
        let output = machine.memory.alloc(elements * element.bytes());
        let params = DequantizeParams {
            codes: tensor.codes,
            scales: tensor.scales,
            output,
            rows: rows as u32,
            cols: cols as u32,
            ..DequantizeParams::default()
        };
        self.run(&mut machine, &launch::copy_dequantize(element, shape)?, &params)?;
        machine.memory.read(output, elements * element.bytes())?;
        Ok(())
    }
}
