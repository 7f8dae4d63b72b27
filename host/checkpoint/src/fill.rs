//! Reads rows of tensors: of stored ones as they lie, of views as they are made.

use std::ops::Range;

use bytemuck::{Pod, cast_slice, cast_slice_mut};
use fouroversix_core::{Element, InputType};
use half::{bf16, f16};
use rayon::prelude::*;

use super::encoding::{Decoder, Encoding, factors};
use super::error::CheckpointError;
use super::file::TensorFile;
use super::format::Values;
use super::header::TensorEntry;
use super::panel::{byte_range, float_type};
use super::scan::{extent, values};
use super::source::Checkpoint;
use super::turn::{SQUARE, turn};
use super::view::{Base, Cut, View};

/// Bytes of a stored matrix that are looked at before its pages are dropped.
const STRIPE: usize = 4 << 20;

impl Base {
    /// What turns codes into floats; floats have none.
    pub(crate) fn decoder<'a>(&self, checkpoint: &'a Checkpoint) -> Option<Decoder<'a>> {
        let bytes = |name: &str| {
            let (file, entry) = checkpoint.stored_tensor(name);
            (file.bytes(entry), entry)
        };
        let [_, rows, cols] = self.shape;
        let codes = bytes(&self.codes).0;
        match &self.encoding {
            Encoding::Floats(_) => None,
            Encoding::Fp8 { scales, block } => {
                let (scales, entry) = bytes(scales);
                let grid = [rows.div_ceil(block[0]), cols.div_ceil(block[1])];
                let (scales, block) = (factors(scales, entry), *block);
                Some(Decoder::Fp8 { codes, scales, block, shape: [rows, cols], grid })
            }
            Encoding::Mxfp4 { scales } => Some(Decoder::Mxfp4 { codes, scales: bytes(scales).0 }),
        }
    }
}

/// Refuses rows of `view`, from `first` on, that hold NaN or an infinity: codes or scales that are, or
/// a weight that the view's type can't hold.
pub(crate) fn finite(
    checkpoint: &Checkpoint,
    view: &View,
    first: usize,
    floats: &[u8],
) -> Result<(), CheckpointError> {
    let cols = view.rows_and_cols()[1].max(1);
    let output_type = float_type(&view.entry);
    let mut unaligned = Vec::new();
    let found = extent(values(floats, output_type, &mut unaligned)).non_finite;
    let Some((index, value)) = found else { return Ok(()) };
    let (tensor, position) = (view.entry.name.clone(), [first + index / cols, index % cols]);
    Err(match value.is_nan() {
        true => {
            let [row, column] = position;
            let problem = format!(
                "{tensor} holds NaN at [{row}, {column}], a code or a scale of it does: fetch it again, \
                 or use the BF16 model that it was made from"
            );
            CheckpointError::malformed(checkpoint.root(), problem)
        }
        false => CheckpointError::OutOfRange { tensor, position, output_type },
    })
}

impl Checkpoint {
    /// Rows of a 2-D tensor of floats; `scratch` holds them where they don't lie as they are needed.
    pub(crate) fn rows<'a>(
        &'a self,
        entry: &TensorEntry,
        rows: &Range<usize>,
        scratch: &'a mut Vec<u32>,
    ) -> Result<Values<'a>, CheckpointError> {
        let input = float_type(entry);
        if let Some(view) = self.view(&entry.name) {
            let elements = rows.len() * view.rows_and_cols()[1];
            scratch.resize((elements * input.bytes()).div_ceil(4), 0);
            self.fill(view, rows.clone(), scratch)?;
            return Ok(match input {
                InputType::Bf16 => Values::Bf16(&cast_slice(scratch)[..elements]),
                InputType::F16 => Values::F16(&cast_slice(scratch)[..elements]),
                InputType::F32 => Values::F32(&cast_slice(scratch)[..elements]),
            });
        }
        let (file, entry) = self.stored_tensor(&entry.name);
        let bytes = byte_range(entry, rows);
        file.check_length()?;
        file.prefetch(entry, bytes.end, bytes.end + bytes.len());
        Ok(values(&file.bytes(entry)[bytes], input, scratch))
    }

    /// The codes and the exponents of some rows of a matrix in MXFP4, as they are stored.
    pub(crate) fn mx_rows(
        &self,
        view: &View,
        rows: Range<usize>,
    ) -> Result<impl Iterator<Item = (&[u8], &[u8])>, CheckpointError> {
        let Some(Decoder::Mxfp4 { codes, scales }) = view.base.decoder(self) else {
            unreachable!("only MXFP4 is asked for its exponents");
        };
        self.stored_tensor(&view.base.codes).0.check_length()?;
        let [_, high, cols] = view.base.shape;
        let Cut { ref matrices, first, step, .. } = view.cut;
        let start = matrices.start * high + first;
        Ok(rows.map(move |row| {
            let at = (start + row * step) * cols;
            (&codes[at / 2..(at + cols) / 2], &scales[at / 32..(at + cols) / 32])
        }))
    }

    /// Drops the pages of rows that were read; the bytes that they stand for, as progress has them.
    pub(crate) fn release_rows(&self, entry: &TensorEntry, rows: &Range<usize>) -> u64 {
        if let Some(view) = self.view(&entry.name) {
            return view.progress(rows);
        }
        let (file, entry) = self.stored_tensor(&entry.name);
        let bytes = byte_range(entry, rows);
        file.release(entry, bytes.start, bytes.end);
        bytes.len() as u64
    }

    /// Writes `rows` of `view` to `out`, as elements of the view's type.
    ///
    /// # Panics
    /// If `out` is not as long as they are.
    pub(crate) fn fill(
        &self,
        view: &View,
        rows: Range<usize>,
        out: &mut [u32],
    ) -> Result<(), CheckpointError> {
        let (file, codes) = self.stored_tensor(&view.base.codes);
        file.check_length()?;
        let elements = rows.len() * view.rows_and_cols()[1];
        let source = Placing { view, file, codes };
        let Some(decoder) = view.base.decoder(self) else {
            let bytes = file.bytes(codes);
            match view.entry.dtype.input_type() {
                Some(InputType::F32) => source.take(rows, &mut out[..elements], bytes),
                _ => source.take::<u16>(rows, &mut cast_slice_mut(out)[..elements], bytes),
            }
            return Ok(());
        };
        match view.entry.dtype.input_type() {
            Some(InputType::F32) => {
                source.decode::<f32>(rows, &mut cast_slice_mut(out)[..elements], &decoder);
            }
            Some(InputType::F16) => {
                source.decode::<f16>(rows, &mut cast_slice_mut(out)[..elements], &decoder);
            }
            _ => source.decode::<bf16>(rows, &mut cast_slice_mut(out)[..elements], &decoder),
        }
        Ok(())
    }
}

/// A view and the tensor that it is made of.
struct Placing<'a> {
    view: &'a View,
    file: &'a TensorFile,
    codes: &'a TensorEntry,
}

impl Placing<'_> {
    /// Fills `out` with `rows` as they are stored.
    fn take<E: Pod + Send>(&self, rows: Range<usize>, out: &mut [E], bytes: &[u8]) {
        let width = size_of::<E>();
        self.place(rows, out, |at, out| {
            let bytes = &bytes[at * width..(at + out.len()) * width];
            cast_slice_mut(out).copy_from_slice(bytes);
        });
    }

    /// Fills `out` with what `rows` stand for.
    fn decode<T: Element + Pod>(&self, rows: Range<usize>, out: &mut [T], decoder: &Decoder<'_>) {
        self.place(rows, out, |at, out| decoder.decode(at, out));
    }

    /// Fills `out` with `rows`; `decode` gives the elements of a stored row that lie one after the
    /// other from the given one on, counted over all matrices.
    fn place<E: Pod + Send>(
        &self,
        rows: Range<usize>,
        mut out: &mut [E],
        decode: impl Fn(usize, &mut [E]) + Sync,
    ) {
        let (cut, length) = (&self.view.cut, self.view.rows_and_cols()[1]);
        let mut row = rows.start;
        while row < rows.end && length > 0 {
            let (matrix, line) = (cut.matrices.start + row / cut.lines, row % cut.lines);
            let lines = line..cut.lines.min(line + rows.end - row);
            row += lines.len();
            let (now, later) = out.split_at_mut(lines.len() * length);
            out = later;
            if cut.transposed {
                self.columns(matrix, lines, now, &decode);
            } else {
                self.rows(matrix, lines, now, &decode);
            }
        }
    }

    fn rows<E: Pod + Send>(
        &self,
        matrix: usize,
        lines: Range<usize>,
        out: &mut [E],
        decode: &(impl Fn(usize, &mut [E]) + Sync),
    ) {
        let [_, rows, cols] = self.view.base.shape;
        let Cut { first, step, .. } = self.view.cut;
        let stored = |line: usize| matrix * rows + first + line * step;
        out.par_chunks_exact_mut(cols)
            .enumerate()
            .for_each(|(i, out)| decode(stored(lines.start + i) * cols, out));
        self.release(stored(lines.start), stored(lines.end - 1) + 1);
    }

    fn columns<E: Pod + Send>(
        &self,
        matrix: usize,
        lines: Range<usize>,
        out: &mut [E],
        decode: &(impl Fn(usize, &mut [E]) + Sync),
    ) {
        let [_, rows, cols] = self.view.base.shape;
        let Cut { first, step, .. } = self.view.cut;
        let high = SQUARE[0];
        let row_bytes = (cols as u64 * self.view.base.encoding.bits() / 8).max(1) as usize;
        let stripe = (STRIPE / row_bytes / high).max(1) * high;
        for start in (0..rows).step_by(stripe) {
            let end = rows.min(start + stripe);
            let place = [first + lines.start * step, step];
            turn(rows, start..end, place, out, |row, column, part| {
                decode((matrix * rows + row) * cols + column, part);
            });
            self.release(matrix * rows + start, matrix * rows + end);
        }
    }

    /// Drops the pages of some stored rows, counted over all matrices.
    fn release(&self, start: usize, end: usize) {
        let base = &self.view.base;
        let byte = |row: usize| row * base.shape[2] * base.encoding.bits() as usize / 8;
        self.file.release(self.codes, byte(start), byte(end));
    }
}
