//! `--activations`: inputs of modules that are quantized too (W4A4), in both formats.

use std::fs;
use std::path::{Path, PathBuf};

use fouroversix::checkpoint::{Checkpoint, Format};
use serde_json::{Map, Value, json};

use crate::common::{
    Folder, contents, program, refuse, succeed, weights, write_model, write_safetensors,
};

const LEAVES: [(&str, f32); 6] = [
    ("self_attn.q_proj", 3.0),
    ("self_attn.k_proj", 10.5),
    ("self_attn.v_proj", 7.25),
    ("mlp.gate_proj", 0.3),
    ("mlp.up_proj", 0.2),
    ("mlp.down_proj", 123.456),
];

/// Amaxes of all modules of `layers` layers, times the layer's number from 1.
fn amaxes(layers: usize) -> Map<String, Value> {
    let modules = (0..layers).flat_map(|layer| LEAVES.map(|it| (layer, it)));
    modules
        .map(|(layer, (leaf, amax))| {
            let amax = amax * (layer + 1) as f32;
            (format!("model.layers.{layer}.{leaf}"), f64::from(amax).into())
        })
        .collect()
}

fn write(folder: &Folder, amaxes: &Map<String, Value>) -> PathBuf {
    let path = folder.path("amax.json");
    fs::write(&path, Value::Object(amaxes.clone()).to_string()).unwrap();
    path
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn inputs_have_scales_and_fused_parts_the_largest() {
    let folder = Folder::new();
    let (model, plain) = (folder.path("model"), folder.path("plain"));
    write_model(&model, 2, 64);
    let file = write(&folder, &amaxes(2));
    for format in Format::ALL {
        let output = folder.path(format.name());
        let name = format.name();
        succeed([&"quantize", &model, &output, &"--format", &name, &"--activations", &file]);
        succeed([&"quantize", &model, &plain, &"--format", &name, &"--force"]);
        let (made, without) =
            (Checkpoint::open(&output).unwrap(), Checkpoint::open(&plain).unwrap());
        // By hand: q/k/v share 10.5, gate/up 0.3.
        for (leaf, _) in LEAVES {
            let amax: f32 = match leaf {
                "mlp.down_proj" => 123.456,
                _ if leaf.starts_with("mlp") => 0.3,
                _ => 10.5,
            };
            let amax = amax * 2.0;
            let (end, scale, shape) = match format {
                Format::CompressedTensors => ("input_global_scale", 2688.0 / amax, &[1_usize][..]),
                Format::ModelOpt => ("input_scale", amax / 2688.0, &[][..]),
            };
            let (file, entry) = made.get(&format!("model.layers.1.{leaf}.{end}")).unwrap();
            assert_eq!((entry.dtype.name(), entry.shape.as_slice()), ("F32", shape), "{leaf}");
            assert_eq!(file.bytes(entry), scale.to_le_bytes(), "{leaf}");
        }
        // All else is what it is without them.
        assert_eq!(made.tensors().count(), without.tensors().count() + 12);
        for (file, entry) in without.tensors() {
            let (other, twin) = made.get(&entry.name).unwrap();
            assert!(file.bytes(entry) == other.bytes(twin), "{}", entry.name);
        }
        // Their way back leaves them out.
        let back = folder.path(&format!("{name}-back"));
        let said = succeed([&"dequantize", &output, &back]);
        assert!(said.contains("12 scales left out"), "{said}");
    }
}

#[test]
fn configurations_say_what_inputs_become() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 64);
    let file = write(&folder, &amaxes(1));
    succeed([&"quantize", &model, &output, &"--activations", &file]);
    let section = &read_json(&output.join("config.json"))["quantization_config"];
    let group = &section["config_groups"]["group_0"];
    let inputs = &group["input_activations"];
    assert_eq!(section["format"], "nvfp4-pack-quantized");
    for (key, value) in [
        ("num_bits", json!(4)),
        ("type", json!("float")),
        ("strategy", json!("tensor_group")),
        ("group_size", json!(16)),
        ("symmetric", json!(true)),
        ("dynamic", json!("local")),
    ] {
        assert_eq!(inputs[key], value, "{key}");
    }
    assert_eq!(group["weights"]["dynamic"], false);
    let modelopt = folder.path("modelopt");
    let format: [&dyn AsRef<Path>; 2] = [&"--format", &"modelopt"];
    let [a, b] = format;
    succeed([&"quantize", &model, &modelopt, a, b, &"--activations", &file]);
    let own = &read_json(&modelopt.join("hf_quant_config.json"))["quantization"];
    let mirrored = &read_json(&modelopt.join("config.json"))["quantization_config"];
    assert_eq!((&own["quant_algo"], &mirrored["quant_algo"]), (&json!("NVFP4"), &json!("NVFP4")));
    let inputs = &mirrored["config_groups"]["group_0"]["input_activations"];
    assert_eq!(inputs["num_bits"], 4);
    assert_eq!(inputs["group_size"], 16);
    // Beside FP8, whose inputs have no scale in the file.
    let mixed = folder.path("mixed");
    succeed([&"quantize", &model, &mixed, a, b, &"--activations", &file, &"--fp8", &"*self_attn*"]);
    let own = &read_json(&mixed.join("hf_quant_config.json"))["quantization"];
    let layers = &own["quantized_layers"];
    assert_eq!(layers["model.layers.0.mlp.up_proj"]["quant_algo"], "NVFP4");
    let made = Checkpoint::open(&mixed).unwrap();
    assert!(made.get("model.layers.0.mlp.up_proj.input_scale").is_some());
    assert!(made.get("model.layers.0.self_attn.q_proj.input_scale").is_none());
}

#[test]
fn files_that_do_not_fit_the_model_are_refused_with_names() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 64);
    let with = |change: &dyn Fn(&mut Map<String, Value>)| {
        let mut amaxes = amaxes(1);
        change(&mut amaxes);
        let file = write(&folder, &amaxes);
        let dry = refuse([&"quantize", &model, &output, &"--activations", &file, &"--dry-run"]);
        let said = refuse([&"quantize", &model, &output, &"--activations", &file]);
        assert_eq!(said, dry);
        said
    };
    let down = "model.layers.0.mlp.down_proj";
    let said = with(&|amaxes| _ = amaxes.remove(down));
    assert!(said.contains("no activations are given of") && said.contains(down), "{said}");
    let said = with(&|amaxes| {
        for number in 0..5 {
            amaxes.insert(format!("model.layers.{number}.mlp.other"), json!(1.0));
        }
    });
    assert!(said.contains("model.layers.2.mlp.other and 2 more, which the model"), "{said}");
    for (value, told) in [
        (json!(0), "is 0, and an input's amax is positive"),
        (json!(-2.5), "is -2.5, and"),
        (json!(1e-36), "below 1e-35"),
        (json!(1e300), "is inf, and"),
        (json!("3.5"), "is \"3.5\", which is no number"),
        (json!(null), "is null, which is no number"),
        (json!([1.0]), "which is no number"),
    ] {
        let said = with(&|amaxes| _ = amaxes.insert(down.to_owned(), value.clone()));
        assert!(said.contains(down) && said.contains(told), "{value}: {said}");
    }
    for (text, told) in [
        (format!("{{\"{down}\": NaN}}"), "is NaN, and"),
        (format!("{{\"{down}\": -Infinity}}"), "is -inf, and"),
        ("{}".to_owned(), "it names no module"),
        ("[]".to_owned(), "not a JSON object"),
    ] {
        let file = folder.path("odd.json");
        fs::write(&file, &text).unwrap();
        let said = refuse([&"quantize", &model, &output, &"--activations", &file]);
        assert!(said.contains(told), "{text}: {said}");
    }
    let missing = folder.path("missing.json");
    let said = refuse([&"quantize", &model, &output, &"--activations", &missing]);
    assert!(said.contains("missing.json"), "{said}");
    let file = write(&folder, &amaxes(1));
    let single = folder.path("one.safetensors");
    write_safetensors(&single, &[weights("a.weight", &[16, 16])]);
    let out = folder.path("two.safetensors");
    let said = refuse([&"quantize", &single, &out, &"--activations", &file]);
    assert!(said.contains("pass a model directory"), "{said}");
    assert!(!output.exists());
}

#[test]
fn numbers_as_python_writes_them_are_read() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 64);
    let text = Value::Object(amaxes(1)).to_string();
    let down = "\"model.layers.0.mlp.down_proj\":";
    let (start, rest) = text.split_once(down).unwrap();
    let end = rest.find([',', '}']).unwrap();
    let file = folder.path("python.json");
    fs::write(&file, format!("{start}{down} 1e-06{}", &rest[end..])).unwrap();
    succeed([&"quantize", &model, &output, &"--activations", &file]);
    let made = Checkpoint::open(&output).unwrap();
    let (file, entry) = made.get("model.layers.0.mlp.down_proj.input_global_scale").unwrap();
    assert_eq!(file.bytes(entry), (2688.0_f32 / 1e-6).to_le_bytes());
}

#[cfg(target_os = "linux")]
#[test]
fn an_unfinished_output_goes_on_with_the_same_activations_alone() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 2, 64);
    let recipe = folder.path("recipe.toml");
    fs::write(&recipe, "activations = \"amax.json\"\n").unwrap();
    let part = |number: &str| {
        let mut command = program(&[Path::new("quantize"), &model, &output]);
        let output = command.args(["--part", number, "--recipe"]).arg(&recipe).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    write(&folder, &amaxes(2));
    assert_eq!(part("1/2").0, Some(0));
    let mut others = amaxes(2);
    others.insert("model.layers.1.mlp.down_proj".to_owned(), json!(1.0));
    write(&folder, &others);
    let (status, said) = part("2/2");
    assert!(status == Some(2) && said.contains("activations"), "{said}");
    let file = write(&folder, &amaxes(2));
    assert_eq!(part("2/2").0, Some(0));
    let whole = folder.path("whole");
    succeed([&"quantize", &model, &whole, &"--activations", &file]);
    let mut files = [&output, &whole].map(|output| contents(output));
    files.iter_mut().for_each(|files| _ = files.remove(Path::new("fouroversix.json")));
    assert!(files[0] == files[1]);
}
