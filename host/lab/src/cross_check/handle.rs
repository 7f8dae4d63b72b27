//! The ways to use a device handle: each must end in the CPU's bits.

use fouroversix::cuda::internals::{self as memory, check};
use fouroversix::cuda::{AmaxSource, Device, DeviceError, QuantizeAddresses, Quantizer};
use fouroversix::{
    Config, Element, Error, InputType, Outputs, RandomState, Rounding, Rule, ScaleLayout, Scaling,
    quantize_outputs,
};
use fouroversix_conformance::case::every_rule;
use half::{bf16, f16};

use super::fill::{Distribution, fill};
use super::launched::{Launched, launch_group};
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

/// Memory of `SHAPE` on a stream of its own.
fn launched(
    device: &Device,
    quantizer: Quantizer,
    input: &[bf16],
) -> Result<Launched<bf16>, Error> {
    Launched::new(&device.stream()?, quantizer, SHAPE, input.to_vec())
}

/// Adds how the outputs compare with the CPU's of their input.
fn compare(report: &mut Report, at: &Launched<bf16>, config: &Config) -> Result<(), Error> {
    report.add(at.input.len(), at.difference_from_cpu(config)?, |_| format!("{config:?}"));
    Ok(())
}

const SHAPE: [usize; 2] = [272, 1040];

fn graph(device: &Device, report: &mut Report) -> Result<(), Error> {
    for (rule, scaling) in every_rule().into_iter().zip([Scaling::Tensor, Scaling::Tile].repeat(5))
    {
        let config = both(rule, scaling);
        let quantizer = device.quantizer(&config, InputType::Bf16, SHAPE, AmaxSource::Input)?;
        let mut launched = launched(device, quantizer, &random(1, SHAPE))?;
        let graph = launched.capture()?;
        for seed in 2..5 {
            let mut input = random::<bf16>(seed, SHAPE);
            // Another amax each time.
            input[7] = bf16::from_f32(4.0 + seed as f32);
            launched.replace(input)?;
            check("launch a graph", graph.launch())?;
            compare(report, &launched, &config)?;
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
        let mut launched = launched(device, quantizer, &random(1, SHAPE))?;
        let stream = launched.stream.clone();
        let mut state = memory::zeroed(&stream, 16)?;
        launched.at.random_state = memory::address(&state, &stream);
        let graph = launched.capture()?;
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
            compare(report, &launched, &expected)?;
        }
    }
    Ok(())
}

fn skip(device: &Device, report: &mut Report) -> Result<(), Error> {
    for scaling in [Scaling::Tensor, Scaling::Tile] {
        let config = both(every_rule()[4], scaling);
        let quantizer = device.quantizer(&config, InputType::Bf16, SHAPE, AmaxSource::Input)?;
        let (first, second) = (random::<bf16>(1, SHAPE), random::<bf16>(2, SHAPE));
        let mut launched = launched(device, quantizer, &first)?;
        let mut flag = memory::zeroed(&launched.stream, 4)?;
        launched.at.skip = memory::address(&flag, &launched.stream);
        launched.launch()?;
        compare(report, &launched, &config)?;
        launched.replace(second)?;
        memory::upload(&launched.stream, &[1u32], &mut flag)?;
        launched.launch()?;
        // Skipped: still the first input's.
        let difference = launched.difference(&quantize_outputs(&first, SHAPE, &config, None)?)?;
        report.add(first.len(), difference, |_| format!("{config:?}"));
        memory::upload(&launched.stream, &[0u32], &mut flag)?;
        launched.launch()?;
        compare(report, &launched, &config)?;
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
        let tensors = rows.into_iter().enumerate().map(|(seed, rows)| {
            let shape = [rows, SHAPE[1]];
            (shape, random::<bf16>(seed as u64, shape))
        });
        for (part, difference) in launch_group(device, &stream, &config, tensors.collect())? {
            report.add(part.input.len(), difference, |_| format!("{:?} {config:?}", part.shape));
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
        report.merge(part?);
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
    let mut launched = launched(device, measured, &first)?;
    launched.launch()?;
    launched.replace(second)?;
    // SAFETY: the memory has the shape that was prepared, and the workspace holds global scales.
    unsafe { reused.launch(&launched.at, launched.stream.cu_stream())? };
    let amax = fouroversix::Amax::Tensor(fouroversix::amax(&first));
    let expected = quantize_outputs(&launched.input, SHAPE, &config, Some(amax))?;
    let difference = launched.difference(&expected)?;
    report.add(launched.input.len(), difference, |_| "with the first input's amax".to_owned());
    Ok(())
}

fn refusals(device: &Device, report: &mut Report) -> Result<(), Error> {
    let config = both(Rule::Plain, Scaling::Tensor);
    let quantizer = device.quantizer(&config, InputType::Bf16, SHAPE, AmaxSource::Input)?;
    let launched = launched(device, quantizer, &random(1, SHAPE))?;
    let mut wrong = Vec::new();
    for offset in [1, 2, 4, 8] {
        let mut at = [launched.at; 4];
        at[0].input += offset;
        at[1].rowwise.codes += offset;
        at[2].columnwise.scales += offset;
        at[3].workspace += offset;
        wrong.extend(at);
    }
    wrong.push(QuantizeAddresses { input: 0, ..launched.at });
    wrong.push(QuantizeAddresses { skip: launched.at.workspace + 2, ..launched.at });
    for at in wrong {
        // SAFETY: refused before anything is enqueued; were it not, the launch would stay within
        // the device, and fail there.
        let refused = unsafe { launched.quantizer.launch(&at, launched.stream.cu_stream()) };
        let expected = matches!(
            refused.as_ref().map_err(DeviceError::of),
            Err(Some(DeviceError::Misaligned { .. } | DeviceError::Null { .. }))
        );
        let difference = Difference { count: u64::from(!expected), first: None };
        report.add(0, difference, |_| String::new());
    }
    launched.launch()?;
    compare(report, &launched, &config)
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
