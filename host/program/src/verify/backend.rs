//! What is checked on this machine: every CPU path, every GPU.

use fouroversix::cpu::{self, Path};
#[cfg(feature = "cuda")]
use fouroversix::cuda::Device;
use fouroversix::{
    Amax, Element, Error, InputType, Nvfp4Mut, Nvfp4Tensor, Quantized, QuantizedMut, Scaling,
};
use half::{bf16, f16};

use super::answers::Answer;
use super::check::{Check, SHAPE};

pub(super) enum Backend {
    Cpu(Path),
    #[cfg(feature = "cuda")]
    Cuda(Device),
}

impl Backend {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Cpu(path) => format!("cpu:{}", path.name()),
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => format!("cuda:{}", device.info().ordinal),
        }
    }

    /// Quantizes and dequantizes: an answer for each output.
    pub(super) fn answer(&self, check: &Check) -> Result<Vec<Answer>, Error> {
        match check.mode.element {
            InputType::Bf16 => self.answer_as::<bf16>(check),
            InputType::F16 => self.answer_as::<f16>(check),
            InputType::F32 => self.answer_as::<f32>(check),
        }
    }

    fn answer_as<T: Element>(&self, check: &Check) -> Result<Vec<Answer>, Error> {
        let input: Vec<T> = check.values().into_iter().map(T::from_f32).collect();
        let supplied = check.supplied_amax();
        let amax = supplied.as_ref().map(|[rows, columns]| match check.config().scaling() {
            Scaling::Row if check.config().outputs().columnwise() => {
                Amax::RowsAndColumns { rows, columns }
            }
            Scaling::Row => Amax::Rows(rows),
            Scaling::Tensor | Scaling::Tile => Amax::Tensor(rows[0]),
        });
        let Quantized { rowwise, columnwise } = match self {
            Self::Cpu(path) => quantize_over_garbage(*path, &input, check, amax)?,
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => device.quantize_outputs(&input, SHAPE, &check.config(), amax)?,
        };
        rowwise.into_iter().chain(columnwise).map(|tensor| self.finish::<T>(tensor)).collect()
    }

    fn finish<T: Element>(&self, tensor: Nvfp4Tensor) -> Result<Answer, Error> {
        let values: Vec<T> = match self {
            Self::Cpu(path) => {
                let mut values = vec![T::from_f32(f32::NAN); SHAPE[0] * SHAPE[1]];
                cpu::dequantize_into(*path, tensor.view(), &mut values)?;
                values
            }
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => device.dequantize(&tensor)?,
        };
        let (codes, scales, global_amax) = tensor.into_parts();
        let values = values.into_iter().map(T::to_f32).collect();
        Ok(Answer { codes, scales, global_amax, values })
    }
}

/// Into buffers of garbage, so that a byte that is not written shows.
fn quantize_over_garbage<T: Element>(
    path: Path,
    input: &[T],
    check: &Check,
    amax: Option<Amax<'_>>,
) -> Result<Quantized, Error> {
    fn fill(out: &mut Nvfp4Mut<'_>) {
        out.codes.fill(0xA5);
        out.scales.fill(0xA5);
        out.global_amax.fill(f32::NAN);
    }
    let mut quantized = Quantized::zeroed(SHAPE, &check.config());
    let mut out: QuantizedMut<'_> = quantized.parts_mut();
    out.rowwise.iter_mut().chain(&mut out.columnwise).for_each(fill);
    cpu::quantize_into(path, input, SHAPE, &check.config(), amax, out)?;
    Ok(quantized)
}
