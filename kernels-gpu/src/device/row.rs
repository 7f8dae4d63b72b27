//! Row scaling in one pass: a block of threads finds a row's amax and quantizes the row, which its
//! L1 still holds.

use super::block::{self, Encoded};
use super::exact::{self, Strided};
use super::global_scale;
use super::input::Input;
use super::memory;
use super::metric::Metric;
use super::thread;
use crate::abi::{GlobalScale, QuantizeParams};

/// Encodes one row and stores it, its amax too.
#[inline(always)]
pub(crate) unsafe fn kernel<T: Input, M: Metric, const GROUPED: bool>(p: &QuantizeParams) {
    // SAFETY: the launch contract.
    unsafe {
        if thread::skipped(p) {
            return;
        }
        let tensor = thread::tensor::<GROUPED>(p);
        let row = thread::block()[0];
        if row >= tensor.rows {
            return;
        }
        let blocks_per_row = tensor.cols / 16;
        let start = row as usize * blocks_per_row as usize;
        let input = (tensor.input as *const u8).add(start * 16 * T::BYTES as usize);
        let out = (tensor.global as *mut GlobalScale).add(row as usize);
        let global = global_scale::of_row::<T>(input, u64::from(tensor.cols), p.flags, out);
        let mut column = thread::index();
        while column < blocks_per_row {
            let at = input.add(column as usize * 16 * T::BYTES as usize);
            let raw = T::load(at);
            let encoded =
                block::encode::<T, M>(raw, Strided { at, stride: T::BYTES }, &global, p.flags);
            let Encoded { codes, scale } = match encoded {
                Some(encoded) => encoded,
                None => exact::encode::<T, M>(Strided { at, stride: T::BYTES }, &global, p.flags),
            };
            memory::store_v2((tensor.codes as *mut u8).add((start + column as usize) * 8), codes);
            let shape = [tensor.rows, blocks_per_row];
            let at = thread::scale_at(tensor.scales, p.flags, shape, row, column);
            memory::store_b8(at, scale);
            column += thread::count();
        }
    }
}
