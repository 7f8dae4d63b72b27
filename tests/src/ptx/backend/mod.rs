//! The shipped kernels, executed, as a backend.
//!
//! A case is run as a host would run it: the same [`launch`] contract, the same parameter structs, in
//! device memory that holds nothing until something is written to it. Reading the outputs back fails
//! if a kernel left a byte of them unwritten.

use std::collections::{BTreeMap, HashMap};
use std::mem::size_of;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use fouroversix_kernels::abi::{
    AmaxParams, DequantizeParams, Divisor, E4M3_MAX_256, GlobalScale, QuantizeParams,
    QuantizeTensor, ROW_SCALED, SKIPPABLE, SWIZZLED,
};
use fouroversix_kernels::config::{E4m3Max, InputType, ScaleLayout, Scaling};
use fouroversix_kernels::launch::{self, Launch};
use fouroversix_kernels::ptx::{self, InstructionSet};

use super::host::{Plain, Side, bytes_of, elements, float_bytes, outputs, read_output};
use super::{ApproxError, Machine, Module, Source, Stats};
use crate::backend::{Backend, BackendError, SkipReason};
use crate::case::{Case, Outcome};
use crate::dequantize_case::DequantizeCase;

/// Where kernels come from.
#[derive(Clone, Debug)]
enum Kernels {
    Committed(InstructionSet),
    /// `DIR/KERNEL.ptx`, or all of them in any one file of the folder.
    Folder(PathBuf),
}

/// The PTX executor as a backend: the committed kernels of one instruction set, or those of a folder.
#[derive(Debug)]
pub struct PtxBackend {
    name: String,
    kernels: Kernels,
    approx: ApproxError,
    order: Option<u64>,
    limit: u64,
    modules: Mutex<HashMap<String, Arc<Module>>>,
    executed: Mutex<BTreeMap<String, Stats>>,
}

/// How a case is launched, drawn from its description: all ways must give the same.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// One tensor.
    Single,
    /// One tensor, after a launch that a set `skip` word must keep from doing anything.
    Skippable,
    /// The tensor three times in one launch.
    Grouped,
    /// The same, after a launch that is skipped.
    GroupedSkippable,
}

impl Way {
    fn of(case: &impl std::fmt::Display) -> Self {
        let hash = case.to_string().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let ways = [Self::Single, Self::Skippable, Self::Grouped, Self::GroupedSkippable];
        ways[(hash >> 32) as usize % ways.len()]
    }

    fn grouped(self) -> bool {
        matches!(self, Self::Grouped | Self::GroupedSkippable)
    }

    fn skippable(self) -> bool {
        matches!(self, Self::Skippable | Self::GroupedSkippable)
    }
}

/// The tensors of a grouped launch.
const GROUP: usize = 3;

/// The multiprocessors that the amax grid is made for: few, so that blocks have several turns.
const MULTIPROCESSORS: u32 = 1;

impl PtxBackend {
    /// The committed kernels of an instruction set; the name is `ptx:` and the set's.
    #[must_use]
    pub fn committed(isa: InstructionSet) -> Self {
        Self::new(format!("ptx:{isa}"), Kernels::Committed(isa))
    }

    /// The kernels in a folder of PTX files named after them.
    #[must_use]
    pub fn folder(folder: PathBuf) -> Self {
        Self::new(format!("ptx:{}", folder.display()), Kernels::Folder(folder))
    }

    fn new(name: String, kernels: Kernels) -> Self {
        Self {
            name,
            kernels,
            approx: ApproxError::Exact,
            order: None,
            limit: u64::MAX,
            modules: Mutex::default(),
            executed: Mutex::default(),
        }
    }

    /// With an error on the results of approximate instructions.
    #[must_use]
    pub fn with_approx_error(mut self, error: ApproxError) -> Self {
        self.approx = error;
        self
    }

    /// With blocks and warps in an order drawn from `seed`.
    #[must_use]
    pub fn with_order(mut self, seed: u64) -> Self {
        self.order = Some(seed);
        self
    }

    /// With a limit on the lane-instructions of a launch.
    #[must_use]
    pub fn with_limit(mut self, lane_instructions: u64) -> Self {
        self.limit = lane_instructions;
        self
    }

    /// Uses `module` for `kernel` instead of what was committed.
    pub fn replace(&self, kernel: &str, module: Module) {
        self.modules.lock().unwrap().insert(kernel.to_owned(), Arc::new(module));
    }

    /// What was executed so far, by kernel.
    #[must_use]
    pub fn executed(&self) -> BTreeMap<String, Stats> {
        self.executed.lock().unwrap().clone()
    }

    /// The instructions of a kernel that nothing executed so far, in the order of its text.
    ///
    /// # Errors
    /// Those of [`module`](Self::module).
    pub fn never_executed(&self, kernel: &str) -> Result<Vec<Source>, BackendError> {
        let module = self.module(kernel)?;
        let executed = self.executed.lock().unwrap();
        let counts = executed.get(kernel).map_or(&[][..], |stats| &stats.counts);
        let mut out: Vec<Source> = module
            .instructions(kernel)
            .iter()
            .enumerate()
            .filter(|(i, _)| counts.get(*i).is_none_or(|count| *count == 0))
            .map(|(_, source)| source.clone())
            .collect();
        out.sort_by_key(|source| source.pos);
        Ok(out)
    }

    /// The quantize kernels that a case launches.
    #[must_use]
    pub fn kernels_of(&self, case: &Case) -> Vec<String> {
        let (config, element, shape) = (&case.config, case.input.element, case.input.shape);
        let grouped = Way::of(case).grouped();
        let two_pass = if grouped {
            launch::quantize_grouped(config, element, &[shape; GROUP])
        } else {
            launch::quantize(config, element, shape)
        };
        let rows = launch::quantize_rows(config, element, shape);
        let rows = rows.ok().filter(|_| Self::in_one_pass(case));
        two_pass.ok().into_iter().chain(rows).map(|launch| launch.kernel).collect()
    }

    /// Whether a case is also run by the kernels that quantize rows in one pass.
    fn in_one_pass(case: &Case) -> bool {
        case.config.scaling() == Scaling::Row
            && !case.config.outputs().columnwise()
            && case.supplied_amax.is_none()
            // Rows of no columns have an amax, which only the two passes give.
            && case.input.shape[1] > 0
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

    /// The module that holds `kernel`.
    ///
    /// # Errors
    /// If there is none, or it can't be parsed.
    pub fn module(&self, kernel: &str) -> Result<Arc<Module>, BackendError> {
        if let Some(module) = self.modules.lock().unwrap().get(kernel) {
            return Ok(Arc::clone(module));
        }
        let text = match &self.kernels {
            Kernels::Committed(isa) => ptx::source(*isa, kernel)
                .ok_or_else(|| format!("no kernel {kernel:?} is committed for {isa}"))?
                .to_owned(),
            Kernels::Folder(folder) => {
                let path = folder.join(format!("{kernel}.ptx"));
                std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?
            }
        };
        let module = Module::parse(&text).map_err(|error| format!("{kernel}.ptx, {error}"))?;
        let module = Arc::new(module);
        self.modules.lock().unwrap().insert(kernel.to_owned(), Arc::clone(&module));
        Ok(module)
    }

    fn machine(&self) -> Machine {
        let mut machine = Machine::new();
        machine.set_approx_error(self.approx);
        machine.set_order(self.order);
        machine.set_limit(self.limit);
        machine
    }

    fn run<P: Plain>(
        &self,
        machine: &mut Machine,
        launch: &Launch,
        params: &P,
    ) -> Result<(), BackendError> {
        if launch.grid.contains(&0) {
            return Ok(());
        }
        let module = self.module(&launch.kernel)?;
        let block = [launch.threads, 1, 1];
        let stats = machine.launch(
            &module,
            &launch.kernel,
            launch.grid,
            block,
            launch.shared_bytes,
            bytes_of(params),
        )?;
        self.executed.lock().unwrap().entry(launch.kernel.clone()).or_default().merge(&stats);
        Ok(())
    }

    /// Puts the global scales of one side on the device: the supplied amaxes', or the input's own.
    fn global_scales(
        &self,
        machine: &mut Machine,
        case: &Case,
        input: u64,
        columnwise: bool,
    ) -> Result<(u64, usize), BackendError> {
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
            return Ok((global, count));
        }
        let element = case.input.element;
        let (rows, cols) = (rows as u64, cols as u64);
        let (launch, rows, cols) = match (per_row, columnwise) {
            (false, _) => (launch::amax(element, rows * cols, MULTIPROCESSORS), 1, rows * cols),
            (true, false) => (launch::amax_rows(element, case.input.shape)?, rows, cols),
            (true, true) => (launch::amax_columns(element, case.input.shape)?, rows, cols),
        };
        let workspace = machine.memory.alloc_from(&[0; 8]);
        let mut params =
            AmaxParams { input, global, workspace, skip: 0, rows, cols, flags, reserved: 0 };
        if Way::of(case).grouped() && !per_row {
            self.amax_grouped(machine, case, params)?;
        } else {
            self.run_amax(machine, case, &launch, &mut params, count)?;
        }
        if machine.memory.read(workspace, 8)? != [0; 8] {
            return Err(format!("{} leaves its workspace dirty", launch.kernel).into());
        }
        Ok((global, count))
    }

    /// The amax of a group's first tensor, which the others are copies of.
    fn amax_grouped(
        &self,
        machine: &mut Machine,
        case: &Case,
        first: AmaxParams,
    ) -> Result<(), BackendError> {
        let mut entries = vec![first];
        for _ in 1..GROUP {
            let global = machine.memory.alloc(size_of::<GlobalScale>());
            let workspace = machine.memory.alloc_from(&[0; 8]);
            entries.push(AmaxParams { global, workspace, ..first });
        }
        let table: Vec<u8> = entries.iter().flat_map(bytes_of).copied().collect();
        let elements = [first.rows * first.cols; GROUP];
        let launch = launch::amax_grouped(case.input.element, &elements, MULTIPROCESSORS)?;
        // The skipped launch must leave the first tensor's scale alone.
        let input = machine.memory.alloc_from(&table);
        let mut params = AmaxParams { input, ..first };
        self.run_amax(machine, case, &launch, &mut params, 1)?;
        let mut scales = Vec::new();
        for entry in &entries {
            scales.push(machine.memory.read(entry.global, size_of::<GlobalScale>())?);
        }
        if scales.iter().any(|other| *other != scales[0]) {
            return Err("the tensors of a grouped amax came out different".into());
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
        if Way::of(case).skippable() {
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

    fn quantize_two_pass(&self, case: &Case) -> Result<Outcome, BackendError> {
        let mut machine = self.machine();
        let input = machine.memory.alloc_from(&case.input.bytes());
        let wanted = case.config.outputs();
        let mut globals = [None, None];
        for (side, wanted) in [wanted.rowwise(), wanted.columnwise()].into_iter().enumerate() {
            if wanted {
                globals[side] = Some(self.global_scales(&mut machine, case, input, side == 1)?);
            }
        }
        let shapes = [case.input.shape; GROUP];
        let way = Way::of(case);
        let (launch, count) = if way.grouped() {
            (launch::quantize_grouped(&case.config, case.input.element, &shapes)?, GROUP)
        } else {
            (launch::quantize(&case.config, case.input.element, case.input.shape)?, 1)
        };
        let mut layers = Vec::new();
        for _ in 0..count {
            layers.push(sides(&mut machine, case, globals)?);
        }
        self.quantize_into(&mut machine, case, input, &launch, &layers, way)?;
        let mut outcomes = Vec::new();
        for layer in &layers {
            outcomes.push(outcome(&mut machine, case, layer)?);
        }
        let first = outcomes.swap_remove(0);
        if outcomes.iter().any(|other| *other != first) {
            return Err("the tensors of a grouped launch came out different".into());
        }
        Ok(first)
    }

    fn quantize_into(
        &self,
        machine: &mut Machine,
        case: &Case,
        input: u64,
        launch: &Launch,
        layers: &[[Option<Side>; 2]],
        way: Way,
    ) -> Result<(), BackendError> {
        let mut tensors = Vec::new();
        for [rowwise, columnwise] in layers {
            let mut tensor = launch::tensor(case.input.shape);
            tensor.input = input;
            if let Some(side) = rowwise {
                (tensor.codes, tensor.scales) = (side.codes, side.scales);
                tensor.global = side.global;
            }
            if let Some(side) = columnwise {
                (tensor.codes_t, tensor.scales_t) = (side.codes, side.scales);
                tensor.global_t = side.global;
            }
            tensors.push(tensor);
        }
        let mut params = QuantizeParams {
            tensor: tensors[0],
            flags: launch::flags(&case.config),
            ..QuantizeParams::default()
        };
        if way.grouped() {
            let bytes: Vec<u8> = tensors.iter().flat_map(bytes_of).copied().collect();
            params.group = machine.memory.alloc_from(&bytes);
            params.tensor = QuantizeTensor::default();
        }
        if way.skippable() {
            params.skip = machine.memory.alloc_from(&1u32.to_le_bytes());
            params.flags |= SKIPPABLE;
            self.run(machine, launch, &params)?;
            for side in layers.iter().flatten().flatten() {
                if side.touched(machine)? {
                    return Err(format!("{} writes though it is skipped", launch.kernel).into());
                }
            }
            machine.memory.write(params.skip, &[0; 4])?;
        }
        self.run(machine, launch, &params)
    }

    /// Row scaling in one pass.
    fn quantize_rows(&self, case: &Case) -> Result<Outcome, BackendError> {
        let mut machine = self.machine();
        let input = machine.memory.alloc_from(&case.input.bytes());
        let [rows, _] = case.input.shape;
        let global = machine.memory.alloc(rows * size_of::<GlobalScale>());
        let layer = sides(&mut machine, case, [Some((global, rows)), None])?;
        let launch = launch::quantize_rows(&case.config, case.input.element, case.input.shape)?;
        let way = if Way::of(case).skippable() { Way::Skippable } else { Way::Single };
        let layers = [layer];
        self.quantize_into(&mut machine, case, input, &launch, &layers, way)?;
        outcome(&mut machine, case, &layers[0])
    }
}

/// Output buffers for the sides that have global scales.
fn sides(
    machine: &mut Machine,
    case: &Case,
    globals: [Option<(u64, usize)>; 2],
) -> Result<[Option<Side>; 2], BackendError> {
    let [rows, cols] = case.input.shape;
    let mut out = [None, None];
    for (side, shape) in [[rows, cols], [cols, rows]].into_iter().enumerate() {
        if let Some((global, count)) = globals[side] {
            out[side] = Some(outputs(machine, &case.config, shape, global, count)?);
        }
    }
    Ok(out)
}

fn outcome(
    machine: &mut Machine,
    case: &Case,
    [rowwise, columnwise]: &[Option<Side>; 2],
) -> Result<Outcome, BackendError> {
    let mut read = |side: &Option<Side>| {
        side.as_ref().map(|side| read_output(machine, &case.config, side)).transpose()
    };
    Ok(Outcome { rowwise: read(rowwise)?, columnwise: read(columnwise)? })
}

impl Backend for PtxBackend {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn supports(&self, _case: &Case) -> Result<(), SkipReason> {
        Ok(())
    }

    fn quantize(&self, case: &Case) -> Result<Outcome, BackendError> {
        let outcome = self.quantize_two_pass(case)?;
        if Self::in_one_pass(case) && self.quantize_rows(case)? != outcome {
            return Err("quantizing rows in one pass and in two gives different bits".into());
        }
        Ok(outcome)
    }

    fn supports_dequantize(&self, case: &DequantizeCase) -> Result<(), SkipReason> {
        // No quantizer writes a negative or NaN scale, and the integer decoding of sm_80 drops both.
        let odd = case.tensor.scales.iter().any(|byte| *byte > 0x7e);
        if odd && self.name == "ptx:sm_80" {
            return Err(SkipReason::new("decodes scales from 0 to 448 only"));
        }
        Ok(())
    }

    fn dequantize(&self, case: &DequantizeCase) -> Result<Vec<u32>, BackendError> {
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
        if Way::of(case).skippable() {
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
}
