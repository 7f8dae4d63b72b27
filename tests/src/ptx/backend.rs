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
    QuantizeTensor, ROW_SCALED, SWIZZLED,
};
use fouroversix_kernels::config::{Config, E4m3Max, ScaleLayout, Scaling};
use fouroversix_kernels::launch::{self, Launch};
use fouroversix_kernels::ptx::{self, InstructionSet};

use super::{ApproxError, Machine, Module, Stats};
use crate::backend::{Backend, BackendError, SkipReason};
use crate::case::{Case, Outcome, Output};
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

/// A parameter struct of [`fouroversix_kernels::abi`]: plain `repr(C)` data without padding.
trait Plain: Copy {}
impl Plain for AmaxParams {}
impl Plain for QuantizeParams {}
impl Plain for QuantizeTensor {}
impl Plain for DequantizeParams {}

fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: `Plain` types are `repr(C)` without padding (their reserved fields are explicit), so
    // that all of their bytes are initialized; the slice lives as long as the value.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// The multiprocessors that the amax grid is made for: few, so that blocks have several turns.
const MULTIPROCESSORS: u32 = 1;

/// One side of a quantization: what its output is called in the kernel's parameters.
struct Side {
    shape: [usize; 2],
    codes: u64,
    scales: u64,
    /// [`GlobalScale`]s.
    global: u64,
    globals: usize,
}

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
            let params =
                AmaxParams { input, global, rows: count as u64, flags, ..AmaxParams::default() };
            self.run(machine, &launch::global_scales(count), &params)?;
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
        let params = AmaxParams { input, global, workspace, skip: 0, rows, cols, flags, reserved: 0 };
        self.run(machine, &launch, &params)?;
        if machine.memory.read(workspace, 8)? != [0; 8] {
            return Err(format!("{} leaves its workspace dirty", launch.kernel).into());
        }
        Ok((global, count))
    }

    fn quantize_two_pass(&self, case: &Case) -> Result<Outcome, BackendError> {
        let mut machine = self.machine();
        let input = machine.memory.alloc_from(&case.input.bytes());
        let config = &case.config;
        let [rows, cols] = case.input.shape;
        let mut sides = [None, None];
        for (columnwise, side) in sides.iter_mut().enumerate() {
            let columnwise = columnwise == 1;
            let wanted =
                if columnwise { config.outputs().columnwise() } else { config.outputs().rowwise() };
            if !wanted {
                continue;
            }
            let (global, globals) = self.global_scales(&mut machine, case, input, columnwise)?;
            let shape = if columnwise { [cols, rows] } else { [rows, cols] };
            *side = Some(outputs(&mut machine, config, shape, global, globals)?);
        }
        let launch = launch::quantize(config, case.input.element, case.input.shape)?;
        self.quantize_into(&mut machine, case, input, &launch, &sides)?;
        let [rowwise, columnwise] = sides;
        let rowwise = rowwise.map(|side| read_output(&mut machine, config, &side)).transpose()?;
        let columnwise =
            columnwise.map(|side| read_output(&mut machine, config, &side)).transpose()?;
        Ok(Outcome { rowwise, columnwise })
    }

    fn quantize_into(
        &self,
        machine: &mut Machine,
        case: &Case,
        input: u64,
        launch: &Launch,
        sides: &[Option<Side>; 2],
    ) -> Result<(), BackendError> {
        let mut tensor = launch::tensor(case.input.shape);
        tensor.input = input;
        if let Some(side) = &sides[0] {
            (tensor.codes, tensor.scales, tensor.global) = (side.codes, side.scales, side.global);
        }
        if let Some(side) = &sides[1] {
            (tensor.codes_t, tensor.scales_t) = (side.codes, side.scales);
            tensor.global_t = side.global;
        }
        let flags = launch::flags(&case.config);
        let params = QuantizeParams { tensor, flags, ..QuantizeParams::default() };
        self.run(machine, launch, &params)
    }

    /// Row scaling in one pass.
    fn quantize_rows(&self, case: &Case) -> Result<Outcome, BackendError> {
        let mut machine = self.machine();
        let input = machine.memory.alloc_from(&case.input.bytes());
        let [rows, _] = case.input.shape;
        let global = machine.memory.alloc(rows * size_of::<GlobalScale>());
        let side = outputs(&mut machine, &case.config, case.input.shape, global, rows)?;
        let launch = launch::quantize_rows(&case.config, case.input.element, case.input.shape)?;
        let sides = [Some(side), None];
        self.quantize_into(&mut machine, case, input, &launch, &sides)?;
        let [Some(side), _] = sides else { unreachable!("the rowwise side was just put there") };
        let rowwise = Some(read_output(&mut machine, &case.config, &side)?);
        Ok(Outcome { rowwise, columnwise: None })
    }
}

fn float_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Allocates the outputs of one side. The caller of a kernel zeroes the padding of swizzled scales.
fn outputs(
    machine: &mut Machine,
    config: &Config,
    shape: [usize; 2],
    global: u64,
    globals: usize,
) -> Result<Side, BackendError> {
    let [rows, cols] = shape;
    let layout = config.scale_layout();
    let codes = machine.memory.alloc(rows * cols / 2);
    let scales = machine.memory.alloc(layout.bytes(rows, cols));
    if layout == ScaleLayout::Swizzled128x4 {
        let mut padding = vec![true; layout.bytes(rows, cols)];
        for row in 0..rows {
            for block in 0..cols / 16 {
                padding[layout.offset(cols, row, block)] = false;
            }
        }
        for (i, _) in padding.iter().enumerate().filter(|(_, padding)| **padding) {
            machine.memory.write(scales + i as u64, &[0])?;
        }
    }
    Ok(Side { shape, codes, scales, global, globals })
}

fn read_output(
    machine: &mut Machine,
    config: &Config,
    side: &Side,
) -> Result<Output, BackendError> {
    let [rows, cols] = side.shape;
    let globals = machine.memory.read(side.global, side.globals * size_of::<GlobalScale>())?;
    Ok(Output {
        codes: machine.memory.read(side.codes, rows * cols / 2)?,
        scales: machine.memory.read(side.scales, config.scale_layout().bytes(rows, cols))?,
        global_amax: floats(&globals).into_iter().step_by(4).collect(),
    })
}

/// The elements of a device buffer as raw bits.
fn elements(bytes: &[u8], width: usize) -> Vec<u32> {
    bytes
        .chunks_exact(width)
        .map(|b| b.iter().rev().fold(0, |bits, &byte| bits << 8 | u32::from(byte)))
        .collect()
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
        let config = &case.config;
        let one_pass = config.scaling() == Scaling::Row
            && !config.outputs().columnwise()
            && case.supplied_amax.is_none();
        if one_pass && self.quantize_rows(case)? != outcome {
            return Err("quantizing rows in one pass and in two gives different bits".into());
        }
        Ok(outcome)
    }

    fn supports_dequantize(&self, _case: &DequantizeCase) -> Result<(), SkipReason> {
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
        let params = DequantizeParams {
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
        self.run(&mut machine, &launch, &params)?;
        Ok(elements(&machine.memory.read(output, rows * cols * width)?, width))
    }
}
