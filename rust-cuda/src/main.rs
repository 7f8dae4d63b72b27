//! Loads the PTX that `rustc_codegen_nvvm` made, quantizes a tensor with it by `cust`, and compares
//! codes, scales and amax with the reference, bit for bit.

use std::error::Error;
use std::mem::size_of;
use std::process::ExitCode;

use cust::context::Context;
use cust::device::{Device, DeviceAttribute};
use cust::function::{BlockSize, GridSize};
use cust::launch;
use cust::memory::{CopyDestination, DeviceBuffer, DeviceCopy};
use cust::module::Module;
use cust::stream::{Stream, StreamFlags};
use fouroversix_core::abi::{AmaxParams, GlobalScale, QuantizeParams, QuantizeTensor};
use fouroversix_core::config::{Config, E4m3Max, ErrorPath, InputType, Metric, Rule};
use fouroversix_core::launch::{self as contract, Launch};
use fouroversix_reference as reference;

static PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

const ROWS: usize = 256;
const COLS: usize = 512;

/// The rules to try, in the library's words and in the reference's, which has its own.
const RULES: [(Rule, reference::Rule); 3] = [
    (Rule::Plain, reference::Rule::Plain),
    (
        Rule::FourOverSix {
            metric: Metric::Mae,
            error_path: ErrorPath::Strict,
            e4m3_max: E4m3Max::M448,
        },
        reference::Rule::FourOverSix {
            metric: reference::Metric::Mae,
            error_path: reference::ErrorPath::Strict,
            e4m3_max: reference::E4m3Max::M448,
        },
    ),
    (
        Rule::FourOverSix {
            metric: Metric::Mse,
            error_path: ErrorPath::Fast,
            e4m3_max: E4m3Max::M256,
        },
        reference::Rule::FourOverSix {
            metric: reference::Metric::Mse,
            error_path: reference::ErrorPath::Fast,
            e4m3_max: reference::E4m3Max::M256,
        },
    ),
];

/// A kernel's parameter. The derive macro of `cust` can't reach the types of another crate.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Parameter<T>(T);

// SAFETY: the parameters of the launch contract are plain integers, made to be copied to a device.
unsafe impl DeviceCopy for Parameter<QuantizeParams> {}
// SAFETY: as above.
unsafe impl DeviceCopy for Parameter<AmaxParams> {}

/// A module on a device and a stream to launch its kernels on. Dropped before the context.
struct Kernels {
    module: Module,
    stream: Stream,
    multiprocessors: u32,
}

/// What a quantization leaves: `[ROWS, COLS/2]` codes, `[ROWS, COLS/16]` scales, the amax.
struct Output {
    codes: Vec<u8>,
    scales: Vec<u8>,
    amax: f32,
}

impl Kernels {
    fn load() -> Result<Self, Box<dyn Error>> {
        let multiprocessors =
            Device::get_device(0)?.get_attribute(DeviceAttribute::MultiprocessorCount)?;
        Ok(Self {
            module: Module::from_ptx(PTX, &[])?,
            stream: Stream::new(StreamFlags::NON_BLOCKING, None)?,
            multiprocessors: multiprocessors as u32,
        })
    }

    /// Enqueues a kernel.
    ///
    /// # Safety
    /// `params` must be the kernel's, and its addresses valid as the launch contract says until the
    /// stream is synchronized.
    unsafe fn launch<T: Copy>(&self, launch: &Launch, params: T) -> Result<(), Box<dyn Error>>
    where
        Parameter<T>: DeviceCopy,
    {
        let [x, y, z] = launch.grid;
        let (grid, block) =
            (GridSize::xyz(x as _, y as _, z as _), BlockSize::x(launch.threads as _));
        let function = self.module.get_function(launch.kernel.name().as_str())?;
        let (stream, params) = (&self.stream, Parameter(params));
        // SAFETY: the caller's promise.
        unsafe { launch!(function<<<grid, block, launch.shared_bytes, stream>>>(params))? };
        Ok(())
    }

    /// Quantizes `x`, `[ROWS, COLS]` bfloat16 bits.
    fn quantize(&self, x: &[u16], rule: Rule) -> Result<Output, Box<dyn Error>> {
        let config = Config::rowwise(rule);
        let input = DeviceBuffer::from_slice(x)?;
        let codes = DeviceBuffer::from_slice(&vec![0xA5u8; ROWS * COLS / 2])?;
        let scales = DeviceBuffer::from_slice(&vec![0xA5u8; ROWS * COLS / 16])?;
        let global = DeviceBuffer::from_slice(&[0u32; size_of::<GlobalScale>() / 4])?;
        let workspace = DeviceBuffer::from_slice(&[0u32; 2])?;

        let amax = AmaxParams {
            input: input.as_device_ptr().as_raw(),
            global: global.as_device_ptr().as_raw(),
            workspace: workspace.as_device_ptr().as_raw(),
            rows: 1,
            cols: x.len() as u64,
            flags: contract::rule_flags(rule),
            ..AmaxParams::default()
        };
        let quantize = QuantizeParams {
            tensor: QuantizeTensor {
                input: input.as_device_ptr().as_raw(),
                codes: codes.as_device_ptr().as_raw(),
                scales: scales.as_device_ptr().as_raw(),
                global: global.as_device_ptr().as_raw(),
                ..contract::tensor([ROWS, COLS])
            },
            flags: contract::flags(&config),
            ..QuantizeParams::default()
        };
        let first = contract::amax(InputType::Bf16, x.len() as u64, self.multiprocessors);
        let second = contract::quantize(&config, InputType::Bf16, [ROWS, COLS])?;
        // SAFETY: the parameters are those kernels'; the buffers have the sizes that the contract
        // gives for the shape, are at least 256-byte aligned and outlive the synchronization.
        unsafe {
            self.launch(&first, amax)?;
            self.launch(&second, quantize)?;
        }
        self.stream.synchronize()?;

        let mut output =
            Output { codes: vec![0; codes.len()], scales: vec![0; scales.len()], amax: 0.0 };
        let mut words = [0u32; size_of::<GlobalScale>() / 4];
        codes.copy_to(&mut output.codes)?;
        scales.copy_to(&mut output.scales)?;
        global.copy_to(&mut words)?;
        output.amax = f32::from_bits(words[0]);
        Ok(output)
    }
}

/// Numbers of many magnitudes from a fixed seed, and among them the special ones.
fn tensor() -> Vec<u16> {
    let mut state = 0x4F53_1604_u32;
    let mut x: Vec<u16> = (0..ROWS * COLS)
        .map(|_| {
            // xorshift32; exponents 2⁻⁸ to 2⁷ keep every block's scale in range.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let (sign, fraction) = (state & 0x8000, state >> 16 & 0x7F);
            let exponent = 119 + (state >> 24) % 16;
            (sign | exponent << 7 | fraction) as u16
        })
        .collect();
    x[..16].fill(0);
    x[16..32].fill(0x8000);
    x[32] = 0x7FC0;
    x[48..64].fill(0x0001);
    x
}

/// The number of differing bytes, the first of them printed.
fn differences(what: &str, expected: &[u8], actual: &[u8]) -> usize {
    assert_eq!(expected.len(), actual.len(), "{what}");
    let mut wrong = (0..expected.len()).filter(|at| expected[*at] != actual[*at]);
    let Some(first) = wrong.next() else { return 0 };
    let (want, got) = (expected[first], actual[first]);
    println!("  {what} byte {first}: expected {want:#04x}, is {got:#04x}");
    1 + wrong.count()
}

fn run() -> Result<bool, Box<dyn Error>> {
    let _context: Context = cust::quick_init()?;
    let kernels = Kernels::load()?;
    println!("{}, kernels for {}", Device::get_device(0)?.name()?, env!("FOUROVERSIX_ISA"));
    let x = tensor();
    let values: Vec<f32> = x.iter().map(|bits| f32::from_bits(u32::from(*bits) << 16)).collect();
    let mut equal = true;
    for (rule, reference_rule) in RULES {
        let scaling = reference::Scaling::Tensor;
        let expected = reference::quantize(&values, ROWS, COLS, reference_rule, scaling, None)?;
        let actual = kernels.quantize(&x, rule)?;
        let amax = [expected.global_amax[0], actual.amax].map(|amax| amax.to_bits().to_le_bytes());
        let wrong = differences("codes", &expected.codes, &actual.codes)
            + differences("scales", &expected.scales, &actual.scales)
            + differences("amax", &amax[0], &amax[1]);
        println!("{rule:?}: {ROWS} x {COLS}, {wrong} bytes differ from the reference");
        equal &= wrong == 0;
    }
    Ok(equal)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fouroversix-rust-cuda: {error}");
            ExitCode::FAILURE
        }
    }
}
