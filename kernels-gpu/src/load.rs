//! What kernels read: tensors, blocks of 16 elements, tiles in shared memory.

pub(crate) mod block;
pub(crate) mod input;
pub(crate) mod staged;
pub(crate) mod swizzle;
pub(crate) mod tensor;
pub(crate) mod transform;
