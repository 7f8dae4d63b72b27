//! `--device auto|cpu|cuda[:N]|cuda:all`: what is taken, and why.

use std::fmt;
use std::str::FromStr;

use fouroversix::Config;
#[cfg(feature = "cuda")]
use fouroversix::checkpoint::OrCpu;
use fouroversix::checkpoint::{CpuQuantizer, QuantizePanels};
use serde::Serialize;

use super::engine::Engine;
use super::error::CliError;

/// What the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU that works, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU of this number.
    Cuda(usize),
    /// Every GPU that works.
    CudaAll,
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "cuda:all" => Ok(Self::CudaAll),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| {
                    "use auto, cpu, cuda, cuda:N with a device number, or cuda:all".to_owned()
                }),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::CudaAll => f.write_str("cuda:all"),
        }
    }
}

/// Where a command ran, for its summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ran {
    /// `cpu (avx2)`, `cuda:1 (NVIDIA H200)`, or both when the CPU took over.
    pub name: String,
    /// Why that one, and why not another.
    pub why: String,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.name, self.why)
    }
}

/// A device that was taken.
pub struct Taken {
    /// What it is; of several GPUs the first.
    pub engine: Engine,
    /// The GPUs besides.
    #[cfg(feature = "cuda")]
    others: Vec<fouroversix::cuda::Device>,
    #[cfg(feature = "cuda")]
    choice: DeviceChoice,
    /// Why that one, and why not another.
    pub why: String,
}

/// Takes the device for a choice, to quantize by `config`.
pub fn take(choice: DeviceChoice, config: &Config) -> Result<Taken, CliError> {
    let asked = format!("asked for by --device {choice}");
    let (engine, why) = match choice {
        DeviceChoice::Cpu => (Engine::Cpu, asked),
        DeviceChoice::Cuda(number) => (cuda(number)?, asked),
        DeviceChoice::CudaAll => return all(config, asked),
        DeviceChoice::Auto => auto(config),
    };
    Ok(Taken {
        engine,
        #[cfg(feature = "cuda")]
        others: Vec::new(),
        #[cfg(feature = "cuda")]
        choice,
        why,
    })
}

impl Taken {
    /// Its quantizer. One that was taken by `auto` goes on with the CPU where it fails; one that
    /// was asked for does not run on what was not asked for.
    ///
    /// Of all GPUs each is there `AT_ONCE` times.
    pub fn quantizer(&self) -> Box<dyn QuantizePanels> {
        match &self.engine {
            Engine::Cpu => Box::new(CpuQuantizer),
            #[cfg(feature = "cuda")]
            Engine::Cuda(device) if self.choice == DeviceChoice::Auto => {
                Box::new(OrCpu::new(device.clone()))
            }
            #[cfg(feature = "cuda")]
            Engine::Cuda(device) if self.choice == DeviceChoice::CudaAll => {
                let devices = || std::iter::once(device).chain(&self.others);
                let names: Vec<String> = devices().map(QuantizePanels::name).collect();
                let members = (0..AT_ONCE).flat_map(|_| devices()).cloned();
                let members = members.map(|it| Box::new(it) as Box<dyn QuantizePanels>).collect();
                Box::new(fouroversix::checkpoint::Several::new(members, names.join(", ")))
            }
            #[cfg(feature = "cuda")]
            Engine::Cuda(device) => Box::new(device.clone()),
        }
    }

    /// For the summary of what `quantizer` did.
    pub fn ran(&self, quantizer: &dyn QuantizePanels) -> Ran {
        let why = match quantizer.replaced() {
            Some(replaced) => format!("{}; {replaced}", self.why),
            None => self.why.clone(),
        };
        Ran { name: quantizer.name(), why }
    }
}

/// How many tensors a GPU works on at once with `cuda:all`: while one is on its way to the device or
/// back, or on the CPU for its amax and figures, the other is computed.
#[cfg(feature = "cuda")]
const AT_ONCE: usize = 2;

/// The first device that works, and what is wrong with those before it; or all that work.
#[cfg(any(feature = "cuda", test))]
struct Search<D> {
    found: Option<(usize, D)>,
    others: Vec<D>,
    faults: Vec<String>,
}

#[cfg(any(feature = "cuda", test))]
impl<D> Search<D> {
    /// Tries devices 0, 1, … `count`, in the driver's order, until `wanted` were found.
    fn run(count: usize, wanted: usize, mut open: impl FnMut(usize) -> Result<D, String>) -> Self {
        let mut this = Self { found: None, others: Vec::new(), faults: Vec::new() };
        for number in 0..count {
            match open(number) {
                Ok(device) if this.found.is_none() => this.found = Some((number, device)),
                Ok(device) => this.others.push(device),
                Err(fault) => this.faults.push(format!("cuda:{number} can't be used: {fault}")),
            }
            if usize::from(this.found.is_some()) + this.others.len() == wanted {
                break;
            }
        }
        this
    }

    /// What is wrong with those that were passed over.
    fn faults(&self) -> String {
        self.faults.iter().map(|fault| format!("; {fault}")).collect()
    }

    fn why(&self) -> String {
        let what = match &self.found {
            Some((0, _)) => "the first GPU",
            Some(_) => "the first GPU that works",
            None => "no GPU works",
        };
        what.to_owned() + &self.faults()
    }
}

#[cfg(feature = "cuda")]
fn auto(config: &Config) -> (Engine, String) {
    use fouroversix::cuda;
    let count = match cuda::device_count() {
        Ok(0) => {
            let why = "no GPU: the driver sees none, or CUDA_VISIBLE_DEVICES hides them";
            return (Engine::Cpu, why.to_owned());
        }
        Ok(count) => count,
        Err(error) => return (Engine::Cpu, format!("no GPU: {error}")),
    };
    let search = Search::run(count, 1, |number| working(number, config));
    let why = search.why();
    (search.found.map_or(Engine::Cpu, |(_, device)| Engine::Cuda(device)), why)
}

/// Every GPU that works.
#[cfg(feature = "cuda")]
fn all(config: &Config, asked: String) -> Result<Taken, CliError> {
    use fouroversix::cuda;
    let refused = |why: String| {
        let text =
            format!("--device cuda:all can't be used: {why} (--device cpu works everywhere)");
        CliError::of("device", text)
    };
    let count = cuda::device_count().map_err(|error| refused(error.to_string()))?;
    // At once: a context takes its time.
    let mut opened = std::thread::scope(|scope| {
        let open = |number| scope.spawn(move || working(number, config));
        let opening: Vec<_> = (0..count).map(open).collect();
        let opened = opening.into_iter().map(|it| it.join().expect("opening does not panic"));
        opened.map(Some).collect::<Vec<_>>()
    });
    let search =
        Search::run(count, count, |number| opened[number].take().expect("each is asked for once"));
    let faults = search.faults();
    let Some((_, device)) = search.found else {
        return Err(refused(format!("no GPU works{faults}")));
    };
    Ok(Taken {
        engine: Engine::Cuda(device),
        others: search.others,
        choice: DeviceChoice::CudaAll,
        why: asked + &faults,
    })
}

#[cfg(not(feature = "cuda"))]
fn all(_: &Config, _: String) -> Result<Taken, CliError> {
    let text = "--device cuda:all can't be used: this build has no CUDA support, use --device cpu";
    Err(CliError::of("device", text))
}

/// The GPU of this number, if it can quantize now.
#[cfg(feature = "cuda")]
fn working(number: usize, config: &Config) -> Result<fouroversix::cuda::Device, String> {
    let device = fouroversix::cuda::Device::new(number).map_err(|error| error.to_string())?;
    probe(&device, config)?;
    Ok(device)
}

/// Quantizes a tile, which loads the kernels that will be needed, and sees that a panel has room.
#[cfg(feature = "cuda")]
fn probe(device: &fouroversix::cuda::Device, config: &Config) -> Result<(), String> {
    let said = |error: fouroversix::Error| error.to_string();
    device.quantize(&[half::bf16::ONE; 256], [16, 16], config).map_err(said)?;
    let (free, _) = device.free_memory().map_err(said)?;
    // A panel, its codes and scales, and as much again for what else goes on there.
    let needed = 4 * device.panel_bytes() as u64;
    if free < needed {
        let [free, needed] = [free, needed].map(super::print::bytes);
        return Err(format!("{free} of its memory are free, {needed} are needed"));
    }
    Ok(())
}

#[cfg(not(feature = "cuda"))]
fn auto(_: &Config) -> (Engine, String) {
    (Engine::Cpu, "this build has no CUDA support".to_owned())
}

#[cfg(feature = "cuda")]
fn cuda(number: usize) -> Result<Engine, CliError> {
    Ok(Engine::Cuda(open(number)?))
}

/// The GPU of this number.
#[cfg(feature = "cuda")]
pub fn open(number: usize) -> Result<fouroversix::cuda::Device, CliError> {
    fouroversix::cuda::Device::new(number).map_err(|error| {
        let text = format!(
            "--device cuda:{number} can't be used: {error} (--device cpu works everywhere)"
        );
        CliError::of("device", text)
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda(number: usize) -> Result<Engine, CliError> {
    let text = format!(
        "--device cuda:{number} can't be used: this build has no CUDA support, use --device cpu"
    );
    Err(CliError::of("device", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_parsed_whole() {
        assert_eq!("cuda:3".parse(), Ok(DeviceChoice::Cuda(3)));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert_eq!("cuda:all".parse(), Ok(DeviceChoice::CudaAll));
        assert_eq!(DeviceChoice::CudaAll.to_string(), "cuda:all");
        assert!("cuda:".parse::<DeviceChoice>().is_err());
        assert!("gpu".parse::<DeviceChoice>().is_err());
    }

    #[test]
    fn the_first_device_that_works_is_taken_and_the_others_are_explained() {
        let open = |working: &'static [usize]| {
            move |number| match working.contains(&number) {
                true => Ok(number),
                false => Err(format!("fault {number}")),
            }
        };
        let first = Search::run(2, 1, open(&[0, 1]));
        assert_eq!(first.found, Some((0, 0)));
        assert_eq!(first.why(), "the first GPU");
        let third = Search::run(4, 1, open(&[2, 3]));
        assert_eq!(third.found, Some((2, 2)));
        let why = "the first GPU that works; cuda:0 can't be used: fault 0; cuda:1 can't be used: \
                   fault 1";
        assert_eq!(third.why(), why);
        let all = Search::run(4, 4, open(&[1, 2]));
        assert_eq!((all.found, &all.others), (Some((1, 1)), &vec![2]));
        assert_eq!(all.faults(), "; cuda:0 can't be used: fault 0; cuda:3 can't be used: fault 3");
        let none = Search::run(1, 1, open(&[]));
        assert_eq!(none.found, None);
        assert_eq!(none.why(), "no GPU works; cuda:0 can't be used: fault 0");
    }
}
