//! Quantizations: alone, in a group, and rows in one pass.
//!
//! A case is run in the ways that a host has for it, and all must give the same.

use std::collections::BTreeSet;
use std::mem::size_of;

use fouroversix_core::Kernel;
use fouroversix_core::abi::{
    GlobalScale, QuantizeParams, QuantizeTensor, Random, SKIPPABLE, TrainingParams,
};
use fouroversix_core::config::{Config, Rounding, Scaling};
use fouroversix_core::launch::{self, Launch, LaunchError};

use super::super::host::{Side, bytes_of, outputs, read_output};
use super::super::large::ODD_SCALES;
use super::{PtxBackend, is_grouped, is_skippable, variant};
use crate::backend::BackendError;
use crate::case::{Case, Outcome};
use crate::coverage;
use fouroversix_ptx_executor::Machine;

/// A way to run a case: the kernel is one of these three.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    /// One tensor.
    Single,
    /// The tensor among others in one launch.
    Grouped,
    /// Row scaling in one pass.
    Rows,
}

/// What the launches of a case have in common.
struct Setup<'a> {
    case: &'a Case,
    /// Where the elements are.
    input: u64,
    /// Where the global scales are, of the outputs that are wanted.
    globals: [Option<u64>; 2],
    /// What is added to the random offset.
    offset: u64,
}

/// The number of the case's own tensor in its group.
const OWN: usize = 1;

/// The tensors of a group, the case's own at [`OWN`]. Those without rows or without columns, and a corner
/// where the case has several tiles, leave parts of the grid with nothing to do.
fn group([rows, cols]: [usize; 2]) -> Vec<[usize; 2]> {
    let mut shapes = vec![[0, cols], [rows, cols], [rows, 0]];
    if rows.max(cols) > 64 && rows.min(cols) > 0 {
        shapes.push([rows.min(16), 16]);
    }
    shapes
}

impl Way {
    const ALL: [Self; 3] = [Self::Single, Self::Grouped, Self::Rows];

    fn launch(self, case: &Case) -> Result<Launch, LaunchError> {
        let Case { config, input, .. } = case;
        match self {
            Self::Single => launch::quantize(config, input.element, input.shape),
            Self::Grouped => launch::quantize_grouped(config, input.element, &group(input.shape)),
            Self::Rows => launch::quantize_rows(config, input.element, input.shape),
        }
    }

    /// The ways to run a case, with their launches. Golden cases are so many that each goes alone or in a
    /// group; cases made here aim at something, and go both ways.
    pub(super) fn of(case: &Case) -> Result<Vec<(Self, Launch)>, LaunchError> {
        let made_here =
            ["generated ", "large ", "rare "].iter().any(|made| case.name.starts_with(made));
        let drawn = if is_grouped(case) { Self::Grouped } else { Self::Single };
        let in_one_pass = case.config.scaling() == Scaling::Row
            && !case.config.outputs().columnwise()
            && case.supplied_amax.is_none()
            // Rows of no columns have an amax, which only the two passes give.
            && case.input.shape[1] > 0;
        let alone = !case.config.transforms().is_none();
        let takes = |way: &Self| match way {
            Self::Rows => in_one_pass,
            way if alone => *way == Self::Single,
            way => made_here || *way == drawn,
        };
        Self::ALL.into_iter().filter(takes).map(|way| Ok((way, way.launch(case)?))).collect()
    }
}

impl PtxBackend {
    /// The kernels that a case launches.
    ///
    /// # Errors
    /// If the launch contract refuses the case.
    pub fn kernels_of(case: &Case) -> Result<BTreeSet<Kernel>, LaunchError> {
        let mut kernels = coverage::kernels(case)?;
        kernels.retain(|kernel| !kernel.quantizes());
        kernels.extend(Way::of(case)?.into_iter().map(|(_, launch)| launch.kernel));
        kernels.remove(&Kernel::amax(!is_grouped(case), case.input.element));
        Ok(kernels)
    }

    /// Runs a case in its ways, or in the one that [`only`](Self::only) asks for.
    pub(super) fn quantize_case(&self, case: &Case) -> Result<Outcome, BackendError> {
        let mut ways = Way::of(case)?;
        if let Some(kernel) = self.only {
            let asked = ways.iter().position(|(_, launch)| launch.kernel == kernel);
            ways = vec![ways.swap_remove(asked.unwrap_or(0))];
        }
        let mut machine = self.machine();
        let input = machine.memory.alloc_from(&case.input.bytes());
        let mut two_passes = Setup { case, input, globals: [None; 2], offset: 0 };
        if ways.iter().any(|(way, _)| *way != Way::Rows) {
            two_passes.globals = self.globals(&mut machine, &two_passes)?;
        }
        let mut outcomes = Vec::new();
        for (way, launch) in &ways {
            outcomes.push(match way {
                Way::Single => {
                    self.quantize_single(&mut machine, &two_passes, launch, case.input.shape)?
                }
                Way::Grouped => self.quantize_grouped(&mut machine, &two_passes, launch)?,
                Way::Rows => {
                    let bytes = case.input.shape[0] * size_of::<GlobalScale>();
                    let globals = [Some(machine.memory.alloc(bytes)), None];
                    let setup = Setup { globals, ..two_passes };
                    self.quantize_single(&mut machine, &setup, launch, case.input.shape)?
                }
            });
        }
        let first = outcomes.swap_remove(0);
        if outcomes.iter().any(|other| *other != first) {
            let names: Vec<_> = ways.iter().map(|(_, launch)| launch.kernel.to_string()).collect();
            return Err(format!("{} give different bits", names.join(" and ")).into());
        }
        Ok(first)
    }

    fn globals(
        &self,
        machine: &mut Machine,
        setup: &Setup<'_>,
    ) -> Result<[Option<u64>; 2], BackendError> {
        let wanted = setup.case.config.outputs();
        let mut globals = [None; 2];
        for (side, wanted) in [wanted.rowwise(), wanted.columnwise()].into_iter().enumerate() {
            if wanted {
                globals[side] =
                    Some(self.global_scales(machine, setup.case, setup.input, side == 1)?);
            }
        }
        Ok(globals)
    }

    fn quantize_single(
        &self,
        machine: &mut Machine,
        setup: &Setup<'_>,
        launch: &Launch,
        shape: [usize; 2],
    ) -> Result<Outcome, BackendError> {
        let sides = [setup.sides(machine, shape)?];
        let params =
            QuantizeParams { tensor: setup.tensor(shape, &sides[0]), ..QuantizeParams::default() };
        self.quantize_into(machine, setup, launch, &sides, params)?;
        setup.outcome(machine, &sides[0])
    }

    /// The case's tensor in its group. What comes of the others must be what comes of them alone.
    fn quantize_grouped(
        &self,
        machine: &mut Machine,
        setup: &Setup<'_>,
        launch: &Launch,
    ) -> Result<Outcome, BackendError> {
        let shapes = group(setup.case.input.shape);
        let (mut sides, mut table) = (Vec::new(), Vec::new());
        for shape in &shapes {
            let side = setup.sides(machine, *shape)?;
            table.extend_from_slice(bytes_of(&setup.tensor(*shape, &side)));
            sides.push(side);
        }
        let group = machine.memory.alloc_from(&table);
        let params = QuantizeParams { group, ..QuantizeParams::default() };
        self.quantize_into(machine, &setup.of_tensor(-(OWN as i64)), launch, &sides, params)?;
        for (number, (shape, side)) in
            shapes.iter().zip(&sides).enumerate().filter(|(number, _)| *number != OWN)
        {
            let alone = launch::quantize(&setup.case.config, setup.case.input.element, *shape)?;
            let setup = &setup.of_tensor(number as i64 - OWN as i64);
            let alone = self.quantize_single(machine, setup, &alone, *shape)?;
            if setup.outcome(machine, side)? != alone {
                let [rows, cols] = shape;
                return Err(
                    format!("{rows}x{cols} alone and in a group give different bits").into()
                );
            }
        }
        setup.outcome(machine, &sides[OWN])
    }

    /// Launches a kernel, where the case is skippable after a launch that is skipped.
    fn quantize_into(
        &self,
        machine: &mut Machine,
        setup: &Setup<'_>,
        launch: &Launch,
        tensors: &[[Option<Side>; 2]],
        mut params: QuantizeParams,
    ) -> Result<(), BackendError> {
        let case = setup.case;
        params.flags = launch::flags(&case.config);
        let randoms = setup.random(machine);
        let run = |machine: &mut Machine, quantize: QuantizeParams| {
            if !launch.kernel.takes_training() {
                return self.run(machine, launch, &quantize);
            }
            randoms.iter().try_for_each(|random| {
                let signs = launch::signs(&case.config, case.input.element);
                let params = TrainingParams { quantize, random: *random, signs };
                self.run(machine, launch, &params)
            })
        };
        if is_skippable(case) {
            params.skip = machine.memory.alloc_from(&1u32.to_le_bytes());
            params.flags |= SKIPPABLE;
            run(machine, params)?;
            for side in tensors.iter().flatten().flatten() {
                if side.touched(machine)? {
                    return Err(format!("{} writes though it is skipped", launch.kernel).into());
                }
            }
            machine.memory.write(params.skip, &[0; 4])?;
        }
        run(machine, params)
    }
}

impl Setup<'_> {
    fn config(&self) -> &Config {
        &self.case.config
    }

    /// For a tensor so many places after the case's own.
    fn of_tensor(&self, places: i64) -> Self {
        Self { offset: self.offset.wrapping_add_signed(places), ..*self }
    }

    /// The random state, in the parameter or in memory; of large and rare cases both.
    fn random(&self, machine: &mut Machine) -> Vec<Random> {
        let (config, shape) = (self.config(), self.case.input.shape);
        let Rounding::Stochastic(state) = config.rounding() else {
            return vec![Random::default()];
        };
        let state = state.of_tensor(self.offset);
        let numbers = Random::new(state, config.panel(), shape);
        let bytes = [state.seed, state.offset].map(u64::to_le_bytes).concat();
        let address = Random {
            keys: Default::default(),
            stream: 0,
            state: machine.memory.alloc_from(&bytes),
            ..numbers
        };
        let both = ["large ", "rare "].iter().any(|kind| self.case.name.starts_with(kind));
        match variant(self.case, 16) / 8 {
            _ if both => vec![numbers, address],
            0 => vec![numbers],
            _ => vec![address],
        }
    }

    /// Output buffers for the sides that have global scales.
    fn sides(
        &self,
        machine: &mut Machine,
        [rows, cols]: [usize; 2],
    ) -> Result<[Option<Side>; 2], BackendError> {
        let mut out = [None, None];
        for (side, shape) in [[rows, cols], [cols, rows]].into_iter().enumerate() {
            if let Some(global) = self.globals[side] {
                let count = if self.config().scaling() == Scaling::Row { shape[0] } else { 1 };
                // Aligned as little as the launch contract asks: 8 or 16 bytes, and scales as they come. Not
                // the large cases: each is the only one that goes some way of aligned tensors.
                let large = self.case.name.starts_with("large ");
                let odd = self.case.name.starts_with(ODD_SCALES);
                let shifts = match (variant(self.case, 8), side) {
                    (_, 1) if odd => [0, 1],
                    _ if large => [0, 0],
                    (5, 0) => [8, 0],
                    (6, _) => [0, 1],
                    (7, 0) => [8, 3],
                    (7, _) => [16, 2],
                    _ => [0, 0],
                };
                let config = self.config();
                out[side] = Some(outputs(machine, config, shape, global, count, shifts)?);
            }
        }
        Ok(out)
    }

    /// A kernel's view of a tensor of the first elements.
    fn tensor(
        &self,
        shape: [usize; 2],
        [rowwise, columnwise]: &[Option<Side>; 2],
    ) -> QuantizeTensor {
        let mut tensor = launch::tensor(shape);
        tensor.input = self.input;
        if let Some(side) = rowwise {
            (tensor.codes, tensor.scales, tensor.global) = (side.codes, side.scales, side.global);
        }
        if let Some(side) = columnwise {
            (tensor.codes_t, tensor.scales_t) = (side.codes, side.scales);
            tensor.global_t = side.global;
        }
        tensor
    }

    fn outcome(
        &self,
        machine: &mut Machine,
        [rowwise, columnwise]: &[Option<Side>; 2],
    ) -> Result<Outcome, BackendError> {
        let mut read = |side: &Option<Side>| {
            side.as_ref().map(|side| read_output(machine, self.config(), side)).transpose()
        };
        Ok(Outcome { rowwise: read(rowwise)?, columnwise: read(columnwise)? })
    }
}
