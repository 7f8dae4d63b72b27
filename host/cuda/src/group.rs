//! Many tensors in one launch, as mixture-of-experts layers need.

use std::fmt;

use cudarc::driver::CudaSlice;
use fouroversix_core::abi::{
    AmaxParams, QuantizeParams, QuantizeTensor, Random, SKIPPABLE, TrainingParams,
    TransformAmaxParams,
};
use fouroversix_core::shape::expect_length;
use fouroversix_core::{Config, Error, InputType, RandomState, launch};

use super::address::{ALIGNMENT, DeviceAddress, QuantizeAddresses, WORD, needed, optional};
use super::device::Device;
use super::error::DeviceError;
use super::kernel::KernelInfo;
use super::launch::Launch;
use super::memory;
use super::raw::RawStream;
use super::setup::{AmaxSource, AmaxStep, QuantizeSetup};

/// A quantization of many tensors, prepared: one configuration and element type, any shapes, an
/// amax (or amaxes) for each.
///
/// The tensors are quantized by one launch. Amaxes that are not there yet take one launch before it
/// where there is one for each tensor, and one for each tensor where there are more.
#[derive(Clone)]
pub struct GroupQuantizer {
    device: Device,
    setups: Vec<QuantizeSetup>,
    amax: Amaxes,
    quantize: Option<Launch<TrainingParams>>,
    flags: u32,
    /// Of the first tensor.
    random: Random,
}

/// The launches that find a group's amaxes.
#[derive(Clone)]
enum Amaxes {
    /// The tensor's number, what its launch does, and the launch.
    Each(Vec<(usize, AmaxStep, Launch<TransformAmaxParams>)>),
    /// The numbers of the tensors that are not empty, and their one launch.
    Together(Vec<usize>, Launch<AmaxParams>),
}

/// The addresses of a group's tensors, on the device.
pub struct GroupTable {
    addresses: Vec<QuantizeAddresses>,
    address: DeviceAddress,
    /// Seed and offset in device memory, or null.
    random_state: DeviceAddress,
    /// What the launch of all amaxes reads, if there is one.
    amax: Option<DeviceAddress>,
    /// The memory, where the table owns it.
    memory: Option<CudaSlice<u8>>,
}

impl fmt::Debug for GroupTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupTable")
            .field("tensors", &self.addresses.len())
            .field("address", &format_args!("{:#x}", self.address))
            .field("owned", &self.memory.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for GroupQuantizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupQuantizer")
            .field("device", &self.device)
            .field("tensors", &self.setups.len())
            .finish_non_exhaustive()
    }
}

impl Device {
    /// Prepares quantizations of groups of tensors with these shapes.
    ///
    /// # Errors
    /// As [`Device::quantizer`], for any of the shapes; [`Error::Device`] for more than 65535.
    pub fn group_quantizer(
        &self,
        config: &Config,
        input: InputType,
        shapes: &[[usize; 2]],
        source: AmaxSource,
    ) -> Result<GroupQuantizer, Error> {
        let setup = |shape: &[usize; 2]| QuantizeSetup::for_group(config, input, *shape, source);
        let setups = shapes.iter().map(setup).collect::<Result<Vec<_>, _>>()?;
        let amax = Amaxes::new(self, input, &setups)?;
        let launch = launch::quantize_grouped(config, input, shapes).map_err(DeviceError::from)?;
        let quantize = if launch.grid.contains(&0) { None } else { Some(launch) };
        let quantize = quantize.map(|launch| Launch::new(self, &launch)).transpose()?;
        Ok(GroupQuantizer {
            device: self.clone(),
            setups,
            amax,
            quantize,
            flags: launch::flags(config),
            random: launch::random(config, [0; 2]),
        })
    }
}

impl Amaxes {
    fn new(device: &Device, input: InputType, setups: &[QuantizeSetup]) -> Result<Self, Error> {
        let multiprocessors = device.info().multiprocessors;
        let mut each = Vec::new();
        for (index, setup) in setups.iter().enumerate() {
            for (step, launch) in setup.amax_launches(multiprocessors).map_err(DeviceError::from)? {
                each.push((index, step, launch));
            }
        }
        let elements = each.iter().map(|(index, step, _)| setups[*index].one_amax_of(*step));
        if let Some(elements) = elements.collect::<Option<Vec<u64>>>()
            && !elements.is_empty()
        {
            let launch = launch::amax_grouped(input, &elements, multiprocessors)
                .map_err(DeviceError::from)?;
            let tensors = each.iter().map(|(index, ..)| *index).collect();
            return Ok(Self::Together(tensors, Launch::new(device, &launch)?));
        }
        let each = each
            .into_iter()
            .map(|(index, step, launch)| Ok((index, step, Launch::new(device, &launch)?)));
        each.collect::<Result<Vec<_>, Error>>().map(Self::Each)
    }
}

impl GroupQuantizer {
    /// Bytes of workspace that the tensor of this number needs, as
    /// [`super::Quantizer::workspace_bytes`].
    ///
    /// # Panics
    /// When there is no such tensor.
    #[must_use]
    pub fn workspace_bytes(&self, tensor: usize) -> usize {
        self.setups[tensor].workspace.bytes()
    }

    /// Bytes of device memory that a table of the tensors' addresses takes.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        let amaxes = match &self.amax {
            Amaxes::Each(_) => 0,
            Amaxes::Together(tensors, _) => tensors.len(),
        };
        self.amax_table_offset() + amaxes * size_of::<AmaxParams>()
    }

    /// Where in the table the entries of the launch of all amaxes are: after the tensors'.
    const fn amax_table_offset(&self) -> usize {
        (self.setups.len() * size_of::<QuantizeTensor>()).next_multiple_of(ALIGNMENT as usize)
    }

    /// Checks the tensors' addresses and copies them to device memory `at`, on `stream`.
    ///
    /// Each tensor has its own workspace; the `skip` fields are not looked at. Addresses of empty
    /// tensors may be null. Does not allocate.
    ///
    /// # Errors
    /// [`ShapeError::Length`](fouroversix_core::ShapeError::Length) when there are not as many as
    /// shapes were prepared; [`Error::Device`] for an address null or misaligned, or a failure of
    /// the driver.
    ///
    /// # Safety
    /// `at` must be the address of [`GroupQuantizer::table_bytes`] bytes of live memory of the
    /// device, which stay and are not written to as long as the table is launched with, and `stream`
    /// a stream of the device's context.
    pub unsafe fn write_table(
        &self,
        at: DeviceAddress,
        addresses: &[QuantizeAddresses],
        stream: impl Into<RawStream>,
    ) -> Result<GroupTable, Error> {
        expect_length("the list of addresses", addresses.len(), self.setups.len())?;
        needed("the table", at, ALIGNMENT)?;
        let stream = stream.into().handle();
        let entries = self.setups.iter().zip(addresses).map(|(setup, at)| setup.tensor(at));
        let entries = entries.collect::<Result<Vec<QuantizeTensor>, DeviceError>>()?;
        self.device.bind()?;
        // SAFETY: the caller's promise.
        unsafe { memory::write(at, &entries, stream)? };
        let amax = match &self.amax {
            Amaxes::Each(_) => None,
            Amaxes::Together(tensors, _) => {
                let params =
                    |i: &usize| self.setups[*i].amax_params(AmaxStep::Input, &addresses[*i]);
                let entries = tensors.iter().map(|i| Ok(params(i)?.amax));
                let entries = entries.collect::<Result<Vec<_>, DeviceError>>()?;
                let at = at + self.amax_table_offset() as DeviceAddress;
                // SAFETY: the caller's promise: it is part of the table's bytes.
                unsafe { memory::write(at, &entries, stream)? };
                Some(at)
            }
        };
        Ok(GroupTable {
            addresses: addresses.to_vec(),
            address: at,
            random_state: 0,
            amax,
            memory: None,
        })
    }

    pub(super) fn setups(&self) -> &[QuantizeSetup] {
        &self.setups
    }

    /// Enqueues the quantization of all tensors on `stream`.
    ///
    /// `skip` is the address of a `u32`, or null: when it is not zero as the launches run, they
    /// leave all memory as it is. Does not allocate, does not wait, may be captured.
    ///
    /// # Errors
    /// [`Error::Device`]: `skip` misaligned, or a failure of the driver.
    ///
    /// # Safety
    /// As [`super::Quantizer::launch`], for each of the table's addresses; and the table must be
    /// one that this quantizer made, copied before the launch runs (made on `stream`, or on a
    /// stream that `stream` waited for) and dropped only after.
    pub unsafe fn launch(
        &self,
        table: &GroupTable,
        skip: DeviceAddress,
        stream: impl Into<RawStream>,
    ) -> Result<(), Error> {
        let stream = stream.into();
        // SAFETY: the caller's promise.
        unsafe {
            self.launch_amax(table, skip, stream)?;
            self.launch_quantize(table, skip, stream)
        }
    }

    /// The first part of [`GroupQuantizer::launch`]: the passes that leave global scales in the
    /// workspaces.
    ///
    /// # Errors
    /// As [`GroupQuantizer::launch`].
    ///
    /// # Safety
    /// As [`GroupQuantizer::launch`].
    pub unsafe fn launch_amax(
        &self,
        table: &GroupTable,
        skip: DeviceAddress,
        stream: impl Into<RawStream>,
    ) -> Result<(), Error> {
        let stream = stream.into().handle();
        optional("the skip flag", skip, WORD)?;
        match &self.amax {
            Amaxes::Together(_, launch) => {
                let input = table.amax.unwrap_or(0);
                let params = AmaxParams { input, skip, flags: self.flags, ..Default::default() };
                // SAFETY: the kernel's parameter is `AmaxParams`; the table is this quantizer's,
                // so it has the entries; the rest is the caller's promise.
                unsafe { launch.enqueue(&params, stream)? };
            }
            Amaxes::Each(launches) => {
                for (index, step, launch) in launches {
                    let at = QuantizeAddresses { skip, ..table.addresses[*index] };
                    let params = self.setups[*index].amax_params(*step, &at)?;
                    // SAFETY: the kernel's parameter is the first field; the rest is the caller's.
                    unsafe { launch.enqueue(&params, stream)? };
                }
            }
        }
        Ok(())
    }

    /// The second part of [`GroupQuantizer::launch`].
    ///
    /// # Errors
    /// As [`GroupQuantizer::launch`].
    ///
    /// # Safety
    /// As [`GroupQuantizer::launch`]; and the workspaces must hold what
    /// [`GroupQuantizer::launch_amax`] leaves.
    pub unsafe fn launch_quantize(
        &self,
        table: &GroupTable,
        skip: DeviceAddress,
        stream: impl Into<RawStream>,
    ) -> Result<(), Error> {
        let stream = stream.into().handle();
        optional("the skip flag", skip, WORD)?;
        let Some(launch) = &self.quantize else { return Ok(()) };
        let params = self.params(table, skip)?;
        // SAFETY: the kernel's parameter is `TrainingParams` or its first field; the rest is the caller's
        // promise.
        unsafe { launch.enqueue(&params, stream) }.map_err(Error::from)
    }

    fn params(
        &self,
        table: &GroupTable,
        skip: DeviceAddress,
    ) -> Result<TrainingParams, DeviceError> {
        optional("the random state", table.random_state, ALIGNMENT)?;
        let flags = self.flags | if skip == 0 { 0 } else { SKIPPABLE };
        let group = table.address;
        let quantize = QuantizeParams { group, skip, flags, ..QuantizeParams::default() };
        let random = Random { state: table.random_state, ..self.random };
        Ok(TrainingParams { quantize, random, signs: Default::default() })
    }

    /// Draws the random bytes of later launches from another state, where rounding is stochastic. Tensor t,
    /// counted from 0 with the empty ones, has the offset plus t.
    pub fn set_random_state(&mut self, state: RandomState) {
        if self.random != Random::default() {
            self.random = Random::new(state, None, [0; 2]);
        }
    }

    /// The device that was prepared for.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What the driver's compiler made of the kernels.
    #[must_use]
    pub fn kernels(&self) -> Vec<KernelInfo> {
        let mut kernels = match &self.amax {
            Amaxes::Together(_, launch) => vec![launch.info()],
            Amaxes::Each(each) => each.iter().map(|(_, _, launch)| launch.info()).collect(),
        };
        kernels.extend(self.quantize.iter().map(Launch::info));
        kernels
    }
}

impl GroupTable {
    /// With seed and offset in device memory: two `u64`, 16-byte aligned, in place of those that were
    /// prepared with, so that a captured launch draws anew when they change. They must stay there as long as
    /// the table is launched with, and are read only.
    #[must_use]
    pub fn with_random_state(self, random_state: DeviceAddress) -> Self {
        Self { random_state, ..self }
    }

    /// The table, owner of the memory that it lies in.
    pub(super) fn keeping(self, memory: CudaSlice<u8>) -> Self {
        Self { memory: Some(memory), ..self }
    }
}
