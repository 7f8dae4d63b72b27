//! Global scales: of supplied amaxes, or of the input's own.

use std::mem::size_of;

use fouroversix_core::abi::{AmaxParams, GlobalScale, Signs, TransformAmaxParams};
use fouroversix_core::config::Scaling;
use fouroversix_core::launch::{self, Launch};

use super::super::host::{bytes_of, float_bytes, floats};
use super::{PtxBackend, is_grouped, is_skippable};
use crate::backend::BackendError;
use crate::case::Case;
use fouroversix_ptx_executor::Machine;

/// The multiprocessors that the amax grid is made for: few, so that blocks have several turns.
const MULTIPROCESSORS: u32 = 1;

impl PtxBackend {
    /// Puts the global scales of one side on the device: the supplied amaxes', or the input's own.
    pub(super) fn global_scales(
        &self,
        machine: &mut Machine,
        case: &Case,
        input: u64,
        columnwise: bool,
    ) -> Result<u64, BackendError> {
        let [rows, cols] = case.input.shape;
        let config = &case.config;
        let per_row = config.scaling() == Scaling::Row;
        let count = match (per_row, columnwise) {
            (false, _) => 1,
            (true, false) => rows,
            (true, true) => cols,
        };
        let global = machine.memory.alloc(count * size_of::<GlobalScale>());
        let flags = launch::rule_flags(config.rule());
        if let Some(supplied) = &case.supplied_amax {
            let amax = if columnwise { &supplied.columnwise } else { &supplied.rowwise };
            let input = machine.memory.alloc_from(&float_bytes(amax));
            let mut params =
                AmaxParams { input, global, rows: count as u64, flags, ..AmaxParams::default() };
            self.run_amax(machine, case, &launch::global_scales(count), &mut params, count)?;
            return Ok(global);
        }
        let element = case.input.element;
        let transforms = config.transforms();
        let transform = if columnwise { transforms.columnwise } else { transforms.rowwise };
        if let Some(mask) = transform {
            let signs = Signs::new(mask, element);
            return self.transformed_amax(machine, case, [input, global], columnwise, signs);
        }
        let (rows, cols) = (rows as u64, cols as u64);
        let (launch, rows, cols) = match (per_row, columnwise) {
            (false, _) => (launch::amax(element, rows * cols, MULTIPROCESSORS), 1, rows * cols),
            (true, false) => (launch::amax_rows(element, case.input.shape)?, rows, cols),
            (true, true) => (launch::amax_columns(element, case.input.shape)?, rows, cols),
        };
        let workspace = machine.memory.alloc_from(&[0; 8]);
        let mut params =
            AmaxParams { input, global, workspace, skip: 0, rows, cols, flags, reserved: 0 };
        if is_grouped(case) && !per_row {
            self.amax_grouped(machine, case, params)?;
        } else {
            self.run_amax(machine, case, &launch, &mut params, count)?;
        }
        if machine.memory.read(workspace, 8)? != [0; 8] {
            return Err(format!("{} leaves its workspace dirty", launch.kernel).into());
        }
        Ok(global)
    }

    /// The amax of a tensor's transform.
    fn transformed_amax(
        &self,
        machine: &mut Machine,
        case: &Case,
        [input, global]: [u64; 2],
        columnwise: bool,
        signs: Signs,
    ) -> Result<u64, BackendError> {
        let (element, shape) = (case.input.element, case.input.shape);
        let launch = launch::amax_transform(element, shape, columnwise, MULTIPROCESSORS)?;
        let workspace = machine.memory.alloc_from(&[0; 8]);
        let [rows, cols] = shape.map(|length| length as u64);
        let flags = launch::rule_flags(case.config.rule());
        let amax = AmaxParams { input, global, workspace, skip: 0, rows, cols, flags, reserved: 0 };
        let mut params = TransformAmaxParams { amax, signs };
        if is_skippable(case) {
            params.amax.skip = machine.memory.alloc_from(&1u32.to_le_bytes());
            self.run(machine, &launch, &params)?;
            if machine.memory.written(global, size_of::<GlobalScale>())?.contains(&true) {
                return Err(format!("{} writes though it is skipped", launch.kernel).into());
            }
            machine.memory.write(params.amax.skip, &[0; 4])?;
        }
        self.run(machine, &launch, &params)?;
        if machine.memory.read(workspace, 8)? != [0; 8] {
            return Err(format!("{} leaves its workspace dirty", launch.kernel).into());
        }
        Ok(global)
    }

    /// The amax of a tensor in a group, after an empty one.
    fn amax_grouped(
        &self,
        machine: &mut Machine,
        case: &Case,
        own: AmaxParams,
    ) -> Result<(), BackendError> {
        let global = machine.memory.alloc(size_of::<GlobalScale>());
        let workspace = machine.memory.alloc_from(&[0; 8]);
        let empty = AmaxParams { input: 0, global, workspace, rows: 0, ..own };
        let table = [empty, own].map(|entry| bytes_of(&entry).to_vec()).concat();
        let elements = [0, own.rows * own.cols];
        let launch = launch::amax_grouped(case.input.element, &elements, MULTIPROCESSORS)?;
        let mut params = AmaxParams { input: machine.memory.alloc_from(&table), ..own };
        self.run_amax(machine, case, &launch, &mut params, 1)?;
        let scale = floats(&machine.memory.read(global, size_of::<GlobalScale>())?);
        if scale[..3] != [0.0, 1.0, 1.0] {
            return Err(format!("{} gives an empty tensor {scale:?}", launch.kernel).into());
        }
        Ok(())
    }

    /// Launches a kernel that writes `count` global scales, in the case's way.
    fn run_amax(
        &self,
        machine: &mut Machine,
        case: &Case,
        launch: &Launch,
        params: &mut AmaxParams,
        count: usize,
    ) -> Result<(), BackendError> {
        if is_skippable(case) {
            params.skip = machine.memory.alloc_from(&1u32.to_le_bytes());
            self.run(machine, launch, params)?;
            let written =
                machine.memory.written(params.global, count * size_of::<GlobalScale>())?;
            if written.contains(&true) {
                return Err(format!("{} writes though it is skipped", launch.kernel).into());
            }
            machine.memory.write(params.skip, &[0; 4])?;
        }
        self.run(machine, launch, params)
    }
}
