#![doc = include_str!("../README.md")]
//!
//! Semantics are from NVIDIA's *PTX ISA*. The parser is our own: `ptx-parser` 0.1.6, the one on
//! crates.io, gives operands as unparsed text, has no positions in its errors and keeps the fields of
//! its instructions private, so nothing would be left of it but the splitting into lines.

mod access;
mod ast;
mod block;
mod collective;
mod context;
mod decode;
mod fault;
mod half;
mod lanes;
mod layout;
mod lex;
mod machine;
mod memory;
pub mod narrow;
mod op;
mod parse;
pub mod probe;
mod read_modify_write;
mod registers;
pub mod soft;
mod statics;
mod survey;
mod warp;
mod window;

pub use ast::{ParseError, Pos};
pub use context::ApproxError;
pub use fault::{Fault, FaultKind, MemoryKind};
pub use machine::{Machine, Module, Stats};
pub use memory::{Memory, MemoryError};
pub use op::Source;
