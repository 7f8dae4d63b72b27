//! NVFP4 tensors in a checkpoint: found by the names of their parts, checked, and opened.

use fouroversix_cpu::formats::E4M3;

use super::error::CheckpointError;
use super::file::TensorFile;
use super::format::{Format, StoredTensor};
use super::header::{TensorEntry, element_count};
use super::source::Checkpoint;
use fouroversix_core::Element;

/// Where a stored quantized tensor's parts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredName {
    /// The tensor's name before quantization: `"<module>.weight"`.
    pub tensor: String,
    /// The format its parts are named by.
    pub format: Format,
}

/// A part of a tensor: its file and its entry.
type Part<'a> = (&'a TensorFile, &'a TensorEntry);

impl Checkpoint {
    /// The NVFP4 tensor that the tensor called `codes_name` holds the codes of, if it does.
    ///
    /// A tensor is taken for codes when it is U8 and a block scale (F8_E4M3) or a global scale is
    /// there under one of the formats' names; whether all is there and fits is for
    /// [`Checkpoint::stored`] to say.
    #[must_use]
    pub fn stored_name(&self, codes_name: &str) -> Option<StoredName> {
        let (_, entry) = self.get(codes_name)?;
        if entry.dtype.name() != "U8" {
            return None;
        }
        let candidates = [
            codes_name.strip_suffix("_packed").map(|name| (name, Format::CompressedTensors)),
            Some((codes_name, Format::ModelOpt)),
        ];
        candidates.into_iter().flatten().find_map(|(tensor, format)| {
            let names = format.part_names(tensor);
            let found = match self.get(&names.scales) {
                Some((_, scales)) => scales.dtype.name() == "F8_E4M3",
                None => self.get(&names.global).is_some(),
            };
            found.then(|| StoredName { tensor: tensor.to_owned(), format })
        })
    }

    /// Every NVFP4 tensor, in the order of the codes' bytes.
    #[must_use]
    pub fn stored_names(&self) -> Vec<StoredName> {
        self.tensors().filter_map(|(_, entry)| self.stored_name(&entry.name)).collect()
    }

    /// The quantized tensor called `name`, its parts checked against each other.
    ///
    /// Codes of three dimensions are a stack of matrices, as experts are stored.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`] when a part is missing or has the wrong type or shape.
    pub fn stored(&self, name: &StoredName) -> Result<StoredTensor<'_>, CheckpointError> {
        let names = name.format.part_names(&name.tensor);
        let codes = self.part(&names.codes, &names.codes, "U8")?;
        let scales = self.part(&names.scales, &names.codes, "F8_E4M3")?;
        let global = self.part(&names.global, &names.codes, "F32")?;
        let (outer, stack, packed) = match *codes.1.shape.as_slice() {
            [rows, packed] => (vec![rows], None, packed),
            [matrices, rows, packed] => (vec![matrices, rows], Some([matrices, rows]), packed),
            _ => return Err(shape_error(codes, "[rows, cols/2] or [matrices, rows, cols/2]")),
        };
        let rows = element_count(&outer).and_then(|rows| usize::try_from(rows).ok());
        let Some(rows) = rows.filter(|_| packed % 8 == 0) else {
            return Err(shape_error(codes, "[rows, cols/2] with cols a multiple of 16"));
        };
        let expected = [outer.as_slice(), &[packed / 8]].concat();
        if scales.1.shape != expected {
            return Err(scales_error(codes.1, scales, &expected));
        }
        Ok(StoredTensor {
            shape: [rows, packed * 2],
            stack,
            codes: codes.0.bytes(codes.1),
            scales: scales.0.bytes(scales.1),
            global: name.format.global(global_values(global, rows, stack)?),
        })
    }

    fn part(&self, name: &str, codes: &str, dtype: &str) -> Result<Part<'_>, CheckpointError> {
        let Some((file, entry)) = self.get(name) else {
            let problem = format!("it has {codes} but not its {name}: fetch it again");
            return Err(CheckpointError::malformed(self.root(), problem));
        };
        if entry.dtype.name() != dtype {
            let problem = format!("{name} is {} where NVFP4 has {dtype}", entry.dtype);
            return Err(CheckpointError::malformed(file.path(), problem));
        }
        Ok((file, entry))
    }

    /// [`Checkpoint::stored`], its global scales positive and finite.
    ///
    /// # Errors
    /// Those, and [`CheckpointError::Malformed`] for a global scale that is neither.
    pub(crate) fn sound(&self, name: &StoredName) -> Result<StoredTensor<'_>, CheckpointError> {
        let stored = self.stored(name)?;
        let odd = stored.global.values().iter().position(|v| !(v.is_finite() && *v > 0.0));
        if let Some(index) = odd {
            let value = stored.global.values()[index];
            let global = name.format.part_names(&name.tensor).global;
            let problem = format!(
                "{global} holds {value} at [{index}], and a global scale is positive and finite: \
                 fetch it again, or use the BF16 model that it was made from"
            );
            return Err(CheckpointError::malformed(self.root(), problem));
        }
        Ok(stored)
    }

    /// Checks what only a look at all block scales of `stored` tells: that none is NaN or negative,
    /// and that no weight leaves the range of `T`.
    pub(crate) fn check_block_scales<T: Element>(
        &self,
        name: &StoredName,
        stored: &StoredTensor<'_>,
    ) -> Result<(), CheckpointError> {
        let blocks = stored.shape[1] / 16;
        let scales = name.format.part_names(&name.tensor).scales;
        if let Some(index) = stored.scales.iter().position(|&byte| byte >= 0x7F) {
            let byte = stored.scales[index];
            let (row, block) = (index / blocks, index % blocks);
            let value = E4M3[usize::from(byte)];
            let problem = format!(
                "{scales} holds {value} (byte {byte:#04X}) for row {row}, block {block}, and a block \
                 scale is neither NaN nor negative: fetch it again, or use the BF16 model that it \
                 was made from"
            );
            return Err(CheckpointError::malformed(self.root(), problem));
        }
        if let Some(position) = stored.first_overflow::<T>() {
            return Err(CheckpointError::OutOfRange {
                tensor: name.tensor.clone(),
                position,
                output_type: T::TYPE,
            });
        }
        Ok(())
    }
}

/// The numbers of a global scale: one, one for each matrix of a stack, or one for each row.
fn global_values(
    global: Part<'_>,
    rows: usize,
    stack: Option<[usize; 2]>,
) -> Result<Vec<f32>, CheckpointError> {
    let count = stack.map_or(rows, |[matrices, _]| matrices);
    let shape = global.1.shape.as_slice();
    let fits = match (shape, stack) {
        ([] | [1], _) => true,
        (&[n], _) => n == count,
        (&[n, 1] | &[n, 1, 1], Some(_)) => n == count,
        _ => false,
    };
    if !fits {
        return Err(shape_error(global, &format!("[1] or [{count}]")));
    }
    let bytes = global.0.bytes(global.1).chunks_exact(4);
    Ok(bytes.map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect())
}

fn scales_error(codes: &TensorEntry, scales: Part<'_>, expected: &[usize]) -> CheckpointError {
    let (found, last) = (scales.1.shape.as_slice(), expected.len() - 1);
    let (rows, blocks) = (expected[last - 1], expected[last]);
    let padded = [rows.next_multiple_of(128), blocks.next_multiple_of(4)];
    let why = if found.ends_with(&padded) {
        "they are padded as tensor cores take them, which is not read"
    } else if let (&[_, packed, n], &[_, across, m]) = (codes.shape.as_slice(), found)
        && n == m
        && packed == across * 8
    {
        "the matrices of the stack are packed along their rows, which is not read"
    } else {
        "fetch it again"
    };
    let problem = format!(
        "{} has shape {found:?} where {expected:?} is needed for {} {:?}: {why}",
        scales.1.name, codes.name, codes.shape
    );
    CheckpointError::malformed(scales.0.path(), problem)
}

fn shape_error((file, entry): Part<'_>, expected: &str) -> CheckpointError {
    CheckpointError::malformed(
        file.path(),
        format!(
            "{} has shape {:?} where {expected} is needed: fetch it again",
            entry.name, entry.shape
        ),
    )
}
