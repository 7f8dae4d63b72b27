//! Device addresses and what they must satisfy.

use fouroversix_core::ShapeError;

use super::error::DeviceError;

/// An address in device memory (`CUdeviceptr`). 0 is null.
pub type DeviceAddress = u64;

/// Where one quantization goes. Both null where the configuration has no such output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputAddresses {
    /// E2M1 codes, `[rows, cols/2]` bytes (of the transpose for a columnwise output), 16-byte
    /// aligned.
    pub codes: DeviceAddress,
    /// E4M3 block scales, [`fouroversix_core::ScaleLayout::bytes`] bytes, 16-byte aligned.
    pub scales: DeviceAddress,
}

/// The device memory of one quantization.
///
/// All of it must be disjoint but for the parts that are only read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuantizeAddresses {
    /// `[rows, cols]` elements, row-major without gaps, 16-byte aligned. Read only.
    pub input: DeviceAddress,
    /// The quantization of the input.
    pub rowwise: OutputAddresses,
    /// The quantization of its transpose.
    pub columnwise: OutputAddresses,
    /// With [`super::AmaxSource::Supplied`] and rowwise output, or one amax for the tensor: FP32,
    /// one or one for each row, 4-byte aligned. Else null. Read only.
    pub row_amax: DeviceAddress,
    /// With [`super::AmaxSource::Supplied`], row scaling and columnwise output: FP32, one for each
    /// column, 4-byte aligned. Else null. Read only.
    pub column_amax: DeviceAddress,
    /// [`super::Quantizer::workspace_bytes`] bytes, 16-byte aligned, zero before the first launch
    /// that uses them.
    pub workspace: DeviceAddress,
    /// With stochastic rounding: seed and offset, two `u64`, 16-byte aligned, in place of those that were
    /// prepared with, so that a captured launch draws anew when they change; or null. Read only.
    pub random_state: DeviceAddress,
    /// A `u32`, 4-byte aligned, or null. When it is not zero as the launch runs, the launch leaves
    /// all memory as it is. Read only.
    pub skip: DeviceAddress,
}

/// Bytes to which buffers are aligned.
pub(super) const ALIGNMENT: u64 = 16;
/// Bytes to which single FP32 and `u32` values are aligned.
pub(super) const WORD: u64 = 4;

/// Checks an address that must be there.
pub(super) fn needed(
    buffer: &'static str,
    address: DeviceAddress,
    alignment: u64,
) -> Result<(), DeviceError> {
    if address == 0 {
        return Err(DeviceError::Null { buffer });
    }
    optional(buffer, address, alignment)
}

/// Checks an address that may be null.
pub(super) fn optional(
    buffer: &'static str,
    address: DeviceAddress,
    alignment: u64,
) -> Result<(), DeviceError> {
    if address.is_multiple_of(alignment) {
        Ok(())
    } else {
        Err(DeviceError::Misaligned { buffer, address, alignment })
    }
}

/// Checks the strides of an input, in elements: `[cols, 1]`, rows next to each other.
///
/// For callers whose tensors carry strides. The stride of a dimension of length 1 or less does not
/// matter.
///
/// # Errors
/// [`ShapeError::Stride`] for any other strides of a non-empty tensor.
pub fn check_strides(shape: [usize; 2], strides: [usize; 2]) -> Result<(), ShapeError> {
    let [rows, cols] = shape;
    let rows_fit = rows <= 1 || strides[0] == cols;
    let cols_fit = cols <= 1 || strides[1] == 1;
    if rows * cols == 0 || (rows_fit && cols_fit) {
        Ok(())
    } else {
        Err(ShapeError::Stride { strides, expected: [cols, 1] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_null_and_misaligned_addresses() {
        assert_eq!(needed("x", 0, 16), Err(DeviceError::Null { buffer: "x" }));
        let error = DeviceError::Misaligned { buffer: "x", address: 0x1008, alignment: 16 };
        assert_eq!(needed("x", 0x1008, 16), Err(error));
        assert_eq!(needed("x", 0x1010, 16), Ok(()));
        assert_eq!(optional("x", 0, 4), Ok(()));
        assert!(optional("x", 6, 4).is_err());
    }

    #[test]
    fn accepts_only_row_major_without_gaps() {
        assert_eq!(check_strides([4, 32], [32, 1]), Ok(()));
        assert_eq!(check_strides([1, 32], [999, 1]), Ok(()));
        assert_eq!(check_strides([0, 32], [7, 7]), Ok(()));
        assert!(check_strides([4, 32], [64, 1]).is_err());
        assert!(check_strides([4, 32], [1, 4]).is_err());
    }
}
