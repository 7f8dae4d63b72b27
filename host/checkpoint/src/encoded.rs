//! Weights in FP8 and MXFP4, found by the names, types and shapes of their parts.

use fouroversix_core::InputType;
use serde_json::Value;

use super::encoding::{Encoding, factors};
use super::error::CheckpointError;
use super::header::{Dtype, TensorEntry};
use super::source::Checkpoint;
use super::view::{Base, Cut, View};

/// The block of DeepSeek's FP8, where nothing declares another.
const BLOCK: [usize; 2] = [128, 128];

/// What scales are called after the weight. All of them multiply, `_scale_inv` too.
const SCALES: [&str; 2] = ["_scale_inv", "_scale"];

/// What DeepSeek-V4 calls a scale beside `<module>.weight`, after the module; its inference code calls those
/// of V3 so too.
const MODULE_SCALE: &str = ".scale";

const IN_BLOCKS: &str = "FP8 with a scale for each block";

/// A tensor whose codes and scales another encoding than NVFP4 holds, and which is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedName {
    /// The tensor's name as floats: `"<module>.weight"`.
    pub tensor: String,
    /// The tensor with its scales.
    pub scales: String,
    /// The encoding, in a few words.
    pub label: &'static str,
}

/// Such a tensor with all that is needed to read it.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) name: EncodedName,
    pub(crate) base: Base,
    /// Whether it is one matrix and no stack.
    pub(crate) alone: bool,
}

impl Encoded {
    /// The whole of it as floats of `dtype`, as models hold them: MXFP4 stacks are turned round, as
    /// transformers 5.23 does (`integrations/mxfp4.py` `convert_moe_packed_tensors`).
    pub(crate) fn view(&self, dtype: InputType) -> View {
        let [count, rows, cols] = self.base.shape;
        let turned = matches!(self.base.encoding, Encoding::Mxfp4 { .. }) && !self.alone;
        let [outer, inner] = if turned { [cols, rows] } else { [rows, cols] };
        let cut = Cut { matrices: 0..count, transposed: turned, first: 0, step: 1, lines: outer };
        let shape = if self.alone { vec![outer, inner] } else { vec![count, outer, inner] };
        View::new(self.name.tensor.clone(), Dtype::from(dtype), shape, self.base.clone(), cut)
    }
}

impl Checkpoint {
    /// The FP8 or MXFP4 tensor that the stored tensor `entry` holds the codes of, if it does and all of
    /// it is there and fits.
    pub(crate) fn encoded(&self, entry: &TensorEntry) -> Option<Encoded> {
        match entry.dtype.name() {
            "U8" => self.mxfp4(entry).or_else(|| self.mxfp4_packed(entry)),
            "I8" => self.mxfp4_linear(entry),
            "F8_E4M3" => {
                let named = SCALES.iter().find_map(|end| self.fp8(entry, end));
                named.or_else(|| self.fp8_of_module(entry))
            }
            _ => None,
        }
    }

    fn mxfp4(&self, entry: &TensorEntry) -> Option<Encoded> {
        let tensor = entry.name.strip_suffix("_blocks")?;
        let (_, scales) = self.get(&format!("{tensor}_scales"))?;
        let (shape, alone) = match *entry.shape.as_slice() {
            [count, rows, blocks, 16] => ([count, rows, blocks * 32], false),
            [rows, blocks, 16] => ([1, rows, blocks * 32], true),
            _ => return None,
        };
        let fits = ["U8", "F8_E8M0"].contains(&scales.dtype.name())
            && entry.shape[..entry.shape.len() - 1] == scales.shape;
        let encoding = Encoding::Mxfp4 { scales: scales.name.clone() };
        let base = Base { codes: entry.name.clone(), shape, encoding };
        let (tensor, scales) = (tensor.to_owned(), scales.name.clone());
        let name = EncodedName { tensor, scales, label: "MXFP4" };
        fits.then_some(Encoded { name, base, alone })
    }

    /// As compressed-tensors packs it (`mxfp4-pack-quantized`): `<module>.weight_packed` and
    /// `<module>.weight_scale`, exponents.
    fn mxfp4_packed(&self, entry: &TensorEntry) -> Option<Encoded> {
        let tensor = entry.name.strip_suffix("_packed")?;
        let (_, scales) = self.get(&format!("{tensor}_scale"))?;
        let is_exponent = ["U8", "F8_E8M0"].contains(&scales.dtype.name());
        is_exponent.then(|| packed_pairs(entry, scales, tensor)).flatten()
    }

    /// As DeepSeek-V4 has its experts: `<module>.weight`, a pair in each byte, and `<module>.scale`.
    fn mxfp4_linear(&self, entry: &TensorEntry) -> Option<Encoded> {
        let module = entry.name.strip_suffix(".weight")?;
        let names = [format!("{module}{MODULE_SCALE}"), format!("{}{}", entry.name, SCALES[0])];
        let (_, scales) = names.iter().find_map(|name| self.get(name))?;
        let is_exponent = scales.dtype.name() == "F8_E8M0";
        is_exponent.then(|| packed_pairs(entry, scales, &entry.name)).flatten()
    }

    /// With a scale for each block, beside the weight. Others of that name are no rule's here.
    fn fp8_of_module(&self, entry: &TensorEntry) -> Option<Encoded> {
        let module = entry.name.strip_suffix(".weight")?;
        let (_, scales) = self.get(&format!("{module}{MODULE_SCALE}"))?;
        let found = self.fp8_with(entry, scales)?;
        (found.name.label == IN_BLOCKS).then_some(found)
    }

    fn fp8(&self, entry: &TensorEntry, end: &str) -> Option<Encoded> {
        let (_, scales) = self.get(&format!("{}{end}", entry.name))?;
        self.fp8_with(entry, scales)
    }

    fn fp8_with(&self, entry: &TensorEntry, scales: &TensorEntry) -> Option<Encoded> {
        let is_number = scales.dtype.input_type().is_some() || scales.dtype.name() == "F8_E8M0";
        let (shape, alone) = match *entry.shape.as_slice() {
            [rows, cols] => ([1, rows, cols], true),
            [count, rows, cols] => ([count, rows, cols], false),
            _ => return None,
        };
        let (block, label) = self.grid(shape, &scales.shape).filter(|_| is_number)?;
        let encoding = Encoding::Fp8 { scales: scales.name.clone(), block };
        let base = Base { codes: entry.name.clone(), shape, encoding };
        let (tensor, scales) = (entry.name.clone(), scales.name.clone());
        Some(Encoded { name: EncodedName { tensor, scales, label }, base, alone })
    }

    /// The rows and columns that a scale is for, where scales of this shape fit `[count, rows, cols]`.
    fn grid(
        &self,
        [count, rows, cols]: [usize; 3],
        scales: &[usize],
    ) -> Option<([usize; 2], &'static str)> {
        if count * rows * cols == 0 {
            return None;
        }
        let given: Vec<usize> = scales.iter().copied().filter(|&length| length != 1).collect();
        let meant = |matrix: [usize; 2]| {
            let mut all = vec![count];
            all.extend(matrix);
            all.retain(|&length| length != 1);
            all == given
        };
        let declared = self.config().map(block_sizes).unwrap_or_default();
        let mut blocks = declared.into_iter().chain([BLOCK]);
        if meant([1, 1]) {
            return Some(([rows, cols], "FP8 with a scale for the tensor"));
        }
        if let Some(block) = blocks.find(|[high, wide]| {
            *high * *wide > 0 && meant([rows.div_ceil(*high), cols.div_ceil(*wide)])
        }) {
            return Some((block, IN_BLOCKS));
        }
        meant([rows, 1]).then_some(([1, cols], "FP8 with a scale for each row"))
    }

    /// Checks that the FP8 scales of `encoded` are finite and not negative; E8M0 exponents of MXFP4
    /// are looked at when their turn comes.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`] names the scale and its place.
    pub(crate) fn check_scales(&self, encoded: &Encoded) -> Result<(), CheckpointError> {
        if matches!(encoded.base.encoding, Encoding::Mxfp4 { .. }) {
            return Ok(());
        }
        let (file, entry) = self.stored_tensor(&encoded.name.scales);
        let scales = factors(file.bytes(entry), entry);
        let odd = scales.iter().position(|scale| !scale.is_finite() || scale.is_sign_negative());
        file.release(entry, 0, entry.bytes() as usize);
        let Some(index) = odd else { return Ok(()) };
        Err(CheckpointError::malformed(
            file.path(),
            format!(
                "{} holds {} at number {index}, and a scale is finite and not negative: fetch it \
                 again, or use the BF16 model that it was made from",
                entry.name, scales[index]
            ),
        ))
    }
}

/// MXFP4 of a matrix `[N, K/2]`, the low nibble first, with exponents `[N, K/32]`.
fn packed_pairs(codes: &TensorEntry, scales: &TensorEntry, tensor: &str) -> Option<Encoded> {
    let [rows, pairs] = *codes.shape.as_slice() else { return None };
    let fits = pairs % 16 == 0 && scales.shape == [rows, pairs / 16];
    let encoding = Encoding::Mxfp4 { scales: scales.name.clone() };
    let base = Base { codes: codes.name.clone(), shape: [1, rows, 2 * pairs], encoding };
    let (tensor, scales) = (tensor.to_owned(), scales.name.clone());
    let name = EncodedName { tensor, scales, label: "MXFP4" };
    fits.then_some(Encoded { name, base, alone: true })
}

/// The sizes of blocks that sections of `config.json` declare: DeepSeek's `weight_block_size`,
/// compressed-tensors' `block_structure`.
fn block_sizes(config: &serde_json::Map<String, Value>) -> Vec<[usize; 2]> {
    fn walk(value: &Value, found: &mut Vec<[usize; 2]>) {
        match value {
            Value::Object(object) => {
                for key in ["weight_block_size", "block_structure"] {
                    let pair = object.get(key).cloned().unwrap_or_default();
                    found.extend(serde_json::from_value::<[usize; 2]>(pair).ok());
                }
                object.values().for_each(|value| walk(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    config.values().for_each(|value| walk(value, &mut found));
    found
}
