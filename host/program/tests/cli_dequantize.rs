//! `dequantize` on what it does not write itself: converted right, or refused by name.

use std::fs;
use std::path::Path;

use fouroversix::checkpoint::Checkpoint;
use serde_json::{Value, json};

use crate::common;
use crate::common::{Folder, Tensor, refuse, run, succeed, tensor, weights, write_safetensors};

const COLS: usize = 32;

/// Bytes that look random, the same for the same seed.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect()
}

fn codes(name: &str, outer: &[usize]) -> Tensor {
    let shape = [outer, &[COLS / 2]].concat();
    tensor(name, "U8", &shape, noise(1, shape.iter().product()))
}

fn scales(name: &str, outer: &[usize]) -> Tensor {
    let shape = [outer, &[COLS / 16]].concat();
    let bytes = noise(2, shape.iter().product()).iter().map(|byte| 0x30 + byte % 32).collect();
    tensor(name, "F8_E4M3", &shape, bytes)
}

fn floats(name: &str, shape: &[usize], values: &[f32]) -> Tensor {
    tensor(name, "F32", shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// A whole tensor of compressed-tensors with a global scale of `shape` and `values`.
fn stored(name: &str, outer: &[usize], shape: &[usize], values: &[f32]) -> Vec<Tensor> {
    vec![
        codes(&format!("{name}_packed"), outer),
        scales(&format!("{name}_scale"), outer),
        floats(&format!("{name}_global_scale"), shape, values),
    ]
}

/// The same of ModelOpt.
fn stored_modelopt(name: &str, outer: &[usize], value: f32) -> Vec<Tensor> {
    vec![
        codes(name, outer),
        scales(&format!("{name}_scale"), outer),
        floats(&format!("{name}_scale_2"), &[], &[value]),
    ]
}

/// Refuses a file of these tensors and leaves nothing.
#[track_caller]
fn refused(tensors: &[Tensor]) -> String {
    let folder = Folder::new();
    let input = folder.path("in.safetensors");
    write_safetensors(&input, tensors);
    let said = refuse([&"dequantize", &input, &folder.path("out.safetensors")]);
    assert_eq!(folder.names(), ["in.safetensors"]);
    // Looking at it is no crash, and does not depend on its being whole.
    assert!(run([&"inspect", &input]).status.success());
    assert!(run([&"compare", &input, &input, &"--exact"]).status.success());
    said
}

/// Type, shape and bytes of a tensor of a file or folder.
fn found(path: &Path, name: &str) -> (String, Vec<usize>, Vec<u8>) {
    let checkpoint = Checkpoint::open(path).unwrap();
    let (file, entry) = checkpoint.get(name).unwrap_or_else(|| panic!("no {name}"));
    (entry.dtype.name().to_owned(), entry.shape.clone(), file.bytes(entry).to_vec())
}

fn write_folder(folder: &Path, tensors: &[Tensor], config: &Value) {
    fs::create_dir_all(folder).unwrap();
    write_safetensors(&folder.join("model.safetensors"), tensors);
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
}

#[test]
fn what_was_never_quantized_keeps_its_type_and_its_bits() {
    let folder = Folder::new();
    let (input, output) = (folder.path("in"), folder.path("out"));
    let mut tensors = stored("a.q_proj.weight", &[16], &[1], &[500.0]);
    let bias = floats("a.gate.e_score_correction_bias", &[3], &[0.1, 1.000_000_1, 3e38]);
    let bias_bytes = bias.bytes.clone();
    let half = tensor("a.norm.weight", "F16", &[2], vec![0x01, 0x3C, 0x02, 0x00]);
    let ids = tensor("a.ids", "I64", &[1], vec![7; 8]);
    tensors.extend([bias, half, ids, weights("a.o_proj.weight", &[16, 16])]);
    write_folder(&input, &tensors, &json!({"model_type": "x", "dtype": "bfloat16"}));
    let said = succeed([&"dequantize", &input, &output]);
    assert!(said.contains("7 tensors: 3 dequantized to 1 of bf16, 3 kept, 1 copied"), "{said}");
    let expected = ("F32".to_owned(), vec![3], bias_bytes);
    assert_eq!(found(&output, "a.gate.e_score_correction_bias"), expected);
    for name in ["a.norm.weight", "a.ids", "a.o_proj.weight"] {
        assert_eq!(found(&output, name), found(&input, name));
    }
    let (dtype, shape, _) = found(&output, "a.q_proj.weight");
    assert_eq!((dtype.as_str(), shape.as_slice()), ("BF16", [16, COLS].as_slice()));
    assert_eq!(Checkpoint::open(&output).unwrap().tensors().count(), 5);

    let wide = folder.path("wide");
    succeed([&"dequantize", &input, &wide, &"--dtype", &"f32"]);
    assert_eq!(found(&wide, "a.q_proj.weight").0, "F32");
    assert_eq!(found(&wide, "a.norm.weight"), found(&input, "a.norm.weight"));
}

#[test]
fn stacks_of_matrices_are_dequantized_as_their_matrices() {
    let (rows, globals) = (16, [500.0, 400.0, 3.0]);
    let stack = || stored("e.down_proj", &[3, rows], &[3], &globals);
    let part = |tensor: &Tensor, index: usize| {
        let bytes = tensor.bytes.len() / 3;
        tensor.bytes[index * bytes..(index + 1) * bytes].to_vec()
    };
    for shape in [vec![3], vec![3, 1], vec![3, 1, 1]] {
        let folder = Folder::new();
        let [input, output, one, back] =
            ["in", "out", "one", "back"].map(|name| folder.path(&format!("{name}.safetensors")));
        let mut tensors = stack();
        tensors[2] = floats("e.down_proj_global_scale", &shape, &globals);
        write_safetensors(&input, &tensors);
        succeed([&"dequantize", &input, &output]);
        let (dtype, dimensions, bytes) = found(&output, "e.down_proj");
        assert_eq!((dtype.as_str(), dimensions.as_slice()), ("BF16", [3, rows, COLS].as_slice()));
        for (i, &global) in globals.iter().enumerate() {
            write_safetensors(
                &one,
                &[
                    tensor("w_packed", "U8", &[rows, COLS / 2], part(&tensors[0], i)),
                    tensor("w_scale", "F8_E4M3", &[rows, COLS / 16], part(&tensors[1], i)),
                    floats("w_global_scale", &[1], &[global]),
                ],
            );
            succeed([&"dequantize", &one, &back, &"--force"]);
            let size = bytes.len() / 3;
            assert!(found(&back, "w").2 == bytes[i * size..(i + 1) * size], "matrix {i}");
        }
        let said = succeed([&"compare", &input, &output]);
        assert!(said.contains("e.down_proj: ") && said.contains("of 1536 values"), "{said}");
        assert!(succeed([&"inspect", &input]).contains("e.down_proj [3, 16, 32] NVFP4"));
    }
    // One global scale for all, and ModelOpt's names.
    let folder = Folder::new();
    let (input, output) = (folder.path("in.safetensors"), folder.path("out.safetensors"));
    write_safetensors(&input, &stored_modelopt("e.down_proj", &[3, rows], 0.01));
    succeed([&"dequantize", &input, &output]);
    assert_eq!(found(&output, "e.down_proj").1, [3, rows, COLS]);
}

#[test]
fn empty_tensors_stay_empty() {
    let folder = Folder::new();
    let (input, output) = (folder.path("in.safetensors"), folder.path("out.safetensors"));
    let mut tensors = stored("none", &[0], &[1], &[1.0]);
    tensors.extend(stored("no_matrix", &[0, 4], &[1], &[1.0]));
    tensors.push(tensor("thin_packed", "U8", &[4, 0], Vec::new()));
    tensors.push(tensor("thin_scale", "F8_E4M3", &[4, 0], Vec::new()));
    tensors.push(floats("thin_global_scale", &[1], &[1.0]));
    write_safetensors(&input, &tensors);
    succeed([&"inspect", &input]);
    succeed([&"dequantize", &input, &output]);
    assert_eq!(found(&output, "none").1, [0, COLS]);
    assert_eq!(found(&output, "no_matrix").1, [0, 4, COLS]);
    assert_eq!(found(&output, "thin").1, [4, 0]);
}

#[test]
fn odd_global_scales_are_refused_with_their_value() {
    for (value, shown) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (-3.0, "-3"),
        (f32::NAN, "NaN"),
        (f32::INFINITY, "inf"),
        (f32::NEG_INFINITY, "-inf"),
    ] {
        let said = refused(&stored("a.weight", &[16], &[1], &[value]));
        assert!(said.contains(&format!("a.weight_global_scale holds {shown} at [0]")), "{said}");
        let said = refused(&stored_modelopt("a.weight", &[16], value));
        assert!(said.contains(&format!("a.weight_scale_2 holds {shown} at [0]")), "{said}");
    }
    let said = refused(&stored("e.up", &[2, 16], &[2], &[1.0, f32::NAN]));
    assert!(said.contains("e.up_global_scale holds NaN at [1]"), "{said}");
}

#[test]
fn odd_block_scales_are_refused_with_their_place() {
    for (byte, shown) in [
        (0x7F, "NaN (byte 0x7F)"),
        (0xFF, "NaN (byte 0xFF)"),
        (0x80, "-0 (byte 0x80)"),
        (0xB8, "-1 (byte 0xB8)"),
    ] {
        let mut tensors = stored("a.weight", &[16], &[1], &[500.0]);
        tensors[1].bytes[2 * 5 + 1] = byte;
        let said = refused(&tensors);
        assert!(
            said.contains(&format!("a.weight_scale holds {shown} for row 5, block 1")),
            "{said}"
        );
    }
}

#[test]
fn weights_that_the_output_type_cannot_hold_are_refused() {
    let folder = Folder::new();
    let input = folder.path("in.safetensors");
    let mut tensors = stored("a.weight", &[16], &[1], &[0.001]);
    tensors[0].bytes.fill(0);
    tensors[1].bytes.fill(0x38);
    tensors[0].bytes[COLS / 2 * 3 + 4] = 0x70;
    write_safetensors(&input, &tensors);
    succeed([&"dequantize", &input, &folder.path("bf16.safetensors")]);
    let (f16, fine) = (folder.path("f16.safetensors"), folder.path("fine.safetensors"));
    succeed([&"dequantize", &input, &f16, &"--dtype", &"f16"]);
    // 6 / 0.00005 = 120000 is beyond F16's 65504.
    tensors[2] = floats("a.weight_global_scale", &[1], &[0.000_05]);
    write_safetensors(&input, &tensors);
    let said = refuse([&"dequantize", &input, &f16, &"--dtype", &"f16", &"--force"]);
    assert!(said.contains("a.weight has a weight at [3, 9]") && said.contains("--dtype"), "{said}");
    succeed([&"dequantize", &input, &fine]);
    tensors[2] = floats("a.weight_global_scale", &[1], &[1e-39]);
    // 1 / 1e-39 is infinite in FP32 already, and zero times that is NaN.
    assert!(refused(&tensors).contains("a.weight has a weight at [0, 0]"));
}

#[test]
fn parts_of_other_types_and_shapes_are_named() {
    let with = |index: usize, part: Tensor| {
        let mut tensors = stored("a.weight", &[16], &[1], &[500.0]);
        tensors[index] = part;
        refused(&tensors)
    };
    for (dtype, width) in [("BF16", 2), ("F16", 2), ("F64", 8)] {
        let said = with(2, tensor("a.weight_global_scale", dtype, &[1], vec![1; width]));
        let expected = format!("a.weight_global_scale is {dtype} where NVFP4 has F32");
        assert!(said.contains(&expected), "{said}");
    }
    for shape in [&[2][..], &[16, 1], &[1, 16], &[0]] {
        let count = shape.iter().product();
        let said = with(2, floats("a.weight_global_scale", shape, &vec![1.0; count]));
        assert!(said.contains(&format!("a.weight_global_scale has shape {shape:?}")), "{said}");
    }
    let said = with(1, tensor("a.weight_scale", "F8_E4M3", &[16, 1], vec![0x38; 16]));
    assert!(said.contains("a.weight_scale has shape [16, 1] where [16, 2] is needed"), "{said}");
    let said = with(1, tensor("a.weight_scale", "F8_E4M3", &[128, 4], vec![0x38; 512]));
    assert!(said.contains("padded as tensor cores take them"), "{said}");
    let said = with(0, tensor("a.weight_packed", "U8", &[16, 9], vec![0; 144]));
    assert!(said.contains("a.weight_packed has shape [16, 9]"), "{said}");
    let said = with(0, tensor("a.weight_packed", "U8", &[256], vec![0; 256]));
    assert!(said.contains("a.weight_packed has shape [256]"), "{said}");
    // As ModelOpt stores the experts of Llama 4: packed along the other dimension.
    let said = refused(&[
        tensor("e.up", "U8", &[2, 8, 32], vec![0; 512]),
        tensor("e.up_scale", "F8_E4M3", &[2, 1, 32], vec![0x38; 64]),
        floats("e.up_scale_2", &[1], &[1.0]),
    ]);
    assert!(said.contains("e.up_scale") && said.contains("packed along their rows"), "{said}");
}

#[test]
fn missing_parts_are_named() {
    let without = |index: usize| {
        let mut tensors = stored("a.weight", &[16], &[1], &[500.0]);
        tensors.remove(index);
        tensors.extend(stored("b.weight", &[16], &[1], &[500.0]));
        refused(&tensors)
    };
    let said = without(0);
    assert!(said.contains("a.weight_") && said.contains("a scale without the codes"), "{said}");
    assert!(without(1).contains("a.weight_packed but not its a.weight_scale"));
    assert!(without(2).contains("a.weight_packed but not its a.weight_global_scale"));
    let mut tensors = stored_modelopt("a.weight", &[16], 0.5);
    tensors.truncate(2);
    assert!(refused(&tensors).contains("a.weight but not its a.weight_scale_2"));
    let mut tensors = stored("b.weight", &[16], &[1], &[500.0]);
    tensors.push(codes("a.weight", &[16]));
    assert!(refused(&tensors).contains("a.weight is codes without a scale"));
    tensors.pop();
    tensors.push(weights("b.weight", &[16, COLS]));
    assert!(refused(&tensors).contains("both b.weight and b.weight_packed"));
}

#[test]
fn other_methods_beside_nvfp4_are_named() {
    let fp8 = || tensor("a.o_proj.weight", "F8_E4M3", &[16, 16], vec![0x38; 256]);
    for others in [
        vec![fp8(), floats("a.o_proj.weight_scale", &[3], &[0.5; 3])],
        vec![fp8(), weights("a.o_proj.weight_scale", &[16, 2])],
        vec![fp8(), floats("a.o_proj.weight_scale_inv", &[2, 1], &[0.5; 2])],
        vec![fp8()],
        vec![weights("a.o_proj.pre_quant_scale", &[16])],
        vec![weights("a.o_proj.weight", &[16, 16]), floats("a.o_proj.weight_scale", &[], &[0.5])],
        vec![weights("a.o_proj.weight", &[16, 16]), floats("a.o_proj.input_scale", &[], &[0.5])],
    ] {
        for mut tensors in [
            stored("a.q_proj.weight", &[16], &[1], &[500.0]),
            stored_modelopt("a.q_proj.weight", &[16], 0.5),
        ] {
            tensors.extend(others.iter().cloned());
            assert!(refused(&tensors).contains("a.o_proj."));
        }
    }
}

#[test]
fn fp8_beside_nvfp4_becomes_floats_too() {
    // The code 0x38 is 1.
    let fp8 = || tensor("a.o_proj.weight", "F8_E4M3", &[16, 16], vec![0x38; 256]);
    let folder = Folder::new();
    let (input, output) = (folder.path("in.safetensors"), folder.path("out.safetensors"));
    let mut tensors = stored("a.q_proj.weight", &[16], &[1], &[500.0]);
    tensors.extend([fp8(), floats("a.o_proj.weight_scale", &[], &[0.5])]);
    write_safetensors(&input, &tensors);
    let said = succeed([&"dequantize", &input, &output]);
    assert!(said.contains("5 tensors: 5 dequantized to 2 of bf16"), "{said}");
    let made = Checkpoint::open(&output).unwrap();
    let (file, entry) = made.get("a.o_proj.weight").unwrap();
    assert_eq!(file.bytes(entry), half::bf16::from_f32(0.5).to_le_bytes().repeat(256));
    // And quantizing it says how to go on.
    let said = refuse([&"quantize", &input, &folder.path("again.safetensors")]);
    assert!(said.contains("`fouroversix dequantize`, which reads this one"), "{said}");
}

#[test]
fn scales_of_inputs_and_of_the_cache_are_left_out_and_counted() {
    for modelopt in [false, true] {
        let folder = Folder::new();
        let (input, output) = (folder.path("in.safetensors"), folder.path("out.safetensors"));
        let (mut tensors, input_scale) = if modelopt {
            (stored_modelopt("a.k_proj.weight", &[16], 0.5), "a.k_proj.input_scale")
        } else {
            (stored("a.k_proj.weight", &[16], &[1], &[5.0]), "a.k_proj.input_global_scale")
        };
        tensors.push(floats(input_scale, &[1], &[0.25]));
        tensors.push(floats("a.k_proj.k_scale", &[], &[0.25]));
        tensors.push(floats("a.v_scale", &[], &[0.25]));
        tensors.push(weights("norm.weight", &[16]));
        write_safetensors(&input, &tensors);
        let output_of = run([&"dequantize", &input, &output]);
        let said = String::from_utf8(output_of.stdout).unwrap();
        assert!(
            said.contains("3 dequantized to 1 of bf16, 1 kept, 0 copied, 3 scales left out"),
            "{said}"
        );
        let noted = String::from_utf8(output_of.stderr).unwrap();
        assert!(noted.contains("3 scales are left out"), "{noted}");
        let checkpoint = Checkpoint::open(&output).unwrap();
        let mut names: Vec<_> = checkpoint.tensors().map(|(_, e)| e.name.clone()).collect();
        names.sort();
        assert_eq!(names, ["a.k_proj.weight", "norm.weight"]);
    }
}

#[test]
fn the_configuration_says_what_the_weights_are() {
    let folder = Folder::new();
    let (input, output) = (folder.path("in"), folder.path("out"));
    let section = json!({"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"});
    let config = json!({
        "model_type": "x",
        "torch_dtype": "float32",
        "text_config": {"dtype": "float32", "quantization_config": section, "kept": 1},
        "vision_config": {"dtype": "float16", "compression_config": section},
    });
    write_folder(&input, &stored("a.weight", &[16], &[1], &[500.0]), &config);
    let modelopt = json!({"quantization": {"quant_algo": "NVFP4"}}).to_string();
    fs::write(input.join("hf_quant_config.json"), modelopt).unwrap();
    fs::write(input.join("tokenizer.json"), "{}").unwrap();
    succeed([&"dequantize", &input, &output]);
    let written: Value =
        serde_json::from_slice(&fs::read(output.join("config.json")).unwrap()).unwrap();
    assert_eq!(
        written,
        json!({
            "model_type": "x",
            "dtype": "bfloat16",
            "torch_dtype": "bfloat16",
            "text_config": {"dtype": "bfloat16", "kept": 1},
            "vision_config": {"dtype": "float16"},
        })
    );
    let names = common::names(&output);
    assert_eq!(names, ["config.json", "fouroversix.json", "model.safetensors", "tokenizer.json"]);

    let rotated = json!({"quantization_config": {
        "quant_method": "compressed-tensors",
        "transform_config": {"config_groups": {"R3": {"type": "hadamard"}}},
    }});
    fs::write(input.join("config.json"), rotated.to_string()).unwrap();
    let said = refuse([&"dequantize", &input, &folder.path("no")]);
    assert!(said.contains("transform_config") && said.contains("quantization_config"), "{said}");
}
