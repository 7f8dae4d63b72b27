//! Experts that files hold in stacks: each becomes the bytes of its own matrix, quantized by itself,
//! under the name that loaders read.

use std::fs;
use std::path::Path;

use fouroversix::checkpoint::{Checkpoint, Format, StoredName};
use fouroversix::{Amax, Config, Rule, quantize_with_amax};
use half::bf16;
use serde_json::{Value, json};

use crate::common::{
    Folder, Tensor, contents, program, run, succeed, tensor, weights, write_safetensors,
};

const EXPERTS: usize = 3;
/// Sizes that are no multiples of each other, nor of the squares in which matrices are transposed.
const HIDDEN: usize = 144;
const INNER: usize = 80;

/// How a type's files hold experts, written down by hand from its modelling file.
struct Layout {
    kind: &'static str,
    layer: &'static str,
    gate_up: &'static str,
    down: &'static str,
    experts: &'static str,
    transposed: bool,
    interleaved: bool,
    biases: bool,
}

const LAYOUTS: [Layout; 6] = [
    Layout {
        kind: "gpt_oss",
        layer: "model.layers.0",
        gate_up: "mlp.experts.gate_up_proj",
        down: "mlp.experts.down_proj",
        experts: "mlp.experts",
        transposed: true,
        interleaved: true,
        biases: true,
    },
    Layout {
        kind: "llama4",
        layer: "language_model.model.layers.0",
        gate_up: "feed_forward.experts.gate_up_proj",
        down: "feed_forward.experts.down_proj",
        experts: "feed_forward.experts",
        transposed: true,
        interleaved: false,
        biases: false,
    },
    Layout {
        kind: "qwen3_vl_moe",
        layer: "model.language_model.layers.0",
        gate_up: "mlp.experts.gate_up_proj",
        down: "mlp.experts.down_proj",
        experts: "mlp.experts",
        transposed: true,
        interleaved: false,
        biases: false,
    },
    // As transformers saves it when it was loaded that way round.
    Layout {
        kind: "qwen3_vl_moe",
        layer: "model.language_model.layers.0",
        gate_up: "mlp.experts.gate_up_proj",
        down: "mlp.experts.down_proj",
        experts: "mlp.experts",
        transposed: false,
        interleaved: false,
        biases: false,
    },
    Layout {
        kind: "qwen3_5_moe",
        layer: "model.language_model.layers.0",
        gate_up: "mlp.experts.gate_up_proj",
        down: "mlp.experts.down_proj",
        experts: "mlp.experts",
        transposed: false,
        interleaved: false,
        biases: false,
    },
    Layout {
        kind: "granitemoe",
        layer: "model.layers.0",
        gate_up: "block_sparse_moe.input_linear.weight",
        down: "block_sparse_moe.output_linear.weight",
        experts: "block_sparse_moe.experts",
        transposed: false,
        interleaved: false,
        biases: false,
    },
];

/// The weight `[rows, cols]` of one projection of one expert.
fn matrix(expert: usize, name: &str) -> Vec<bf16> {
    let shape = if name == "down_proj" { [HIDDEN, INNER] } else { [INNER, HIDDEN] };
    floats(&weights(&format!("{expert}.{name}"), &shape).bytes)
}

fn bias(expert: usize, name: &str) -> Vec<bf16> {
    let length = if name == "down_proj" { HIDDEN } else { INNER };
    floats(&weights(&format!("{expert}.{name}.bias"), &[length]).bytes)
}

fn floats(bytes: &[u8]) -> Vec<bf16> {
    bytes.chunks_exact(2).map(|pair| bf16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn bytes(values: &[bf16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Row `i` of gate and up together, and whose it is.
fn part_of(layout: &Layout, i: usize) -> (&'static str, usize) {
    match layout.interleaved {
        true => (["gate_proj", "up_proj"][i % 2], i / 2),
        false => (["gate_proj", "up_proj"][i / INNER], i % INNER),
    }
}

/// Weights of all experts by projection: gate, up and down.
type Experts<'a> = &'a dyn Fn(usize, &str) -> Vec<bf16>;

/// The stacks (and biases) of `layout`, element by element.
fn stacks(layout: &Layout, matrix: Experts<'_>) -> Vec<Tensor> {
    let stack = |end: &str, rows: usize, cols: usize, at: &dyn Fn(usize, usize, usize) -> bf16| {
        let [outer, inner] = if layout.transposed { [cols, rows] } else { [rows, cols] };
        let mut values = Vec::new();
        for e in 0..EXPERTS {
            for i in 0..outer {
                for j in 0..inner {
                    values.push(if layout.transposed { at(e, j, i) } else { at(e, i, j) });
                }
            }
        }
        let name = format!("{}.{end}", layout.layer);
        tensor(&name, "BF16", &[EXPERTS, outer, inner], bytes(&values))
    };
    let all = |name: &str| (0..EXPERTS).map(|e| matrix(e, name)).collect::<Vec<_>>();
    let (gates, ups, downs) = (all("gate_proj"), all("up_proj"), all("down_proj"));
    let mut tensors = vec![
        stack(layout.gate_up, 2 * INNER, HIDDEN, &|e, i, k| {
            let (name, row) = part_of(layout, i);
            (if name == "gate_proj" { &gates } else { &ups })[e][row * HIDDEN + k]
        }),
        stack(layout.down, HIDDEN, INNER, &|e, i, k| downs[e][i * INNER + k]),
    ];
    if layout.biases {
        let mut values = [Vec::new(), Vec::new()];
        for e in 0..EXPERTS {
            values[0].extend((0..2 * INNER).map(|i| {
                let (name, row) = part_of(layout, i);
                bias(e, name)[row]
            }));
            values[1].extend(bias(e, "down_proj"));
        }
        let names = [layout.gate_up, layout.down].map(|end| format!("{}.{end}_bias", layout.layer));
        for ((name, values), length) in names.iter().zip(values).zip([2 * INNER, HIDDEN]) {
            tensors.push(tensor(name, "BF16", &[EXPERTS, length], bytes(&values)));
        }
    }
    tensors
}

fn write_model(folder: &Path, layout: &Layout) {
    fs::create_dir_all(folder).unwrap();
    let config = json!({"model_type": layout.kind, "architectures": ["XForCausalLM"]});
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut tensors = stacks(layout, &matrix);
    let attention = format!("{}.self_attn.o_proj.weight", layout.layer);
    tensors.push(weights(&attention, &[HIDDEN, HIDDEN]));
    write_safetensors(&folder.join("model.safetensors"), &tensors);
}

fn amax(values: &[bf16]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.to_f32().abs()))
}

#[track_caller]
fn bytes_of(checkpoint: &Checkpoint, name: &str) -> Vec<u8> {
    let (file, entry) = checkpoint.get(name).unwrap_or_else(|| panic!("no {name}"));
    file.bytes(entry).to_vec()
}

/// Every expert of what was made of `layout` is its own matrix, quantized by itself, gate and up with
/// the larger amax.
#[track_caller]
fn check(layout: &Layout, output: &Path, format: Format) {
    let checkpoint = Checkpoint::open(output).unwrap();
    let mut parts = 0;
    for e in 0..EXPERTS {
        let both = amax(&matrix(e, "gate_proj")).max(amax(&matrix(e, "up_proj")));
        for (name, shape, amax) in [
            ("gate_proj", [INNER, HIDDEN], both),
            ("up_proj", [INNER, HIDDEN], both),
            ("down_proj", [HIDDEN, INNER], amax(&matrix(e, "down_proj"))),
        ] {
            let config = Config::rowwise(Rule::SEARCH_MSE);
            let alone =
                quantize_with_amax(&matrix(e, name), shape, &config, Amax::Tensor(amax)).unwrap();
            let weight = format!("{}.{}.{e}.{name}.weight", layout.layer, layout.experts);
            let names = format.part_names(&weight);
            let said = format!("{} {weight}", layout.kind);
            assert!(bytes_of(&checkpoint, &names.codes) == alone.codes(), "{said}");
            assert!(bytes_of(&checkpoint, &names.scales) == alone.scales(), "{said}");
            let global = match format {
                Format::CompressedTensors => 6.0 * 256.0 / amax,
                Format::ModelOpt => amax / (6.0 * 256.0),
            };
            assert_eq!(bytes_of(&checkpoint, &names.global), global.to_le_bytes(), "{said}");
            parts += 3;
            if layout.biases {
                let name_of_bias = format!("{}.{}.{e}.{name}.bias", layout.layer, layout.experts);
                assert_eq!(bytes_of(&checkpoint, &name_of_bias), bytes(&bias(e, name)), "{said}");
                parts += 1;
            }
        }
    }
    // And nothing of the stacks beside them: the attention has three parts too.
    assert_eq!(checkpoint.tensors().count(), parts + 3, "{}", layout.kind);
}

#[test]
fn experts_are_the_bytes_of_their_own_matrices() {
    for layout in &LAYOUTS {
        for format in Format::ALL {
            let folder = Folder::new();
            let (model, out) = (folder.path("model"), folder.path("out"));
            write_model(&model, layout);
            let said = succeed([&"quantize", &model, &out, &"--format", &format.name()]);
            let expected = format!("{}.N.gate_proj, up_proj and down_proj", layout.experts);
            assert!(said.contains("note: 2 stacks of experts are written as 9 matrices"), "{said}");
            assert!(said.contains(&expected), "{said}");
            assert_eq!(said.contains("vLLM 0.33 has no place"), layout.kind == "gpt_oss", "{said}");
            check(layout, &out, format);
            let config: Value =
                serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap();
            let ignore = config["quantization_config"]["ignore"].to_string();
            assert!(!ignore.contains("experts"), "{}: {ignore}", layout.kind);
        }
    }
}

#[test]
fn dequantize_puts_experts_back_into_their_stacks() {
    for (layout, format) in LAYOUTS.iter().zip(Format::ALL.iter().cycle()) {
        let folder = Folder::new();
        let [model, out, back] = ["model", "out", "back"].map(|name| folder.path(name));
        write_model(&model, layout);
        succeed([&"quantize", &model, &out, &"--format", &format.name(), &"--no-figures"]);
        succeed([&"dequantize", &out, &back]);
        let made = Checkpoint::open(&out).unwrap();
        // transformers reads this type's experts one by one, and so they stay.
        if layout.kind == "qwen3_5_moe" {
            let back = Checkpoint::open(&back).unwrap();
            assert_eq!(back.tensors().count(), 3 * EXPERTS + 1);
            assert!(back.tensors().all(|(_, entry)| entry.shape.len() == 2));
            continue;
        }
        let matrix = |e: usize, name: &str| {
            let tensor = format!("{}.{}.{e}.{name}.weight", layout.layer, layout.experts);
            made.stored(&StoredName { tensor, format: *format }).unwrap().dequantize::<bf16>()
        };
        // Published files of Qwen3-VL are transposed, whatever this one was.
        let transposed = layout.transposed || layout.kind == "qwen3_vl_moe";
        let expected = stacks(&Layout { transposed, ..*layout }, &matrix);
        let file = folder.path("expected.safetensors");
        write_safetensors(&file, &expected);
        let (expected, back) = (Checkpoint::open(&file).unwrap(), Checkpoint::open(&back).unwrap());
        for (file, entry) in expected.tensors() {
            let (other, found) = back.get(&entry.name).unwrap_or_else(|| panic!("{}", entry.name));
            assert_eq!((&found.shape, &found.dtype), (&entry.shape, &entry.dtype));
            assert!(other.bytes(found) == file.bytes(entry), "{} {}", layout.kind, entry.name);
        }
        // The attention beside them.
        assert_eq!(back.tensors().count(), expected.tensors().count() + 1, "{}", layout.kind);
    }
}

#[test]
fn a_layer_without_all_its_experts_is_dequantized_one_by_one() {
    let folder = Folder::new();
    let [model, out, back] = ["model", "out", "back"].map(|name| folder.path(name));
    write_model(&model, &LAYOUTS[5]);
    succeed([&"quantize", &model, &out, &"--no-figures"]);
    let made = Checkpoint::open(&out).unwrap();
    let tensors: Vec<Tensor> = made
        .tensors()
        .filter(|(_, entry)| !entry.name.contains("experts.1.up_proj"))
        .map(|(file, entry)| {
            tensor(&entry.name, entry.dtype.name(), &entry.shape, file.bytes(entry).to_vec())
        })
        .collect();
    drop(made);
    write_safetensors(&out.join("model.safetensors"), &tensors);
    succeed([&"dequantize", &out, &back]);
    let back = Checkpoint::open(&back).unwrap();
    assert_eq!(back.tensors().count(), 3 * EXPERTS - 1 + 1);
    assert!(back.tensors().all(|(_, entry)| entry.shape.len() == 2));
}

#[test]
fn experts_of_which_one_is_kept_stay_in_their_stacks() {
    let layout = &LAYOUTS[4];
    for (exclude, why) in [
        ("*.experts.1.down_proj.weight", "excluded by"),
        ("*.experts.gate_up_proj", "excluded by"),
        ("*experts*", "excluded by"),
    ] {
        let folder = Folder::new();
        let (model, out) = (folder.path("model"), folder.path("out"));
        write_model(&model, layout);
        let said = succeed([&"quantize", &model, &out, &"--exclude", &exclude]);
        assert!(said.contains("2 3-D tensors of experts") || said.contains(why), "{said}");
        let (before, after) = (Checkpoint::open(&model).unwrap(), Checkpoint::open(&out).unwrap());
        for end in [layout.gate_up, layout.down] {
            let name = format!("{}.{end}", layout.layer);
            assert_eq!(bytes_of(&after, &name), bytes_of(&before, &name), "{exclude}");
        }
        assert!(!after.tensors().any(|(_, entry)| entry.name.contains("experts.0")), "{exclude}");
        let config: Value =
            serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap();
        let ignore = config["quantization_config"]["ignore"].to_string();
        assert!(ignore.contains("experts"), "{exclude}: {ignore}");
    }
}

#[test]
fn an_infinity_is_told_by_its_place_in_the_experts_matrix() {
    let folder = Folder::new();
    let (model, out) = (folder.path("model"), folder.path("out"));
    write_model(&model, &LAYOUTS[0]);
    let path = model.join("model.safetensors");
    let mut file = fs::read(&path).unwrap();
    let stack = {
        let checkpoint = Checkpoint::open(&model).unwrap();
        let (file, entry) = checkpoint.get("model.layers.0.mlp.experts.gate_up_proj").unwrap();
        (file.header().data_start + entry.range.start) as usize
    };
    // Of expert 1, row 7 of the input and column 11: an odd column, so row 5 of up.
    let at = stack + 2 * ((HIDDEN + 7) * 2 * INNER + 11);
    file[at..at + 2].copy_from_slice(&bf16::INFINITY.to_le_bytes());
    fs::write(&path, file).unwrap();
    let output = run([&"quantize", &model, &out]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("experts.1.up_proj.weight") && said.contains("[5, 7]"), "{said}");
}

#[test]
fn parts_and_shards_of_experts_are_those_of_one_run() {
    let folder = Folder::new();
    let (model, whole, out) = (folder.path("model"), folder.path("whole"), folder.path("out"));
    write_model(&model, &LAYOUTS[0]);
    let options = ["--max-shard-size", "40KB", "--device", "cpu"];
    let quantize = |to: &Path, more: &[&str]| {
        let mut command = program(&[Path::new("quantize"), &model, to]);
        let output = command.args(options).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    quantize(&whole, &[]);
    check(&LAYOUTS[0], &whole, Format::CompressedTensors);
    for part in ["1/2", "2/2"] {
        quantize(&out, &["--part", part]);
    }
    assert!(contents(&whole).len() > 4, "several shards");
    assert!(contents(&out) == contents(&whole));
}
