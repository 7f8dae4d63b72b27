//! Who quantizes: the CPU, or whatever else implements [`QuantizePanels`].

use fouroversix_core::{Amax, Choices, Config, Error, Nvfp4Mut, QuantizedMut};
use fouroversix_cpu::{Path, quantize_into};

use super::format::Values;

/// Quantizes panels of rows.
pub trait QuantizePanels: Send {
    /// What it runs on, for people.
    fn name(&self) -> String;

    /// Bytes of input it likes to get at a time.
    fn panel_bytes(&self) -> usize {
        8 << 20
    }

    /// What failed and what quantizes in its place, once that is so.
    fn replaced(&self) -> Option<&str> {
        None
    }

    /// Those in it that work at once, each on tensors of its own; nobody but itself by default.
    fn members(&mut self) -> &mut [Box<dyn QuantizePanels>] {
        &mut []
    }

    /// Quantizes the rows `values` of `shape` with the amax of the whole tensor, rowwise and with
    /// linear scales, bit for bit as `fouroversix::quantize_into` does.
    ///
    /// # Errors
    /// Those of `fouroversix::quantize_into`, and the device's own.
    fn quantize(
        &mut self,
        values: Values<'_>,
        shape: [usize; 2],
        config: &Config,
        amax: Amax<'_>,
        out: Nvfp4Mut<'_>,
    ) -> Result<Choices, Error>;
}

/// The CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuQuantizer;

impl QuantizePanels for CpuQuantizer {
    fn name(&self) -> String {
        match Path::detect() {
            Ok(path) => format!("cpu ({path})"),
            Err(error) => format!("cpu ({error})"),
        }
    }

    fn quantize(
        &mut self,
        values: Values<'_>,
        shape: [usize; 2],
        config: &Config,
        amax: Amax<'_>,
        out: Nvfp4Mut<'_>,
    ) -> Result<Choices, Error> {
        let out = QuantizedMut { rowwise: Some(out), columnwise: None };
        let (path, amax) = (Path::detect()?, Some(amax));
        match values {
            Values::Bf16(input) => quantize_into(path, input, shape, config, amax, out),
            Values::F16(input) => quantize_into(path, input, shape, config, amax, out),
            Values::F32(input) => quantize_into(path, input, shape, config, amax, out),
        }
    }
}

/// A device, and the CPU from where the device fails on: out of memory, lost, or without a kernel.
/// The codes and scales are the same.
#[derive(Debug)]
pub struct OrCpu<Q> {
    /// `None` once it has failed.
    device: Option<Q>,
    /// What it was called.
    name: String,
    failure: Option<String>,
}

impl<Q: QuantizePanels> OrCpu<Q> {
    /// Starts with `device`.
    #[must_use]
    pub fn new(device: Q) -> Self {
        Self { name: device.name(), device: Some(device), failure: None }
    }
}

impl<Q: QuantizePanels> QuantizePanels for OrCpu<Q> {
    /// The device's name; both once the CPU has taken over.
    fn name(&self) -> String {
        match self.failure {
            None => self.name.clone(),
            Some(_) => format!("{}, then {}", self.name, CpuQuantizer.name()),
        }
    }

    fn panel_bytes(&self) -> usize {
        self.device.as_ref().map_or_else(|| CpuQuantizer.panel_bytes(), Q::panel_bytes)
    }

    fn replaced(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// # Errors
    /// Those of the CPU, and of the device where they are not the device's fault.
    fn quantize(
        &mut self,
        values: Values<'_>,
        shape: [usize; 2],
        config: &Config,
        amax: Amax<'_>,
        out: Nvfp4Mut<'_>,
    ) -> Result<Choices, Error> {
        let Nvfp4Mut { codes, scales, global_amax } = out;
        if let Some(device) = &mut self.device {
            let out = Nvfp4Mut {
                codes: &mut *codes,
                scales: &mut *scales,
                global_amax: &mut *global_amax,
            };
            match device.quantize(values, shape, config, amax, out) {
                Err(error) if error.is_of_device() => {
                    let (name, cpu) = (&self.name, CpuQuantizer.name());
                    self.failure = Some(format!("{name} failed: {error}: {cpu} goes on"));
                    self.device = None;
                }
                other => return other,
            }
        }
        let out = Nvfp4Mut { codes, scales, global_amax };
        CpuQuantizer.quantize(values, shape, config, amax, out)
    }
}

/// Several quantizers that work at once: each takes the next tensor that nobody has. The output is
/// that of one alone.
pub struct Several {
    members: Vec<Box<dyn QuantizePanels>>,
    name: String,
}

impl Several {
    /// All of `members`, called `name` together.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn new(members: Vec<Box<dyn QuantizePanels>>, name: String) -> Self {
        assert!(!members.is_empty(), "somebody must quantize");
        Self { members, name }
    }
}

impl std::fmt::Debug for Several {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = self.members.iter().map(|member| member.name()).collect();
        f.debug_struct("Several").field("name", &self.name).field("members", &names).finish()
    }
}

impl QuantizePanels for Several {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn panel_bytes(&self) -> usize {
        self.members[0].panel_bytes()
    }

    fn replaced(&self) -> Option<&str> {
        self.members.iter().find_map(|member| member.replaced())
    }

    fn members(&mut self) -> &mut [Box<dyn QuantizePanels>] {
        &mut self.members
    }

    /// With the first of them.
    ///
    /// # Errors
    /// Its errors.
    fn quantize(
        &mut self,
        values: Values<'_>,
        shape: [usize; 2],
        config: &Config,
        amax: Amax<'_>,
        out: Nvfp4Mut<'_>,
    ) -> Result<Choices, Error> {
        self.members[0].quantize(values, shape, config, amax, out)
    }
}
