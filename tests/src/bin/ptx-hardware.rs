//! Runs the executor's arithmetic against a GPU.
//!
//! For every opcode and modifier that the committed kernels use, a generated one-instruction kernel is
//! run over edge cases and random operands on the device and in the executor; all bits must be equal.
//!
//! `cargo build --release -p fouroversix-conformance --features hardware --bin ptx-hardware` gives one
//! program that needs nothing but a driver where it runs. `--write DIR` writes the kernels instead.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use cudarc::driver::{CudaContext, CudaStream, DriverError, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use fouroversix_conformance::ptx::probe::{self, BLOCK, Probe, ROUNDS, THREADS};
use fouroversix_kernels::ptx::{self, InstructionSet};

/// Checks the PTX executor against a GPU, one instruction at a time.
///
/// The last line counts: `N passed, N failed, N skipped`. The exit status is 1 if an instruction
/// differed and 2 if the run could not be made.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Write the one-instruction kernels to this folder and run nothing
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Ordinal of the device
    #[arg(long, default_value_t = 0)]
    device: usize,
    /// Only instructions that contain this
    #[arg(long, default_value = "")]
    filter: String,
}

/// The inputs of a round and the outputs that the executor gives.
type Round = (Vec<u8>, Result<Vec<u8>, String>);

type AnyError = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ptx-hardware: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, AnyError> {
    let texts = InstructionSet::ALL
        .iter()
        .flat_map(|&isa| ptx::kernels(isa).filter_map(move |name| ptx::source(isa, name)));
    let (mut probes, without) = probe::probes(texts)?;
    probes.retain(|probe| probe.instruction.contains(&arguments.filter));
    if let Some(folder) = &arguments.write {
        std::fs::create_dir_all(folder)?;
        for (i, probe) in probes.iter().enumerate() {
            let target = if probe.beyond_sm_90.is_some() { "sm_100f" } else { "sm_90" };
            let text = format!("// {}\n{}", probe.instruction, probe.ptx_for(target));
            std::fs::write(folder.join(format!("{i:04}.{target}.ptx")), text)?;
        }
        println!("{} kernels written", probes.len());
        return Ok(ExitCode::SUCCESS);
    }
    let device = Device::open(arguments.device)?;
    println!("device: {}", device.description);
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for probe in &probes {
        let result = match probe.beyond_sm_90 {
            Some(reason) if device.capability < (10, 0) => {
                skipped += 1;
                format!("skipped: {reason}")
            }
            _ => match device.check(probe) {
                Ok(()) => {
                    passed += 1;
                    format!("passed ({} operands)", THREADS * ROUNDS)
                }
                Err(problem) => {
                    failed += 1;
                    format!("FAILED: {problem}")
                }
            },
        };
        println!("{:<60} {result}", probe.instruction);
    }
    for unprobed in without {
        println!("{:<60} no kernel of its own: {}", unprobed.mnemonic, unprobed.reason);
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Device {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    capability: (i32, i32),
    description: String,
}

impl Device {
    fn open(ordinal: usize) -> Result<Self, AnyError> {
        // SAFETY: this only looks for the driver's library and loads it.
        if !unsafe { cudarc::driver::sys::is_culib_present() } {
            return Err("there is no CUDA driver here".into());
        }
        let context = CudaContext::new(ordinal)?;
        let capability = context.compute_capability()?;
        let description =
            format!("{}, compute capability {}.{}", context.name()?, capability.0, capability.1);
        let stream = context.default_stream();
        Ok(Self { context, stream, capability, description })
    }

    fn target(&self) -> String {
        match self.capability {
            (major @ (10 | 12), _) => format!("sm_{major}0f"),
            (major, minor) => format!("sm_{}", (10 * major + minor).min(90)),
        }
    }

    /// Runs a probe on the device and in the executor.
    fn check(&self, probe: &Probe) -> Result<(), String> {
        let expected: Vec<Round> = std::thread::scope(|scope| {
            let rounds: Vec<_> = (0..ROUNDS)
                .map(|round| {
                    scope.spawn(move || {
                        let inputs = probe.inputs(round);
                        let expected = probe.expected(&inputs);
                        (inputs, expected)
                    })
                })
                .collect();
            rounds.into_iter().map(|round| round.join().expect("the executor is sound")).collect()
        });
        for (inputs, expected) in expected {
            let expected = expected?;
            let actual = self.outputs(probe, &inputs).map_err(|error| error.to_string())?;
            if let Some((thread, difference)) = probe.difference(&expected, &actual) {
                let operands = probe.operands(&inputs, thread);
                return Err(format!("operands {operands}: {difference}"));
            }
        }
        Ok(())
    }

    fn outputs(&self, probe: &Probe, inputs: &[u8]) -> Result<Vec<u8>, DriverError> {
        let module = self.context.load_module(Ptx::from_src(probe.ptx_for(&self.target())))?;
        let function = module.load_function("probe")?;
        let input = self.stream.clone_htod(inputs)?;
        let mut output = self.stream.alloc_zeros::<u8>(inputs.len())?;
        let config = LaunchConfig {
            grid_dim: (THREADS / BLOCK, 1, 1),
            block_dim: (BLOCK, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: a probe takes two pointers to `THREADS` records and touches no more than those.
        unsafe {
            self.stream.launch_builder(&function).arg(&input).arg(&mut output).launch(config)?
        };
        self.stream.clone_dtoh(&output)
    }
}
