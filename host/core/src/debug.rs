//! `Debug` that fits a screen: of long lists the first few values and the number of all.

use std::fmt;

/// A list of which `Debug` shows four values at most.
///
/// For the crates of this project.
#[derive(Clone, Copy)]
pub struct Few<'a, T>(pub &'a [T]);

impl<T: fmt::Debug> fmt::Debug for Few<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(values) = self;
        if values.len() <= 4 {
            return write!(f, "{values:?}");
        }
        f.write_str("[")?;
        values[..4].iter().try_for_each(|value| write!(f, "{value:?}, "))?;
        write!(f, "… {} in all]", values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Amax, E4m3Max, Nvfp4Tensor, ScaleLayout, Values};

    #[test]
    fn few_values_are_shown_and_all_counted() {
        assert_eq!(format!("{:?}", Few(&[1, 2, 3, 4])), "[1, 2, 3, 4]");
        assert_eq!(format!("{:?}", Few(&[1, 2, 3, 4, 5])), "[1, 2, 3, 4, … 5 in all]");
        assert_eq!(format!("{:#?}", Few::<u8>(&[])), "[]");
    }

    #[test]
    fn large_tensors_fit_a_screen() {
        let (rows, cols, layout) = (512, 1024, ScaleLayout::Linear);
        let (codes, scales) = (vec![0x12; rows * cols / 2], vec![0x38; rows * cols / 16]);
        let amax = vec![1.5; rows];
        let tensor =
            Nvfp4Tensor::from_parts(codes, scales, amax, [rows, cols], layout, E4m3Max::M256);
        let mut tensor = tensor.unwrap();
        let floats = vec![1.0_f32; rows * cols];
        let texts = [
            format!("{:#?}", tensor.view()),
            format!("{:#?}", tensor.parts_mut()),
            format!("{tensor:#?}"),
            format!("{:#?}", Values::F32(&floats)),
            format!("{:#?}", Amax::Rows(&floats)),
            format!("{:#?}", Amax::RowsAndColumns { rows: &floats, columns: &floats }),
        ];
        for text in &texts {
            assert!(text.len() < 600 && text.lines().count() < 20, "{text}");
            assert!(text.contains("in all"), "{text}");
        }
        assert!(texts[2].contains("512") && texts[2].contains("262144 in all"), "{}", texts[2]);
    }
}
