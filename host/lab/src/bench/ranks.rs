//! `fouroversix-lab bench ranks`: amax and quantization of a tensor that is cut over all GPUs of the
//! host, with the all-reduce of amaxes between them and without it, in the same run.
//!
//! A thread for each rank, all in one process. Each enqueues the same launches in the same order,
//! one by one and captured in a graph; outputs are compared with the CPU path before timing. Without
//! the all-reduce the shards are quantized as tensors of their own.

use std::fmt;
use std::sync::{Arc, Barrier};
use std::thread;

use cudarc::driver::{CudaSlice, CudaStream, sys};
use fouroversix::cuda::internals::{self as memory, Elements};
use fouroversix::cuda::{
    AllReduceMax, AmaxReduction, AmaxSource, Device, DeviceAddress, DeviceQuantized,
    GroupQuantizer, GroupTable, NcclCommunicator, NcclId, QuantizeAddresses, Quantizer, RawStream,
    Split,
};
use fouroversix::{Amax, Config, Element, Error, InputType, Outputs, Rule, ScaleLayout, Scaling};
use half::bf16;
use serde::Serialize;

use super::kernels::{Enqueue, Machine, Times, in_graphs, in_turns};

/// Tensors that launches take in turns.
const SLOTS: usize = 4;

/// Launches in a graph.
const IN_GRAPH: usize = 20;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// `[rows, cols]` of the whole tensor; multiples of 16.
    pub shape: [usize; 2],
    /// How many GPUs, from the first on.
    pub ranks: usize,
    /// Launches of each work that are not timed.
    pub warmup: usize,
    /// Launches of each work that are timed.
    pub iterations: usize,
    /// The commit that was built, for the record.
    pub commit: Option<String>,
}

/// A row of the record.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Configuration, shard and cut.
    pub name: String,
    /// Amaxes that are reduced.
    pub amaxes: usize,
    /// Whether every rank's outputs were the CPU's.
    pub correct: bool,
    /// Enqueued one by one, then from a graph; the slowest rank's.
    pub times: Option<[Works; 2]>,
}

/// Times of one launch.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Works {
    /// Amax and quantization.
    pub without: Times,
    /// Amax, reduction, quantization.
    pub with: Times,
    /// The reduction alone.
    pub reduction: Times,
}

/// Everything that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Where; the device is the first of them.
    pub machine: Machine,
    /// GPUs.
    pub ranks: usize,
    /// NCCL's version.
    pub nccl: String,
    /// The rows.
    pub rows: Vec<Row>,
}

/// What is quantized.
struct Case {
    name: &'static str,
    config: Config,
    split: Split,
    /// Of the whole tensor.
    shape: [usize; 2],
    /// How many tensors of this shape are quantized in one launch.
    tensors: usize,
}

/// Measures.
///
/// # Errors
/// [`Error::Device`] when there are not so many devices, no NCCL, or the driver fails.
pub fn run(options: &Options) -> Result<Record, Error> {
    let machine = Machine::describe(&Device::new(0)?, options.commit.as_deref());
    let (major, minor, patch) = NcclCommunicator::library_version()?;
    let id = NcclId::new()?;
    let barrier = &Barrier::new(options.ranks);
    let ranks = thread::scope(|scope| {
        let start = |number| scope.spawn(move || rank(number, id, options, barrier));
        let ranks: Vec<_> = (0..options.ranks).map(start).collect();
        let ended = ranks.into_iter().map(|it| it.join().expect("a rank does not panic"));
        ended.collect::<Result<Vec<Vec<Measured>>, Error>>()
    })?;
    let rows = cases(options.shape).into_iter().enumerate().map(|(i, case)| {
        let of_ranks: Vec<&Measured> = ranks.iter().map(|rank| &rank[i]).collect();
        slowest(&case, options.ranks, &of_ranks)
    });
    let nccl = format!("{major}.{minor}.{patch}");
    Ok(Record { machine, ranks: options.ranks, nccl, rows: rows.collect() })
}

fn cases(shape: [usize; 2]) -> Vec<Case> {
    let layout = ScaleLayout::Swizzled128x4;
    let config = |rule, scaling, outputs| {
        Config::new(rule, scaling, outputs, layout).expect("a configuration of the kernels")
    };
    let [rows, cols] = shape;
    let small = [1024, cols];
    let one = |name, config, split, shape| Case { name, config, split, shape, tensors: 1 };
    let mse = config(Rule::MSE, Scaling::Tensor, Outputs::Rowwise);
    let both = config(Rule::MSE, Scaling::Tensor, Outputs::Both);
    let tile = config(Rule::MSE, Scaling::Tile, Outputs::Both);
    let by_row = config(Rule::Plain, Scaling::Row, Outputs::Rowwise);
    let by_row_both = config(Rule::Plain, Scaling::Row, Outputs::Both);
    let experts = Case {
        name: "8 tensors in one launch, one amax each, MSE",
        config: mse,
        split: Split::Rows,
        shape: [rows / 8 / 16 * 16, cols],
        tensors: 8,
    };
    vec![
        one("one amax, MSE, rowwise", mse, Split::Rows, shape),
        one("one amax, MSE, rowwise", mse, Split::Columns, shape),
        one("one amax, MSE, both ways", both, Split::Rows, shape),
        one("one amax, MSE, 16x16 blocks, both ways", tile, Split::Rows, shape),
        one("an amax for each row, plain, rowwise", by_row, Split::Columns, shape),
        one("amaxes of rows and columns, plain, both ways", by_row_both, Split::Rows, shape),
        one("one amax, MSE, rowwise", mse, Split::Rows, small),
        experts,
    ]
}

/// What a rank found of a case.
struct Measured {
    amaxes: usize,
    correct: bool,
    times: [Works; 2],
}

/// The row of a case: the times of the slowest rank.
fn slowest(case: &Case, ranks: usize, measured: &[&Measured]) -> Row {
    let [rows, cols] = case.shape;
    let cut = match case.split {
        Split::Rows => "rows",
        Split::Columns => "columns",
    };
    let slowest = |times: fn(&Measured) -> Times| {
        let all = measured.iter().map(|it| times(it));
        all.max_by(|a, b| a.median.total_cmp(&b.median)).expect("there is a rank")
    };
    let works = [
        Works {
            without: slowest(|it| it.times[0].without),
            with: slowest(|it| it.times[0].with),
            reduction: slowest(|it| it.times[0].reduction),
        },
        Works {
            without: slowest(|it| it.times[1].without),
            with: slowest(|it| it.times[1].with),
            reduction: slowest(|it| it.times[1].reduction),
        },
    ];
    let correct = measured.iter().all(|it| it.correct);
    Row {
        name: format!("{}; {rows} x {cols} cut by {cut} over {ranks}", case.name),
        amaxes: measured[0].amaxes,
        correct,
        times: correct.then_some(works),
    }
}

/// All cases, one after the other, as one of the ranks.
fn rank(
    number: usize,
    id: NcclId,
    options: &Options,
    barrier: &Barrier,
) -> Result<Vec<Measured>, Error> {
    let device = Device::new(number)?;
    let ranks = NcclCommunicator::join(&device, id, number, options.ranks)?;
    let stream = device.stream()?;
    let cases = cases(options.shape);
    let measured = cases.iter().map(|case| {
        let work = Work::prepare(&device, &stream, case, number, options.ranks)?;
        let without = |slot, stream| work.launch(slot, None, stream);
        let with = |slot, stream| work.launch(slot, Some(&ranks), stream);
        let reduction = |slot, stream| work.reduce(slot, &ranks, stream);
        // Nobody allocates while another's all-reduce waits for it.
        barrier.wait();
        with(0, stream.cu_stream())?;
        // Whatever it says, the others count on this rank's part in what follows.
        let correct = work.is_correct(&stream, case, number, options.ranks)?;
        let works: [&Enqueue<'_>; 3] = [&without, &with, &reduction];
        let (warmup, iterations) = (options.warmup, options.iterations);
        let enqueued = in_turns(&stream, &works, warmup, iterations)?;
        let graphs = (iterations / IN_GRAPH).max(20);
        let replayed = in_graphs(&stream, &works, IN_GRAPH, warmup, graphs)?;
        let times = [enqueued, replayed].map(|times| Works {
            without: times[0],
            with: times[1],
            reduction: times[2],
        });
        Ok(Measured { amaxes: work.reduction.count(), correct, times })
    });
    measured.collect()
}

/// A rank's shards on several slots of memory, and what is launched on them.
struct Work {
    launches: Launches,
    reduction: AmaxReduction,
    /// Addresses of each slot's tensors.
    slots: Vec<Vec<QuantizeAddresses>>,
    tables: Vec<GroupTable>,
    outputs: Vec<Vec<DeviceQuantized>>,
    amaxes: DeviceAddress,
    /// What addresses point to.
    _memory: Vec<CudaSlice<u8>>,
}

enum Launches {
    One(Quantizer),
    Group(GroupQuantizer),
}

impl Work {
    fn prepare(
        device: &Device,
        stream: &Arc<CudaStream>,
        case: &Case,
        rank: usize,
        ranks: usize,
    ) -> Result<Self, Error> {
        let (_, shape) = shard(case, 0, rank, ranks);
        let single =
            device.quantizer(&case.config, InputType::Bf16, shape, AmaxSource::InputApart)?;
        let shapes = vec![shape; case.tensors];
        let group =
            || device.group_quantizer(&case.config, InputType::Bf16, &shapes, AmaxSource::Input);
        let launches = match case.tensors {
            1 => Launches::One(single.clone()),
            _ => Launches::Group(group()?),
        };
        let reduction = match &launches {
            Launches::One(quantizer) => AmaxReduction::new(quantizer, case.split)?,
            Launches::Group(group) => AmaxReduction::of_group(group, case.split)?,
        };
        let (mut kept, mut slots, mut tables, mut outputs) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..SLOTS {
            let mut slot = Vec::new();
            let mut outs = Vec::new();
            // Side by side, as a program would lay them.
            let bytes = single.workspace_bytes();
            let workspaces = memory::zeroed(stream, bytes * case.tensors)?;
            for tensor in 0..case.tensors {
                let (input, _) = shard(case, tensor, rank, ranks);
                let mut copy = memory::allocate(stream, size_of_val(input.as_slice()))?;
                memory::upload(stream, Elements::of(&input), &mut copy)?;
                let out = single.allocate(stream)?;
                let mut at = out.addresses(stream);
                at.input = memory::address(&copy, stream);
                if case.tensors > 1 {
                    at.workspace =
                        memory::address(&workspaces, stream) + (bytes * tensor) as DeviceAddress;
                }
                kept.push(copy);
                outs.push(out);
                slot.push(at);
            }
            if let Launches::Group(group) = &launches {
                tables.push(group.table(stream, &slot)?);
            }
            kept.push(workspaces);
            outputs.push(outs);
            slots.push(slot);
        }
        let room = memory::zeroed(stream, reduction.bytes())?;
        let amaxes = memory::address(&room, stream);
        kept.push(room);
        Ok(Self { launches, reduction, slots, tables, outputs, amaxes, _memory: kept })
    }

    /// Enqueues amax and quantization, and the reduction between them.
    fn launch(
        &self,
        slot: usize,
        ranks: Option<&NcclCommunicator>,
        stream: sys::CUstream,
    ) -> Result<(), Error> {
        let index = slot % SLOTS;
        // SAFETY: the slots' memory has the lengths of the shape and lives in `self`; one stream
        // orders all work on it; every rank enqueues the same.
        unsafe {
            match &self.launches {
                Launches::One(quantizer) => quantizer.launch_amax(&self.slots[index][0], stream)?,
                Launches::Group(group) => group.launch_amax(&self.tables[index], 0, stream)?,
            }
            if let Some(ranks) = ranks {
                self.reduce(slot, ranks, stream)?;
            }
            match &self.launches {
                Launches::One(quantizer) => {
                    quantizer.launch_quantize(&self.slots[index][0], stream)
                }
                Launches::Group(group) => group.launch_quantize(&self.tables[index], 0, stream),
            }
        }
    }

    /// Enqueues the reduction alone.
    fn reduce(
        &self,
        slot: usize,
        ranks: &dyn AllReduceMax,
        stream: sys::CUstream,
    ) -> Result<(), Error> {
        let slot = &self.slots[slot % SLOTS];
        let workspaces: Vec<DeviceAddress> = slot.iter().map(|at| at.workspace).collect();
        let stream = RawStream::from(stream);
        // SAFETY: as in `launch`.
        unsafe { self.reduction.launch(&workspaces, self.amaxes, 0, ranks, stream) }
    }

    /// Whether the first slot's outputs are the CPU's with the amaxes of the whole tensor.
    fn is_correct(
        &self,
        stream: &Arc<CudaStream>,
        case: &Case,
        rank: usize,
        ranks: usize,
    ) -> Result<bool, Error> {
        for (tensor, out) in self.outputs[0].iter().enumerate() {
            let (input, shape) = shard(case, tensor, rank, ranks);
            let expected = with_amax_of_all(case, tensor, &input, shape, ranks)?;
            let found = match &self.launches {
                Launches::One(_) => out.to_host(stream)?,
                // The workspaces are the group's: codes and scales are the outputs' own.
                Launches::Group(_) => {
                    let tensor = out.to_host(stream)?;
                    let same = |a: &fouroversix::Nvfp4Tensor, b: &fouroversix::Nvfp4Tensor| {
                        a.codes() == b.codes() && a.scales() == b.scales()
                    };
                    let pair = tensor.rowwise.as_ref().zip(expected.rowwise.as_ref());
                    if !pair.is_some_and(|(a, b)| same(a, b)) {
                        return Ok(false);
                    }
                    continue;
                }
            };
            if found != expected {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A shard's quantization on the CPU, with the amaxes that the whole tensor has.
fn with_amax_of_all(
    case: &Case,
    tensor: usize,
    input: &[bf16],
    shape: [usize; 2],
    ranks: usize,
) -> Result<fouroversix::Quantized, Error> {
    let mut amax = 0.0_f32;
    let (mut rows, mut columns) = (vec![0.0_f32; shape[0]], vec![0.0_f32; shape[1]]);
    let mut add = |shard: &[bf16], shape: [usize; 2], own: bool| {
        for (row, elements) in shard.chunks_exact(shape[1].max(1)).enumerate() {
            for (column, element) in elements.iter().enumerate() {
                let magnitude = element.to_f32().abs();
                amax = amax.max(magnitude);
                if own || case.split == Split::Columns {
                    rows[row] = rows[row].max(magnitude);
                }
                if own || case.split == Split::Rows {
                    columns[column] = columns[column].max(magnitude);
                }
            }
        }
    };
    add(input, shape, true);
    for rank in 0..ranks {
        let (other, shape) = shard(case, tensor, rank, ranks);
        add(&other, shape, false);
    }
    let amax = match case.config.scaling() {
        Scaling::Row => Amax::RowsAndColumns { rows: &rows, columns: &columns },
        _ => Amax::Tensor(amax),
    };
    fouroversix::quantize_outputs(input, shape, &case.config, Some(amax))
}

/// A rank's part of a tensor, in multiples of 16 rows or columns.
fn shard(case: &Case, tensor: usize, rank: usize, ranks: usize) -> (Vec<bf16>, [usize; 2]) {
    let [rows, cols] = case.shape;
    let cut =
        |length: usize| length / 16 * rank / ranks * 16..length / 16 * (rank + 1) / ranks * 16;
    let (own_rows, own_cols) = match case.split {
        Split::Rows => (cut(rows), 0..cols),
        Split::Columns => (0..rows, cut(cols)),
    };
    let element = |i: usize| {
        let hash = (i + tensor * 0x51_7CC1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        <bf16 as Element>::from_f32((hash as f32 / 16_777_216.0 - 0.5) * 0.1)
    };
    let shape = [own_rows.len(), own_cols.len()];
    let row = |row: usize| own_cols.clone().map(move |col| element(row * cols + col));
    (own_rows.flat_map(row).collect(), shape)
}

impl Record {
    /// Whether every row's outputs were the CPU's.
    #[must_use]
    pub fn correct(&self) -> bool {
        self.rows.iter().all(|row| row.correct)
    }

    /// A page.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = format!(
            "{}- ranks: {} of them in one process, NCCL {}\n\nA launch in \u{b5}s, the slowest \
             rank's median; in brackets enqueued one by one, else from a graph of {IN_GRAPH}.\n\n\
             | what | amaxes | amax + quantize | with all-reduce between | reduction alone |\n\
             |---|--:|--:|--:|--:|\n",
            self.machine.to_markdown(),
            self.ranks,
            self.nccl
        );
        for row in &self.rows {
            text += &format!("{row}\n");
        }
        text
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {} | {} |", self.name, self.amaxes)?;
        let Some([enqueued, replayed]) = &self.times else {
            return f.write_str(" WRONG | | |");
        };
        for times in [|it: &Works| it.without, |it: &Works| it.with, |it: &Works| it.reduction] {
            write!(f, " {:.1} ({:.1}) |", times(replayed).median, times(enqueued).median)?;
        }
        Ok(())
    }
}
