//! Where the state spaces lie in the generic address space.

/// First byte of the first global allocation.
pub(super) const GLOBAL: u64 = 0x0000_0002_0000_0000;
/// First byte of the variables of modules; each module has [`STATICS_STRIDE`] of its own.
pub(super) const STATICS: u64 = 0x0000_0100_0000_0000;
/// Distance between the variables of two modules.
pub(super) const STATICS_STRIDE: u64 = 0x1_0000_0000;
/// The generic address of a kernel's first parameter byte.
pub(super) const PARAM: u64 = 0x0000_7d00_0000_0000;
/// The generic address of a thread's first local byte.
pub(super) const LOCAL: u64 = 0x0000_7e00_0000_0000;
/// The generic address of offset 0 of a block's shared memory.
pub(super) const SHARED: u64 = 0x0000_7f00_0000_0000;
/// Bytes of each of the last three windows.
pub(super) const SIZE: u64 = 0x1_0000_0000;
/// Offset of the first shared variable: an offset of zero is as wrong as a null pointer.
pub(super) const SHARED_START: u64 = 0x400;
/// Offset of the first local variable, likewise.
pub(super) const LOCAL_START: u64 = 0x100;
