//! What a run leaves: `fouroversix.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::counts::Counts;
use super::record::TensorRecord;

/// A recipe as it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipeRecord {
    /// The preset's name, or the file's.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What a run wrote, and about what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The program and its version.
    pub producer: Value,
    /// The format's name.
    pub format: String,
    /// The options that decide the bits, as text.
    pub options: BTreeMap<String, String>,
    /// The recipe that some of them came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<RecipeRecord>,
    /// How many tensors became what.
    #[serde(default)]
    pub counts: Counts,
    /// What a reader should know of the choice of tensors.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Where the rules for the model's type were read.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Every quantized tensor.
    pub tensors: Vec<TensorRecord>,
    /// Names of the tensors copied unchanged, and why.
    pub kept: BTreeMap<String, String>,
    /// Names of the tensors that have no place in the output, and what they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, String>,
    /// Bytes of tensors read.
    pub input_bytes: u64,
    /// Bytes of files with tensors written.
    pub output_bytes: u64,
    /// The files with tensors.
    pub shards: Vec<String>,
    /// Every file of a directory but this one, with `/` between folders. Only a directory that
    /// holds no others is ever replaced.
    #[serde(default)]
    pub files: Vec<String>,
}
