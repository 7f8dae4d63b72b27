//! The program on good input: files and model directories there and back.

use std::fs;
use std::path::Path;

use fouroversix::checkpoint::{Checkpoint, Format, StoredName};
use fouroversix::{Amax, Config, Outputs, Rule, ScaleLayout, Scaling};
use half::bf16;

use crate::common;
use crate::common::{
    Folder, contents, names, run, succeed, tensor, weights, write_model, write_safetensors,
};

fn stored(tensor: &str, format: Format) -> StoredName {
    StoredName { tensor: tensor.to_owned(), format }
}

fn floats(checkpoint: &Checkpoint, name: &str) -> (Vec<bf16>, [usize; 2]) {
    let (file, entry) = checkpoint.get(name).unwrap();
    let values = file.bytes(entry).chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]));
    (values.collect(), [entry.shape[0], entry.shape[1]])
}

/// The stored bytes are those of the library's quantizer on the whole tensor.
#[track_caller]
pub(crate) fn assert_stored(out: &Path, input: &Path, name: &str, rule: Rule, scaling: Scaling) {
    let (input, out) = (Checkpoint::open(input).unwrap(), Checkpoint::open(out).unwrap());
    let (values, shape) = floats(&input, name);
    let config = Config::new(rule, scaling, Outputs::Rowwise, ScaleLayout::Linear).unwrap();
    let expected = fouroversix::quantize(&values, shape, &config).unwrap();
    let found = out.stored(&stored(name, Format::CompressedTensors)).unwrap();
    assert_eq!(found.shape, shape);
    assert!(found.codes == expected.codes(), "{name}: codes differ");
    assert!(found.scales == expected.scales(), "{name}: scales differ");
    let global: Vec<f32> = expected
        .global_amax()
        .iter()
        .map(|&amax| Format::CompressedTensors.global_scale(amax, rule.e4m3_max()))
        .collect();
    assert_eq!(found.global.values(), global);
}

#[test]
fn a_file_holds_what_the_library_computes() {
    let folder = Folder::new();
    let (input, output) = (folder.path("in.safetensors"), folder.path("out.safetensors"));
    let tensors = [
        weights("big.weight", &[4112, 1040]),
        weights("odd", &[48, 64]),
        weights("narrow.weight", &[8, 20]),
        weights("bias", &[64]),
        tensor("ids", "I64", &[3], vec![7; 24]),
    ];
    write_safetensors(&input, &tensors);
    let said = succeed([&"quantize", &input, &output]);
    assert!(
        said.contains("5 tensors: 2 quantized (search mse 256, tensor scaling), 2 kept, 1 copied"),
        "{said}"
    );
    for name in ["big.weight", "odd"] {
        assert_stored(&output, &input, name, Rule::SEARCH_MSE, Scaling::Tensor);
    }
    let (before, after) = (Checkpoint::open(&input).unwrap(), Checkpoint::open(&output).unwrap());
    for name in ["narrow.weight", "bias", "ids"] {
        let bytes = |checkpoint: &Checkpoint| {
            let (file, entry) = checkpoint.get(name).unwrap();
            (entry.dtype.clone(), entry.shape.clone(), file.bytes(entry).to_vec())
        };
        assert_eq!(bytes(&before), bytes(&after), "{name}");
    }
    assert_eq!(folder.names(), ["in.safetensors", "out.safetensors"]);
}

#[test]
fn dequantized_files_hold_what_the_formats_define() {
    let folder = Folder::new();
    let input = folder.path("in.safetensors");
    write_safetensors(&input, &[weights("a.weight", &[40, 48]), weights("bias", &[48])]);
    for (format, name) in
        [(Format::CompressedTensors, "compressed-tensors"), (Format::ModelOpt, "modelopt")]
    {
        let output = folder.path(&format!("{name}.safetensors"));
        let back = folder.path(&format!("{name}-bf16.safetensors"));
        succeed([&"quantize", &input, &output, &"--format", &name]);
        succeed([&"dequantize", &output, &back]);
        let quantized = Checkpoint::open(&output).unwrap();
        let expected: Vec<bf16> =
            quantized.stored(&stored("a.weight", format)).unwrap().dequantize();
        let (found, shape) = floats(&Checkpoint::open(&back).unwrap(), "a.weight");
        assert_eq!(shape, [40, 48]);
        assert!(found == expected, "{name}");
    }
    let wide = folder.path("f32.safetensors");
    let narrow = folder.path("compressed-tensors.safetensors");
    succeed([&"dequantize", &narrow, &wide, &"--dtype", &"f32"]);
    let said = succeed([&"compare", &narrow, &wide]);
    assert!(said.contains("a.weight: 0 of 1920 values differ"), "{said}");
    let said = succeed([&"compare", &input, &narrow]);
    assert!(said.contains("1 tensors identical, 1 not"), "{said}");
    let failed = run([&"compare", &input, &narrow, &"--exact"]);
    assert_eq!(failed.status.code(), Some(1));
    succeed([&"compare", &narrow, &narrow, &"--exact"]);
}

#[test]
fn saturated_values_follow_the_contract() {
    let folder = Folder::new();
    let (input, output) = (folder.path("in.safetensors"), folder.path("out.safetensors"));
    let mut values = [bf16::ONE; 32];
    values[3] = bf16::NAN;
    values[20] = bf16::NEG_INFINITY;
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    write_safetensors(&input, &[tensor("a.weight", "BF16", &[2, 16], bytes)]);
    let saturate: [&dyn AsRef<Path>; 2] = [&"--non-finite", &"saturate"];
    let [a, b] = saturate;
    succeed([&"quantize", &input, &output, a, b, &"--rule", &"mse"]);
    assert_stored(&output, &input, "a.weight", Rule::MSE, Scaling::Tensor);
    let checkpoint = Checkpoint::open(&output).unwrap();
    let found = checkpoint.stored(&stored("a.weight", Format::CompressedTensors)).unwrap();
    assert_eq!(found.global.values(), [1.0]);
    assert_eq!(found.codes[1] >> 4, 7, "a NaN becomes code 7");
    assert_eq!(found.codes[10] & 15, 15, "−∞ becomes −6");
}

#[test]
fn a_model_directory_becomes_one() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 2, 64);
    let said = succeed([&"quantize", &model, &output, &"--max-shard-size", &"20KB"]);
    assert!(said.contains("16 tensors: 12 quantized"), "{said}");
    assert_eq!(folder.names(), ["model", "out"]);
    let found = names(&output);
    for name in [
        "config.json",
        "extra",
        "fouroversix.json",
        "model.safetensors.index.json",
        "tokenizer.json",
    ] {
        assert!(found.iter().any(|found| found == name), "{name} is not in {found:?}");
    }
    assert!(!found.contains(&"pytorch_model.bin".to_owned()), "{found:?}");
    let shards = found.iter().filter(|name| name.ends_with(".safetensors")).count();
    assert!(shards > 2, "{found:?}");
    for name in found.iter().filter(|name| name.ends_with(".safetensors")) {
        assert!(fs::metadata(output.join(name)).unwrap().len() < 22_000, "{name}");
    }
    let text = fs::read_to_string(output.join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(config["rms_norm_eps"], 1e-6);
    let section = &config["quantization_config"];
    assert_eq!(section["format"], "nvfp4-pack-quantized");
    assert_eq!(section["ignore"], serde_json::json!(["lm_head"]));
    assert_eq!(fs::read(output.join("extra/notes.txt")).unwrap(), b"kept as it is");

    let back = folder.path("back");
    succeed([&"dequantize", &output, &back]);
    let text = fs::read_to_string(back.join("config.json")).unwrap();
    assert!(!text.contains("quantization_config"), "{text}");
    let said = succeed([&"compare", &model, &back]);
    assert!(said.contains("4 tensors identical, 12 not"), "{said}");
}

#[test]
fn fused_parts_share_a_global_scale() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 64);
    succeed([&"quantize", &model, &output]);
    let (before, after) = (Checkpoint::open(&model).unwrap(), Checkpoint::open(&output).unwrap());
    let qkv = ["q_proj", "k_proj", "v_proj"]
        .map(|leaf| format!("model.layers.0.self_attn.{leaf}.weight"));
    let amax =
        qkv.iter().map(|name| fouroversix::amax(&floats(&before, name).0)).fold(0.0, f32::max);
    for name in &qkv {
        let (values, shape) = floats(&before, name);
        let config = Config::rowwise(Rule::SEARCH_MSE);
        let expected =
            fouroversix::quantize_with_amax(&values, shape, &config, Amax::Tensor(amax)).unwrap();
        let found = after.stored(&stored(name, Format::CompressedTensors)).unwrap();
        assert!(found.codes == expected.codes(), "{name}");
        assert_eq!(found.global.values(), [6.0 * 256.0 / amax]);
    }
    let apart = folder.path("apart");
    succeed([&"quantize", &model, &apart, &"--fuse", &"none"]);
    let apart = Checkpoint::open(&apart).unwrap();
    let global =
        |name: &str| apart.stored(&stored(name, Format::CompressedTensors)).unwrap().global;
    assert_ne!(global(&qkv[0]), global(&qkv[1]));
}

#[test]
fn a_group_with_a_kept_part_is_kept_whole() {
    let folder = Folder::new();
    let model = folder.path("model");
    write_model(&model, 1, 64);
    let said = succeed([
        &"quantize",
        &model,
        &folder.path("out"),
        &"--exclude",
        &"*.up_proj.weight",
        &"--dry-run",
    ]);
    assert!(said.contains("gate_proj.weight [128, 64] BF16 (fused with"), "{said}");
    assert!(said.contains("9 tensors: 4 would be quantized, 5 kept, 0 copied"), "{said}");
    assert!(said.ends_with("nothing was written\n"), "{said}");
    assert_eq!(folder.names(), ["model"]);
}

#[test]
fn modelopt_directories_carry_their_configuration() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 32);
    succeed([&"quantize", &model, &output, &"--format", &"modelopt", &"--quiet"]);
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(output.join(name)).unwrap()).unwrap()
    };
    let quantization = &read("hf_quant_config.json")["quantization"];
    assert_eq!(quantization["quant_algo"], "W4A16_NVFP4");
    assert_eq!(quantization["group_size"], 16);
    assert!(quantization["kv_cache_quant_algo"].is_null());
    assert_eq!(quantization["exclude_modules"], serde_json::json!(["lm_head"]));
    assert_eq!(read("config.json")["quantization_config"]["quant_method"], "modelopt");
    let checkpoint = Checkpoint::open(&output).unwrap();
    let name = "model.layers.0.mlp.down_proj.weight";
    let (_, scale) = checkpoint.get(&format!("{name}_scale_2")).unwrap();
    assert!(scale.shape.is_empty(), "a scalar");
    checkpoint.stored(&stored(name, Format::ModelOpt)).unwrap();
}

#[test]
fn reports_and_json_carry_the_figures() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 2, 64);
    let said = succeed([&"quantize", &model, &output, &"--json", &"--rule", &"mse"]);
    let summary: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(summary["tensors"].as_array().unwrap().len(), 12);
    let said = succeed([&"report", &output]);
    assert!(said.contains("12 of 12 tensors have a lower error"), "{said}");
    let page = fs::read_to_string(output.join("fouroversix-report.html")).unwrap();
    assert!(page.contains("<title>out in NVFP4</title>") && page.contains("LlamaForCausalLM"));
    let date = |text: &str| {
        let day = text.split_once("report of ").unwrap().1.get(..10).unwrap();
        day.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>()
    };
    assert_eq!(date(&page), "0000-00-00");
    let charts: Vec<&str> = page.split("<svg").skip(1).collect();
    assert_eq!(charts.len(), 6);
    for chart in charts {
        let chart = chart.split_once("</svg>").unwrap().0;
        assert_eq!(chart.matches("class=title").count(), 2, "both axes are named: {chart}");
        let ticks = chart.matches("text-anchor=end>").count();
        assert!((3..=9).contains(&ticks), "{ticks} ticks: {chart}");
        assert!(!chart.contains("NaN"), "{chart}");
    }
    assert!(page.contains("<svg") && page.contains("model.layers.1.mlp.down_proj.weight"));
    assert!(!page.contains("http") && !page.contains("<script"), "the page needs nothing else");
    let table = fs::read_to_string(output.join("fouroversix-report.csv")).unwrap();
    assert_eq!(table.lines().count(), 13);
    let back = folder.path("back");
    succeed([&"dequantize", &output, &back]);
    let copied = common::names(&back);
    assert!(!copied.iter().any(|name| name.contains("report")), "not about {copied:?}");
    let said = succeed([&"inspect", &output, &"--json"]);
    let inspected: serde_json::Value = serde_json::from_str(&said).unwrap();
    let share = inspected["quantized"][0]["map4_share"].as_f64().unwrap();
    let record = summary["tensors"]
        .as_array()
        .unwrap()
        .iter()
        .find(|tensor| tensor["name"] == inspected["quantized"][0]["name"])
        .unwrap();
    let counted =
        record["chosen"]["map4"].as_f64().unwrap() / record["chosen"]["blocks"].as_f64().unwrap();
    assert!((share - counted).abs() < 1e-12, "{share} inspected, {counted} counted");
}

/// The lines after a run that say what to look at next, as commands.
fn next_commands(said: &str) -> Vec<&str> {
    said.lines().filter_map(|line| line.strip_prefix("next: ")).collect()
}

#[test]
fn what_is_said_to_come_next_works_as_it_stands() {
    let folder = Folder::new();
    let model = folder.path("a model");
    write_model(&model, 2, 96);
    let (file, output) = (folder.path("out's.safetensors"), folder.path("out dir"));
    let shard = model.join("model-00001-of-00002.safetensors");
    let of_file = succeed([&"quantize", &shard, &file]);
    let of_model = succeed([&"quantize", &model, &output]);
    let plain = folder.path("no-figures");
    let without_figures = succeed([&"quantize", &model, &plain, &"--no-figures"]);
    for (said, expected) in [
        (of_file, ["inspect", "compare"]),
        (of_model, ["report", "vllm serve"]),
        (without_figures, ["inspect", "vllm serve"]),
    ] {
        let commands = next_commands(&said);
        assert_eq!(commands.len(), 2, "{said}");
        for (command, name) in commands.into_iter().zip(expected) {
            assert!(command.contains(name), "{command}");
            if name != "vllm serve" {
                let run = std::process::Command::new("sh").args(["-c", command]).output().unwrap();
                assert!(run.status.success(), "{command}: {run:?}");
            }
        }
    }
    assert!(output.join("fouroversix-report.html").is_file());
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let folder = Folder::new();
    let model = folder.path("model");
    write_model(&model, 2, 96);
    let outputs = ["1", "3"].map(|threads| {
        let output = folder.path(&format!("out{threads}"));
        let arguments = [Path::new("quantize"), &model, &output, Path::new("--quiet")];
        let status =
            common::program(&arguments).env("RAYON_NUM_THREADS", threads).status().unwrap();
        assert!(status.success());
        contents(&output)
    });
    assert!(outputs[0] == outputs[1]);
}
