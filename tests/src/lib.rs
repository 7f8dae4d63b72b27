//! Bitwise conformance: golden cases, the backends they are stamped on, and an executor for the
//! shipped PTX.
