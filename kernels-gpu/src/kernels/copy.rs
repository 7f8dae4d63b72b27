//! Byte-equal copies: the loads and stores of a kernel without its arithmetic, the limit that times are
//! compared with.

use super::dequantize::Output;
use crate::load::input::Input;
use crate::ptx::{memory, thread};
use fouroversix_core::abi::QuantizeParams;

/// Loads a block's elements and stores its 8 + 1 bytes, twice if there are columnwise outputs.
#[inline(always)]
pub(crate) unsafe fn quantize<T: Input>(p: &QuantizeParams) {
    // SAFETY: launch contract, clauses 2 to 4, for a block inside the tensor.
    unsafe {
        let tensor = &p.tensor;
        let block = thread::global_index() as usize;
        if block >= tensor.blocks as usize {
            return;
        }
        let raw = T::load((tensor.input as *const u8).add(block * 16 * T::BYTES as usize));
        let words = T::fold(raw);
        memory::store_v2((tensor.codes as *mut u8).add(block * 8), words);
        memory::store_b8((tensor.scales as *mut u8).add(block), words[0] as u16);
        if tensor.codes_t != 0 {
            memory::store_v2((tensor.codes_t as *mut u8).add(block * 8), [words[1], words[0]]);
            memory::store_b8((tensor.scales_t as *mut u8).add(block), words[1] as u16);
        }
    }
}

/// Loads a block's 8 + 1 bytes and stores its 16 elements.
#[inline(always)]
pub(crate) unsafe fn dequantize<T: Output>(p: &fouroversix_core::abi::DequantizeParams) {
    // SAFETY: launch contract, clauses 2 to 4, for a block inside the tensor.
    unsafe {
        let block = thread::global_index();
        if block >= p.rows * (p.cols / 16) {
            return;
        }
        let [a, b] = memory::load_v2((p.codes as *const u8).add(block as usize * 8));
        let c = memory::load_b8((p.scales as *const u8).add(block as usize)).into();
        T::store_words(p.output as *mut u8, block as usize, [a, b, c, a]);
    }
}
