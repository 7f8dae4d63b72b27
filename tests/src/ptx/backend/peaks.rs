//! Amaxes of tensors with one peak, at every place that a thread looks at in one turn of its loop.

use std::mem::size_of;

use fouroversix_core::Kernel;
use fouroversix_core::abi::{AmaxParams, GlobalScale};
use fouroversix_core::config::InputType;
use fouroversix_core::launch::{self, Launch};
use fouroversix_reference::E4m3Max;
use fouroversix_reference::scale::GlobalScale as Expected;

use super::super::host::{bytes_of, floats};
use super::PtxBackend;
use crate::backend::BackendError;
use crate::case::Input;
use crate::generate::PATTERNS;
use fouroversix_ptx_executor::Machine;

/// Loads in flight, and the elements of each.
const LOADS: usize = 4;
const ELEMENTS: usize = 16;
/// Blocks of elements that are left for the loop that follows.
const TAIL: usize = 3;
/// A peak at every element of every load, and one in every block that is left.
const PLACES: usize = LOADS * ELEMENTS + TAIL;

/// Rows to put peaks into, for a kernel whose threads take `step` blocks at a time.
struct Peaks {
    input: Input,
    step: usize,
}

impl Peaks {
    /// Rows of small numbers, as long as a loop takes in one turn and a few blocks longer.
    fn new(element: InputType, rows: usize, step: usize) -> Self {
        let pattern = &PATTERNS[0];
        let cols = ELEMENTS * (LOADS * step + TAIL);
        Self { input: pattern.input(element, [rows, cols], step as u64), step }
    }

    /// Where the `number`-th peak is in a row. Threads count from the end.
    fn place(&self, number: usize) -> usize {
        let (load, element) = (number / ELEMENTS, number % ELEMENTS);
        let thread = (number * 13 + load / 2 * self.step / 2) % self.step;
        let thread = if load < LOADS { thread } else { element };
        let block = LOADS * self.step + TAIL - 1 - (load * self.step + thread);
        block * ELEMENTS + element
    }

    /// A large magnitude whose low bits are set, all of those that an element has: a lost one shows.
    fn bits(&self, number: usize) -> u32 {
        let [magnitude, sign] = match self.input.element {
            InputType::Bf16 => [0x43FF, 0x8000],
            InputType::F16 => [0x5FFF, 0x8000],
            InputType::F32 => [0x43FF_FFFF, 0x8000_0000],
        };
        if number.is_multiple_of(2) { magnitude } else { magnitude | sign }
    }

    /// The rows, each with its peak, whose numbers start at `first`.
    fn bytes(&self, first: usize) -> Vec<u8> {
        let mut input = self.input.clone();
        let [rows, cols] = input.shape;
        for row in 0..rows {
            input.bits[row * cols + self.place(first + row)] = self.bits(first + row);
        }
        input.bytes()
    }

    /// Fails unless `count` global scales are those of a peak, for the bound 448: what of them the
    /// contract knows.
    fn check(
        &self,
        machine: &mut Machine,
        kernel: Kernel,
        globals: u64,
        count: usize,
    ) -> Result<(), BackendError> {
        let Input { element, .. } = self.input;
        let peak = Input { element, shape: [1, 1], bits: vec![self.bits(0)] }.value(0);
        let Expected { amax, encode, decode, .. } = Expected::new(peak, E4m3Max::M448);
        let scales = floats(&machine.memory.read(globals, count * size_of::<GlobalScale>())?);
        let mut wrong = scales.chunks_exact(4).filter(|scale| scale[..3] != [amax, encode, decode]);
        wrong.next().map_or(Ok(()), |scale| {
            Err(format!("{kernel} gives {scale:?} for a peak of {peak}").into())
        })
    }
}

impl PtxBackend {
    /// Runs the kernels that find amaxes of rows and of whole tensors, one or many, each with a peak at
    /// every place of a turn.
    ///
    /// # Errors
    /// If a kernel fails, or overlooks a peak.
    pub fn run_peaks(&self, element: InputType) -> Result<(), BackendError> {
        self.peaks_of_rows(element)?;
        self.peaks_of_tensors(element)?;
        self.peaks_of_groups(element)
    }

    fn peaks_of_rows(&self, element: InputType) -> Result<(), BackendError> {
        let peaks = Peaks::new(element, PLACES, 512);
        let launch = launch::amax_rows(element, peaks.input.shape)?;
        if !self.wants(&launch) {
            return Ok(());
        }
        let mut machine = self.machine();
        let input = machine.memory.alloc_from(&peaks.bytes(0));
        let global = machine.memory.alloc(PLACES * size_of::<GlobalScale>());
        let [rows, cols] = peaks.input.shape.map(|length| length as u64);
        let params = AmaxParams { input, global, rows, cols, ..AmaxParams::default() };
        self.run(&mut machine, &launch, &params)?;
        peaks.check(&mut machine, launch.kernel, global, PLACES)
    }

    fn peaks_of_tensors(&self, element: InputType) -> Result<(), BackendError> {
        let peaks = Peaks::new(element, 1, 8 * 256);
        let cols = peaks.input.shape[1] as u64;
        let launch = launch::amax(element, cols, 1);
        if !self.wants(&launch) {
            return Ok(());
        }
        for number in 0..PLACES {
            let mut machine = self.machine();
            let input = machine.memory.alloc_from(&peaks.bytes(number));
            let global = machine.memory.alloc(size_of::<GlobalScale>());
            let workspace = machine.memory.alloc_from(&[0; 8]);
            let params =
                AmaxParams { input, global, workspace, rows: 1, cols, ..AmaxParams::default() };
            self.run(&mut machine, &launch, &params)?;
            peaks.check(&mut machine, launch.kernel, global, 1)?;
        }
        Ok(())
    }

    fn peaks_of_groups(&self, element: InputType) -> Result<(), BackendError> {
        let peaks = Peaks::new(element, PLACES, 256);
        let cols = peaks.input.shape[1] as u64;
        let launch = launch::amax_grouped(element, &[cols; PLACES], 1)?;
        if !self.wants(&launch) {
            return Ok(());
        }
        let mut machine = self.machine();
        let input = machine.memory.alloc_from(&peaks.bytes(0));
        let globals = machine.memory.alloc(PLACES * size_of::<GlobalScale>());
        let workspaces = machine.memory.alloc_from(&[0; 8 * PLACES]);
        let mut table = Vec::new();
        for number in 0..PLACES as u64 {
            let entry = AmaxParams {
                input: input + number * cols * element.bytes() as u64,
                global: globals + number * size_of::<GlobalScale>() as u64,
                workspace: workspaces + number * 8,
                rows: 1,
                cols,
                ..AmaxParams::default()
            };
            table.extend_from_slice(bytes_of(&entry));
        }
        let params =
            AmaxParams { input: machine.memory.alloc_from(&table), ..AmaxParams::default() };
        self.run(&mut machine, &launch, &params)?;
        peaks.check(&mut machine, launch.kernel, globals, PLACES)
    }

    /// Whether [`only`](Self::only) leaves a launch in.
    fn wants(&self, launch: &Launch) -> bool {
        self.only.is_none_or(|kernel| kernel == launch.kernel)
    }
}
