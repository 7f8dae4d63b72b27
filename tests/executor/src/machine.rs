//! Modules, launches and what they count.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ast::{ParseError, Text};
use super::block::{self, Shape, Stopped};
use super::context::{ApproxError, BlockContext};
use super::decode;
use super::fault::Fault;
use super::memory::Memory;
use super::op::{LANES, Program, Source};
use super::parse;
use super::statics::Statics;
use super::warp::Warp;

/// A PTX module ready to launch from.
#[derive(Debug)]
pub struct Module {
    target: String,
    version: (u32, u32),
    statics: Statics,
    kernels: BTreeMap<String, Program>,
}

static MODULES: AtomicU64 = AtomicU64::new(0);

impl Module {
    /// Reads PTX text and decodes every kernel in it.
    ///
    /// # Errors
    /// [`ParseError`] with the place of the first thing that is not PTX, or that the executor does
    /// not know: an opcode, a modifier, a type or a directive.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let text: Text = parse::parse(text)?;
        let statics = Statics::place(&text, MODULES.fetch_add(1, Ordering::Relaxed))?;
        let mut kernels = BTreeMap::new();
        for entry in text.functions.iter().filter(|f| f.entry && f.body.is_some()) {
            kernels.insert(entry.name.clone(), decode::kernel(&text, &statics, entry)?);
        }
        Ok(Self { target: text.target, version: text.version, statics, kernels })
    }

    /// The `.target`, such as `sm_90`.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The `.version`, major and minor.
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// The names of the kernels.
    pub fn kernels(&self) -> impl Iterator<Item = &str> {
        self.kernels.keys().map(String::as_str)
    }

    /// The instructions of a kernel and of the functions it calls.
    #[must_use]
    pub fn instructions(&self, kernel: &str) -> &[Source] {
        self.kernels.get(kernel).map_or(&[], |program| &program.sources)
    }

    /// Bytes of a kernel's parameters.
    #[must_use]
    pub fn param_bytes(&self, kernel: &str) -> Option<u32> {
        self.kernels.get(kernel).map(|program| program.param_bytes)
    }
}

/// What a launch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Instructions times the lanes that executed them.
    pub lane_instructions: u64,
    /// Lanes that executed each instruction of [`Module::instructions`].
    pub counts: Vec<u64>,
    /// Of these, for a `vote`, the lanes whose predicate was true.
    pub votes: Vec<u64>,
}

impl Stats {
    /// Adds another launch of the same kernel.
    pub fn merge(&mut self, other: &Self) {
        self.lane_instructions += other.lane_instructions;
        for (sums, counts) in [(&mut self.counts, &other.counts), (&mut self.votes, &other.votes)] {
            sums.resize(sums.len().max(counts.len()), 0);
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }
}

/// A device: memory, and how launches on it behave where the hardware is free to choose.
#[derive(Debug)]
pub struct Machine {
    /// Device memory.
    pub memory: Memory,
    approx: ApproxError,
    order: Option<u64>,
    limit: u64,
}

impl Default for Machine {
    fn default() -> Self {
        let memory = Memory::default();
        Self { memory, approx: ApproxError::Exact, order: None, limit: u64::MAX }
    }
}

fn shuffled(count: u64, seed: Option<u64>) -> Vec<u64> {
    let mut order: Vec<u64> = (0..count).collect();
    let Some(mut state) = seed else { return order };
    for i in (1..order.len()).rev() {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(i, (state >> 33) as usize % (i + 1));
    }
    order
}

impl Machine {
    /// A device with nothing in its memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an error on the results of approximate instructions.
    pub fn set_approx_error(&mut self, error: ApproxError) {
        self.approx = error;
    }

    /// Runs blocks, and warps within blocks, in an order drawn from `seed` instead of ascending.
    pub fn set_order(&mut self, seed: Option<u64>) {
        self.order = seed;
    }

    /// Fails launches that take more lane-instructions than this.
    pub fn set_limit(&mut self, lane_instructions: u64) {
        self.limit = lane_instructions;
    }

    /// Runs a kernel over a grid. `params` holds the parameters as the kernel's declaration lays
    /// them out; `shared_bytes` is the dynamic shared memory.
    ///
    /// # Errors
    /// [`Fault`] when the launch does not fit the kernel or an instruction fails.
    pub fn launch(
        &mut self,
        module: &Module,
        kernel: &str,
        grid: [u32; 3],
        block: [u32; 3],
        shared_bytes: u32,
        params: &[u8],
    ) -> Result<Stats, Fault> {
        let fail = |message: String| Err(Fault::Launch { message });
        let Some(program) = module.kernels.get(kernel) else {
            return fail(format!("the module has no kernel {kernel:?}"));
        };
        let shape = Shape { grid, block, dynamic_shared: shared_bytes };
        if let Err(message) = check_shape(program, &shape, params) {
            return fail(message);
        }
        let statics = &module.statics;
        if !statics.bytes.is_empty() && !self.memory.has(statics.base()) {
            self.memory.insert(statics.base(), statics.bytes.len());
            let _ = self.memory.write(statics.base(), &statics.bytes);
        }
        self.run(program, &shape, params)
    }

    fn run(&mut self, program: &Program, shape: &Shape, params: &[u8]) -> Result<Stats, Fault> {
        let [mut counts, mut votes] = [(); 2].map(|()| vec![0; program.sources.len()]);
        let mut budget = self.limit;
        let mut noise = match self.approx {
            ApproxError::Random(seed) => seed,
            _ => 0,
        };
        let launch_start = self.memory.tick();
        let [gx, gy, gz] = shape.grid.map(u64::from);
        let mut warps: Vec<Warp> = shuffled(u64::from(shape.warps()), self.order)
            .into_iter()
            .map(|number| Warp::new(program, shape, number as u32))
            .collect();
        let mut shared = block::shared_memory(program, shape);
        for number in shuffled(gx * gy * gz, self.order) {
            let coordinates = [number % gx, number / gx % gy, number / (gx * gy)].map(|c| c as u32);
            shared.forget();
            for warp in &mut warps {
                warp.start(program, shape, coordinates);
            }
            let block_start = self.memory.tick();
            let mut ctx = BlockContext {
                program,
                memory: &mut self.memory,
                shared,
                params,
                counts: &mut counts,
                votes: &mut votes,
                budget: &mut budget,
                approx: self.approx,
                noise: &mut noise,
                threads: shape.threads(),
                first_thread: number as u32 * shape.warps() * LANES as u32,
                epoch: block_start,
                block_start,
                launch_start,
            };
            block::run(&mut ctx, &mut warps)
                .map_err(|stopped| locate(program, shape, coordinates, stopped))?;
            shared = ctx.shared;
        }
        Ok(Stats { lane_instructions: counts.iter().sum(), counts, votes })
    }
}

fn check_shape(program: &Program, shape: &Shape, params: &[u8]) -> Result<(), String> {
    let Program { name, param_bytes, .. } = program;
    if params.len() != *param_bytes as usize {
        return Err(format!("{name} takes {param_bytes} parameter bytes, not {}", params.len()));
    }
    if shape.grid.contains(&0) || shape.block.contains(&0) || shape.threads() > 1024 {
        return Err(format!("grid {:?} of blocks {:?} can't be launched", shape.grid, shape.block));
    }
    if program.required_block.is_some_and(|required| required != shape.block) {
        return Err(format!("{name} requires blocks of {:?}", program.required_block));
    }
    if program.max_block.is_some_and(|max| shape.threads() > max.iter().product()) {
        return Err(format!("{name} allows blocks up to {:?}", program.max_block));
    }
    if program.shared_bytes + shape.dynamic_shared > 227 * 1024 {
        return Err(format!("{name} asks for more than 227 KiB of shared memory"));
    }
    Ok(())
}

fn locate(program: &Program, shape: &Shape, block: [u32; 3], stopped: Stopped) -> Fault {
    let source = &program.sources[program.steps[stopped.step as usize].source as usize];
    let thread = stopped.warp * LANES as u32 + stopped.trap.lane;
    Fault::Instruction {
        kind: stopped.trap.kind,
        kernel: program.name.clone(),
        pos: source.pos,
        text: source.text.clone(),
        block,
        thread: block::thread_coordinates(shape, thread),
        address: stopped.trap.address,
    }
}
