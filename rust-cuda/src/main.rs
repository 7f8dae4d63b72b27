//! NVFP4 with kernels that rust-cuda compiled and `cust` launches.
//!
//! Quantizes a tensor in every mode of the launch contract, compares each byte with the reference,
//! and times every kernel beside the copy that moves as many bytes. The exit status is 0 only if no
//! byte differs. See `docs/rust-cuda.md`.

mod kernels;
mod quantizer;
mod tensor;

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;

use cust::device::Device;
use cust::event::{Event, EventFlags};
use cust::memory::DeviceBuffer;
use cust::stream::{Stream, StreamFlags};
use fouroversix_core::{
    Config, E4m3Max, ErrorPath, InputType, Metric, Outputs, Rule, ScaleLayout, Scaling,
};

use crate::kernels::Kernels;
use crate::quantizer::Quantizer;
use crate::tensor::Tensor;

/// The tensor that is compared with the reference: no whole number of the kernels' tiles.
const COMPARED: [usize; 2] = [208, 336];
/// The tensor that is timed.
const TIMED: [usize; 2] = [8192, 6144];
/// Launches that are timed together.
const LAUNCHES: u16 = 20;

/// The rules by their names, each with the error paths and bounds of a launch.
fn rules() -> impl Iterator<Item = (&'static str, Rule)> {
    let metrics = [("mae", Metric::Mae), ("mse", Metric::Mse)].into_iter();
    let four_over_six = metrics.flat_map(|(name, metric)| {
        [ErrorPath::Strict, ErrorPath::Fast].into_iter().flat_map(move |error_path| {
            [E4m3Max::M448, E4m3Max::M256]
                .map(|e4m3_max| (name, Rule::FourOverSix { metric, error_path, e4m3_max }))
        })
    });
    [("plain", Rule::Plain)].into_iter().chain(four_over_six)
}

/// Everything that can be asked for: configurations that the library refuses are none.
fn configs() -> impl Iterator<Item = (&'static str, Config)> {
    let all = |(name, rule)| {
        let mut configs = Vec::new();
        for scaling in [Scaling::Tensor, Scaling::Tile, Scaling::Row] {
            for outputs in [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both] {
                for layout in [ScaleLayout::Linear, ScaleLayout::Swizzled128x4] {
                    configs.extend(Config::new(rule, scaling, outputs, layout).ok());
                }
            }
        }
        configs.into_iter().map(move |config| (name, config))
    };
    rules().flat_map(all)
}

/// A row of the table: a kernel, over the error paths, bounds and scale layouts of a launch.
#[derive(Default)]
struct Row {
    modes: usize,
    wrong_bytes: usize,
    times: Option<[f32; 2]>,
}

/// What a row of the table is of. In the order of the table.
type Mode = (&'static str, &'static str, &'static str, &'static str);

struct Program {
    kernels: Kernels,
    stream: Stream,
}

impl Program {
    fn new(device: Device) -> Result<Self, Box<dyn Error>> {
        let stream = Stream::new(StreamFlags::NON_BLOCKING, None)?;
        Ok(Self { kernels: Kernels::new(device)?, stream })
    }

    /// Bytes that differ from the reference.
    fn compare(
        &self,
        config: Config,
        tensor: &Tensor,
        input: &DeviceBuffer<u8>,
    ) -> Result<usize, Box<dyn Error>> {
        let quantizer = Quantizer::new(config, tensor.input, COMPARED)?;
        // SAFETY: `input` is of that shape and type, and outlives the synchronization.
        unsafe { quantizer.enqueue(&self.kernels, &self.stream, input)? };
        self.stream.synchronize()?;
        let mut wrong = 0;
        for columnwise in [false, true] {
            let outputs = config.outputs();
            if if columnwise { outputs.columnwise() } else { outputs.rowwise() } {
                wrong += tensor.differences(&config, columnwise, &quantizer.read(columnwise)?)?;
            }
        }
        Ok(wrong)
    }

    /// Microseconds of what `enqueue` enqueues.
    fn time(
        &self,
        enqueue: impl Fn() -> Result<(), Box<dyn Error>>,
    ) -> Result<f32, Box<dyn Error>> {
        enqueue()?;
        let [start, end] = [Event::new(EventFlags::DEFAULT)?, Event::new(EventFlags::DEFAULT)?];
        start.record(&self.stream)?;
        for _ in 0..LAUNCHES {
            enqueue()?;
        }
        end.record(&self.stream)?;
        end.synchronize()?;
        Ok(end.elapsed_time_f32(&start)? * 1000.0 / f32::from(LAUNCHES))
    }

    /// Microseconds of the quantize kernel and of the copy.
    fn times(
        &self,
        config: Config,
        input: InputType,
        values: &DeviceBuffer<u8>,
    ) -> Result<[f32; 2], Box<dyn Error>> {
        let quantizer = Quantizer::new(config, input, TIMED)?;
        let (kernels, stream) = (&self.kernels, &self.stream);
        // SAFETY: `values` is of that shape and type, and outlives the synchronization in `time`.
        unsafe {
            quantizer.enqueue(kernels, stream, values)?;
            Ok([
                self.time(|| quantizer.enqueue_quantize(kernels, stream, values))?,
                self.time(|| quantizer.enqueue_copy(kernels, stream, values))?,
            ])
        }
    }

    /// Every mode.
    fn run(&self) -> Result<BTreeMap<Mode, Row>, Box<dyn Error>> {
        let mut table = BTreeMap::<Mode, Row>::new();
        for input in [InputType::Bf16, InputType::F16, InputType::F32] {
            let tensor = Tensor::new(input, COMPARED);
            let compared = DeviceBuffer::from_slice(&tensor.bytes)?;
            let timed = DeviceBuffer::from_slice(&Tensor::new(input, TIMED).bytes)?;
            for (rule, config) in configs() {
                let mode =
                    (input.name(), config.scaling().name(), config.outputs().name(), rule);
                let row = table.entry(mode).or_default();
                row.modes += 1;
                row.wrong_bytes += self.compare(config, &tensor, &compared)?;
                if row.times.is_none() {
                    row.times = Some(self.times(config, input, &timed)?);
                }
            }
        }
        Ok(table)
    }
}

fn print(table: &BTreeMap<Mode, Row>) {
    println!("| input | scaling | outputs | rule | modes | bytes that differ | µs | copy | ratio |");
    println!("|---|---|---|---|--:|--:|--:|--:|--:|");
    for ((input, scaling, outputs, rule), Row { modes, wrong_bytes, times }) in table {
        let [quantize, copy] = times.unwrap_or_default();
        println!(
            "| {input} | {scaling} | {outputs} | {rule} | {modes} | {wrong_bytes} | {quantize:.1} | \
             {copy:.1} | {:.2} |",
            quantize / copy
        );
    }
}

fn run() -> Result<bool, Box<dyn Error>> {
    let _context = cust::quick_init()?;
    let device = Device::get_device(0)?;
    println!("{}, kernels for {}", device.name()?, env!("FOUROVERSIX_ISA"));
    let ([rows, cols], [timed_rows, timed_cols]) = (COMPARED, TIMED);
    println!("Compared: {rows} x {cols}. Timed: {timed_rows} x {timed_cols}, without the amax pass.");
    let table = Program::new(device)?.run()?;
    print(&table);
    let modes: usize = table.values().map(|row| row.modes).sum();
    let wrong: usize = table.values().map(|row| row.wrong_bytes).sum();
    println!("{modes} modes, {wrong} bytes differ from the reference");
    Ok(wrong == 0)
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
