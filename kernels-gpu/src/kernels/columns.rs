//! 1x16 blocks that run down columns, alone or beside those along rows.
//!
//! A thread block of 256 threads takes 128 columns of 128 rows (64 of FP32) and reads them once: all
//! asynchronous copies to shared memory are in flight before the one barrier. Then a thread encodes two
//! neighbouring blocks of a line at a time, of a column and of a row in turn. Both take one store, and
//! four lanes write 64 coalesced bytes: L2 serves as many requests a second whatever their size.

use crate::decide::block;
use crate::decide::encoded::Encoded;
use crate::decide::metric::Metric;
use crate::decide::rounding::Rounding;
use crate::formats::{e4m3, scale_layout};
use crate::load::block::Placed;
use crate::load::input::Input;
use crate::load::staged::{self, Reader, Staged};
use crate::load::tensor;
use crate::load::transform::Transform;
use crate::ptx::{self, memory, rolled, shared, thread, warp};
use fouroversix_core::abi::{
    COLUMNS_COLS, GlobalScale, QuantizeParams, QuantizeTensor, ROW_SCALED, SWIZZLED,
};

/// Lines from one step of a thread to the next.
const STEP: u32 = 64;

/// One of the two outputs and a thread's place in it: two blocks of a line, then of the line [`STEP`]
/// further on.
#[derive(Clone, Copy)]
struct Output {
    codes: u64,
    scales: u64,
    /// One for the tensor, or with [`ROW_SCALED`] one for each line.
    globals: u64,
    /// Lines (rows or columns) of blocks.
    lines: u32,
    /// Blocks of a line.
    blocks: u32,
    line: u32,
    /// The two blocks: the first is twice this.
    pair: u32,
}

/// Where a step's two blocks are, if they take one store: offsets in pairs of blocks.
struct Place {
    codes: u32,
    /// That of the scales, and from there to the next step's.
    scales: u32,
    to_next_scales: u32,
}

impl Output {
    #[inline(always)]
    fn new(
        [codes, scales, globals]: [u64; 3],
        [lines, blocks]: [u32; 2],
        [line, pair]: [u32; 2],
    ) -> Self {
        Self { codes, scales, globals, lines, blocks, line, pair }
    }

    /// Zero, unless the two blocks take a store each: an odd number of blocks in a line, or addresses that
    /// are aligned for one block only.
    #[inline(always)]
    fn ragged(&self) -> u32 {
        self.codes as u32 % 16 | (self.scales as u32 | self.blocks) % 2
    }

    /// One of the two blocks.
    #[inline(always)]
    fn block(&self, i: u32) -> u32 {
        self.pair * 2 + i
    }

    /// The first step's place, with linear scales.
    #[inline(always)]
    fn place(&self) -> Place {
        // 32-bit offsets: larger outputs are refused (launch contract, clause 1).
        let index = self.line * (self.blocks / 2) + self.pair;
        Place { codes: index, scales: index, to_next_scales: STEP / 2 * self.blocks }
    }

    /// Moves a place to swizzled scales.
    #[inline(always)]
    fn swizzle(&self, place: &mut Place) {
        // `opaque` keeps launches with linear scales from computing any of this.
        let blocks = ptx::opaque(self.blocks);
        place.scales = scale_layout::swizzled(self.line, self.block(0), blocks) as u32 / 2;
        // The first step's line is one of the first 64 of a swizzled tile of 128.
        place.to_next_scales = STEP / 32 * 4 / 2;
    }

    /// The next step's offsets.
    #[inline(always)]
    fn advance(&self, place: &mut Place) {
        place.codes += STEP / 2 * self.blocks;
        place.scales += place.to_next_scales;
    }

    /// Writes the padding of swizzled scales that belongs to the thread's blocks.
    #[inline(always)]
    unsafe fn zero_padding(&self, steps: u32) {
        for i in 0..ptx::opaque(2 * steps) {
            let (line, block) = (self.line + i / 2 * STEP, self.block(i % 2));
            if line < self.lines && block < self.blocks {
                // SAFETY: launch contract, clause 5, for a block inside the tensor.
                unsafe {
                    let shape = [self.lines, self.blocks].map(ptx::opaque);
                    scale_layout::zero_padding(self.scales, shape, line, block);
                }
            }
        }
    }

    /// The global scale of a step's line.
    #[inline(always)]
    unsafe fn global<M: Metric>(&self, of_all: GlobalScale, step: u32, flags: u32) -> GlobalScale {
        let line = self.line + step * STEP;
        // 4over6 with a scale for each row has no columnwise output.
        if !M::FOUR_OVER_SIX && flags & ROW_SCALED != 0 && line < self.lines {
            let globals = self.globals as *const GlobalScale;
            // SAFETY: launch contract, clause 6, for a line inside the tensor.
            return unsafe { tensor::load_global(globals.add(line as usize)) };
        }
        of_all
    }

    /// Whether a step's block is inside the tensor.
    #[inline(always)]
    fn has(&self, step: u32, i: u32) -> bool {
        self.line + step * STEP < self.lines && self.block(i) < self.blocks
    }

    /// Stores block `i` of a step's two.
    #[inline(always)]
    unsafe fn store_one(&self, step: u32, i: u32, flags: u32, encoded: Encoded) {
        if self.has(step, i) {
            let (line, block) = (self.line + step * STEP, self.block(i));
            let index = line as usize * self.blocks as usize + block as usize;
            let mut scale = index;
            if flags & SWIZZLED != 0 {
                scale = scale_layout::swizzled(line, block, ptx::opaque(self.blocks));
            }
            // SAFETY: launch contract, clauses 3 to 5, for a block inside the tensor.
            unsafe {
                memory::store_v2((self.codes as *mut u8).add(index * 8), encoded.codes);
                memory::store_b8((self.scales as *mut u8).add(scale), e4m3::byte(encoded.scale));
            }
        }
    }

    /// Stores what is inside the tensor of a step's two blocks.
    #[inline(always)]
    unsafe fn store_inside(mut self, step: u32, flags: u32, blocks: [Encoded; 2]) {
        // `opaque` keeps the common path from keeping the answer.
        let [codes, scales] = [self.codes, self.scales].map(|at| u64::from(ptx::opaque(at as u32)));
        let again = Self { codes, scales, blocks: ptx::opaque(self.blocks), ..self };
        // SAFETY: the caller's promise.
        unsafe {
            if again.ragged() == 0 && self.has(step, 1) {
                self.line += step * STEP;
                let mut place = self.place();
                if flags & SWIZZLED != 0 {
                    self.swizzle(&mut place);
                }
                self.store(&place, blocks);
            } else {
                self.store_one(step, 0, flags, blocks[0]);
                self.store_one(step, 1, flags, blocks[1]);
            }
        }
        // Lanes meet here, not where the common path would have to wait for them.
        warp::sync();
    }

    /// Stores a step's two blocks by one store: both are inside the tensor, and not ragged.
    #[inline(always)]
    unsafe fn store(&self, place: &Place, [a, b]: [Encoded; 2]) {
        // SAFETY: launch contract, clauses 3 to 5, for blocks inside the tensor; both addresses are aligned
        // for two.
        unsafe {
            let codes = (self.codes as *mut u8).wrapping_add(place.codes as usize * 16);
            memory::store_v4(codes, [a.codes[0], a.codes[1], b.codes[0], b.codes[1]]);
            let scales = (self.scales as *mut u8).wrapping_add(place.scales as usize * 2);
            memory::store_b16(scales, e4m3::encode(b.scale, a.scale));
        }
    }
}

/// Encodes a tile and stores it.
#[inline(always)]
pub(crate) unsafe fn kernel<
    T: Input,
    M: Metric,
    R: Rounding,
    X: Transform,
    const ROWWISE: bool,
    const GROUPED: bool,
>(
    p: &QuantizeParams,
    rounding: R,
    transforms: [X; 2],
) {
    // SAFETY: launch contract, clauses 2 to 8: the tile's accesses are predicated on the tensor's bounds.
    unsafe {
        if tensor::skipped(p) {
            return;
        }
        let tensor = tensor::of_launch::<GROUPED>(p);
        let QuantizeTensor { rows, cols, .. } = tensor;
        let [x, y, _] = thread::block();
        let (first_row, first_column) = (y * staged::tile_rows::<T>(), x * COLUMNS_COLS);
        // The grid is the largest tensor's.
        if GROUPED && (first_row >= rows || first_column >= cols) {
            return;
        }
        let thread = thread::index_below::<256>();
        let input = tensor.input as *const u8;
        staged::copy::<T>(thread, input, [rows, cols], [first_row, first_column]);

        // Threads to a row, then to a column.
        let [across, downward] = [4, staged::tile_rows::<T>() / 32];
        let rowwise = |thread: u32| {
            Output::new(
                [tensor.codes, tensor.scales, tensor.global],
                [rows, cols / 16],
                [first_row + thread / across, first_column / 32 + thread % across],
            )
        };
        let columnwise = |thread: u32| {
            Output::new(
                [tensor.codes_t, tensor.scales_t, tensor.global_t],
                [cols, rows / 16],
                [first_column + thread / downward, first_row / 32 + thread % downward],
            )
        };
        let (to_rows, to_columns) = (rowwise(thread), columnwise(thread));
        let global = if ROWWISE { to_rows.globals } else { to_columns.globals };
        let global = tensor::load_global(global as *const GlobalScale);
        let mut global_t = global;
        if ROWWISE && X::BY_OUTPUT {
            global_t = tensor::load_global(to_columns.globals as *const GlobalScale);
        }
        let steps = staged::tile_rows::<T>() / STEP;
        let (mut row, mut column) = (to_rows.place(), to_columns.place());
        if p.flags & SWIZZLED != 0 {
            if ROWWISE {
                to_rows.zero_padding(steps);
                to_rows.swizzle(&mut row);
            }
            to_columns.zero_padding(steps);
            to_columns.swizzle(&mut column);
        }
        // Nearly always: every pair of blocks is inside the tensor and takes one store.
        let ragged = to_columns.ragged() | if ROWWISE { to_rows.ragged() } else { 0 };
        let in_pairs =
            staged::is_whole::<T>([rows, cols], [first_row, first_column]) & (ragged == 0);
        let mut reader = Reader::new::<T>(thread);
        shared::cp_async_wait_all();
        shared::barrier();

        let number = tensor::number::<GROUPED>();
        let roundings = [false, true].map(|columnwise| rounding.of_output(number, columnwise));
        let of_error = reader.in_register(M::OF_ERROR);
        // Rolled: no flag has bit 31, see `ptx/rolled.rs`.
        for step in 0..steps + (p.flags >> 31) {
            macro_rules! encode {
                ($half:expr, $raw:expr, $output:ident, $threads:expr, $down:literal, $global:expr) => {{
                    let raw = $raw;
                    let rounding = roundings[usize::from($down)];
                    let block_of = |thread: u32| {
                        let line = thread / $threads + step * STEP;
                        let element = (thread % $threads * 2 + $half) * 16;
                        let (row, column) = if $down { (element, line) } else { (line, element) };
                        let of = $output(thread);
                        let line = of.line + step * STEP;
                        Placed {
                            block: Staged { row, column, down: $down },
                            segment: rounding.segment(line, of.blocks, of.block($half)),
                        }
                    };
                    let transform = transforms[usize::from($down)];
                    block::encode::<T, M, R, X, _>(
                        raw, thread, block_of, rounding, transform, &$global, of_error, p.flags,
                    )
                }};
            }
            macro_rules! two {
                ($load:ident, $($of:tt)*) => {
                    if M::SEARCH {
                        // One after the other by the same code: twice, a search would be in the instruction
                        // cache's way.
                        let mut blocks = [Encoded::zero([0; 2]); 2];
                        for half in 0..rolled::two(p.flags) {
                            let raw = if half == 0 {
                                reader.$load::<T, 0>()
                            } else {
                                reader.$load::<T, 1>()
                            };
                            blocks = [blocks[1], encode!(half, raw, $($of)*)];
                        }
                        blocks
                    } else {
                        [
                            encode!(0, reader.$load::<T, 0>(), $($of)*),
                            encode!(1, reader.$load::<T, 1>(), $($of)*),
                        ]
                    }
                };
            }
            // Rematerialized on rare paths: kept, a thread's place would take registers.
            let again = || ptx::opaque(thread);
            let global_of_column = columnwise(again()).global::<M>(global_t, step, p.flags);
            let blocks = two!(load_column, columnwise, downward, true, global_of_column);
            if in_pairs {
                to_columns.store(&column, blocks);
            } else {
                columnwise(again()).store_inside(step, p.flags, blocks);
            }
            to_columns.advance(&mut column);
            if ROWWISE {
                let global_of_row = rowwise(again()).global::<M>(global, step, p.flags);
                let blocks = two!(load_row, rowwise, across, false, global_of_row);
                if in_pairs {
                    to_rows.store(&row, blocks);
                } else {
                    rowwise(again()).store_inside(step, p.flags, blocks);
                }
                to_rows.advance(&mut row);
            }
            reader.advance::<T>();
        }
    }
}
