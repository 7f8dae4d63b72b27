//! Number formats and layouts.

pub(crate) mod e4m3;
pub(crate) mod scale_layout;
