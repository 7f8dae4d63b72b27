//! Reductions of amaxes as they are planned: threads are the ranks, each with the PTX executor for
//! a device. What the shards become, put together, is the whole tensor's quantization on the CPU.

use std::cell::RefCell;
use std::sync::{Barrier, Mutex};
use std::thread;

use fouroversix_core::abi::AmaxParams;
use fouroversix_core::launch::Launch;
use fouroversix_core::{
    Config, Error, InputType, Nvfp4Tensor, Outputs, Quantized, Rule, ScaleLayout, Scaling,
    SignMask, Transforms,
};
use fouroversix_ptx_executor::Machine;

use super::address::{DeviceAddress, QuantizeAddresses};
use super::error::DeviceError;
use super::executed::{fetch, floats, place, quantize, run, run_amax, run_quantize};
use super::raw::RawStream;
use super::reduction::{AllReduceMax, ReductionSetup, Split, Steps};
use super::setup::{AmaxSource, QuantizeSetup};

/// Where threads that are ranks meet.
struct Meeting {
    barrier: Barrier,
    values: Mutex<Vec<u32>>,
}

impl Meeting {
    fn new(ranks: usize) -> Self {
        Self { barrier: Barrier::new(ranks), values: Mutex::default() }
    }

    /// The largest of all ranks' values in each place.
    fn largest(&self, own: &[u32]) -> Vec<u32> {
        {
            let mut values = self.values.lock().expect("no rank panics here");
            values.resize(own.len(), 0);
            assert_eq!(values.len(), own.len(), "all ranks bring as many");
            values.iter_mut().zip(own).for_each(|(value, own)| *value = (*value).max(*own));
        }
        self.barrier.wait();
        let found = self.values.lock().expect("no rank panics here").clone();
        if self.barrier.wait().is_leader() {
            self.values.lock().expect("no rank panics here").clear();
        }
        self.barrier.wait();
        found
    }
}

/// A rank: a device that is executed, and where it meets the others.
struct Rank<'a> {
    machine: RefCell<Machine>,
    meeting: &'a Meeting,
}

impl Rank<'_> {
    fn read(&self, at: DeviceAddress, pitch: u64, count: usize) -> Vec<u32> {
        let mut machine = self.machine.borrow_mut();
        let mut word = |i: u64| {
            let bytes = machine.memory.read(at + i * pitch, 4).expect("written");
            u32::from_le_bytes(bytes.try_into().expect("4 bytes"))
        };
        (0..count as u64).map(&mut word).collect()
    }

    fn write(&self, at: DeviceAddress, values: &[u32]) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.machine.borrow_mut().memory.write(at, &bytes).expect("allocated");
    }
}

impl AllReduceMax for Rank<'_> {
    unsafe fn all_reduce_max(
        &self,
        values: DeviceAddress,
        count: usize,
        _: RawStream,
    ) -> Result<(), Error> {
        let own = self.read(values, 4, count);
        self.write(values, &self.meeting.largest(&own));
        Ok(())
    }
}

/// The steps of a reduction on a rank.
struct OnRank<'a, 'b> {
    rank: &'a Rank<'b>,
    launches: Vec<Launch>,
    /// How often the ranks met.
    met: usize,
}

impl Steps for OnRank<'_, '_> {
    fn zero(&mut self, at: DeviceAddress, count: usize) -> Result<(), Error> {
        self.rank.write(at, &vec![0; count]);
        Ok(())
    }

    fn gather(
        &mut self,
        from: DeviceAddress,
        pitch: u64,
        to: DeviceAddress,
        count: usize,
    ) -> Result<(), Error> {
        self.rank.write(to, &self.rank.read(from, pitch, count));
        Ok(())
    }

    fn reduce(&mut self, values: DeviceAddress, count: usize) -> Result<(), Error> {
        self.met += 1;
        // SAFETY: the executor checks every address.
        unsafe { self.rank.all_reduce_max(values, count, RawStream::DEFAULT) }
    }

    fn scales(&mut self, launch: usize, params: &AmaxParams) -> Result<(), Error> {
        run(&mut self.rank.machine.borrow_mut(), &self.launches[launch], params);
        Ok(())
    }
}

/// Some tensors' shards on a rank: amax passes, one reduction, quantizations.
fn quantize_shards(
    rank: &Rank<'_>,
    setups: &[QuantizeSetup],
    at: &[QuantizeAddresses],
    values: DeviceAddress,
    split: Split,
) -> Vec<Quantized> {
    let reduction = ReductionSetup::new(setups, split).expect("amaxes have a pass of their own");
    for (setup, at) in setups.iter().zip(at) {
        for (step, launch) in setup.amax_launches(1).expect("planned") {
            let params = setup.amax_params(step, at).expect("aligned");
            run_amax(&mut rank.machine.borrow_mut(), &launch, &params);
        }
    }
    let workspaces: Vec<DeviceAddress> = at.iter().map(|at| at.workspace).collect();
    let mut steps = OnRank { rank, launches: reduction.launches().collect(), met: 0 };
    reduction.carry_out(&workspaces, values, 0, &mut steps).expect("aligned");
    assert_eq!(steps.met, 1, "one all-reduce for all");
    let quantized = setups.iter().zip(at).map(|(setup, at)| {
        let machine = &mut rank.machine.borrow_mut();
        if let Some(launch) = setup.quantize_launch().expect("planned") {
            run_quantize(machine, &launch, &setup.quantize_params(at).expect("aligned"));
        }
        fetch(setup, machine, at)
    });
    quantized.collect()
}

/// The shards of a tensor: the part of `input` from `first` on that has `count` rows or columns.
fn shard(
    input: &[f32],
    [rows, cols]: [usize; 2],
    split: Split,
    first: usize,
    count: usize,
) -> (Vec<f32>, [usize; 2]) {
    match split {
        Split::Rows => (input[first * cols..(first + count) * cols].to_vec(), [count, cols]),
        Split::Columns => {
            let row = |row: &[f32]| row[first..first + count].to_vec();
            (input.chunks(cols).flat_map(row).collect(), [rows, count])
        }
    }
}

/// Puts shards of a tensor of `lines` lines together: one below the other, or side by side.
fn join(shards: Vec<Nvfp4Tensor>, shape: [usize; 2], below: bool, by_row: bool) -> Nvfp4Tensor {
    let interleave = |bytes: &dyn Fn(&Nvfp4Tensor) -> Vec<u8>| -> Vec<u8> {
        if below {
            return shards.iter().flat_map(bytes).collect();
        }
        let all: Vec<Vec<u8>> = shards.iter().map(bytes).collect();
        let line = |i: usize| {
            all.iter()
                .flat_map(move |it| it[i * it.len() / shape[0]..][..it.len() / shape[0]].to_vec())
        };
        (0..shape[0]).flat_map(line).collect()
    };
    let codes = interleave(&|it| it.codes().to_vec());
    let scales = interleave(&|it| it.scales().to_vec());
    let amax = if by_row && below {
        shards.iter().flat_map(|it| it.global_amax().to_vec()).collect()
    } else {
        let first = shards[0].global_amax().to_vec();
        assert!(shards.iter().all(|it| it.global_amax() == first), "every rank has the same amax");
        first
    };
    let bound = shards[0].e4m3_max();
    Nvfp4Tensor::from_parts(codes, scales, amax, shape, ScaleLayout::Linear, bound)
        .expect("lengths are right")
}

fn input(seed: usize, [rows, cols]: [usize; 2]) -> Vec<f32> {
    let noise = |i: usize| ((i + seed * 77_777).wrapping_mul(0x9E37_79B9) >> 7) as f32 / 1e8;
    (0..rows * cols).map(|i| (noise(i) - 0.17) * (1.0 + (i / 80) as f32)).collect()
}

/// Quantizes tensors that are cut over ranks, twice with the same workspaces, and compares.
fn check(config: &Config, shapes: &[[usize; 2]], split: Split, cuts: &[usize]) {
    let ranks = cuts.len();
    let meeting = Meeting::new(ranks);
    // The second time all amaxes are smaller: nothing of the first may count.
    let rounds: Vec<Vec<Vec<f32>>> = [1.0, 0.125]
        .map(|factor| {
            let tensor = |(seed, shape): (usize, &[usize; 2])| {
                input(seed, *shape).into_iter().map(|value| value * factor).collect()
            };
            shapes.iter().enumerate().map(tensor).collect()
        })
        .into();
    let of_rank = |number: usize| {
        let rank = Rank { machine: RefCell::new(Machine::new()), meeting: &meeting };
        let first = cuts[..number].iter().sum();
        let cut = |input: &[f32], shape| shard(input, shape, split, first, cuts[number]);
        let (mut setups, mut at) = (Vec::new(), Vec::new());
        for (input, shape) in rounds[0].iter().zip(shapes) {
            let (input, shape) = cut(input, *shape);
            let setup = QuantizeSetup::new(config, InputType::F32, shape, AmaxSource::InputApart);
            setups.push(setup.expect("a valid shape"));
            let machine = &mut rank.machine.borrow_mut();
            at.push(place(machine, &setups[setups.len() - 1], &input, [&[], &[]], 0));
        }
        let values = rank.machine.borrow_mut().memory.alloc_from(&[0; 4096]);
        let mut quantized = Vec::new();
        for inputs in &rounds {
            for ((input, shape), at) in inputs.iter().zip(shapes).zip(&at) {
                let bytes = floats(&cut(input, *shape).0);
                rank.machine.borrow_mut().memory.write(at.input, &bytes).expect("allocated");
            }
            quantized.push(quantize_shards(&rank, &setups, &at, values, split));
        }
        quantized
    };
    let mut of_ranks: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..ranks).map(|rank| scope.spawn(move || of_rank(rank))).collect();
        threads.into_iter().map(|it| it.join().expect("a rank's thread ends").into_iter()).collect()
    });
    let by_row = config.scaling() == Scaling::Row;
    for inputs in &rounds {
        let mut tensors: Vec<_> = of_ranks
            .iter_mut()
            .map(|rank| rank.next().expect("as many rounds").into_iter())
            .collect();
        for (input, [rows, cols]) in inputs.iter().zip(shapes) {
            let expected = quantize(input, [*rows, *cols], config, None);
            let shards: Vec<Quantized> =
                tensors.iter_mut().map(|it| it.next().expect("as many tensors")).collect();
            let pick = |output: fn(&Quantized) -> &Option<Nvfp4Tensor>| {
                shards.iter().map(|it| output(it).clone()).collect::<Option<Vec<_>>>()
            };
            let rowwise = pick(|it| &it.rowwise)
                .map(|it| join(it, [*rows, *cols], split == Split::Rows, by_row));
            let columnwise = pick(|it| &it.columnwise)
                .map(|it| join(it, [*cols, *rows], split == Split::Columns, by_row));
            assert_eq!(
                Quantized { rowwise, columnwise },
                expected,
                "{config:?} {split:?} {cuts:?}"
            );
        }
    }
}

#[test]
fn shards_of_all_ranks_are_the_whole_tensor() {
    let rules = [Rule::ALL[1], Rule::ALL[6]];
    for scaling in [Scaling::Tensor, Scaling::Row, Scaling::Tile] {
        for outputs in [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both] {
            for (turn, split) in [Split::Rows, Split::Columns].into_iter().enumerate() {
                let config = Config::new(rules[turn], scaling, outputs, ScaleLayout::Linear);
                let Ok(config) = config else { continue };
                check(&config, &[[96, 64]], split, &[if split == Split::Rows { 96 } else { 64 }]);
                // An empty shard among them, in every place.
                let cuts: [&[usize]; 2] = match split {
                    Split::Rows => [&[0, 48, 32, 16], &[64, 32]],
                    Split::Columns => [&[32, 0, 16, 16], &[16, 48, 0]],
                };
                cuts.into_iter().for_each(|cuts| check(&config, &[[96, 64]], split, cuts));
            }
        }
    }
}

/// Each output has an amax of its own where one is transformed.
#[test]
fn transformed_amaxes_meet_once() {
    let mask = Some(SignMask::TRANSFORMER_ENGINE);
    let transforms = [[mask, None], [None, mask], [mask, Some(SignMask(0x00FF))]];
    for (turn, [rowwise, columnwise]) in transforms.into_iter().enumerate() {
        let builder = Config::builder().rule(Rule::MSE).outputs(Outputs::Both);
        let config = builder.transforms(Transforms { rowwise, columnwise }).build();
        let split = [Split::Rows, Split::Columns][turn % 2];
        check(&config.expect("valid"), &[[96, 96]], split, &[48, 0, 48]);
    }
}

#[test]
fn several_tensors_meet_once() {
    for (rule, scaling, outputs) in [
        (Rule::MSE, Scaling::Tensor, Outputs::Both),
        (Rule::Plain, Scaling::Row, Outputs::Both),
        (Rule::MAE, Scaling::Tile, Outputs::Rowwise),
    ] {
        let config = Config::new(rule, scaling, outputs, ScaleLayout::Linear);
        let shapes = [[64, 16], [64, 48], [64, 32]];
        check(&config.expect("valid"), &shapes, Split::Rows, &[32, 0, 32]);
    }
}

#[test]
fn amaxes_at_equal_distances_are_gathered_at_once() {
    struct Count {
        gathered: Vec<(DeviceAddress, u64, usize)>,
        zeroed: usize,
        scales: usize,
    }
    impl Steps for Count {
        fn zero(&mut self, _: DeviceAddress, count: usize) -> Result<(), Error> {
            self.zeroed += count;
            Ok(())
        }
        fn gather(
            &mut self,
            from: DeviceAddress,
            pitch: u64,
            _: DeviceAddress,
            count: usize,
        ) -> Result<(), Error> {
            self.gathered.push((from, pitch, count));
            Ok(())
        }
        fn reduce(&mut self, _: DeviceAddress, count: usize) -> Result<(), Error> {
            assert_eq!(count, 7);
            Ok(())
        }
        fn scales(&mut self, _: usize, _: &AmaxParams) -> Result<(), Error> {
            self.scales += 1;
            Ok(())
        }
    }
    let config = Config::rowwise(Rule::Plain);
    let group = |rows: usize| {
        QuantizeSetup::for_group(&config, InputType::F32, [rows, 32], AmaxSource::Input)
            .expect("valid")
    };
    let setups = [16, 16, 32, 0, 0, 16, 16].map(group);
    let reduction = ReductionSetup::new(&setups, Split::Rows).expect("a pass of their own");
    let workspaces = [0x1000, 0x1020, 0x1040, 0x1060, 0x1080, 0x3000, 0x2000];
    let mut count = Count { gathered: Vec::new(), zeroed: 0, scales: 0 };
    reduction.carry_out(&workspaces, 0x10_0000, 0, &mut count).expect("aligned");
    let scale = |workspace: DeviceAddress| workspace + 16;
    let expected = [(scale(0x1000), 32, 3), (scale(0x3000), 16, 1), (scale(0x2000), 16, 1)];
    assert_eq!(count.gathered, expected);
    assert_eq!((count.zeroed, count.scales), (2, 7));
}

#[test]
fn amaxes_found_in_passing_are_refused() {
    let config = Config::new(Rule::Plain, Scaling::Row, Outputs::Rowwise, ScaleLayout::Linear);
    let config = config.expect("valid");
    let new =
        |source| QuantizeSetup::new(&config, InputType::F32, [16, 32], source).expect("valid");
    let error =
        ReductionSetup::new(&[new(AmaxSource::Input)], Split::Columns).expect_err("one pass");
    assert_eq!(error, DeviceError::AmaxInPassing);
    let reduction = ReductionSetup::new(&[new(AmaxSource::InputApart)], Split::Columns);
    assert_eq!(reduction.expect("a pass of its own").count(), 16);
    // A rank's own rows have nothing to do with the others'.
    let reduction = ReductionSetup::new(&[new(AmaxSource::InputApart)], Split::Rows);
    assert_eq!(reduction.expect("a pass of its own").count(), 0);
}
