//! Quantization of host memory on a device.

use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, result};
use fouroversix_core::check_shape;
use fouroversix_core::shape::expect_length;
use fouroversix_core::{
    Amax, Config, Element, Error, InputType, Nvfp4Tensor, Outputs, Quantized, QuantizedMut, Scaling,
};

use super::address::{OutputAddresses, QuantizeAddresses};
use super::device::Device;
use super::driver::check;
use super::error::DeviceError;
use super::memory::{self, Elements};
use super::setup::{AmaxSource, outputs_are_apart};

impl Device {
    /// Quantizes a tensor in host memory: `fouroversix::quantize`, bit for bit.
    ///
    /// Copies the input to the device and the result back; for tensors that live on the device use
    /// [`Device::quantizer`].
    ///
    /// # Errors
    /// As `fouroversix::quantize`; and [`Error::Device`] when the device has no room for input and
    /// output, the build lacks the kernel or the driver fails.
    pub fn quantize<T: Element>(
        &self,
        input: &[T],
        shape: [usize; 2],
        config: &Config,
    ) -> Result<Nvfp4Tensor, Error> {
        config.outputs().expect_one()?;
        let quantized = self.quantize_outputs(input, shape, config, None)?;
        Ok(quantized.into_one().expect("one output is configured"))
    }

    /// `fouroversix::quantize_both` for a tensor in host memory, bit for bit.
    ///
    /// # Errors
    /// As `fouroversix::quantize_both` and [`Device::quantize`].
    pub fn quantize_both<T: Element>(
        &self,
        input: &[T],
        shape: [usize; 2],
        config: &Config,
    ) -> Result<[Nvfp4Tensor; 2], Error> {
        config.outputs().expect_both()?;
        let quantized = self.quantize_outputs(input, shape, config, None)?;
        Ok(quantized.into_both().expect("both outputs are configured"))
    }

    /// `fouroversix::quantize_outputs` for a tensor in host memory, bit for bit: the configured
    /// outputs, whichever they are, with the global amax supplied or not.
    ///
    /// # Errors
    /// As `fouroversix::quantize_outputs` and [`Device::quantize`].
    pub fn quantize_outputs<T: Element>(
        &self,
        input: &[T],
        shape: [usize; 2],
        config: &Config,
        amax: Option<Amax<'_>>,
    ) -> Result<Quantized, Error> {
        check_shape(input.len(), shape.into(), config)?;
        let supplied = amax.map(|amax| Supplied::new(amax, shape, config)).transpose()?;
        if input.is_empty() {
            // Nothing to compute: the shapes are all there is.
            let mut empty = Quantized::zeroed(shape, config);
            if let Some(supplied) = supplied {
                supplied.copy_to(empty.parts_mut());
            }
            return Ok(empty);
        }
        let stream = self.new_stream()?;
        let resident = Resident::new(&stream, input, shape)?;
        self.quantize_resident(&stream, &resident, config, supplied)
    }

    /// Quantizes what has been copied to the device.
    fn quantize_resident(
        &self,
        stream: &Arc<CudaStream>,
        input: &Resident,
        config: &Config,
        supplied: Option<Supplied>,
    ) -> Result<Quantized, Error> {
        let source = if supplied.is_some() { AmaxSource::Supplied } else { AmaxSource::Input };
        let quantizer = self.quantizer(config, input.element, input.shape, source)?;
        let out = quantizer.allocate_outputs(stream)?;
        let mut addresses = out.addresses(stream);
        addresses.input = memory::address(&input.memory, stream);
        let supplied = supplied.unwrap_or_default();
        let mut kept = Vec::new();
        let lists = [
            (supplied.rows, &mut addresses.row_amax),
            (supplied.columns, &mut addresses.column_amax),
        ];
        for (values, address) in lists {
            if !values.is_empty() {
                let mut list = memory::allocate(stream, size_of_val(values.as_slice()))?;
                memory::upload(stream, &values, &mut list)?;
                *address = memory::address(&list, stream);
                kept.push(list);
            }
        }
        // SAFETY: the buffers were allocated for this launch on its stream, where they are freed
        // after it.
        unsafe { quantizer.enqueue(&addresses, stream.cu_stream())? };
        out.to_host(stream)
    }
}

impl Device {
    /// A stream for one copy-in, launch, copy-out.
    pub(super) fn new_stream(&self) -> Result<Arc<CudaStream>, DeviceError> {
        check("create a stream", self.cuda_context().new_stream())
    }

    /// Bytes of device memory that are free, and that there are.
    ///
    /// # Errors
    /// [`Error::Device`] when the driver fails.
    pub fn free_memory(&self) -> Result<(u64, u64), Error> {
        self.bind()?;
        let (free, total) = check("measure the free memory", result::mem_get_info())?;
        Ok((free as u64, total as u64))
    }
}

/// A tensor copied to the device.
pub struct Resident {
    memory: CudaSlice<u8>,
    element: InputType,
    shape: [usize; 2],
}

impl Resident {
    /// Copies a tensor to the device, in the order of `stream`.
    ///
    /// # Errors
    /// [`ShapeError::Length`](fouroversix_core::ShapeError::Length) when `input` does not suit `shape`; [`Error::Device`] when there is no room.
    pub fn new<T: Element>(
        stream: &Arc<CudaStream>,
        input: &[T],
        shape: [usize; 2],
    ) -> Result<Self, Error> {
        expect_length("the input", input.len(), shape[0].saturating_mul(shape[1]))?;
        let mut memory = memory::allocate(stream, size_of_val(input))?;
        memory::upload(stream, Elements::of(input), &mut memory)?;
        Ok(Self { memory, element: T::TYPE, shape })
    }

    /// [`Device::quantize_outputs`] of the tensor.
    pub fn quantize(
        &self,
        device: &Device,
        stream: &Arc<CudaStream>,
        config: &Config,
        amax: Option<Amax<'_>>,
    ) -> Result<Quantized, Error> {
        let supplied = amax.map(|amax| Supplied::new(amax, self.shape, config)).transpose()?;
        device.quantize_resident(stream, self, config, supplied)
    }
}

/// Supplied amaxes, checked as `fouroversix::quantize_outputs` does. Empty where not needed.
#[derive(Debug, Default)]
struct Supplied {
    rows: Vec<f32>,
    columns: Vec<f32>,
}

impl Supplied {
    fn new(amax: Amax<'_>, [rows, cols]: [usize; 2], config: &Config) -> Result<Self, Error> {
        let by_row = config.scaling() == Scaling::Row;
        let outputs = config.outputs();
        let (row_amax, column_amax) = match amax {
            Amax::Tensor(value) if !by_row => {
                let rows = checked("the supplied amax", &[value], 1)?;
                let columns = if outputs_are_apart(config) { rows.clone() } else { Vec::new() };
                return Ok(Self { rows, columns });
            }
            Amax::Outputs { rowwise, columnwise } if !by_row => {
                return Self::of_outputs([rowwise, columnwise], config);
            }
            Amax::Rows(rows) if by_row => (rows, None),
            Amax::RowsAndColumns { rows, columns } if by_row => (rows, Some(columns)),
            _ if by_row => return Err(Error::AmaxKind { expected: "one for each row" }),
            _ => return Err(Error::AmaxKind { expected: "one for the tensor" }),
        };
        let mut this = Self::default();
        if outputs.rowwise() {
            this.rows = checked("the supplied row amax", row_amax, rows)?;
        }
        if outputs.columnwise() {
            let expected = "one for each row and each column";
            let column_amax = column_amax.ok_or(Error::AmaxKind { expected })?;
            this.columns = checked("the supplied column amax", column_amax, cols)?;
        }
        Ok(this)
    }

    /// One for each output. Kernels without a transform have one for both.
    fn of_outputs(amaxes: [f32; 2], config: &Config) -> Result<Self, Error> {
        let [rows, columns] = amaxes.map(|amax| checked("the supplied amax", &[amax], 1));
        match config.outputs() {
            Outputs::Rowwise => Ok(Self { rows: rows?, columns: Vec::new() }),
            Outputs::Columnwise => Ok(Self { rows: columns?, columns: Vec::new() }),
            Outputs::Both if outputs_are_apart(config) => {
                Ok(Self { rows: rows?, columns: columns? })
            }
            Outputs::Both if amaxes[0] == amaxes[1] => {
                Ok(Self { rows: rows?, columns: Vec::new() })
            }
            Outputs::Both => Err(Error::AmaxKind { expected: "one for the tensor" }),
        }
    }

    /// Puts the amaxes into outputs, as quantizing would.
    fn copy_to(&self, out: QuantizedMut<'_>) {
        // One for the tensor is that of its transpose.
        let columns = if self.columns.is_empty() { &self.rows } else { &self.columns };
        for (out, amax) in [(out.rowwise, &self.rows), (out.columnwise, columns)] {
            if let Some(out) = out.filter(|out| !out.global_amax.is_empty()) {
                out.global_amax.copy_from_slice(amax);
            }
        }
    }
}

fn checked(buffer: &'static str, values: &[f32], count: usize) -> Result<Vec<f32>, Error> {
    expect_length(buffer, values.len(), count)?;
    match values.iter().position(|value| value.is_nan() || *value < 0.0) {
        Some(index) => Err(Error::Amax { index, value: values[index] }),
        None => Ok(values.to_vec()),
    }
}

impl super::tensor::DeviceQuantized {
    /// Where the tensors lie: for launches on `stream`, which must be the one they were allocated
    /// on.
    pub fn addresses(&self, stream: &Arc<CudaStream>) -> QuantizeAddresses {
        let output = |tensor: Option<&super::tensor::DeviceTensor>| {
            tensor.map_or_else(OutputAddresses::default, |tensor| OutputAddresses {
                codes: memory::address(tensor.codes(), stream),
                scales: memory::address(tensor.scales(), stream),
            })
        };
        QuantizeAddresses {
            rowwise: output(self.rowwise()),
            columnwise: output(self.columnwise()),
            workspace: memory::address(&self.workspace, stream),
            ..QuantizeAddresses::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fouroversix_core::{Rule, ScaleLayout};
    use fouroversix_cpu::{Path, quantize_outputs};

    #[test]
    fn supplied_amaxes_are_checked_like_those_of_the_cpu() {
        let config = |scaling, outputs| {
            Config::new(Rule::Plain, scaling, outputs, ScaleLayout::Linear).expect("valid")
        };
        let shape = [16, 32];
        let input = vec![1.0f32; 16 * 32];
        let (rows, columns) = (vec![2.0; 16], vec![3.0; 32]);
        let amaxes = [
            Amax::Tensor(1.0),
            Amax::Tensor(f32::NAN),
            Amax::Tensor(-1.0),
            Amax::Rows(&rows),
            Amax::Rows(&rows[1..]),
            Amax::RowsAndColumns { rows: &rows, columns: &columns },
            Amax::RowsAndColumns { rows: &rows, columns: &columns[1..] },
        ];
        for scaling in [Scaling::Tensor, Scaling::Row, Scaling::Tile] {
            for outputs in [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both] {
                for amax in amaxes {
                    let config = config(scaling, outputs);
                    let here = Supplied::new(amax, shape, &config).map(|_| ());
                    let cpu = quantize_outputs(Path::best(), &input, shape, &config, Some(amax))
                        .map(|_| ());
                    let texts = [here, cpu].map(|it| it.map_err(|error| error.to_string()));
                    assert_eq!(texts[0], texts[1], "{config:?} {amax:?}");
                }
            }
        }
    }
}
