//! A worker's way with experts that are put back into stacks.

use bytemuck::Pod;
use fouroversix_core::{Element, InputType};
use half::{bf16, f16};
use rayon::prelude::*;

use super::encoding::Decoder;
use super::error::CheckpointError;
use super::format::StoredTensor;
use super::header::TensorEntry;
use super::join::{Join, JoinBiases, Matrix};
use super::panel::{finite_at, panels};
use super::plan::Task;
use super::stack_table::Halves;
use super::turn::turn;
use super::worker::Worker;
use super::write::FileWriter;

/// Bytes of a stack that are made at a time.
const PANEL: usize = 4 << 20;

/// A matrix whose rows can be read.
enum Rows<'a> {
    Stored(StoredTensor<'a>),
    Decoder(Decoder<'a>, usize),
}

impl Rows<'_> {
    fn read<T: Element>(&self, row: usize, col: usize, out: &mut [T]) {
        match self {
            Self::Stored(stored) => stored.dequantize_span(row, col, out),
            Self::Decoder(decoder, cols) => decoder.decode(row * cols + col, out),
        }
    }
}

impl Worker<'_> {
    /// Writes a stack of floats.
    pub(crate) fn join(
        &mut self,
        task: &Task,
        join: &Join,
        writer: &FileWriter,
    ) -> Result<(), CheckpointError> {
        match self.common.settings.output {
            InputType::Bf16 => self.join_as::<bf16>(task, join, writer),
            InputType::F16 => self.join_as::<f16>(task, join, writer),
            InputType::F32 => self.join_as::<f32>(task, join, writer),
        }
    }

    fn join_as<T: Element + Pod>(
        &mut self,
        task: &Task,
        join: &Join,
        writer: &FileWriter,
    ) -> Result<(), CheckpointError> {
        let (lines, cols) = (join.lines(), join.shape[1]);
        let [outer, inner] = if join.transposed { [cols, lines] } else { [lines, cols] };
        let experts = join.experts.len();
        let mut told = 0;
        for (e, matrices) in join.experts.iter().enumerate() {
            let rows: Vec<Rows<'_>> = matrices
                .iter()
                .map(|matrix| self.rows_of::<T>(matrix))
                .collect::<Result<_, _>>()?;
            for range in panels(outer, inner * size_of::<T>(), 1, PANEL) {
                let mut floats = vec![T::zeroed(); range.len() * inner];
                if join.transposed {
                    let place = [range.start, 1];
                    turn(lines, 0..lines, place, &mut floats, |line, column, part| {
                        let (matrix, row) = join.place(line);
                        rows[matrix].read(row, column, part);
                    });
                } else {
                    floats.par_chunks_exact_mut(inner).enumerate().for_each(|(i, out)| {
                        let (matrix, row) = join.place(range.start + i);
                        rows[matrix].read(row, 0, out);
                    });
                }
                finite_at(self.common.checkpoint, task, &floats, range.start, inner)?;
                let mut buffer = writer.buffer(size_of_val(floats.as_slice()));
                buffer.copy_from_slice(bytemuck::cast_slice(&floats));
                writer.append(task.regions[0], buffer)?;
                self.common.checkpoint.release();
            }
            let upto = task.bytes * (e as u64 + 1) / experts as u64;
            self.observer.advance(upto - told);
            told = upto;
        }
        Ok(())
    }

    fn rows_of<T: Element>(&self, matrix: &Matrix) -> Result<Rows<'_>, CheckpointError> {
        let checkpoint = self.common.checkpoint;
        Ok(match matrix {
            Matrix::Stored(name) => {
                let stored = checkpoint.stored(name)?;
                checkpoint.check_block_scales::<T>(name, &stored)?;
                Rows::Stored(stored)
            }
            Matrix::View(name) => {
                let view = checkpoint.view(name).expect("its view was put there");
                let decoder = view.base.decoder(checkpoint).expect("it is encoded");
                Rows::Decoder(decoder, view.base.shape[2])
            }
        })
    }

    /// Writes the biases of experts as one tensor, as they are.
    pub(crate) fn join_biases(
        &mut self,
        task: &Task,
        join: &JoinBiases,
        writer: &FileWriter,
    ) -> Result<(), CheckpointError> {
        let mut bytes = Vec::new();
        for parts in &join.experts {
            let parts: Vec<(&[u8], &TensorEntry)> = parts
                .iter()
                .map(|name| {
                    let (file, entry) = self.common.checkpoint.stored_tensor(name);
                    (file.bytes(entry), entry)
                })
                .collect();
            let width = parts[0].0.len() / parts[0].1.shape[0].max(1);
            if let ([(gate, _), (up, _)], Halves::Interleaved) = (parts.as_slice(), join.halves) {
                let pairs = gate.chunks_exact(width).zip(up.chunks_exact(width));
                pairs.for_each(|(gate, up)| bytes.extend([gate, up].concat()));
            } else {
                parts.iter().for_each(|(part, _)| bytes.extend_from_slice(part));
            }
        }
        writer.append(task.regions[0], bytes)?;
        self.observer.advance(task.bytes);
        Ok(())
    }
}
