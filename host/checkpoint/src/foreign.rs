//! Quantized tensors that no reader here takes, known by their names and types.

use super::header::TensorEntry;
use super::source::Checkpoint;

/// A way of quantizing that is recognized and not read.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    /// What it is.
    pub label: &'static str,
    /// What to use instead.
    pub remedy: &'static str,
}

const ORIGINAL: &str = "use the BF16 model that it was made from";

const FP8: Method = Method { label: "FP8", remedy: "use the model's BF16 release" };
const E5M2: Method = Method {
    label: "FP8 in E5M2, for which no format that is read here has scales",
    remedy: ORIGINAL,
};
const FP8_BLOCKS: Method = Method {
    label: "FP8 with a scale for each block",
    remedy: "use the model's BF16 release, or load it in transformers with \
             FineGrainedFP8Config(dequantize=True) and save that",
};
const MXFP4: Method = Method {
    label: "MXFP4",
    remedy: "use a BF16 release, or load it in transformers with Mxfp4Config(dequantize=True) and \
             save that",
};
const FP4: Method = Method { label: "FP4 as a type of its own", remedy: ORIGINAL };
const INT8: Method = Method { label: "INT8", remedy: ORIGINAL };
const INTEGERS: Method =
    Method { label: "packed integers as GPTQ, AWQ and others store them", remedy: ORIGINAL };
const PACKED: Method =
    Method { label: "packed codes whose scales are not NVFP4's", remedy: ORIGINAL };
const EXPERT_STACK: Method = Method {
    label: "a stack of experts as ModelOpt packs it, along the rows of its matrices",
    remedy: ORIGINAL,
};
const BITSANDBYTES: Method = Method {
    label: "bitsandbytes",
    remedy: "use the model it was made from, or load it in transformers, call model.dequantize() \
             and save that",
};
const COMFY: Method = Method { label: "ComfyUI's quantization", remedy: ORIGINAL };
const SMOOTHED: Method = Method {
    label: "a scale of the layer's input (AWQ), without which its weights are another layer's",
    remedy: ORIGINAL,
};
const OWN_PARTS: Method =
    Method { label: "a part of a compressed-tensors format that is not NVFP4", remedy: ORIGINAL };
const SPARSE: Method = Method { label: "a compressed sparse weight", remedy: ORIGINAL };
const OTHERS: Method = Method { label: "HQQ, AQLM, EXL3 or quanto", remedy: ORIGINAL };
const FOUROVERSIX: Method =
    Method { label: "the Python package fouroversix's own layout", remedy: ORIGINAL };

/// A scale whose codes are missing.
pub(crate) const ORPHAN: Method = Method {
    label: "a scale without the codes it belongs to",
    remedy: "fetch the checkpoint again, or use the BF16 model that it was made from",
};

/// Codes whose scale is missing.
pub(crate) const NO_SCALE: Method = Method {
    label: "codes without a scale",
    remedy: "fetch the checkpoint again, or use the BF16 model that it was made from",
};

/// Endings that say it by themselves. One that starts with a dot may be the whole name.
const ENDINGS: [(&str, &Method); 24] = [
    ("_scale_inv", &FP8_BLOCKS),
    (".qweight", &INTEGERS),
    (".qzeros", &INTEGERS),
    (".q_weight", &INTEGERS),
    (".absmax", &BITSANDBYTES),
    (".nested_absmax", &BITSANDBYTES),
    (".quant_map", &BITSANDBYTES),
    (".nested_quant_map", &BITSANDBYTES),
    (".SCB", &BITSANDBYTES),
    (".comfy_quant", &COMFY),
    (".scaled_fp8", &COMFY),
    (".pre_quant_scale", &SMOOTHED),
    (".weight_zero_point", &OWN_PARTS),
    (".weight_g_idx", &OWN_PARTS),
    (".weight_shape", &OWN_PARTS),
    (".weight.bitmask", &SPARSE),
    (".weight.compressed", &SPARSE),
    (".W_q", &OTHERS),
    (".trellis", &OTHERS),
    (".weight._data", &OTHERS),
    (".weight._scale", &OTHERS),
    (".quantized_weight_values", &FOUROVERSIX),
    (".quantized_weight_scale_factors", &FOUROVERSIX),
    (".quantized_weight_amax", &FOUROVERSIX),
];

/// What a scale may be called after its codes `x`.
const SCALE_ENDINGS: [&str; 11] = [
    "_scale_inv",
    "_scale",
    "_scale_2",
    "_scales",
    "_global_scale",
    "_zero_point",
    "_g_idx",
    "_shape",
    "_input_scale",
    ".absmax",
    ".quant_map",
];

/// What a scale may be called beside `<module>.weight`, after the module.
const MODULE_ENDINGS: [&str; 7] =
    [".scale", ".scales", ".biases", ".weight_scales", ".weight_format", ".SCB", ".scale_weight"];

/// What ModelOpt calls the scales of a stack `x` of experts (its `unified_export_hf.py`).
const STACK_ENDINGS: [&str; 2] = ["_weight_scale_2", "_weight_scale"];

/// What lies beside GPTQ's, AWQ's and EXL2's integers.
const INTEGER_PARTS: [&str; 4] = ["scales", "g_idx", "q_scale", "q_perm"];

/// The method that the tensor's name or type tells, and the tensors that belong to it.
///
/// `x` of a type of few bits is quantized when something called a scale of `x` is there.
pub(crate) fn foreign(
    checkpoint: &Checkpoint,
    entry: &TensorEntry,
) -> Option<(&'static Method, Vec<String>)> {
    let name = entry.name.as_str();
    // Float models use some of these short names too (`W_q` for a query projection).
    let is_float = entry.dtype.input_type().is_some();
    if let Some(method) = by_ending(name).filter(|method| **method != OTHERS || !is_float) {
        let module = name.rsplit_once('.').map_or("", |(module, _)| module);
        let mut beside: Vec<String> = Vec::new();
        if *method == INTEGERS {
            beside = INTEGER_PARTS.iter().map(|part| format!("{module}.{part}")).collect();
            beside.retain(|part| has(checkpoint, part));
        }
        return Some((method, beside));
    }
    if name.contains(".quant_state.") {
        return Some((&BITSANDBYTES, Vec::new()));
    }
    let dtype = entry.dtype.name();
    if let Some(base) = name.strip_suffix("_blocks").filter(|_| dtype == "U8") {
        let scales = format!("{base}_scales");
        return Some((&MXFP4, has(checkpoint, &scales).then_some(scales).into_iter().collect()));
    }
    if !few_bits(dtype) {
        return None;
    }
    let base = name.strip_suffix("_packed");
    let mut scales: Vec<String> =
        SCALE_ENDINGS.iter().map(|ending| format!("{}{ending}", base.unwrap_or(name))).collect();
    if let Some(module) = name.strip_suffix(".weight") {
        scales.extend(MODULE_ENDINGS.iter().map(|ending| format!("{module}{ending}")));
    }
    let of_stack = STACK_ENDINGS.map(|ending| format!("{name}{ending}"));
    let is_stack = dtype == "U8" && has(checkpoint, &of_stack[0]);
    scales.extend(of_stack);
    scales.retain(|scale| has(checkpoint, scale));
    let told = scales
        .iter()
        .find_map(|scale| by_ending(scale))
        .filter(|_| base.is_none() && !dtype.starts_with("F8_E5M2"));
    let told = told.or_else(|| is_stack.then_some(&EXPERT_STACK));
    let method = told.unwrap_or_else(|| method_of(dtype, base.is_some()));
    let shown = base.is_some() || scales.iter().any(|scale| !scale.ends_with("_shape"));
    shown.then_some((method, scales))
}

/// The method that a name's ending tells.
fn by_ending(name: &str) -> Option<&'static Method> {
    let is = |ending: &str| name.ends_with(ending) || ending.strip_prefix('.') == Some(name);
    ENDINGS.iter().find(|(ending, _)| is(ending)).map(|(_, method)| *method)
}

fn method_of(dtype: &str, packed: bool) -> &'static Method {
    match dtype {
        _ if packed => &PACKED,
        "I8" => &INT8,
        "F4" | "F6_E2M3" | "F6_E3M2" => &FP4,
        _ if dtype.starts_with("F8_E5M2") => &E5M2,
        _ if dtype.starts_with("F8") => &FP8,
        _ => &INTEGERS,
    }
}

fn has(checkpoint: &Checkpoint, name: &str) -> bool {
    checkpoint.get(name).is_some()
}

/// Types that codes are stored in.
pub(crate) fn few_bits(dtype: &str) -> bool {
    ["U8", "I8", "I32", "U32"].contains(&dtype) || is_minifloat(dtype)
}

/// Floats of at most 8 bits.
pub(crate) fn is_minifloat(dtype: &str) -> bool {
    ["F4", "F6", "F8"].iter().any(|start| dtype.starts_with(start))
}
