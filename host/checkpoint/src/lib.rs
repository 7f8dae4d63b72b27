//! Checkpoints: safetensors files and Hugging Face model directories, quantized and read back.
//!
//! Reading maps files and checks their headers ([`TensorFile`], [`Checkpoint`]); a quantized tensor
//! is found by the names of its parts, whichever [`Format`] wrote it ([`StoredTensor`]). Writing
//! goes tensor by tensor in panels of rows, so that memory stays bounded whatever the size of the
//! model, and makes an output appear complete or not at all ([`quantize_checkpoint`],
//! [`dequantize_checkpoint`]). `docs/checkpoints.md` in the repository describes the formats.
//!
//! # Examples
//! ```no_run
//! use fouroversix::checkpoint::Checkpoint;
//!
//! let checkpoint = Checkpoint::open("model-nvfp4".as_ref())?;
//! for name in checkpoint.stored_names() {
//!     let weights: Vec<half::bf16> = checkpoint.stored(&name)?.dequantize();
//!     println!("{}: {} weights", name.tensor, weights.len());
//! }
//! # Ok::<(), fouroversix::checkpoint::CheckpointError>(())
//! ```

mod activations;
#[cfg(target_endian = "big")]
compile_error!(
    "fouroversix-checkpoint takes the little-endian bytes of safetensors files as they are: build it \
     for a little-endian target"
);

mod apart;
mod array;
mod compare;
mod configs;
mod copy;
mod counts;
mod decision;
mod declared;
mod dequantize;
mod encoded;
mod encoding;
mod error;
mod execute;
mod families;
mod family_table;
mod file;
mod fill;
mod folder;
mod foreign;
mod format;
mod fp8;
mod fuse;
mod glob;
mod groups;
mod header;
mod ignore;
mod job;
mod join;
mod journal;
mod json;
mod kind;
mod layout;
mod linear;
mod made;
mod media_table;
mod modelopt;
mod names;
mod nvfp4;
mod options;
mod panel;
mod part;
mod partdir;
mod plan;
mod planned;
mod prepare;
mod quantizer;
mod record;
mod repack;
mod replaced;
mod roles;
mod run;
mod scan;
mod select;
mod settings;
mod source;
mod split;
mod stack_table;
mod summary;
mod turn;
mod view;
mod whole;
mod workdir;
mod worker;
mod worker_join;
mod worker_mx;
mod write;

pub use activations::Activations;
pub use apart::check_not_read;
pub use array::PartOutcome;
pub use compare::{Comparison, Difference, compare};
pub use counts::Counts;
pub use decision::Decision;
pub use declared::{Declaration, Scope, declarations};
pub use dequantize::dequantize_checkpoint;
pub use encoded::EncodedName;
pub use error::CheckpointError;
pub use file::TensorFile;
pub use foreign::Method;
pub use format::{Format, PartNames, StoredGlobal, StoredTensor, Values, encode_scale};
pub use fuse::Fuse;
pub use glob::Glob;
pub use header::{Dtype, Header, TensorEntry};
pub use job::{finish_parts, quantize_checkpoint, quantize_part};
pub use kind::Kind;
pub use made::REPORTS;
pub use modelopt::ModelOptQuantizer;
pub use nvfp4::StoredName;
pub use options::{DequantizeOptions, QuantizeOptions};
pub use part::{Part, part_of_tensors};
pub use planned::decide;
pub use quantizer::{CpuQuantizer, OrCpu, QuantizePanels, Several};
pub use record::{Figures, Histograms, TensorRecord, choices_from_codes};
pub use roles::{Quantization, Role};
pub use select::{Selection, notes};
pub use settings::{NonFinite, Observer};
pub use source::Checkpoint;
pub use summary::{RecipeRecord, Summary};
