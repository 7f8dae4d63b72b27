//! Where elements come from: the door for values that are not in memory as they are quantized.
//!
//! Every path asks an [`Elements`]. The hot path takes a [`Group`] of its blocks; what it leaves to the near-tie
//! path and the exact path is handed on as that group ([`Group::block`], [`Group::element`]), so
//! nothing is read, transformed or fused twice. The scalar path takes an [`Elements::block`].

use std::marker::PhantomData;
use std::ptr;

use crate::block::Block;
use crate::group::{Group, Load, Specials};
use crate::simd::prefetch;
use crate::simd::vector::{Vector, Work};
use crate::transform::Transform;

/// The elements of a number of groups (or of tiles, whose rows are cut into groups).
pub(crate) trait Elements: Blocks + Copy {
    /// Their type.
    type Element: Load;

    /// The `LANES` blocks from lane `lane` on of group or tile `index`.
    ///
    /// # Safety
    /// As [`Vector`]; these blocks exist.
    unsafe fn raw<V: Vector>(&self, index: usize, lane: usize) -> RawOf<V, Self>;

    /// For each block of group `index`, a number that the sum of its magnitudes is not above, but for what
    /// additions round. Infinite or NaN where an element is.
    ///
    /// # Safety
    /// As [`Elements::raw`].
    #[inline(always)]
    unsafe fn bound<V: Vector>(&self, index: usize) -> V::F {
        // SAFETY: the caller's.
        unsafe { Self::Element::bound::<V>(self.raw::<V>(index, 0)) }
    }
}

/// Elements, a block at a time.
pub(crate) trait Blocks {
    /// The block of one lane of group or tile `index`.
    ///
    /// # Safety
    /// The block exists.
    unsafe fn block(&self, index: usize, lane: usize) -> Block;
}

/// Blocks of the type that the elements have.
pub(crate) type RawOf<V, E> = <<E as Elements>::Element as Load>::Raw<V>;

/// Reads groups for the lanes of `V`, whatever [`Elements`] they come from: by a function that is
/// called for each group, so that the hot loops are compiled once for all kinds of elements.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a, V: Vector> {
    elements: *const (),
    read: unsafe fn(*const (), usize, usize, *mut Group<V>),
    /// How groups hold elements that are not finite.
    pub(crate) specials: Specials,
    of: PhantomData<&'a ()>,
}

impl<'a, V: Vector> Reader<'a, V> {
    /// Of these elements.
    #[inline(always)]
    pub(crate) fn new<E: Elements>(elements: &'a E) -> Self {
        Self {
            elements: ptr::from_ref(elements).cast(),
            read: read::<V, E>,
            specials: E::Element::SPECIALS,
            of: PhantomData,
        }
    }

    /// The group of [`Elements::raw`], to where it is kept.
    ///
    /// # Safety
    /// As [`Elements::raw`]; `to` is writable.
    #[inline(always)]
    pub(crate) unsafe fn read(&self, index: usize, lane: usize, to: *mut Group<V>) {
        // SAFETY: the caller's; `elements` is what `read` was made for.
        unsafe { (self.read)(self.elements, index, lane, to) }
    }
}

unsafe fn read<V: Vector, E: Elements>(
    elements: *const (),
    index: usize,
    lane: usize,
    to: *mut Group<V>,
) {
    // SAFETY: the caller's.
    unsafe { V::enable(Read { elements: &*elements.cast::<E>(), index, lane, to }) }
}

struct Read<'a, V: Vector, E> {
    elements: &'a E,
    index: usize,
    lane: usize,
    to: *mut Group<V>,
}

impl<V: Vector, E: Elements> Work<V> for Read<'_, V, E> {
    type Output = ();

    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: the caller's.
        unsafe { self.to.write(E::Element::group(self.elements.raw(self.index, self.lane))) }
    }
}

/// How far groups or tiles are from the first: they lie in a line, or in lines of as many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    /// From one to the next in its line.
    pub(crate) step: usize,
    /// From a line to the next.
    pub(crate) line: usize,
    /// How many a line has.
    pub(crate) per_line: u32,
}

impl Steps {
    /// All in one line.
    pub(crate) const fn of(step: usize) -> Self {
        Self { step, line: 0, per_line: u32::MAX }
    }

    /// How far group or tile `index` is.
    #[inline(always)]
    pub(crate) const fn at(self, index: usize) -> usize {
        let Self { step, line, per_line } = self;
        if index < per_line as usize {
            return index * step;
        }
        // In 32 bits, in which division is fast on old processors, too.
        let index = index as u32;
        (index / per_line) as usize * line + (index % per_line) as usize * step
    }
}

/// Bytes that rows are asked for ahead of time.
const AHEAD: usize = 1 << 13;

/// Blocks that lie along rows of a matrix in memory.
#[derive(Clone, Copy)]
pub(crate) struct Rows<T> {
    /// The first element.
    pub(crate) from: *const T,
    /// Elements from a lane's block to the next lane's; even.
    pub(crate) stride: usize,
    /// Elements between groups or tiles.
    pub(crate) steps: Steps,
}

impl<T: Load> Rows<T> {
    /// Asks for what comes some groups later: further ahead than processors look.
    #[inline(always)]
    fn prefetch_ahead(&self, from: *const T, lanes: usize) {
        let bytes = 16 * lanes * size_of::<T>();
        for i in 0..bytes / 64 {
            prefetch(from.cast::<u8>().wrapping_add(AHEAD + 64 * i));
        }
    }
}

impl<T: Load> Elements for Rows<T> {
    type Element = T;

    #[inline(always)]
    unsafe fn raw<V: Vector>(&self, index: usize, lane: usize) -> T::Raw<V> {
        // SAFETY: the caller's.
        unsafe {
            let from = self.from.add(self.steps.at(index) + lane * self.stride);
            if self.stride == 16 {
                self.prefetch_ahead(from, V::LANES);
            }
            T::blocks(from, self.stride)
        }
    }

    #[inline(always)]
    unsafe fn bound<V: Vector>(&self, index: usize) -> V::F {
        // SAFETY: the caller's.
        unsafe {
            if self.stride == 16 {
                // Nothing has to be transposed.
                return T::bounds::<V>(self.from.add(self.steps.at(index)));
            }
            T::bound::<V>(self.raw::<V>(index, 0))
        }
    }
}

impl<T: Load> Blocks for Rows<T> {
    unsafe fn block(&self, index: usize, lane: usize) -> Block {
        // SAFETY: the caller's.
        unsafe {
            let from = self.from.add(self.steps.at(index) + lane * self.stride);
            std::array::from_fn(|i| from.add(i).read().to_f32())
        }
    }
}

/// Blocks that lie along columns of a matrix in memory.
#[derive(Clone, Copy)]
pub(crate) struct Columns<T> {
    /// The first element.
    pub(crate) from: *const T,
    /// Elements from an element of a block to the next.
    pub(crate) stride: usize,
    /// Elements from a group or tile to the next.
    pub(crate) step: usize,
    /// Whether to ask for the 16 rows below: no processor foresees so many lines so far apart.
    pub(crate) ahead: bool,
}

impl<T: Load> Columns<T> {
    #[inline(always)]
    fn prefetch_below(&self, from: *const T, lanes: usize) {
        // Once for the groups that share cache lines.
        if self.ahead && from.addr() % 64 < lanes * size_of::<T>() {
            for i in 16..32 {
                prefetch(from.wrapping_add(i * self.stride));
            }
        }
    }
}

impl<T: Load> Elements for Columns<T> {
    type Element = T;

    #[inline(always)]
    unsafe fn raw<V: Vector>(&self, index: usize, lane: usize) -> T::Raw<V> {
        // SAFETY: the caller's.
        unsafe {
            let from = self.from.add(index * self.step + lane);
            self.prefetch_below(from, V::LANES);
            T::columns(from, self.stride)
        }
    }
}

impl<T: Load> Blocks for Columns<T> {
    unsafe fn block(&self, index: usize, lane: usize) -> Block {
        // SAFETY: the caller's.
        unsafe {
            let from = self.from.add(index * self.step + lane);
            std::array::from_fn(|i| from.add(i * self.stride).read().to_f32())
        }
    }
}

/// Elements transformed on the way.
#[derive(Clone, Copy)]
pub(crate) struct Transformed<'a, E> {
    /// Not yet.
    pub(crate) elements: E,
    pub(crate) transform: &'a Transform,
}

impl<E: Elements> Elements for Transformed<'_, E> {
    type Element = E::Element;

    #[inline(always)]
    unsafe fn raw<V: Vector>(&self, index: usize, lane: usize) -> RawOf<V, E> {
        // SAFETY: the caller's.
        unsafe { self.transform.raw::<V, E::Element>(self.elements.raw::<V>(index, lane)) }
    }
}

impl<E: Elements> Blocks for Transformed<'_, E> {
    unsafe fn block(&self, index: usize, lane: usize) -> Block {
        // SAFETY: the caller's.
        self.transform.block::<E::Element>(&unsafe { self.elements.block(index, lane) })
    }
}

/// Coordinates of blocks: the number of each 1x16 segment in the matrix that the output
/// quantizes (for columnwise: the transpose), `row·(cols/16) + column/16`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segments {
    /// Of the first block.
    pub(crate) first: u64,
    /// From a lane's to the next lane's.
    pub(crate) lane: u64,
    /// Between groups or tiles.
    pub(crate) steps: Steps,
}

impl Segments {
    /// Of the block of one lane of group or tile `index`.
    #[inline(always)]
    pub(crate) const fn of(&self, index: usize, lane: usize) -> u64 {
        self.first + self.steps.at(index) as u64 + lane as u64 * self.lane
    }
}

/// Where a group (or a tile's group of rows) is.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// The coordinates of all.
    pub(crate) segments: Segments,
    /// Which group or tile.
    pub(crate) index: usize,
    /// Its lane that is lane 0 here.
    pub(crate) lane: usize,
}

impl Place {
    /// The segment of the block `lanes` further.
    #[inline(always)]
    pub(crate) const fn segment(&self, lanes: usize) -> u64 {
        self.segments.of(self.index, self.lane + lanes)
    }
}
