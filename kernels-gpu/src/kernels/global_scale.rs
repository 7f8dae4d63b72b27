//! Amax reductions and the global scales they give: of tensors, rows and columns.

use crate::decide::isa::{Isa, Target};
use crate::load::input::Input;
use crate::load::staged::{self, Reader};
use crate::load::tensor;
use crate::load::transform::{Hadamard, Identity, Transform};
use crate::ptx::{self, memory, shared, thread, thread_block, warp};
use fouroversix_core::abi::{AMAX_COLUMNS, AmaxParams, COLUMNS_COLS, E4M3_MAX_256, GlobalScale};

/// Step 2: `S_enc = min(fl(6·A / amax), FMAX)`, 1 if amax or that is 0; `S_dec = fl(1 / S_enc)`.
#[inline(always)]
pub(crate) fn of_amax(amax: f32, flags: u32) -> GlobalScale {
    let six_a = if flags & E4M3_MAX_256 != 0 { 6.0 * 256.0 } else { 6.0 * 448.0 };
    let quotient = ptx::div_rn(six_a, amax);
    let s_enc = ptx::min(quotient, f32::MAX);
    let s_enc = if amax == 0.0 || s_enc == 0.0 { 1.0 } else { s_enc };
    let s_dec = ptx::rcp_rn(s_enc);
    // 2⁻⁵⁰ and 2⁵⁰; an S_enc that is not 6·A/amax rounded (amax 0, ∞ or tiny) fails one of these.
    let proven = s_enc == quotient
        && s_dec >= f32::from_bits((127 - 50) << 23)
        && s_dec <= f32::from_bits((127 + 50) << 23);
    let limit = if proven { 6.5 * Target::GRID } else { 0.0 };
    GlobalScale { amax, s_enc, s_dec, limit }
}

#[inline(always)]
pub(crate) unsafe fn store(at: *mut GlobalScale, scale: GlobalScale) {
    let GlobalScale { amax, s_enc, s_dec, limit } = scale;
    // SAFETY: the caller's promise.
    unsafe { memory::store_v4(at.cast(), [amax, s_enc, s_dec, limit].map(f32::to_bits)) }
}

/// The largest magnitude among this thread's share of `elements` elements: every `step`-th block
/// of 16 from the end on. NaN is ignored.
///
/// Backwards: the quantize kernel that follows starts with what L2 still holds.
#[inline(always)]
pub(crate) unsafe fn share<T: Input, X: Transform>(
    input: *const u8,
    elements: u64,
    first: u32,
    step: u32,
    transform: X,
) -> f32 {
    let running = |amax, raw| T::running_amax(amax, transform.block::<T>(raw));
    // There are fewer than 2³¹ blocks (launch contract, clause 1). `opaque`: addresses made from the number in the
    // loop take one instruction each, four pointers that are stepped two each, and two more to load from.
    let (mut left, step) = ((elements / 16) as i32 - 1 - first as i32, step as i32);
    let at = |block: i32| input.wrapping_offset(block as isize * (16 * T::BYTES) as isize);
    let mut amax = T::Running::default();
    // Four loads in flight.
    while left >= 3 * step {
        let block = ptx::opaque(left as u32) as i32;
        // SAFETY: launch contract, clause 3: four blocks of the input.
        unsafe {
            let a = T::load(at(block));
            let b = T::load(at(block - step));
            let c = T::load(at(block - 2 * step));
            let d = T::load(at(block - 3 * step));
            amax = running(running(amax, a), b);
            amax = running(running(amax, c), d);
        }
        left -= 4 * step;
    }
    while left >= 0 {
        // SAFETY: launch contract, clause 3: a block of the input.
        amax = running(amax, unsafe { T::load(at(left)) });
        left -= step;
    }
    T::finish_amax(amax)
}

/// One amax for each tensor of a group, a layer of the grid for each.
#[inline(always)]
pub(crate) unsafe fn grouped<T: Input>(p: &AmaxParams) {
    // SAFETY: launch contract, clause 8: an entry for each layer of the grid.
    unsafe {
        let entry = (p.input as *const AmaxParams).add(thread::block()[2] as usize).read();
        tensor::<T, _>(&AmaxParams { skip: p.skip, flags: p.flags, ..entry }, Identity);
    }
}

/// One amax for the tensor, or for its transform along rows.
#[inline(always)]
pub(crate) unsafe fn tensor<T: Input, X: Transform>(p: &AmaxParams, transform: X) {
    // SAFETY: launch contract, clauses 3, 4 and 9.
    unsafe {
        if tensor::skip_set(p.skip) {
            return;
        }
        let (input, elements) = (p.input as *const u8, p.rows * p.cols);
        let (first, step) = (thread::global_index(), thread::grid_size());
        finish(p, share::<T, X>(input, elements, first, step, transform));
    }
}

/// One amax for the tensor's transform along columns: thread blocks take tiles of it in turn, from the
/// last on.
#[inline(always)]
pub(crate) unsafe fn transformed_columns<T: Input>(p: &AmaxParams, transform: Hadamard<'_>) {
    // SAFETY: launch contract, clauses 1, 3, 4 and 9: the tile's accesses are predicated on the tensor's
    // bounds.
    unsafe {
        if tensor::skip_set(p.skip) {
            return;
        }
        let shape = [p.rows as u32, p.cols as u32];
        // An empty tensor has no tile to divide by it.
        let across = shape[1].div_ceil(COLUMNS_COLS).max(1);
        let mut left = across * shape[0].div_ceil(staged::tile_rows::<T>());
        let mut amax = T::Running::default();
        let block = thread::block()[0];
        let thread = thread::index();
        while left > block {
            let tile = left - 1 - block;
            left = left.saturating_sub(thread::grid_blocks());
            let (y, x) = (tile / across, tile % across);
            let first = [y * staged::tile_rows::<T>(), x * COLUMNS_COLS];
            staged::copy::<T>(thread, p.input as *const u8, shape, first);
            shared::cp_async_wait_all();
            shared::barrier();
            let mut reader = Reader::new::<T>(thread);
            for _ in 0..staged::tile_rows::<T>() / 64 + (p.flags >> 31) {
                let a = reader.load_column::<T, 0>();
                let b = reader.load_column::<T, 1>();
                amax = T::running_amax(amax, transform.block::<T>(a));
                amax = T::running_amax(amax, transform.block::<T>(b));
                reader.advance::<T>();
            }
            // The next tile takes this one's place.
            shared::barrier();
        }
        finish(p, T::finish_amax(amax));
    }
}

/// The largest of all threads' shares. The last thread block to finish writes the scale and clears the
/// workspace.
#[inline(always)]
unsafe fn finish(p: &AmaxParams, amax: f32) {
    // SAFETY: launch contract, clauses 4 and 9.
    unsafe {
        let amax = thread_block::max(amax);
        if thread::index() == 0 {
            let workspace = p.workspace as *mut u32;
            memory::atomic_max(workspace, amax.to_bits());
            memory::fence();
            let blocks = thread::grid_blocks();
            if memory::atomic_inc(workspace.add(1), blocks - 1) == blocks - 1 {
                memory::fence();
                let amax = f32::from_bits(memory::atomic_exchange(workspace, 0));
                store(p.global as *mut GlobalScale, of_amax(amax, p.flags));
            }
        }
    }
}

/// One amax for each row: a thread block for a row.
#[inline(always)]
pub(crate) unsafe fn rows<T: Input>(p: &AmaxParams) {
    // SAFETY: launch contract, clauses 1, 3 and 4, for a row, column or amax that there is.
    unsafe {
        if tensor::skip_set(p.skip) {
            return;
        }
        let row = u64::from(thread::block()[0]);
        let at = (p.input as *const u8).add((row * p.cols * T::BYTES) as usize);
        let amax = share::<T, _>(at, p.cols, thread::index(), thread::count(), Identity);
        let amax = thread_block::max(amax);
        if thread::index() == 0 {
            let global = (p.global as *mut GlobalScale).add(row as usize);
            store(global, of_amax(amax, p.flags));
        }
    }
}

/// One amax for each column: a thread block for two columns of blocks, two lanes to a row of theirs, from the
/// last row on for the reason given at [`share`].
#[inline(always)]
pub(crate) unsafe fn columns<T: Input>(p: &AmaxParams) {
    // SAFETY: launch contract, clauses 1, 3 and 4: loads are clamped to the tensor, stores predicated on it.
    unsafe {
        if tensor::skip_set(p.skip) {
            return;
        }
        let (thread, first) = (thread::index(), thread::block()[0] * AMAX_COLUMNS);
        let (rows, cols) = (p.rows as u32, p.cols as u32);
        // Maxima may count a row twice, or a block.
        let block = (first / 16 + thread % 2).min(cols / 16 - 1);
        let of_block =
            (p.input as *const u8).wrapping_add((u64::from(block) * 16 * T::BYTES) as usize);
        let load = |back: u32| {
            let row = (rows - 1).saturating_sub(back);
            T::load(of_block.wrapping_add((u64::from(row) * p.cols * T::BYTES) as usize))
        };
        let step = thread::count() / 2;
        let (mut amax, mut back) = (T::Raw::default(), thread / 2);
        let mut done = 0;
        while done < rows {
            // Four loads in flight.
            let [a, b, c, d] =
                [load(back), load(back + step), load(back + 2 * step), load(back + 3 * step)];
            amax = T::larger(amax, T::larger(T::larger(a, b), T::larger(c, d)));
            back += 4 * step;
            done += 4 * step;
        }
        let mut amax = T::widen(amax).map(|x| ptx::max(x.abs(), 0.0));
        for mask in [16, 8, 4, 2] {
            amax = amax.map(|x| ptx::max(x, warp::shuffle_xor(x, mask)));
        }
        let at = |warp: u32, column: u32| shared::base() + (warp * AMAX_COLUMNS + column) * 4;
        if thread % 32 < 2 {
            for i in 0..16 {
                shared::store_b32(at(thread / 32, thread % 2 * 16 + i), amax[i as usize].to_bits());
            }
        }
        shared::barrier();
        if thread < AMAX_COLUMNS && first + thread < cols {
            let mut amax = 0.0;
            for warp in 0..thread::count() / 32 {
                amax = ptx::max(amax, f32::from_bits(shared::load_b32(at(warp, thread))));
            }
            let global = (p.global as *mut GlobalScale).add((first + thread) as usize);
            store(global, of_amax(amax, p.flags));
        }
    }
}

/// The scales of amaxes that the caller supplies, a thread for each.
#[inline(always)]
pub(crate) unsafe fn supplied(p: &AmaxParams) {
    // SAFETY: launch contract, clauses 1, 3 and 4, for a row, column or amax that there is.
    unsafe {
        let i = thread::global_index() as usize;
        if tensor::skip_set(p.skip) || i as u64 >= p.rows {
            return;
        }
        let amax = f32::from_bits(memory::load_b32((p.input as *const u8).add(4 * i)));
        store((p.global as *mut GlobalScale).add(i), of_amax(amax, p.flags));
    }
}
