//! The shipped kernels, executed, as a backend.
//!
//! A case is run as a host would run it: the same [`launch`](fouroversix_core::launch) contract,
//! the same parameter structs, in device memory that holds nothing until something is written to it.
//! Reading the outputs back fails if a kernel left a byte of them unwritten.

mod dequantize;
mod global_scales;
mod peaks;
mod quantize;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use fouroversix_core::launch::{self, Launch};
use fouroversix_core::{InstructionSet, Kernel};
use fouroversix_ptx as ptx;

use super::host::{Plain, bytes_of};
use crate::backend::{Backend, BackendError, SkipReason};
use crate::case::{Case, Outcome};
use crate::dequantize_case::DequantizeCase;
use fouroversix_ptx_executor::{ApproxError, Machine, Module, Source, Stats};

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
    only: Option<Kernel>,
    modules: Mutex<HashMap<Kernel, Arc<Module>>>,
    executed: Mutex<BTreeMap<Kernel, Stats>>,
}

/// Which of `count` variants a case is run as, drawn from its description: all must give the same.
fn variant(case: &impl std::fmt::Display, count: u64) -> u64 {
    let hash = case.to_string().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 32) % count
}

/// Whether launches come after one that a set `skip` word must keep from doing anything.
fn is_skippable(case: &impl std::fmt::Display) -> bool {
    variant(case, 2) == 1
}

/// Whether the tensor is one of a group: for its amax, and where it is quantized in one way only.
fn is_grouped(case: &impl std::fmt::Display) -> bool {
    variant(case, 4) / 2 == 1
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
            only: None,
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

    /// Without the ways to run a case that need other kernels than this one, where it has any that does.
    #[must_use]
    pub fn only(mut self, kernel: Kernel) -> Self {
        self.only = Some(kernel);
        self
    }

    /// Uses `module` for `kernel` instead of what was committed.
    pub fn replace(&self, kernel: Kernel, module: Module) {
        self.modules.lock().unwrap().insert(kernel, Arc::new(module));
    }

    /// What was executed so far, by kernel.
    #[must_use]
    pub fn executed(&self) -> BTreeMap<Kernel, Stats> {
        self.executed.lock().unwrap().clone()
    }

    /// The instructions of a kernel that nothing executed so far, in the order of its text.
    ///
    /// # Errors
    /// Those of [`module`](Self::module).
    pub fn never_executed(&self, kernel: Kernel) -> Result<Vec<Source>, BackendError> {
        let module = self.module(kernel)?;
        let executed = self.executed.lock().unwrap();
        let counts = executed.get(&kernel).map_or(&[][..], |stats| &stats.counts);
        let mut out: Vec<Source> = module
            .instructions(&kernel.name())
            .iter()
            .enumerate()
            .filter(|(i, _)| counts.get(*i).is_none_or(|count| *count == 0))
            .map(|(_, source)| source.clone())
            .collect();
        out.sort_by_key(|source| source.pos);
        Ok(out)
    }

    /// The votes of a kernel in the order of its text: the instruction, the lanes that took part so far, and
    /// those that voted yes.
    ///
    /// # Errors
    /// Those of [`module`](Self::module).
    pub fn votes(&self, kernel: Kernel) -> Result<Vec<(Source, [u64; 2])>, BackendError> {
        let module = self.module(kernel)?;
        let executed = self.executed.lock().unwrap();
        let stats = executed.get(&kernel).cloned().unwrap_or_default();
        let count = |counts: &[u64], i| counts.get(i).copied().unwrap_or(0);
        let all = module.instructions(&kernel.name()).iter().enumerate();
        let mut out: Vec<_> = all
            .filter(|(_, source)| source.text.starts_with("vote."))
            .map(|(i, source)| (source.clone(), [count(&stats.counts, i), count(&stats.votes, i)]))
            .collect();
        out.sort_by_key(|(source, _)| source.pos);
        Ok(out)
    }

    /// The module that holds `kernel`.
    ///
    /// # Errors
    /// If there is none, or it can't be parsed.
    pub fn module(&self, kernel: Kernel) -> Result<Arc<Module>, BackendError> {
        if let Some(module) = self.modules.lock().unwrap().get(&kernel) {
            return Ok(Arc::clone(module));
        }
        let text = match &self.kernels {
            Kernels::Committed(isa) => ptx::source(*isa, kernel)
                .ok_or_else(|| format!("no kernel {kernel} is committed for {isa}"))?
                .to_owned(),
            Kernels::Folder(folder) => {
                let path = folder.join(format!("{kernel}.ptx"));
                std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?
            }
        };
        let module = Module::parse(&text).map_err(|error| format!("{kernel}.ptx, {error}"))?;
        let module = Arc::new(module);
        self.modules.lock().unwrap().insert(kernel, Arc::clone(&module));
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
        let module = self.module(launch.kernel)?;
        let block = [launch.threads, 1, 1];
        let stats = machine.launch(
            &module,
            &launch.kernel.name(),
            launch.grid,
            block,
            launch.shared_bytes,
            bytes_of(params),
        )?;
        self.executed.lock().unwrap().entry(launch.kernel).or_default().merge(&stats);
        Ok(())
    }
}

impl Backend for PtxBackend {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn supports(&self, case: &Case) -> Result<(), SkipReason> {
        launch::check_features(&case.config).map_err(|error| SkipReason::new(error.to_string()))
    }

    fn quantize(&self, case: &Case) -> Result<Outcome, BackendError> {
        self.quantize_case(case)
    }

    fn supports_dequantize(&self, _case: &DequantizeCase) -> Result<(), SkipReason> {
        Ok(())
    }

    fn dequantize(&self, case: &DequantizeCase) -> Result<Vec<u32>, BackendError> {
        self.dequantize_case(case)
    }
}
