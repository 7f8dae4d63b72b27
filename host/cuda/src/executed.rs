//! The launches as they are planned, run by the PTX executor: the parameters,
//! grids and workspaces that a device would get, without one.

use fouroversix_core::abi::{GlobalScale, QuantizeParams, TrainingParams, TransformAmaxParams};
use fouroversix_core::launch::{self, Launch};
use fouroversix_core::{
    Amax, Config, E4m3Max, InputType, InstructionSet, Nvfp4Tensor, Outputs, Panel, Quantized,
    RandomState, Rounding, Rule, ScaleLayout, Scaling, SignMask, Transforms,
};
use fouroversix_cpu::{self as cpu, Path};
use fouroversix_ptx as ptx;
use fouroversix_ptx_executor::{Machine, Module};

use super::address::{OutputAddresses, QuantizeAddresses};
use super::dequantizer::{AmaxLayout, DequantizeAddresses, DequantizeConfig, DequantizeSetup};
use super::setup::{AmaxSource, QuantizeSetup};

const SHAPE: [usize; 2] = [128, 64];

pub(super) fn quantize(
    input: &[f32],
    shape: [usize; 2],
    config: &Config,
    amax: Option<Amax<'_>>,
) -> Quantized {
    cpu::quantize_outputs(Path::best(), input, shape, config, amax).expect("valid")
}

pub(super) fn run<P: Copy>(machine: &mut Machine, launch: &Launch, params: &P) {
    let text = ptx::source(InstructionSet::Sm89, launch.kernel);
    let module = Module::parse(text.expect("every kernel is shipped")).expect("valid PTX");
    // SAFETY: the parameter structs are plain data without padding.
    let bytes =
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(params).cast(), size_of::<P>()) };
    let Launch { kernel, grid, threads, shared_bytes } = launch;
    let done =
        machine.launch(&module, &kernel.name(), *grid, [*threads, 1, 1], *shared_bytes, bytes);
    done.unwrap_or_else(|fault| panic!("{kernel}: {fault:?}"));
}

/// Runs a quantize kernel on as much of the parameter as it takes.
pub(super) fn run_quantize(machine: &mut Machine, launch: &Launch, params: &TrainingParams) {
    if launch.kernel.takes_training() {
        run(machine, launch, params);
    } else {
        run(machine, launch, &params.quantize);
    }
}

/// Runs an amax kernel on as much of the parameter as it takes.
pub(super) fn run_amax(machine: &mut Machine, launch: &Launch, params: &TransformAmaxParams) {
    if launch.kernel.transforms() {
        run(machine, launch, params);
    } else {
        run(machine, launch, &params.amax);
    }
}

fn input() -> Vec<f32> {
    let noise = |i: usize| (i.wrapping_mul(0x9E37_79B9) >> 7) as f32 / 1e8;
    (0..SHAPE[0] * SHAPE[1]).map(|i| (noise(i) - 0.17) * (1.0 + (i / 80) as f32)).collect()
}

pub(super) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Allocates what a setup's launches touch.
pub(super) fn place(
    machine: &mut Machine,
    setup: &QuantizeSetup,
    input: &[f32],
    amax: [&[f32]; 2],
    skip: u32,
) -> QuantizeAddresses {
    let memory = &mut machine.memory;
    let [rows, cols] = setup.shape;
    let mut output = |wanted: bool, [rows, cols]: [usize; 2]| {
        let mut allocate = |bytes: usize| if wanted { memory.alloc(bytes) } else { 0 };
        let codes = allocate(rows * cols / 2);
        let scales = allocate(setup.config.scale_layout().bytes(rows, cols));
        OutputAddresses { codes, scales }
    };
    let outputs = setup.config.outputs();
    let mut at = QuantizeAddresses {
        rowwise: output(outputs.rowwise(), [rows, cols]),
        columnwise: output(outputs.columnwise(), [cols, rows]),
        ..QuantizeAddresses::default()
    };
    at.input = memory.alloc_from(&floats(input));
    at.row_amax = memory.alloc_from(&floats(amax[0]));
    at.column_amax = memory.alloc_from(&floats(amax[1]));
    at.workspace = memory.alloc_from(&vec![0; setup.workspace.bytes()]);
    at.skip = memory.alloc_from(&skip.to_le_bytes());
    at
}

/// Runs a setup on a fresh machine as [`super::Quantizer::launch`] does.
fn execute(
    setup: &QuantizeSetup,
    input: &[f32],
    amax: [&[f32]; 2],
    skip: u32,
) -> (Machine, QuantizeAddresses) {
    let mut machine = Machine::new();
    let at = place(&mut machine, setup, input, amax, skip);
    for (step, launch) in setup.amax_launches(1).expect("planned") {
        run_amax(&mut machine, &launch, &setup.amax_params(step, &at).expect("aligned"));
    }
    let launch = setup.quantize_launch().expect("planned").expect("not empty");
    run_quantize(&mut machine, &launch, &setup.quantize_params(&at).expect("aligned"));
    (machine, at)
}

/// Reads what was written, as [`super::DeviceQuantized::to_host`] does.
pub(super) fn fetch(
    setup: &QuantizeSetup,
    machine: &mut Machine,
    at: &QuantizeAddresses,
) -> Quantized {
    let layout = setup.config.scale_layout();
    let mut read = |output: OutputAddresses, [rows, cols]: [usize; 2], globals: (usize, usize)| {
        let mut bytes = |at: u64, count| machine.memory.read(at, count).expect("all was written");
        let codes = bytes(output.codes, rows * cols / 2);
        let scales = bytes(output.scales, layout.bytes(rows, cols));
        let (offset, count) = globals;
        let size = size_of::<GlobalScale>();
        let scalars = bytes(at.workspace + offset as u64, count * size);
        let amax = scalars.chunks(size).map(|it| f32::from_le_bytes([it[0], it[1], it[2], it[3]]));
        let bound = setup.config.rule().e4m3_max();
        Nvfp4Tensor::from_parts(codes, scales, amax.collect(), [rows, cols], layout, bound)
            .expect("lengths are right")
    };
    let [rows, cols] = setup.shape;
    let outputs = setup.config.outputs();
    let rowwise =
        outputs.rowwise().then(|| read(at.rowwise, [rows, cols], setup.row_global_scales()));
    let columnwise = outputs
        .columnwise()
        .then(|| read(at.columnwise, [cols, rows], setup.column_global_scales()));
    Quantized { rowwise, columnwise }
}

fn setup(config: &Config, source: AmaxSource) -> QuantizeSetup {
    QuantizeSetup::new(config, InputType::F32, SHAPE, source).expect("a valid shape")
}

#[test]
fn set_up_launches_quantize_like_the_cpu() {
    let input = input();
    for scaling in [Scaling::Tensor, Scaling::Row, Scaling::Tile] {
        for outputs in [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both] {
            for (turn, rule) in Rule::ALL.into_iter().enumerate() {
                let layout = [ScaleLayout::Linear, ScaleLayout::Swizzled128x4][turn % 2];
                let Ok(config) = Config::new(rule, scaling, outputs, layout) else { continue };
                let setup = setup(&config, AmaxSource::Input);
                let (mut machine, at) = execute(&setup, &input, [&[], &[]], 0);
                let expected = quantize(&input, SHAPE, &config, None);
                let actual = fetch(&setup, &mut machine, &at);
                assert_eq!(actual, expected, "{config:?}");
                let counters = machine.memory.read(at.workspace, 16).expect("written");
                assert_eq!(counters, [0; 16], "ready for the next launch");
            }
        }
    }
}

/// Stochastic rounding, its state in the parameter and in memory; transforms; panels.
#[test]
fn training_modes_quantize_like_the_cpu() {
    let input = input();
    let state = RandomState { seed: 0x0123_4567_89AB_CDEF, offset: u64::MAX };
    let masks = [None, Some(SignMask::TRANSFORMER_ENGINE), Some(SignMask(0x00FF))];
    for scaling in [Scaling::Tensor, Scaling::Row, Scaling::Tile] {
        for outputs in [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both] {
            for (turn, rule) in [Rule::Plain, Rule::MAE, Rule::MSE_FAST].into_iter().enumerate() {
                let transforms = Transforms {
                    rowwise: masks[turn].filter(|_| outputs.rowwise()),
                    columnwise: masks[(turn + 1) % 3].filter(|_| outputs.columnwise()),
                };
                for transforms in [Transforms::NONE, transforms] {
                    let builder = Config::builder().rule(rule).scaling(scaling).outputs(outputs);
                    let builder = builder.rounding(Rounding::Stochastic(state));
                    let Ok(config) = builder.transforms(transforms).build() else { continue };
                    let setup = setup(&config, AmaxSource::Input);
                    let (mut machine, mut at) = execute(&setup, &input, [&[], &[]], 0);
                    let expected = quantize(&input, SHAPE, &config, None);
                    assert_eq!(fetch(&setup, &mut machine, &at), expected, "{config:?}");

                    let other = RandomState { offset: 7, ..state };
                    let words = [other.seed, other.offset].map(u64::to_le_bytes).concat();
                    at.random_state = machine.memory.alloc_from(&words);
                    let launch = setup.quantize_launch().expect("planned").expect("not empty");
                    let params = setup.quantize_params(&at).expect("aligned");
                    run_quantize(&mut machine, &launch, &params);
                    let builder = config.to_builder().rounding(Rounding::Stochastic(other));
                    let expected = quantize(&input, SHAPE, &builder.build().expect("valid"), None);
                    assert_eq!(fetch(&setup, &mut machine, &at), expected, "{config:?}");
                }
            }
        }
    }
}

#[test]
fn panels_have_the_random_bytes_of_the_whole() {
    let input = input();
    let state = RandomState { seed: 5, offset: 6 };
    for scaling in [Scaling::Tensor, Scaling::Tile] {
        let panel = Panel { first_row: 1 << 20, rows: 1 << 22 };
        let config = Config::builder().rule(Rule::MAE).scaling(scaling).outputs(Outputs::Both);
        let config = config.rounding(Rounding::Stochastic(state)).panel(panel).build();
        let config = config.expect("valid");
        let setup = setup(&config, AmaxSource::Input);
        let (mut machine, at) = execute(&setup, &input, [&[], &[]], 0);
        let expected = quantize(&input, SHAPE, &config, None);
        assert_eq!(fetch(&setup, &mut machine, &at), expected, "{scaling:?}");
    }
}

#[test]
fn supplied_amaxes_reach_their_outputs() {
    let input = input();
    let rows: Vec<f32> = (0..SHAPE[0]).map(|i| 0.5 + i as f32).collect();
    let columns: Vec<f32> = (0..SHAPE[1]).map(|i| 7.0 + i as f32).collect();
    for scaling in [Scaling::Tensor, Scaling::Row, Scaling::Tile] {
        for outputs in [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both] {
            let layout = ScaleLayout::Linear;
            let config = Config::new(Rule::Plain, scaling, outputs, layout).expect("plain");
            let setup = setup(&config, AmaxSource::Supplied);
            let (row_amax, amax) = if scaling == Scaling::Row {
                (&rows[..], Amax::RowsAndColumns { rows: &rows, columns: &columns })
            } else {
                (&rows[9..10], Amax::Tensor(rows[9]))
            };
            let (mut machine, at) = execute(&setup, &input, [row_amax, &columns], 0);
            let expected = quantize(&input, SHAPE, &config, Some(amax));
            assert_eq!(fetch(&setup, &mut machine, &at), expected, "{config:?}");
        }
    }
}

#[test]
fn a_skip_flag_leaves_memory_as_it_is() {
    let rules = Rule::ALL;
    for (scaling, outputs) in [
        (Scaling::Tensor, Outputs::Rowwise),
        (Scaling::Tile, Outputs::Both),
        (Scaling::Row, Outputs::Rowwise),
    ] {
        let config = Config::new(rules[1], scaling, outputs, ScaleLayout::Swizzled128x4);
        let setup = setup(&config.expect("valid"), AmaxSource::Input);
        let (mut machine, at) = execute(&setup, &input(), [&[], &[]], 1);
        let workspace = machine.memory.read(at.workspace, setup.workspace.bytes());
        assert!(workspace.expect("was zeroed").iter().all(|byte| *byte == 0));
        for address in [at.rowwise.codes, at.rowwise.scales] {
            let written = machine.memory.written(address, 64).expect("allocated");
            assert!(!written.contains(&true), "{scaling:?} {outputs:?}");
        }
    }
}

#[test]
fn set_up_launches_dequantize_like_the_cpu() {
    let [rows, cols] = SHAPE;
    for layout in [ScaleLayout::Linear, ScaleLayout::Swizzled128x4] {
        for (rule, scaling) in Rule::ALL.into_iter().zip([Scaling::Row, Scaling::Tensor].repeat(5))
        {
            let config = Config::new(rule, scaling, Outputs::Rowwise, layout).expect("rowwise");
            let tensor = quantize(&input(), SHAPE, &config, None).rowwise;
            let tensor = tensor.expect("rowwise");
            let amax = if scaling == Scaling::Row { AmaxLayout::Rows } else { AmaxLayout::Tensor };
            let bound: E4m3Max = tensor.e4m3_max();
            let to = DequantizeConfig::new(InputType::F32, bound)
                .with_scale_layout(layout)
                .with_amax_layout(amax);
            let setup = DequantizeSetup::new(&to, SHAPE);
            let setup = setup.expect("a valid shape");
            let mut machine = Machine::new();
            let memory = &mut machine.memory;
            let at = DequantizeAddresses {
                codes: memory.alloc_from(tensor.codes()),
                scales: memory.alloc_from(tensor.scales()),
                amax: memory.alloc_from(&floats(tensor.global_amax())),
                output: memory.alloc(rows * cols * 4),
                skip: 0,
            };
            let launch = setup.launch().expect("planned").expect("not empty");
            run(&mut machine, &launch, &setup.params(&at).expect("aligned"));
            let actual = machine.memory.read(at.output, rows * cols * 4).expect("all written");
            let mut expected = vec![0.0f32; SHAPE[0] * SHAPE[1]];
            cpu::dequantize_into(Path::best(), tensor.view(), &mut expected).expect("valid");
            assert!(actual == floats(&expected), "{config:?}");
        }
    }
}

#[test]
fn a_group_is_quantized_tensor_by_tensor() {
    let input = input();
    for (scaling, outputs) in [
        (Scaling::Tensor, Outputs::Rowwise),
        (Scaling::Tile, Outputs::Rowwise),
        (Scaling::Row, Outputs::Rowwise),
    ] {
        let config = Config::new(Rule::ALL[6], scaling, outputs, ScaleLayout::Swizzled128x4);
        let config = config.expect("valid");
        let new = |[rows, cols]: [usize; 2]| {
            let setup =
                QuantizeSetup::for_group(&config, InputType::F32, [rows, cols], AmaxSource::Input);
            (setup.expect("valid"), &input[..rows * cols])
        };
        let group = [[16, 80], [0, 80], [48, 144], [32, 16]].map(new);
        let mut machine = Machine::new();
        let mut entries = Vec::new();
        let mut placed = Vec::new();
        for (setup, input) in &group {
            let at = place(&mut machine, setup, input, [&[], &[]], 0);
            for (step, launch) in setup.amax_launches(1).expect("planned") {
                run_amax(&mut machine, &launch, &setup.amax_params(step, &at).expect("aligned"));
            }
            entries.push(setup.tensor(&at).expect("aligned"));
            placed.push(at);
        }
        let shapes = group.each_ref().map(|(setup, _)| setup.shape);
        let launch = launch::quantize_grouped(&config, InputType::F32, &shapes).expect("valid");
        // SAFETY: plain data without padding.
        let table = unsafe {
            std::slice::from_raw_parts(entries.as_ptr().cast(), size_of_val(entries.as_slice()))
        };
        let group_address = machine.memory.alloc_from(table);
        let flags = launch::flags(&config);
        let params = QuantizeParams { group: group_address, flags, ..QuantizeParams::default() };
        run(&mut machine, &launch, &params);
        for ((setup, input), at) in group.iter().zip(&placed) {
            if input.is_empty() {
                continue;
            }
            let expected = quantize(input, setup.shape, &config, None);
            assert_eq!(fetch(setup, &mut machine, at), expected, "{config:?}");
        }
    }
}

#[test]
fn a_copy_writes_the_bytes_of_every_output() {
    let input = input();
    for outputs in [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both] {
        let config = Config::new(Rule::Plain, Scaling::Tensor, outputs, ScaleLayout::Linear);
        let setup = setup(&config.expect("plain"), AmaxSource::Input);
        let mut machine = Machine::new();
        let at = place(&mut machine, &setup, &input, [&[], &[]], 0);
        let launch = launch::copy_quantize(InputType::F32, SHAPE).expect("valid");
        run(&mut machine, &launch, &setup.copy_params(&at).expect("aligned"));
        let [rows, cols] = SHAPE;
        for output in [at.rowwise, at.columnwise] {
            if output.codes != 0 {
                machine.memory.read(output.codes, rows * cols / 2).expect("all written");
                machine.memory.read(output.scales, rows * cols / 16).expect("all written");
            }
        }
    }
}
