//! Amaxes over ranks: between the amax pass and the quantization of a tensor that is cut over
//! several devices.
//!
//! Every rank finds the amaxes of its shard ([`Quantizer::launch_amax`]). [`AmaxReduction::launch`]
//! lays those that other ranks have a share in one after the other, has them reduced by one MAX
//! all-reduce, and computes their global scales. Then every rank quantizes
//! ([`Quantizer::launch_quantize`]): the shards' bytes are those of the whole tensor. All of it goes
//! onto one stream; the host does not wait.

use std::fmt;
use std::ptr;

use cudarc::driver::{result, sys};
use fouroversix_core::abi::{AmaxParams, GlobalScale};
use fouroversix_core::shape::expect_length;
use fouroversix_core::{Error, Scaling, launch};

use super::address::{DeviceAddress, WORD, needed, optional};
use super::device::Device;
use super::driver::check;
use super::error::DeviceError;
use super::group::GroupQuantizer;
use super::launch::Launch;
use super::quantizer::Quantizer;
use super::raw::RawStream;
use super::setup::QuantizeSetup;

/// Ranks that can find the largest of their values: NCCL's communicators (`NcclCommunicator`, with the
/// feature `nccl`), or whatever else a program brings its ranks together with.
pub trait AllReduceMax {
    /// Enqueues on `stream` that each of `count` FP32 values at `values` becomes the largest of all
    /// ranks' values in its place, the same bits on every rank.
    ///
    /// They are not negative and not NaN, so their order is also that of their bits as `u32`. Every
    /// rank calls this with the same `count`, and in the same order where it does more than once.
    ///
    /// # Errors
    /// [`Error::Device`] when it can't be enqueued.
    ///
    /// # Safety
    /// `values` must be the address of `count` values in live memory of the stream's device, 4-byte
    /// aligned, which nothing else touches until the work is done.
    unsafe fn all_reduce_max(
        &self,
        values: DeviceAddress,
        count: usize,
        stream: RawStream,
    ) -> Result<(), Error>;
}

/// How a tensor is cut over ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// Each rank has some rows, whole: tokens of sequence and data parallelism, outputs of a layer.
    /// The amaxes of the tensor and of its columns are those of all ranks.
    Rows,
    /// Each rank has some columns, whole: inputs of a layer. The amaxes of the tensor and of its
    /// rows are those of all ranks.
    Columns,
}

/// Amaxes of one tensor that are reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reduced {
    /// The tensor's number.
    tensor: usize,
    /// Offset into its workspace of their global scales.
    offset: usize,
    count: usize,
    /// Whether the shard has no elements: no pass has found its amaxes, which are 0.
    is_empty: bool,
    flags: u32,
}

/// What is reduced, worked out without a device.
#[derive(Clone, Debug, Default)]
pub(super) struct ReductionSetup {
    tensors: usize,
    reduced: Vec<Reduced>,
}

/// Who does the steps of a reduction: a stream, or a test.
pub(super) trait Steps {
    /// Makes `count` FP32 values zero.
    fn zero(&mut self, at: DeviceAddress, count: usize) -> Result<(), Error>;

    /// Lays `count` FP32 values that are `pitch` bytes apart one after the other.
    fn gather(
        &mut self,
        from: DeviceAddress,
        pitch: u64,
        to: DeviceAddress,
        count: usize,
    ) -> Result<(), Error>;

    /// Reduces them.
    fn reduce(&mut self, values: DeviceAddress, count: usize) -> Result<(), Error>;

    /// Computes the global scales of amaxes: the launch of this number.
    fn scales(&mut self, launch: usize, params: &AmaxParams) -> Result<(), Error>;
}

impl ReductionSetup {
    pub(super) fn new(setups: &[QuantizeSetup], split: Split) -> Result<Self, DeviceError> {
        let mut reduced = Vec::new();
        for (tensor, setup) in setups.iter().enumerate() {
            if setup.one_pass() {
                return Err(DeviceError::AmaxInPassing);
            }
            let by_row = setup.config.scaling() == Scaling::Row;
            let rows = (setup.row_global_scales(), setup.workspace.rows, Split::Columns);
            let columns = (setup.column_global_scales(), setup.workspace.columns, Split::Rows);
            for ((offset, _), count, shared_by) in [rows, columns] {
                if count > 0 && (!by_row || split == shared_by) {
                    let flags = launch::rule_flags(setup.config.rule());
                    let is_empty = setup.is_empty();
                    reduced.push(Reduced { tensor, offset, count, is_empty, flags });
                }
            }
        }
        Ok(Self { tensors: setups.len(), reduced })
    }

    fn and(mut self, other: Self) -> Self {
        let behind = |it: Reduced| Reduced { tensor: it.tensor + self.tensors, ..it };
        self.reduced.extend(other.reduced.into_iter().map(behind).collect::<Vec<_>>());
        self.tensors += other.tensors;
        self
    }

    /// All values.
    pub(super) fn count(&self) -> usize {
        self.reduced.iter().map(|it| it.count).sum()
    }

    /// The launches that compute global scales.
    pub(super) fn launches(&self) -> impl Iterator<Item = launch::Launch> {
        self.reduced.iter().map(|it| launch::global_scales(it.count))
    }

    /// Does it: the tensors' `workspaces` hold what their amax passes left, `values` is room for
    /// all values.
    pub(super) fn carry_out(
        &self,
        workspaces: &[DeviceAddress],
        values: DeviceAddress,
        skip: DeviceAddress,
        on: &mut dyn Steps,
    ) -> Result<(), Error> {
        expect_length("the list of workspaces", workspaces.len(), self.tensors)?;
        needed("the room for amaxes", values, WORD)?;
        optional("the skip flag", skip, WORD)?;
        for address in workspaces {
            needed("the workspace", *address, super::address::ALIGNMENT)?;
        }
        let place = |it: &Reduced| workspaces[it.tensor] + it.offset as DeviceAddress;
        let mut to = values;
        let mut rest = self.reduced.as_slice();
        while let Some(first) = rest.first() {
            let (run, pitch) = alike(rest, &place);
            let count: usize = rest[..run].iter().map(|it| it.count).sum();
            match first.is_empty {
                true => on.zero(to, count)?,
                false => on.gather(place(first), pitch, to, count)?,
            }
            to += 4 * count as DeviceAddress;
            rest = &rest[run..];
        }
        on.reduce(values, self.count())?;
        let mut from = values;
        for (index, it) in self.reduced.iter().enumerate() {
            let params = AmaxParams {
                input: from,
                global: place(it),
                workspace: workspaces[it.tensor],
                skip,
                rows: it.count as u64,
                flags: it.flags,
                ..AmaxParams::default()
            };
            on.scales(index, &params)?;
            from += 4 * it.count as DeviceAddress;
        }
        Ok(())
    }
}

/// How many of the first can be gathered at once, and how far apart their values are: several
/// tensors with one value each, at equal distances, are like one with several.
fn alike(reduced: &[Reduced], place: &dyn Fn(&Reduced) -> DeviceAddress) -> (usize, u64) {
    let own = size_of::<GlobalScale>() as u64;
    let first = reduced[0];
    let [one, two] = match reduced {
        [one, two, ..] if one.count == 1 && two.count == 1 && one.is_empty == two.is_empty => {
            [place(one), place(two)]
        }
        _ => return (1, own),
    };
    if two <= one {
        return (1, own);
    }
    let pitch = two - one;
    let follows = |pair: &&[Reduced]| {
        pair[1].count == 1
            && pair[1].is_empty == first.is_empty
            && place(&pair[1]) == place(&pair[0]).wrapping_add(pitch)
    };
    (1 + reduced.windows(2).take_while(follows).count(), pitch)
}

/// The reduction of some quantizations' amaxes over ranks, prepared.
///
/// Every rank prepares the same: the same configurations, cut in the same way, in the same order.
/// Shards may differ in size, and may be empty: an empty shard's rank takes part, with zeros.
#[derive(Clone)]
pub struct AmaxReduction {
    device: Device,
    setup: ReductionSetup,
    scales: Vec<Launch<AmaxParams>>,
}

impl fmt::Debug for AmaxReduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmaxReduction")
            .field("device", &self.device)
            .field("tensors", &self.setup.tensors)
            .field("amaxes", &self.setup.count())
            .finish_non_exhaustive()
    }
}

impl AmaxReduction {
    /// Of one tensor's amaxes.
    ///
    /// # Errors
    /// [`Error::Device`]: [`DeviceError::AmaxInPassing`] when the quantizer finds its amaxes in the
    /// pass that quantizes (prepare it with
    /// [`AmaxSource::InputApart`](super::AmaxSource::InputApart)), or the driver fails to load the
    /// kernel.
    pub fn new(quantizer: &Quantizer, split: Split) -> Result<Self, Error> {
        Self::of(quantizer.device(), &[*quantizer.setup()], split)
    }

    /// Of the amaxes of a group's tensors, all of which are cut in the same way.
    ///
    /// # Errors
    /// As [`AmaxReduction::new`].
    pub fn of_group(group: &GroupQuantizer, split: Split) -> Result<Self, Error> {
        Self::of(group.device(), group.setups(), split)
    }

    fn of(device: &Device, setups: &[QuantizeSetup], split: Split) -> Result<Self, Error> {
        let setup = ReductionSetup::new(setups, split)?;
        let scales = setup.launches().map(|launch| Launch::new(device, &launch));
        let scales = scales.collect::<Result<_, DeviceError>>()?;
        Ok(Self { device: device.clone(), setup, scales })
    }

    /// This and another's amaxes in one all-reduce. The other's tensors come behind.
    ///
    /// # Panics
    /// If both are not of one device.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        let [ours, theirs] = [&self, &other].map(|it| it.device.info().ordinal);
        assert_eq!(ours, theirs, "one all-reduce has one device on each rank");
        self.setup = self.setup.and(other.setup);
        self.scales.extend(other.scales);
        self
    }

    /// Bytes of device memory that a launch needs for the amaxes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        4 * self.setup.count().max(1)
    }

    /// How many amaxes are reduced.
    #[must_use]
    pub fn count(&self) -> usize {
        self.setup.count()
    }

    /// Enqueues the reduction on `stream`, between `launch_amax` and `launch_quantize` of the
    /// quantizers.
    ///
    /// `workspaces` are theirs, in the order of the tensors; `amaxes` is room for
    /// [`AmaxReduction::bytes`]. `skip` is the address of a `u32`, or null, with the same value on
    /// all ranks: when it is not zero, the workspaces stay as they are, while the all-reduce takes
    /// place. Does not allocate, does not wait; may be captured where `ranks` may.
    ///
    /// # Errors
    /// [`ShapeError::Length`](fouroversix_core::ShapeError::Length) when there are not as many
    /// workspaces as tensors; [`Error::Device`]: an address null or misaligned, or a failure of the
    /// driver or of `ranks`.
    ///
    /// # Safety
    /// The addresses must be those of live memory of the device, and stay so until the work is done;
    /// `stream` must be a stream of the device's context, on which the amax passes were enqueued
    /// before. Nothing else may touch the memory meanwhile. Every rank must enqueue the same
    /// reduction, or none of them gets to its end.
    pub unsafe fn launch(
        &self,
        workspaces: &[DeviceAddress],
        amaxes: DeviceAddress,
        skip: DeviceAddress,
        ranks: &dyn AllReduceMax,
        stream: impl Into<RawStream>,
    ) -> Result<(), Error> {
        self.device.bind()?;
        let mut steps = OnStream { reduction: self, ranks, stream: stream.into() };
        self.setup.carry_out(workspaces, amaxes, skip, &mut steps)
    }
}

/// Enqueues the steps of a launch whose caller vouches for the addresses.
struct OnStream<'a> {
    reduction: &'a AmaxReduction,
    ranks: &'a dyn AllReduceMax,
    stream: RawStream,
}

impl Steps for OnStream<'_> {
    fn zero(&mut self, at: DeviceAddress, count: usize) -> Result<(), Error> {
        // SAFETY: the caller of `launch` vouches for memory and stream.
        let set = unsafe { result::memset_d8_async(at, 0, 4 * count, self.stream.handle()) };
        Ok(check("clear amaxes", set)?)
    }

    fn gather(
        &mut self,
        from: DeviceAddress,
        pitch: u64,
        to: DeviceAddress,
        count: usize,
    ) -> Result<(), Error> {
        let copy = sys::CUDA_MEMCPY2D {
            srcXInBytes: 0,
            srcY: 0,
            srcMemoryType: sys::CUmemorytype::CU_MEMORYTYPE_DEVICE,
            srcHost: ptr::null(),
            srcDevice: from,
            srcArray: ptr::null_mut(),
            srcPitch: pitch as usize,
            dstXInBytes: 0,
            dstY: 0,
            dstMemoryType: sys::CUmemorytype::CU_MEMORYTYPE_DEVICE,
            dstHost: ptr::null_mut(),
            dstDevice: to,
            dstArray: ptr::null_mut(),
            dstPitch: 4,
            WidthInBytes: 4,
            Height: count,
        };
        // SAFETY: the caller of `launch` vouches for memory and stream; the driver reads the struct
        // before it returns.
        let copied = unsafe { sys::cuMemcpy2DAsync_v2(&raw const copy, self.stream.handle()) };
        Ok(check("gather amaxes", copied.result())?)
    }

    fn reduce(&mut self, values: DeviceAddress, count: usize) -> Result<(), Error> {
        if count == 0 {
            return Ok(());
        }
        // SAFETY: the caller of `launch` vouches for memory and stream.
        unsafe { self.ranks.all_reduce_max(values, count, self.stream) }
    }

    fn scales(&mut self, launch: usize, params: &AmaxParams) -> Result<(), Error> {
        // SAFETY: the kernel's parameter is `AmaxParams`; the rest is the promise of `launch`'s
        // caller.
        let done = unsafe { self.reduction.scales[launch].enqueue(params, self.stream.handle()) };
        Ok(done?)
    }
}
