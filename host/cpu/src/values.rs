//! From a slice whose element type is known at run time to code for that type.

/// `$body` for the type that the elements of `$values` have. Called in functions that are not
/// generic, it makes their crate the only one that compiles the kernels.
macro_rules! with_values {
    ($values:expr, |$slice:ident| $body:expr) => {
        match $values {
            fouroversix_core::Values::Bf16($slice) => $body,
            fouroversix_core::Values::F16($slice) => $body,
            fouroversix_core::Values::F32($slice) => $body,
        }
    };
}
pub(crate) use with_values;
