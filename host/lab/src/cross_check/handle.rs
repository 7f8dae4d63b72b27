//! The ways to use a device handle: each must end in the CPU's bits.

use std::sync::Arc;

use cudarc::driver::{CudaGraph, CudaSlice, CudaStream, sys};
use fouroversix::cuda::internals::{self as memory, check};
use fouroversix::cuda::{AmaxSource, Device, DeviceError, DeviceQuantized, QuantizeAddresses};
use fouroversix::{
    Config, Element, Error, InputType, Outputs, RandomState, Rounding, Rule, ScaleLayout, Scaling,
    quantize_outputs,
};
use fouroversix_conformance::case::every_rule;
use half::{bf16, f16};

use super::fill::{Distribution, fill};
use super::mode::{Difference, Mode};
use super::report::Report;

/// Checks graphs, the skip flag, groups, threads, `cudarc` slices, refusals and small shapes.
///
/// # Errors
/// [`Error::Device`] when the driver fails.
pub fn handle(device: &Device, progress: &mut dyn FnMut(&str)) -> Result<Vec<Report>, Error> {
    type Check = fn(&Device, &mut Report) -> Result<(), Error>;
    let checks: [(&str, Check); 9] = [
        ("replays of a captured graph", graph),
        ("replays that draw from device memory", random_replays),
        ("skip flag", skip),
        ("groups", groups),
        ("threads", threads),
        ("slices", slices),
        ("amax left in the workspace", workspace),
        ("misaligned and null addresses", refusals),
        ("shapes from 1x16 up", shapes),
    ];
    let run = |(name, check): (&str, Check)| {
        let mut report = Report::new(name.to_owned());
        check(device, &mut report)?;
        progress(&report.to_string());
        Ok(report)
    };
    checks.into_iter().map(run).collect()
}

fn random<T: Element>(seed: u64, shape: [usize; 2]) -> Vec<T> {
    let mut input = vec![T::from_f32(0.0); shape[0] * shape[1]];
    fill(Distribution::Normal, seed, &mut input);
    input
}

fn both(rule: Rule, scaling: Scaling) -> Config {
    Config::new(rule, scaling, Outputs::Both, ScaleLayout::Swizzled128x4).expect("defined")
}

/// An input, outputs and their addresses, for launches with raw addresses on one stream.
struct Bench {
    stream: Arc<CudaStream>,
    input: CudaSlice<u8>,
    out: DeviceQuantized,
    at: QuantizeAddresses,
}

impl Bench {
    fn new(
        device: &Device,
        quantizer: &fouroversix::cuda::Quantizer,
        input: &[bf16],
    ) -> Result<Self, Error> {
        let stream = device.stream()?;
        let mut memory = memory::allocate(&stream, size_of_val(input))?;
        memory::upload(&stream, memory::Elements::of(input), &mut memory)?;
        let out = quantizer.allocate(&stream)?;
        let mut at = out.addresses(&stream);
        at.input = memory::address(&memory, &stream);
        Ok(Self { stream, input: memory, out, at })
    }

    /// A launch as a graph, which must not outlive the memory.
    fn capture(&self, quantizer: &fouroversix::cuda::Quantizer) -> Result<CudaGraph, Error> {
        let stream = &self.stream;
        check("wait for the device", stream.synchronize())?;
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        check("begin a capture", stream.begin_capture(mode))?;
        // SAFETY: the memory has the shape that was prepared.
        let launched = unsafe { quantizer.launch(&self.at, stream.cu_stream()) };
        let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0));
        launched?;
        Ok(check("instantiate a graph", graph)?.expect("a capture gives a graph"))
    }

    fn compare(&self, config: &Config, input: &[bf16], report: &mut Report) -> Result<(), Error> {
        let shape = [input.len() / SHAPE[1], SHAPE[1]];
        let expected = quantize_outputs(input, shape, config, None)?;
        let difference = Difference::between(&expected, &self.out.to_host(&self.stream)?);
        report.add(input.len(), difference, |_| format!("{config:?}"));
        Ok(())
    }
}

const SHAPE: [usize; 2] = [272, 1040];

fn graph(device: &Device, report: &mut Report) -> Result<(), Error> {
    for (rule, scaling) in every_rule().into_iter().zip([Scaling::Tensor, Scaling::Tile].repeat(5))
    {
        let config = both(rule, scaling);
        let quantizer = device.quantizer(&config, InputType::Bf16, SHAPE, AmaxSource::Input)?;
        let mut bench = Bench::new(device, &quantizer, &random(1, SHAPE))?;
        let stream = bench.stream.clone();
        let graph = bench.capture(&quantizer)?;
        for seed in 2..5 {
            let mut input = random::<bf16>(seed, SHAPE);
            // Another amax each time.
            input[7] = bf16::from_f32(4.0 + seed as f32);
            memory::upload(&stream, memory::Elements::of(&input), &mut bench.input)?;
            check("launch a graph", graph.launch())?;
            bench.compare(&config, &input, report)?;
        }
    }
    Ok(())
}

/// Seed and offset change between replays, and nothing else: each replay draws by what it finds (step T3).
fn random_replays(device: &Device, report: &mut Report) -> Result<(), Error> {
    let first = RandomState { seed: 7, offset: 0 };
    for (rule, scaling) in every_rule().into_iter().zip([Scaling::Tensor, Scaling::Tile].repeat(5))
    {
        let config =
            both(rule, scaling).to_builder().rounding(Rounding::Stochastic(first)).build()?;
        let quantizer = device.quantizer(&config, InputType::Bf16, SHAPE, AmaxSource::Input)?;
        let input = random(1, SHAPE);
        let mut bench = Bench::new(device, &quantizer, &input)?;
        let stream = bench.stream.clone();
        let mut state = memory::zeroed(&stream, 16)?;
        bench.at.random_state = memory::address(&state, &stream);
        let graph = bench.capture(&quantizer)?;
        for state_of_replay in [
            first,
            RandomState { seed: 7, offset: 1 },
            RandomState { seed: u64::MAX, offset: 1 << 62 },
        ] {
            let RandomState { seed, offset } = state_of_replay;
            memory::upload(&stream, &[seed, offset], &mut state)?;
            check("launch a graph", graph.launch())?;
            let rounding = Rounding::Stochastic(state_of_replay);
            let expected = config.to_builder().rounding(rounding).build()?;
            bench.compare(&expected, &input, report)?;
        }
    }
    Ok(())
}

fn skip(device: &Device, report: &mut Report) -> Result<(), Error> {
    for scaling in [Scaling::Tensor, Scaling::Tile] {
        let config = both(every_rule()[4], scaling);
        let quantizer = device.quantizer(&config, InputType::Bf16, SHAPE, AmaxSource::Input)?;
        let (first, second) = (random::<bf16>(1, SHAPE), random::<bf16>(2, SHAPE));
        let mut bench = Bench::new(device, &quantizer, &first)?;
        let mut flag = memory::zeroed(&bench.stream, 4)?;
        bench.at.skip = memory::address(&flag, &bench.stream);
        // SAFETY: the bench's memory has the shape that was prepared.
        unsafe { quantizer.launch(&bench.at, bench.stream.cu_stream())? };
        bench.compare(&config, &first, report)?;
        let elements = memory::Elements::of(&second);
        memory::upload(&bench.stream, elements, &mut bench.input)?;
        memory::upload(&bench.stream, &[1u32], &mut flag)?;
        // SAFETY: as above.
        unsafe { quantizer.launch(&bench.at, bench.stream.cu_stream())? };
        // Skipped: still the first input's.
        bench.compare(&config, &first, report)?;
        memory::upload(&bench.stream, &[0u32], &mut flag)?;
        // SAFETY: as above.
        unsafe { quantizer.launch(&bench.at, bench.stream.cu_stream())? };
        bench.compare(&config, &second, report)?;
    }
    Ok(())
}

fn groups(device: &Device, report: &mut Report) -> Result<(), Error> {
    let rows = [16, 0, 128, 272, 1040, 48, 32, 4112];
    let stream = device.stream()?;
    // Groups have no transforms.
    let grouped = |mode: &Mode| mode.element == InputType::Bf16 && !mode.transform;
    for mode in Mode::all().into_iter().filter(grouped) {
        let config = mode.config(ScaleLayout::Swizzled128x4).expect("modes are valid");
        let shapes = rows.map(|rows| [rows, SHAPE[1]]);
        let group = device.group_quantizer(&config, InputType::Bf16, &shapes, AmaxSource::Input)?;
        let mut parts = Vec::new();
        for (seed, shape) in shapes.into_iter().enumerate() {
            let one = device.quantizer(&config, InputType::Bf16, shape, AmaxSource::Input)?;
            let input = random::<bf16>(seed as u64, shape);
            let mut memory = memory::allocate(&stream, size_of_val(input.as_slice()))?;
            memory::upload(&stream, memory::Elements::of(&input), &mut memory)?;
            let out = one.allocate(&stream)?;
            let mut at = out.addresses(&stream);
            at.input = memory::address(&memory, &stream);
            parts.push((input, shape, memory, out, at));
        }
        let addresses: Vec<_> = parts.iter().map(|part| part.4).collect();
        let table = group.table(&stream, &addresses)?;
        // SAFETY: every part's memory was allocated for its shape, on this stream.
        unsafe { group.launch(&table, 0, stream.cu_stream())? };
        for (index, (input, shape, _, out, _)) in parts.iter().enumerate() {
            if !input.is_empty() {
                // As alone, with the random state that the contract gives it (step T3).
                let rounding = match config.rounding() {
                    Rounding::Nearest => Rounding::Nearest,
                    Rounding::Stochastic(state) => {
                        Rounding::Stochastic(state.of_tensor(index as u64))
                    }
                };
                let alone = config.to_builder().rounding(rounding).build()?;
                let expected = quantize_outputs(input, *shape, &alone, None)?;
                let difference = Difference::between(&expected, &out.to_host(&stream)?);
                report.add(input.len(), difference, |_| format!("{shape:?} {config:?}"));
            }
        }
    }
    Ok(())
}

fn threads(device: &Device, report: &mut Report) -> Result<(), Error> {
    let rules = every_rule();
    let parts = std::thread::scope(|scope| {
        let work = |number: usize| {
            let config = both(rules[number], Scaling::Tensor);
            let device = device.clone();
            move || {
                let mut report = Report::new(String::new());
                for seed in 0..20 {
                    let input = random::<f16>(seed, SHAPE);
                    let expected = quantize_outputs(&input, SHAPE, &config, None)?;
                    let actual = device.quantize_outputs(&input, SHAPE, &config, None)?;
                    let difference = Difference::between(&expected, &actual);
                    report.add(input.len(), difference, |_| format!("{config:?}, seed {seed}"));
                }
                Ok::<_, Error>(report)
            }
        };
        let running: Vec<_> = (0..8).map(|number| scope.spawn(work(number))).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    for part in parts {
        let part = part?;
        report.elements += part.elements;
        report.mismatches += part.mismatches;
        report.first_mismatch = report.first_mismatch.take().or(part.first_mismatch);
    }
    Ok(())
}

fn slices(device: &Device, report: &mut Report) -> Result<(), Error> {
    let config = both(every_rule()[8], Scaling::Tile);
    let quantizer = device.quantizer(&config, InputType::F32, SHAPE, AmaxSource::Input)?;
    let streams = [device.stream()?, device.stream()?];
    let mut out = quantizer.allocate(&streams[0])?;
    for seed in 0..4 {
        // Two streams in turns on the same memory: cudarc's events order them.
        let stream = &streams[seed % 2];
        let input = random::<f32>(seed as u64, SHAPE);
        let slice = check("copy to the device", streams[(seed + 1) % 2].clone_htod(&input))?;
        quantizer.quantize(stream, &slice, None, &mut out)?;
        let difference = Difference::between(
            &quantize_outputs(&input, SHAPE, &config, None)?,
            &out.to_host(stream)?,
        );
        report.add(input.len(), difference, |_| format!("seed {seed}"));
    }
    Ok(())
}

/// Delayed scaling: the second input is quantized with the first one's amax.
fn workspace(device: &Device, report: &mut Report) -> Result<(), Error> {
    let config = both(every_rule()[2], Scaling::Tensor);
    let source = AmaxSource::Input;
    let measured = device.quantizer(&config, InputType::Bf16, SHAPE, source)?;
    let reused = device.quantizer(&config, InputType::Bf16, SHAPE, AmaxSource::Workspace)?;
    let (first, second) = (random::<bf16>(1, SHAPE), random::<bf16>(2, SHAPE));
    let mut bench = Bench::new(device, &measured, &first)?;
    // SAFETY: the bench's memory has the shape that was prepared.
    unsafe { measured.launch(&bench.at, bench.stream.cu_stream())? };
    memory::upload(&bench.stream, memory::Elements::of(&second), &mut bench.input)?;
    // SAFETY: as above, and the workspace holds global scales.
    unsafe { reused.launch(&bench.at, bench.stream.cu_stream())? };
    let amax = fouroversix::Amax::Tensor(fouroversix::amax(&first));
    let expected = fouroversix::quantize_outputs(&second, SHAPE, &config, Some(amax))?;
    let difference = Difference::between(&expected, &bench.out.to_host(&bench.stream)?);
    report.add(second.len(), difference, |_| "with the first input's amax".to_owned());
    Ok(())
}

fn refusals(device: &Device, report: &mut Report) -> Result<(), Error> {
    let config = both(Rule::Plain, Scaling::Tensor);
    let quantizer = device.quantizer(&config, InputType::Bf16, SHAPE, AmaxSource::Input)?;
    let input = random::<bf16>(1, SHAPE);
    let bench = Bench::new(device, &quantizer, &input)?;
    let mut wrong = Vec::new();
    for offset in [1, 2, 4, 8] {
        let mut at = [bench.at; 4];
        at[0].input += offset;
        at[1].rowwise.codes += offset;
        at[2].columnwise.scales += offset;
        at[3].workspace += offset;
        wrong.extend(at);
    }
    wrong.push(QuantizeAddresses { input: 0, ..bench.at });
    wrong.push(QuantizeAddresses { skip: bench.at.workspace + 2, ..bench.at });
    for at in wrong {
        // SAFETY: refused before anything is enqueued; were it not, the launch would stay within
        // the device, and fail there.
        let refused = unsafe { quantizer.launch(&at, bench.stream.cu_stream()) };
        let expected = matches!(
            refused.as_ref().map_err(DeviceError::of),
            Err(Some(DeviceError::Misaligned { .. } | DeviceError::Null { .. }))
        );
        let difference = Difference { count: u64::from(!expected), first: None };
        report.add(0, difference, |_| String::new());
    }
    // SAFETY: the bench's memory has the shape that was prepared.
    unsafe { quantizer.launch(&bench.at, bench.stream.cu_stream())? };
    bench.compare(&config, &input, report)
}

fn shapes(device: &Device, report: &mut Report) -> Result<(), Error> {
    for (turn, mode) in Mode::all().into_iter().enumerate() {
        let layout = [ScaleLayout::Linear, ScaleLayout::Swizzled128x4][turn % 2];
        let config = mode.config(layout).expect("modes are valid");
        for rows in [1, 2, 3, 15, 16, 17, 32, 48, 127, 128, 129, 144] {
            for cols in [16, 32, 48, 64, 80, 128, 1008] {
                let rows_in_blocks =
                    mode.scaling == Scaling::Tile || mode.outputs != Outputs::Rowwise;
                if rows_in_blocks && rows % 16 != 0 {
                    continue;
                }
                match mode.element {
                    InputType::Bf16 => one::<bf16>(device, [rows, cols], &config, report)?,
                    InputType::F16 => one::<f16>(device, [rows, cols], &config, report)?,
                    InputType::F32 => one::<f32>(device, [rows, cols], &config, report)?,
                }
            }
        }
    }
    Ok(())
}

fn one<T: Element>(
    device: &Device,
    shape: [usize; 2],
    config: &Config,
    report: &mut Report,
) -> Result<(), Error> {
    let input = random::<T>(3, shape);
    let expected = quantize_outputs(&input, shape, config, None)?;
    let actual = device.quantize_outputs(&input, shape, config, None)?;
    let difference = Difference::between(&expected, &actual);
    report.add(input.len(), difference, |_| format!("{shape:?} {config:?}"));
    Ok(())
}
