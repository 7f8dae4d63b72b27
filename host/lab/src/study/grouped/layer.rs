//! The layer on a device: memory, quantizers, products, and a step.

use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, sys};
use fouroversix::cuda::internals::{self as memory, Elements, check};
use fouroversix::cuda::{
    AmaxLayout, AmaxSource, DequantizeAddresses, DequantizeConfig, Dequantizer, Device,
    DeviceAddress, GroupQuantizer, GroupTable, OutputAddresses, QuantizeAddresses,
};
use fouroversix::{Error, InputType, ScaleLayout};
use half::bf16;

use super::cublas::{CublasLt, Matmul, Matrix, WORKSPACE};
use super::inputs::Inputs;
use super::matmul::{MatmulSpec, Operands, alpha};
use super::problem::{Form, Operand, Product, Recipe, Shape};

/// Offsets of one group's tensors in the layer's memory.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    /// By [`Operand`]: the input, and everything that quantization writes.
    operands: [QuantizeAddresses; 3],
    /// By [`Operand`]: the global scale, which begins with the amax.
    global_scales: [DeviceAddress; 3],
    /// By [`Operand`], then as it is and transposed: dequantized.
    dequantized: [[DeviceAddress; 2]; 3],
    /// By [`Product`].
    outputs: [DeviceAddress; 3],
}

impl Group {
    fn each(&mut self, mut f: impl FnMut(&mut DeviceAddress)) {
        for it in &mut self.operands {
            f(&mut it.input);
            for output in [&mut it.rowwise, &mut it.columnwise] {
                f(&mut output.codes);
                f(&mut output.scales);
            }
            f(&mut it.workspace);
        }
        self.global_scales.iter_mut().for_each(&mut f);
        self.dequantized.iter_mut().flatten().for_each(&mut f);
        self.outputs.iter_mut().for_each(&mut f);
    }

    fn output(&self, form: Form) -> &OutputAddresses {
        let operand = &self.operands[form.operand as usize];
        if form.transposed { &operand.columnwise } else { &operand.rowwise }
    }
}

/// Hands out offsets.
#[derive(Debug, Default)]
struct Offsets {
    end: u64,
}

impl Offsets {
    /// The offset of `bytes` more bytes, at a multiple of 256.
    fn take(&mut self, bytes: usize) -> DeviceAddress {
        let start = self.end;
        self.end = (start + bytes as u64).next_multiple_of(256);
        start
    }
}

/// Inputs, intermediate and output tensors of a layer, which all recipes use in turn.
pub(super) struct Memory {
    shape: Shape,
    layout: ScaleLayout,
    groups: Vec<Group>,
    cublas_workspace: DeviceAddress,
    base: DeviceAddress,
    bytes: CudaSlice<u8>,
}

impl Memory {
    /// Allocates, and copies the inputs to the device.
    pub(super) fn new(
        device: &Device,
        stream: &Arc<CudaStream>,
        shape: Shape,
        operands: Operands,
        inputs: &Inputs,
    ) -> Result<Self, Error> {
        shape.check()?;
        let layout = match operands {
            Operands::Bf16 => ScaleLayout::Linear,
            Operands::Nvfp4 => ScaleLayout::Swizzled128x4,
        };
        let mut offsets = Offsets::default();
        let cublas_workspace = offsets.take(WORKSPACE);
        let mut groups = Vec::new();
        for _ in 0..shape.groups {
            groups.push(place(&mut offsets, device, &shape, layout)?);
        }
        let mut bytes = memory::zeroed(stream, offsets.end as usize)?;
        for (index, group) in groups.iter().enumerate() {
            let inputs = inputs.group(&shape, index);
            for operand in Operand::ALL {
                let at = group.operands[operand as usize].input as usize;
                let elements = Elements::of(inputs.operand(operand));
                memory::upload_at(stream, elements, &mut bytes, at)?;
            }
        }
        let base = memory::address(&bytes, stream);
        for group in &mut groups {
            group.each(|address| *address += base);
        }
        let cublas_workspace = cublas_workspace + base;
        Ok(Self { shape, layout, groups, cublas_workspace, base, bytes })
    }

    /// Copies rows of a group's output to the host and waits for them.
    pub(super) fn output(
        &self,
        stream: &Arc<CudaStream>,
        product: Product,
        group: usize,
        rows: Range<usize>,
    ) -> Result<Vec<bf16>, Error> {
        let [_, columns, _] = product.dimensions(&self.shape);
        let at = self.groups[group].outputs[product as usize];
        let start = at + (2 * rows.start * columns) as DeviceAddress;
        let bytes = self.fetch(stream, start, 2 * rows.len() * columns)?;
        let pairs = bytes.chunks_exact(2);
        Ok(pairs.map(|it| bf16::from_bits(u16::from_le_bytes([it[0], it[1]]))).collect())
    }

    fn fetch(
        &self,
        stream: &Arc<CudaStream>,
        address: DeviceAddress,
        length: usize,
    ) -> Result<Vec<u8>, Error> {
        let start = (address - self.base) as usize;
        let part = self.bytes.slice(start..start + length);
        Ok(check("copy from the device", stream.clone_dtoh(&part))?)
    }
}

/// Offsets of one group's tensors.
fn place(
    offsets: &mut Offsets,
    device: &Device,
    shape: &Shape,
    layout: ScaleLayout,
) -> Result<Group, Error> {
    let mut group = Group::default();
    for operand in Operand::ALL {
        let [rows, cols] = shape.operand(operand);
        // Every recipe has the same workspace: one amax for the tensor.
        let config = Recipe::ALL[0].config(operand, layout);
        let quantizer =
            device.quantizer(&config, InputType::Bf16, [rows, cols], AmaxSource::Input)?;
        let mut output = |rows, cols| OutputAddresses {
            codes: offsets.take(rows * cols / 2),
            scales: offsets.take(layout.bytes(rows, cols)),
        };
        group.operands[operand as usize] = QuantizeAddresses {
            rowwise: output(rows, cols),
            columnwise: output(cols, rows),
            input: offsets.take(2 * rows * cols),
            workspace: offsets.take(quantizer.workspace_bytes()),
            ..QuantizeAddresses::default()
        };
        group.global_scales[operand as usize] = group.operands[operand as usize].workspace
            + quantizer.row_global_scales().0 as DeviceAddress;
        group.dequantized[operand as usize] =
            [offsets.take(2 * rows * cols), offsets.take(2 * rows * cols)];
    }
    for product in Product::ALL {
        let [rows, columns, _] = product.dimensions(shape);
        group.outputs[product as usize] = offsets.take(2 * rows * columns);
    }
    Ok(group)
}

/// A recipe's launches on a layer's memory.
pub(super) struct Step<'a> {
    quantizers: Vec<(GroupQuantizer, GroupTable)>,
    dequantizers: Vec<(Dequantizer, DequantizeAddresses)>,
    products: Vec<Matmul<'a>>,
    /// What the addresses point to.
    _memory: &'a Memory,
}

impl<'a> Step<'a> {
    pub(super) fn new(
        device: &Device,
        stream: &Arc<CudaStream>,
        library: &'a CublasLt,
        memory: &'a Memory,
        operands: Operands,
        recipe: Recipe,
    ) -> Result<Self, Error> {
        let mut quantizers = Vec::new();
        for operand in Operand::ALL {
            let config = recipe.config(operand, memory.layout);
            let shapes = vec![memory.shape.operand(operand); memory.shape.groups];
            let quantizer =
                device.group_quantizer(&config, InputType::Bf16, &shapes, AmaxSource::Input)?;
            let at: Vec<_> = memory.groups.iter().map(|it| it.operands[operand as usize]).collect();
            let table = quantizer.table(stream, &at)?;
            quantizers.push((quantizer, table));
        }
        let mut this =
            Self { quantizers, dequantizers: Vec::new(), products: Vec::new(), _memory: memory };
        // Leaves the amaxes, which products of NVFP4 operands need on the host.
        this.quantize(stream.cu_stream())?;
        for (index, group) in memory.groups.iter().enumerate() {
            if operands == Operands::Bf16 {
                this.prepare_dequantizers(device, memory, recipe, group)?;
            }
            for product in Product::ALL {
                let matmul =
                    prepare_product(stream, library, memory, operands, recipe, index, product)?;
                this.products.push(matmul);
            }
        }
        Ok(this)
    }

    fn prepare_dequantizers(
        &mut self,
        device: &Device,
        memory: &Memory,
        recipe: Recipe,
        group: &Group,
    ) -> Result<(), Error> {
        for operand in Operand::ALL {
            let config = recipe.config(operand, memory.layout);
            let [rows, cols] = memory.shape.operand(operand);
            for transposed in [false, true] {
                let shape = if transposed { [cols, rows] } else { [rows, cols] };
                let to = DequantizeConfig::new(InputType::Bf16, config.rule().e4m3_max())
                    .with_scale_layout(memory.layout)
                    .with_amax_layout(AmaxLayout::TensorGlobalScale);
                let dequantizer = device.dequantizer(&to, shape)?;
                let from = group.output(Form { operand, transposed });
                let addresses = DequantizeAddresses {
                    codes: from.codes,
                    scales: from.scales,
                    amax: group.global_scales[operand as usize],
                    output: group.dequantized[operand as usize][usize::from(transposed)],
                    skip: 0,
                };
                self.dequantizers.push((dequantizer, addresses));
            }
        }
        Ok(())
    }

    /// Enqueues a step: forward and backward of all groups.
    pub(super) fn launch(&self, stream: sys::CUstream) -> Result<(), Error> {
        self.quantize(stream)?;
        for (dequantizer, addresses) in &self.dequantizers {
            // SAFETY: as in `quantize`.
            unsafe { dequantizer.launch(addresses, stream)? };
        }
        for product in &self.products {
            // SAFETY: as in `quantize`.
            unsafe { product.launch(stream)? };
        }
        Ok(())
    }

    /// Enqueues the step's quantization alone.
    pub(super) fn quantize(&self, stream: sys::CUstream) -> Result<(), Error> {
        for (quantizer, table) in &self.quantizers {
            // SAFETY: the addresses are of the memory that `self` borrows, with room for the shapes
            // they were placed for; one stream orders all work on it.
            unsafe { quantizer.launch(table, 0, stream)? };
        }
        Ok(())
    }
}

fn prepare_product<'a>(
    stream: &Arc<CudaStream>,
    library: &'a CublasLt,
    memory: &Memory,
    operands: Operands,
    recipe: Recipe,
    index: usize,
    product: Product,
) -> Result<Matmul<'a>, Error> {
    let group = &memory.groups[index];
    let spec = MatmulSpec::new(product.dimensions(&memory.shape), operands);
    let output = group.outputs[product as usize];
    let forms = product.forms();
    let (factor, matrices) = match operands {
        Operands::Bf16 => {
            let matrix = |form: Form| Matrix {
                elements: group.dequantized[form.operand as usize][usize::from(form.transposed)],
                scales: 0,
            };
            (1.0, forms.map(matrix))
        }
        Operands::Nvfp4 => {
            // Of the quantization before: the inputs of a benchmark do not change. A training step
            // would compute it on the device.
            let scale = |form: Form| {
                let bound = recipe.config(form.operand, memory.layout).rule().e4m3_max();
                let at = group.global_scales[form.operand as usize];
                let bytes = memory.fetch(stream, at, 4)?;
                let amax = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                Ok::<_, Error>((amax, bound.value()))
            };
            let [a, b] = forms.map(scale);
            let matrix = |form: Form| {
                let OutputAddresses { codes, scales } = *group.output(form);
                Matrix { elements: codes, scales }
            };
            (alpha(a?, b?), forms.map(matrix))
        }
    };
    let workspace = memory.cublas_workspace;
    Ok(Matmul::new(library, spec, factor, matrices, output, workspace)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_aligned_and_apart() {
        let mut offsets = Offsets::default();
        assert_eq!([offsets.take(1), offsets.take(256), offsets.take(0)], [0, 256, 512]);
        assert_eq!(offsets.take(300), 512);
        assert_eq!(offsets.end, 1024);
    }

    #[test]
    fn every_address_of_a_group_is_moved_once() {
        let mut group = Group::default();
        let mut count = 0;
        group.each(|address| {
            *address += 1;
            count += 1;
        });
        group.each(|address| assert_eq!(*address, 1));
        // Three operands of an input, four buffers, a workspace and a global scale; six dequantized;
        // three outputs.
        assert_eq!(count, 3 * 7 + 6 + 3);
    }
}
