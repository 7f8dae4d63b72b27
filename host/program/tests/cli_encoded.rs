//! Sources in FP8 and MXFP4: the numbers that they stand for are those that are quantized and
//! dequantized, by arithmetic written down here once more.

use std::fs;
use std::path::Path;

use fouroversix::checkpoint::{Checkpoint, Format, StoredName};
use fouroversix::{Amax, Config, Rule, quantize, quantize_with_amax};
use half::{bf16, f16};
use serde_json::{Value, json};

use crate::common::{
    Folder, Tensor, contents, program, refuse, run, succeed, tensor, weights, write_safetensors,
};

/// E4M3 by its definition: bias 7, no infinity.
fn e4m3(byte: u8) -> f32 {
    let (exponent, fraction) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    assert!(byte & 0x7F != 0x7F, "NaN");
    let magnitude = match exponent {
        0 => fraction * 2.0_f32.powi(-9),
        _ => (8.0 + fraction) * 2.0_f32.powi(exponent - 10),
    };
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

fn e2m1(code: u8) -> f32 {
    let magnitude = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0][usize::from(code & 7)];
    if code & 8 == 0 { magnitude } else { -magnitude }
}

/// Numbers without an order.
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    }
}

/// Codes of FP8 weights, no NaN.
fn codes(count: usize, seed: u64) -> Vec<u8> {
    let mut next = numbers(seed);
    (0..count).map(|_| (next(2) * 128 + next(0x7F)) as u8).collect()
}

fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn write_model(folder: &Path, config: &Value, tensors: &[Tensor]) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    write_safetensors(&folder.join("model.safetensors"), tensors);
}

#[track_caller]
fn bytes_of(folder: &Path, name: &str) -> Vec<u8> {
    let checkpoint = Checkpoint::open(folder).unwrap();
    let (file, entry) = checkpoint.get(name).unwrap_or_else(|| panic!("no {name}"));
    file.bytes(entry).to_vec()
}

fn config_of(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap()
}

const ROWS: usize = 200;
const COLS: usize = 304;

/// A way to store FP8: what the model says of it, the scale's name, type, shape and block.
struct Fp8 {
    quantization: Value,
    end: &'static str,
    dtype: &'static str,
    shape: Vec<usize>,
    block: [usize; 2],
}

fn fp8_ways() -> Vec<Fp8> {
    let way = |quantization, end, dtype, shape: &[usize], block| Fp8 {
        quantization,
        end,
        dtype,
        shape: shape.to_vec(),
        block,
    };
    let channel = json!({"quant_method": "compressed-tensors", "format": "float-quantized",
        "config_groups": {"group_0": {"targets": ["Linear"],
        "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}}, "ignore": ["lm_head"]});
    let deepseek = json!({"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]});
    let v4 = json!({"quant_method": "fp8", "fmt": "e4m3", "scale_fmt": "ue8m0",
        "weight_block_size": [128, 128]});
    let other = json!({"quant_method": "fp8", "weight_block_size": [64, 32]});
    let modelopt = json!({"quant_method": "modelopt", "quant_algo": "FP8"});
    vec![
        // The edges of 128x128 blocks are ragged: 200 and 304 are no multiples.
        way(deepseek.clone(), "_scale_inv", "F32", &[2, 3], [128, 128]),
        way(deepseek, "_scale_inv", "BF16", &[2, 3], [128, 128]),
        way(other, "_scale_inv", "F8_E8M0", &[4, 10], [64, 32]),
        // DeepSeek-V4's names.
        way(v4, ".scale", "F8_E8M0", &[2, 3], [128, 128]),
        way(channel.clone(), "_scale", "BF16", &[ROWS, 1], [1, COLS]),
        way(channel.clone(), "_scale", "F32", &[ROWS], [1, COLS]),
        way(channel, "_scale", "F32", &[1], [ROWS, COLS]),
        way(modelopt, "_scale", "F32", &[], [ROWS, COLS]),
    ]
}

/// The scales' bytes and the numbers that these are.
fn scales(way: &Fp8) -> (Vec<u8>, Vec<f32>) {
    let mut next = numbers(7);
    let count = ROWS.div_ceil(way.block[0]) * COLS.div_ceil(way.block[1]);
    let values: Vec<f32> = (0..count).map(|_| 1e-4 + next(1000) as f32 * 3.7e-6).collect();
    match way.dtype {
        "F32" => (f32_bytes(&values), values),
        "BF16" => {
            let values: Vec<bf16> = values.into_iter().map(bf16::from_f32).collect();
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (bytes, values.into_iter().map(bf16::to_f32).collect())
        }
        _ => {
            let bytes: Vec<u8> = (0..count).map(|_| 110 + next(9) as u8).collect();
            let values = bytes.iter().map(|&byte| 2.0_f32.powi(i32::from(byte) - 127)).collect();
            (bytes, values)
        }
    }
}

/// The tensors of one FP8 Linear, and its weights.
fn fp8_linear(way: &Fp8, module: &str, seed: u64) -> (Vec<Tensor>, Vec<f32>) {
    let codes = codes(ROWS * COLS, seed);
    let (bytes, scales) = scales(way);
    let across = COLS.div_ceil(way.block[1]);
    let weights = codes.iter().enumerate().map(|(at, &code)| {
        let (row, col) = (at / COLS, at % COLS);
        e4m3(code) * scales[row / way.block[0] * across + col / way.block[1]]
    });
    let weights = weights.collect();
    let owner = if way.end == ".scale" { module.to_owned() } else { format!("{module}.weight") };
    // transformers' name beside its blocks, the others' beside theirs.
    let input = if way.end == "_scale_inv" { "activation_scale" } else { "input_scale" };
    let tensors = vec![
        tensor(&format!("{module}.weight"), "F8_E4M3", &[ROWS, COLS], codes),
        tensor(&format!("{owner}{}", way.end), way.dtype, &way.shape, bytes),
        tensor(&format!("{module}.{input}"), "F32", &[], f32_bytes(&[0.5])),
    ];
    (tensors, weights)
}

#[test]
fn fp8_is_quantized_as_the_floats_that_it_stands_for() {
    for way in fp8_ways() {
        let folder = Folder::new();
        let (model, out) = (folder.path("model"), folder.path("out"));
        let module = "model.layers.0.self_attn.o_proj";
        let (mut tensors, floats) = fp8_linear(&way, module, 1);
        let (head, head_floats) = fp8_linear(&way, "lm_head", 2);
        tensors.extend(head);
        tensors.push(tensor("model.layers.0.self_attn.k_scale", "F32", &[1], f32_bytes(&[2.0])));
        let config = json!({"model_type": "llama", "quantization_config": way.quantization,
            "text_config": {"quantization_config": way.quantization}});
        write_model(&model, &config, &tensors);
        fs::write(
            model.join("hf_quant_config.json"),
            "{\"quantization\": {\"quant_algo\": \"FP8\"}}",
        )
        .unwrap();
        let said = succeed([&"quantize", &model, &out, &"--rule", &"mse"]);
        assert!(said.contains("note: 2 tensors are read from FP8"), "{said}");
        assert!(
            said.contains("note: 3 scales of inputs and of the KV cache are left out"),
            "{said}"
        );

        let alone = quantize(&floats, [ROWS, COLS], &Config::rowwise(Rule::MSE)).unwrap();
        let names = Format::CompressedTensors.part_names(&format!("{module}.weight"));
        assert!(bytes_of(&out, &names.codes) == alone.codes());
        assert!(bytes_of(&out, &names.scales) == alone.scales());
        // What stays is BF16.
        let rounded: Vec<u8> =
            head_floats.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect();
        assert!(bytes_of(&out, "lm_head.weight") == rounded);
        let names: Vec<String> = {
            let made = Checkpoint::open(&out).unwrap();
            made.tensors().map(|(_, entry)| entry.name.clone()).collect()
        };
        assert_eq!(names.len(), 4, "{names:?}");
        // One declaration, and it is the output's.
        let config = config_of(&out);
        assert_eq!(config["quantization_config"]["format"], "nvfp4-pack-quantized");
        assert!(config["text_config"].get("quantization_config").is_none(), "{config}");
        assert!(!out.join("hf_quant_config.json").exists());
        let record: Value =
            serde_json::from_slice(&fs::read(out.join("fouroversix.json")).unwrap()).unwrap();
        assert_eq!(record["tensors"][0]["dtype"], "FP8");
        assert_eq!(record["left_out"].as_object().unwrap().len(), 3);
        assert_eq!(record["counts"]["left_out"], 3);
    }
}

#[test]
fn fp8_is_dequantized_to_every_type() {
    for way in fp8_ways() {
        let folder = Folder::new();
        let model = folder.path("model");
        let (tensors, floats) = fp8_linear(&way, "a", 3);
        write_model(&model, &json!({"quantization_config": way.quantization}), &tensors);
        for (dtype, expected) in [
            ("f32", f32_bytes(&floats)),
            ("bf16", floats.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect()),
            ("f16", floats.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()),
        ] {
            let out = folder.path(dtype);
            let output = run([&"dequantize", &model, &out, &"--dtype", &dtype]);
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert!(output.status.success(), "{said}");
            assert!(said.contains("3 tensors: 2 dequantized to 1"), "{said}");
            let rounded = said.contains(&format!("1 FP8 tensors are rounded to {dtype}"));
            assert_eq!(rounded, dtype != "f32", "{said}");
            assert!(bytes_of(&out, "a.weight") == expected, "{dtype}");
            assert!(config_of(&out).get("quantization_config").is_none());
        }
    }
}

/// Stacks of experts in FP8, with a grid of scales for each.
#[test]
fn fp8_stacks_become_matrices_and_whole_floats() {
    let folder = Folder::new();
    let [model, out, floats] = ["model", "out", "floats"].map(|name| folder.path(name));
    let layer = "model.language_model.layers.0";
    let block = [32, 40];
    let stack = |rows: usize, cols: usize, seed: u64| {
        let grid = [rows.div_ceil(block[0]), cols.div_ceil(block[1])];
        let scales: Vec<f32> =
            (0..EXPERTS * grid[0] * grid[1]).map(|i| 1e-3 + i as f32 * 1.7e-5).collect();
        let codes = codes(EXPERTS * rows * cols, seed);
        let values: Vec<f32> = (0..codes.len())
            .map(|at| {
                let (e, row, col) = (at / (rows * cols), at / cols % rows, at % cols);
                let place = (e * grid[0] + row / block[0]) * grid[1] + col / block[1];
                e4m3(codes[at]) * scales[place]
            })
            .collect();
        (codes, scales, grid, values)
    };
    let (gate_up, down) = (stack(2 * INNER, HIDDEN, 8), stack(HIDDEN, INNER, 9));
    let mut tensors = vec![weights(&format!("{layer}.self_attn.o_proj.weight"), &[HIDDEN, HIDDEN])];
    for (name, rows, cols, (codes, scales, grid, _)) in
        [("gate_up_proj", 2 * INNER, HIDDEN, &gate_up), ("down_proj", HIDDEN, INNER, &down)]
    {
        let name = format!("{layer}.mlp.experts.{name}");
        let shape = [EXPERTS, grid[0], grid[1]];
        tensors.push(tensor(&name, "F8_E4M3", &[EXPERTS, rows, cols], codes.clone()));
        tensors.push(tensor(&format!("{name}_scale_inv"), "F32", &shape, f32_bytes(scales)));
    }
    let config = json!({"model_type": "qwen3_5_moe",
        "quantization_config": {"quant_method": "fp8", "weight_block_size": block}});
    write_model(&model, &config, &tensors);
    let said = succeed([&"quantize", &model, &out, &"--rule", &"mse"]);
    assert!(said.contains("9 tensors are read from FP8"), "{said}");
    for e in 0..EXPERTS {
        let of = |values: &[f32], rows: usize, cols: usize, first: usize, all: usize| {
            values[(e * all + first) * cols..(e * all + first + rows) * cols].to_vec()
        };
        let gate = of(&gate_up.3, INNER, HIDDEN, 0, 2 * INNER);
        let up = of(&gate_up.3, INNER, HIDDEN, INNER, 2 * INNER);
        let amax = |values: &[f32]| values.iter().fold(0.0_f32, |a, v| a.max(v.abs()));
        let both = amax(&gate).max(amax(&up));
        let down = of(&down.3, HIDDEN, INNER, 0, HIDDEN);
        let own = amax(&down);
        for (name, shape, floats, amax) in [
            ("gate_proj", [INNER, HIDDEN], gate, both),
            ("up_proj", [INNER, HIDDEN], up, both),
            ("down_proj", [HIDDEN, INNER], down, own),
        ] {
            let config = Config::rowwise(Rule::MSE);
            let alone = quantize_with_amax(&floats, shape, &config, Amax::Tensor(amax)).unwrap();
            let tensor = format!("{layer}.mlp.experts.{e}.{name}.weight");
            let names = Format::CompressedTensors.part_names(&tensor);
            assert!(bytes_of(&out, &names.codes) == alone.codes(), "{tensor}");
            assert!(bytes_of(&out, &names.scales) == alone.scales(), "{tensor}");
        }
    }
    succeed([&"dequantize", &model, &floats, &"--dtype", &"f32"]);
    for (name, values) in [("gate_up_proj", &gate_up.3), ("down_proj", &down.3)] {
        let name = format!("{layer}.mlp.experts.{name}");
        assert!(bytes_of(&floats, &name) == f32_bytes(values), "{name}");
    }
}

/// Runs the program, which must stop with an error when a tensor's turn comes; what it said.
#[track_caller]
fn stopped(arguments: &[&Path]) -> String {
    let output = program(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    said
}

/// A scale that is not finite or is negative, a code that is NaN, and a weight out of range.
#[test]
fn odd_fp8_is_refused_by_its_place() {
    let model = |folder: &Folder, code: u8, scale: f32| {
        let path = folder.path("model");
        let mut bytes = vec![0x38; 32 * 32];
        bytes[33] = code;
        let tensors = [
            tensor("a.weight", "F8_E4M3", &[32, 32], bytes),
            tensor("a.weight_scale", "F32", &[], f32_bytes(&[scale])),
        ];
        write_model(&path, &json!({"quantization_config": {"quant_method": "fp8"}}), &tensors);
        path
    };
    for scale in [f32::NAN, f32::INFINITY, -1.0] {
        let folder = Folder::new();
        let path = model(&folder, 0x38, scale);
        for command in ["quantize", "dequantize"] {
            let said = refuse([&command, &path, &folder.path("out")]);
            assert!(said.contains("a.weight_scale holds") && said.contains("number 0"), "{said}");
        }
    }
    let folder = Folder::new();
    let path = model(&folder, 0xFF, 1.0);
    for command in ["quantize", "dequantize"] {
        let said = stopped(&[Path::new(command), &path, &folder.path("out")]);
        assert!(said.contains("a.weight holds NaN at [1, 1]"), "{said}");
    }
    let folder = Folder::new();
    let path = model(&folder, 0x7E, 1000.0);
    let options = ["--dtype", "f16"].map(Path::new);
    let out = folder.path("out");
    let said = stopped(&[Path::new("dequantize"), &path, &out, options[0], options[1]]);
    assert!(said.contains("a.weight") && said.contains("[1, 1]") && said.contains("f16"), "{said}");
}

const EXPERTS: usize = 3;
const HIDDEN: usize = 96;
const INNER: usize = 64;

/// Blocks and scales of a stack `[EXPERTS, rows, cols]`, exponents from `low` to `high`.
fn mx(rows: usize, cols: usize, [low, high]: [i32; 2], seed: u64) -> (Vec<u8>, Vec<u8>) {
    let mut next = numbers(seed);
    let mut codes: Vec<u8> = (0..EXPERTS * rows * cols / 2).map(|_| next(256) as u8).collect();
    let span = (high - low + 1) as u64;
    let mut exponent = || (low + next(span) as i32 + 127) as u8;
    let mut scales: Vec<u8> = (0..EXPERTS * rows * cols / 32).map(|_| exponent()).collect();
    // A block of zeros (one of them negative) says nothing of its exponent.
    codes[16..32].fill(0);
    codes[20] = 0x80;
    scales[1] = 3;
    (codes, scales)
}

/// Element (e, row, col) of such a stack.
fn mx_value(codes: &[u8], scales: &[u8], at: usize) -> f32 {
    let nibble = if at.is_multiple_of(2) { codes[at / 2] & 15 } else { codes[at / 2] >> 4 };
    let power = 2.0_f64.powi(i32::from(scales[at / 32]) - 127);
    // A product of few bits: exact in FP64 and, within its range, in FP32.
    (f64::from(e2m1(nibble)) * power) as f32
}

pub(crate) struct Mx {
    gate_up: (Vec<u8>, Vec<u8>),
    down: (Vec<u8>, Vec<u8>),
}

/// A gpt-oss layer in MXFP4.
pub(crate) fn write_mx(folder: &Path, exponents: [i32; 2]) -> Mx {
    let layer = "model.layers.0";
    let gate_up = mx(2 * INNER, HIDDEN, exponents, 5);
    let down = mx(HIDDEN, INNER, exponents, 6);
    let mut tensors = vec![
        weights(&format!("{layer}.self_attn.o_proj.weight"), &[HIDDEN, HIDDEN]),
        weights(&format!("{layer}.mlp.experts.gate_up_proj_bias"), &[EXPERTS, 2 * INNER]),
        weights(&format!("{layer}.mlp.experts.down_proj_bias"), &[EXPERTS, HIDDEN]),
    ];
    for (name, rows, cols, (codes, scales)) in
        [("gate_up_proj", 2 * INNER, HIDDEN, &gate_up), ("down_proj", HIDDEN, INNER, &down)]
    {
        let name = format!("{layer}.mlp.experts.{name}");
        let blocks = [EXPERTS, rows, cols / 32, 16];
        tensors.push(tensor(&format!("{name}_blocks"), "U8", &blocks, codes.clone()));
        tensors.push(tensor(&format!("{name}_scales"), "U8", &blocks[..3], scales.clone()));
    }
    let config = json!({"model_type": "gpt_oss", "quantization_config": {"quant_method": "mxfp4",
        "modules_to_not_convert": ["model.layers.*.self_attn"]}});
    write_model(folder, &config, &tensors);
    Mx { gate_up, down }
}

impl Mx {
    /// The weights of one projection of one expert.
    fn matrix(&self, expert: usize, name: &str) -> Vec<f32> {
        let ((codes, scales), rows, cols, first, step) = match name {
            "gate_proj" => (&self.gate_up, INNER, HIDDEN, 0, 2),
            "up_proj" => (&self.gate_up, INNER, HIDDEN, 1, 2),
            _ => (&self.down, HIDDEN, INNER, 0, 1),
        };
        let place = |i: usize| {
            let stored = expert * rows * step + first + i / cols * step;
            stored * cols + i % cols
        };
        (0..rows * cols).map(|i| mx_value(codes, scales, place(i))).collect()
    }
}

const PROJECTIONS: [(&str, [usize; 2]); 3] =
    [("gate_proj", [INNER, HIDDEN]), ("up_proj", [INNER, HIDDEN]), ("down_proj", [HIDDEN, INNER])];

#[test]
fn mxfp4_becomes_nvfp4_bit_for_bit_where_exponents_are_near() {
    // Seventeen apart is the most; far below 1 the global scale is held at a normal number.
    for exponents in [[-9, 8], [-20, -3], [-3, -3], [-127, -118], [108, 125]] {
        for format in Format::ALL {
            let folder = Folder::new();
            let (model, out) = (folder.path("model"), folder.path("out"));
            let mx = write_mx(&model, exponents);
            let said = succeed([&"quantize", &model, &out, &"--format", &format.name()]);
            let lossless = "MXFP4: 9 tensors are written without loss, 0 are quantized anew";
            assert!(said.contains(lossless), "{exponents:?}: {said}");
            let made = Checkpoint::open(&out).unwrap();
            for e in 0..EXPERTS {
                for (name, shape) in PROJECTIONS {
                    let tensor = format!("model.layers.0.mlp.experts.{e}.{name}.weight");
                    let stored = made.stored(&StoredName { tensor, format }).unwrap();
                    assert_eq!(stored.shape, shape);
                    let back: Vec<u32> =
                        stored.dequantize::<f32>().into_iter().map(f32::to_bits).collect();
                    let meant: Vec<u32> =
                        mx.matrix(e, name).into_iter().map(f32::to_bits).collect();
                    assert!(back == meant, "{exponents:?} {e} {name}");
                }
            }
            let record: Value =
                serde_json::from_slice(&fs::read(out.join("fouroversix.json")).unwrap()).unwrap();
            for tensor in record["tensors"].as_array().unwrap() {
                if tensor["dtype"] == "MXFP4" {
                    assert_eq!(tensor["source"], "MXFP4, without loss");
                    let lost = &tensor["chosen"]["squared_error"];
                    assert!(*lost == 0.0 || exponents[0] < -60 || exponents[1] > 60, "{lost}");
                }
            }
            let compared = succeed([&"compare", &model, &out]);
            assert_eq!(compared.matches(": 0 of 6144 values differ").count(), 9, "{compared}");
        }
    }
}

#[test]
fn mxfp4_of_far_exponents_is_quantized_anew_and_said() {
    let folder = Folder::new();
    let (model, out) = (folder.path("model"), folder.path("out"));
    let mx = write_mx(&model, [-16, 2]);
    let output = run([&"quantize", &model, &out, &"--rule", &"mse"]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("MXFP4: 0 tensors are written without loss, 9 are quantized anew"),
        "{said}"
    );
    assert!(said.contains("exponents from -16 to 2 are further apart than the 17"), "{said}");
    for e in 0..EXPERTS {
        let amax = |name: &str| mx.matrix(e, name).iter().fold(0.0_f32, |a, v| a.max(v.abs()));
        let both = amax("gate_proj").max(amax("up_proj"));
        for (name, shape) in PROJECTIONS {
            let amax = if name == "down_proj" { amax(name) } else { both };
            let config = Config::rowwise(Rule::MSE);
            let floats = mx.matrix(e, name);
            let alone = quantize_with_amax(&floats, shape, &config, Amax::Tensor(amax)).unwrap();
            let tensor = format!("model.layers.0.mlp.experts.{e}.{name}.weight");
            let names = Format::CompressedTensors.part_names(&tensor);
            assert!(bytes_of(&out, &names.codes) == alone.codes(), "{tensor}");
            assert!(bytes_of(&out, &names.scales) == alone.scales(), "{tensor}");
        }
    }
    let record = fs::read_to_string(out.join("fouroversix.json")).unwrap();
    assert_eq!(record.matches("MXFP4, quantized anew: exponents from -16 to 2").count(), 9);
    // A tile's blocks share a scale, which blocks of 32 in a row don't.
    let (tiles, model) = (folder.path("tiles"), folder.path("near"));
    write_mx(&model, [-3, 0]);
    let said = succeed([&"quantize", &model, &tiles, &"--scaling", &"tile"]);
    assert!(!said.contains("without loss"), "{said}");
}

#[test]
fn mxfp4_is_dequantized_as_models_hold_it_and_a_nan_is_refused() {
    let folder = Folder::new();
    let (model, out) = (folder.path("model"), folder.path("out"));
    let mx = write_mx(&model, [-9, 8]);
    let said = run([&"dequantize", &model, &out]);
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("2 MXFP4 tensors are exact in bf16"), "{said}");
    // Turned round: [experts, columns, rows].
    for (name, rows, cols, (codes, scales)) in
        [("gate_up_proj", 2 * INNER, HIDDEN, &mx.gate_up), ("down_proj", HIDDEN, INNER, &mx.down)]
    {
        let mut expected = Vec::new();
        for e in 0..EXPERTS {
            for col in 0..cols {
                for row in 0..rows {
                    let value = mx_value(codes, scales, (e * rows + row) * cols + col);
                    assert_eq!(bf16::from_f32(value).to_f32().to_bits(), value.to_bits());
                    expected.extend(bf16::from_f32(value).to_le_bytes());
                }
            }
        }
        let name = format!("model.layers.0.mlp.experts.{name}");
        assert!(bytes_of(&out, &name) == expected, "{name}");
        let made = Checkpoint::open(&out).unwrap();
        assert_eq!(made.get(&name).unwrap().1.shape, [EXPERTS, cols, rows]);
    }
    // By way of NVFP4, which has lost nothing, it is the same.
    let (packed, again) = (folder.path("packed"), folder.path("again"));
    succeed([&"quantize", &model, &packed, &"--no-figures"]);
    succeed([&"dequantize", &packed, &again]);
    for name in ["gate_up_proj", "down_proj", "gate_up_proj_bias", "down_proj_bias"] {
        let name = format!("model.layers.0.mlp.experts.{name}");
        assert!(bytes_of(&again, &name) == bytes_of(&out, &name), "{name}");
    }
    // What is kept of it is the same, and quantizing the floats' stacks gives their matrices.
    let kept = folder.path("kept");
    let said = succeed([&"quantize", &model, &kept, &"--exclude", &"*experts*"]);
    assert!(said.contains("2 of them stay, as BF16"), "{said}");
    for name in ["gate_up_proj", "down_proj", "gate_up_proj_bias", "down_proj_bias"] {
        let name = format!("model.layers.0.mlp.experts.{name}");
        assert!(bytes_of(&kept, &name) == bytes_of(&out, &name), "{name}");
    }

    let path = model.join("model.safetensors");
    let scale = {
        let checkpoint = Checkpoint::open(&model).unwrap();
        let (file, entry) = checkpoint.get("model.layers.0.mlp.experts.down_proj_scales").unwrap();
        (file.header().data_start + entry.range.start) as usize
    };
    let mut file = fs::read(&path).unwrap();
    // The second block of row 5 of expert 0.
    file[scale + 5 * INNER / 32 + 1] = 255;
    fs::write(&path, file).unwrap();
    let said = run([&"quantize", &model, &folder.path("nan")]);
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("experts.0.down_proj.weight holds NaN at [5, 32]"), "{said}");
    let said = run([&"dequantize", &model, &folder.path("nan")]);
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("experts.down_proj holds NaN at [32, 5]"), "{said}");
}

/// Matrices in MXFP4: as compressed-tensors packs them, and as DeepSeek-V4 has its experts.
#[test]
fn mxfp4_matrices_become_nvfp4_and_floats_bit_for_bit() {
    let module = "model.layers.0.mlp.experts.0.down_proj";
    let (packed, one) = (format!("{module}.weight_packed"), format!("{module}.weight"));
    let mxfp4 = json!({"quant_method": "compressed-tensors", "format": "mxfp4-pack-quantized",
        "config_groups": {"group_0": {"targets": ["Linear"], "format": "mxfp4-pack-quantized",
        "weights": {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32}}}});
    let v4 = json!({"quant_method": "fp8", "scale_fmt": "ue8m0", "weight_block_size": [128, 128]});
    for (codes_name, dtype, scales_name, scale_dtype, quantization) in [
        (&packed, "U8", format!("{module}.weight_scale"), "U8", &mxfp4),
        (&packed, "U8", format!("{module}.weight_scale"), "F8_E8M0", &mxfp4),
        (&one, "I8", format!("{module}.scale"), "F8_E8M0", &v4),
        (&one, "I8", format!("{module}.weight_scale_inv"), "F8_E8M0", &v4),
    ] {
        let folder = Folder::new();
        let [model, out, floats] = ["model", "out", "floats"].map(|name| folder.path(name));
        let (rows, cols) = (EXPERTS * HIDDEN, INNER);
        let (codes, scales) = mx(HIDDEN, INNER, [-9, 8], 12);
        let values: Vec<f32> = (0..rows * cols).map(|at| mx_value(&codes, &scales, at)).collect();
        let tensors = [
            tensor(codes_name, dtype, &[rows, cols / 2], codes),
            tensor(&scales_name, scale_dtype, &[rows, cols / 32], scales),
        ];
        let config = json!({"model_type": "llama", "quantization_config": quantization});
        write_model(&model, &config, &tensors);
        let said = succeed([&"quantize", &model, &out]);
        let lossless = "MXFP4: 1 tensors are written without loss, 0 are quantized anew";
        assert!(said.contains(lossless), "{said}");
        let made = Checkpoint::open(&out).unwrap();
        let name = StoredName { tensor: one.clone(), format: Format::CompressedTensors };
        let back = made.stored(&name).unwrap().dequantize::<f32>();
        assert!(f32_bytes(&back) == f32_bytes(&values), "{codes_name} {scales_name}");
        succeed([&"dequantize", &model, &floats, &"--dtype", &"f32"]);
        assert!(bytes_of(&floats, &one) == f32_bytes(&values), "{codes_name} {scales_name}");
        let shape = Checkpoint::open(&floats).unwrap().get(&one).unwrap().1.shape.clone();
        assert_eq!(shape, [rows, cols]);
    }
}

/// Scales that fit no block of 32, or are no exponents: codes of something else.
#[test]
fn what_is_not_mxfp4_is_refused() {
    let [packed, int8] = ["packed codes whose scales are not NVFP4's", "INT8"];
    for (name, dtype, scale, scale_dtype, shape, label) in [
        ("a.weight_packed", "U8", "a.weight_scale", "U8", [32, 4], packed),
        ("a.weight_packed", "U8", "a.weight_scale", "F32", [32, 2], packed),
        ("a.weight", "I8", "a.scale", "F8_E8M0", [32, 1], int8),
        ("a.weight", "I8", "a.scale", "F32", [32, 2], int8),
    ] {
        let folder = Folder::new();
        let model = folder.path("model");
        let bytes = if scale_dtype == "F32" { 4 } else { 1 };
        let tensors = [
            tensor(name, dtype, &[32, 32], vec![0x11; 32 * 32]),
            tensor(scale, scale_dtype, &shape, vec![0; shape[0] * shape[1] * bytes]),
        ];
        write_model(&model, &json!({"model_type": "llama"}), &tensors);
        for command in ["quantize", "dequantize"] {
            let said = refuse([&command, &model, &folder.path("out")]);
            assert!(said.contains(label), "{name} {scale_dtype} {shape:?}: {said}");
        }
    }
}

#[test]
fn parts_of_an_encoded_source_are_those_of_one_run() {
    let folder = Folder::new();
    let (model, whole, out) = (folder.path("model"), folder.path("whole"), folder.path("out"));
    write_mx(&model, [-9, 8]);
    let quantize = |to: &Path, more: &[&str]| {
        let mut command = program(&[Path::new("quantize"), &model, to]);
        command.args(["--max-shard-size", "8KB", "--device", "cpu"]).args(more);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    quantize(&whole, &[]);
    for part in ["1/3", "2/3", "3/3"] {
        quantize(&out, &["--part", part]);
    }
    assert!(contents(&whole).len() > 6, "several shards");
    assert!(contents(&out) == contents(&whole));
}
