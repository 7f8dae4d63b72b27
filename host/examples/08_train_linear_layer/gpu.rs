//! Operands quantized by the kernels, products by cuBLASLt on what they dequantize to, in bf16.

use std::sync::Arc;

use cudarc::cublaslt::{CudaBlasLT, Matmul, MatmulConfig, sys};
use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr, DevicePtrMut};
use fouroversix::cuda::{
    AmaxLayout, AmaxSource, DequantizeAddresses, DequantizeConfig, Device, OutputAddresses,
    QuantizeAddresses,
};
use fouroversix::{Config, InputType};
use half::bf16;

use crate::cpu::transposed;
use crate::machine::{Machine, Matrix, Result};

pub(crate) struct Gpu {
    device: Device,
    stream: Arc<CudaStream>,
    products: CudaBlasLT,
}

/// A row-major matrix in device memory.
pub(crate) struct Operand {
    rows: usize,
    cols: usize,
    elements: CudaSlice<bf16>,
}

/// One output of a quantization.
struct Output {
    codes: CudaSlice<u8>,
    scales: CudaSlice<u8>,
    shape: [usize; 2],
}

impl Gpu {
    /// The first GPU, or why there is none to be used.
    pub(crate) fn new() -> Result<Self> {
        // Asked first: without a driver or cuBLASLt `cudarc` itself would panic.
        fouroversix::cuda::devices()?;
        // SAFETY: looks for NVIDIA's library, whose loading runs its own code only.
        if !unsafe { sys::is_culib_present() } {
            return Err("cuBLASLt is not on the library path".into());
        }
        let context = CudaContext::new(0)?;
        let stream = context.new_stream()?;
        let products = CudaBlasLT::new(Arc::clone(&stream))?;
        Ok(Self { device: Device::with_context(context)?, stream, products })
    }

    pub(crate) fn name(&self) -> &str {
        &self.device.info().name
    }

    fn output(&self, [rows, cols]: [usize; 2]) -> Result<Output> {
        let codes = self.stream.alloc_zeros(rows * cols / 2)?;
        let scales = self.stream.alloc_zeros(rows * cols / 16)?;
        Ok(Output { codes, scales, shape: [rows, cols] })
    }

    fn addresses(&self, output: &Output) -> OutputAddresses {
        let Output { codes, scales, .. } = output;
        OutputAddresses {
            codes: codes.device_ptr(&self.stream).0,
            scales: scales.device_ptr(&self.stream).0,
        }
    }

    /// Dequantized to bf16, with the global scale at `amax`.
    fn dequantized(&self, output: &Output, config: &Config, amax: u64) -> Result<Operand> {
        let [rows, cols] = output.shape;
        let to = DequantizeConfig::new(InputType::Bf16, config.rule().e4m3_max())
            .with_amax_layout(AmaxLayout::TensorGlobalScale);
        let dequantizer = self.device.dequantizer(&to, output.shape)?;
        let mut elements = self.stream.alloc_zeros::<bf16>(rows * cols)?;
        let OutputAddresses { codes, scales } = self.addresses(output);
        let output = elements.device_ptr_mut(&self.stream).0;
        let addresses = DequantizeAddresses { codes, scales, amax, output, skip: 0 };
        // SAFETY: memory of these lengths, of this context, used by this stream alone.
        unsafe { dequantizer.launch(&addresses, self.stream.cu_stream())? };
        Ok(Operand { rows, cols, elements })
    }
}

impl Machine for Gpu {
    type Operand = Operand;

    fn operands(&self, x: &Matrix, config: Option<&Config>) -> Result<[Operand; 2]> {
        let Matrix { rows, cols, .. } = *x;
        let values: Vec<bf16> = x.values.iter().map(|x| bf16::from_f32(*x)).collect();
        let Some(config) = config else {
            let along_columns = self.stream.clone_htod(&transposed(&values, cols))?;
            let along_rows = self.stream.clone_htod(&values)?;
            return Ok([
                Operand { rows, cols, elements: along_rows },
                Operand { rows: cols, cols: rows, elements: along_columns },
            ]);
        };
        let input = self.stream.clone_htod(&values)?;
        let quantizer =
            self.device.quantizer(config, InputType::Bf16, [rows, cols], AmaxSource::Input)?;
        let workspace = self.stream.alloc_zeros::<u8>(quantizer.workspace_bytes())?;
        let [rowwise, columnwise] = [self.output([rows, cols])?, self.output([cols, rows])?];
        let scales = workspace.device_ptr(&self.stream).0;
        let addresses = QuantizeAddresses {
            input: input.device_ptr(&self.stream).0,
            rowwise: self.addresses(&rowwise),
            columnwise: self.addresses(&columnwise),
            workspace: scales,
            ..QuantizeAddresses::default()
        };
        // SAFETY: memory of the lengths that the quantizer asks for, of this context, used by this
        // stream alone; what is freed afterwards is freed in the stream's order.
        unsafe { quantizer.launch(&addresses, self.stream.cu_stream())? };
        let [of_rows, of_columns] =
            [quantizer.row_global_scales(), quantizer.column_global_scales()]
                .map(|(offset, _)| scales + offset as u64);
        Ok([
            self.dequantized(&rowwise, config, of_rows)?,
            self.dequantized(&columnwise, config, of_columns)?,
        ])
    }

    fn product(&self, a: &Operand, b: &Operand) -> Result<Matrix> {
        assert_eq!(a.cols, b.cols, "the sums are along rows of both");
        let mut output = self.stream.alloc_zeros::<bf16>(a.rows * b.rows)?;
        // cuBLASLt's matrices are column-major: ours are its transposes, and `(a bᵀ)ᵀ = b aᵀ`.
        let config = MatmulConfig {
            transa: true,
            transb: false,
            transc: false,
            m: b.rows as u64,
            n: a.rows as u64,
            k: a.cols as u64,
            alpha: 1.0,
            lda: b.cols as i64,
            ldb: a.cols as i64,
            beta: 0.0,
            ldc: b.rows as i64,
            stride_a: None,
            stride_b: None,
            stride_c: None,
            stride_bias: None,
            batch_size: None,
        };
        // SAFETY: the dimensions are those of the three matrices.
        unsafe {
            self.products.matmul(config, &b.elements, &a.elements, &mut output, None, None)?;
        }
        let values = self.stream.clone_dtoh(&output)?;
        Ok(Matrix {
            rows: a.rows,
            cols: b.rows,
            values: values.iter().map(|x| x.to_f32()).collect(),
        })
    }
}
