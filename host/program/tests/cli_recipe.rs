//! `--recipe` and `--like`: what a recipe says, what the command line says beside it, and what both
//! leave in the output.

use std::fs;
use std::path::{Path, PathBuf};

use fouroversix::checkpoint::Checkpoint;
use serde_json::Value;

use crate::common::{
    Folder, contents, program, refuse, run, succeed, weights, write_model, write_safetensors,
};

fn write_recipe(folder: &Folder, text: &str) -> PathBuf {
    let path = folder.path("recipe.toml");
    fs::write(&path, text).unwrap();
    path
}

fn summary(output: &Path) -> Value {
    serde_json::from_slice(&fs::read(output.join("fouroversix.json")).unwrap()).unwrap()
}

/// Everything but the record of the recipe.
#[track_caller]
fn assert_same_output(a: &Path, b: &Path) {
    let mut files = [a, b].map(contents);
    files.iter_mut().for_each(|files| _ = files.remove(Path::new("fouroversix.json")));
    assert!(files[0] == files[1], "{} and {} differ", a.display(), b.display());
    let mut told = [a, b].map(summary);
    told.iter_mut().for_each(|told| _ = told.as_object_mut().unwrap().remove("recipe"));
    assert_eq!(told[0], told[1]);
}

#[test]
fn a_recipe_says_all_that_options_say() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 2, 64);
    let text = "# a comment stays\nformat = \"modelopt\"\nrule = \"mae\"\nerror-path = \"fast\"\n\
                e4m3-max = 448\nscaling = \"tile\"\nfuse = \"linear\"\nnon-finite = \"saturate\"\n\
                fp8 = [\"*self_attn*\"]\nkeep = [\"*.0.mlp.*\"]\n";
    let recipe = write_recipe(&folder, text);
    succeed([&"quantize", &model, &output, &"--recipe", &recipe]);
    let by_options = folder.path("options");
    let options = [
        "--format",
        "modelopt",
        "--rule",
        "mae",
        "--error-path",
        "fast",
        "--e4m3-max",
        "448",
        "--scaling",
        "tile",
        "--fuse",
        "linear",
        "--non-finite",
        "saturate",
        "--fp8",
        "*self_attn*",
        "--keep",
        "*.0.mlp.*",
        "--quiet",
    ];
    let mut command = program(&[Path::new("quantize"), &model, &by_options]);
    assert!(command.args(options).status().unwrap().success());
    assert_same_output(&output, &by_options);
    let told = summary(&output);
    assert_eq!(told["recipe"]["name"], "recipe.toml");
    assert_eq!(told["recipe"]["text"], text);
    assert_eq!(told["options"]["fp8"], "*self_attn*");
    assert_eq!(summary(&by_options).get("recipe"), None);
}

#[test]
fn the_command_line_overrides_a_recipe_or_conflicts() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 64);
    let text = "rule = \"mae\"\ne4m3-max = 448\nformat = \"modelopt\"\nfp8 = [\"*self_attn*\"]\n";
    let recipe = write_recipe(&folder, text);
    let format: [&dyn AsRef<Path>; 2] = [&"--format", &"compressed-tensors"];
    let [a, b] = format;
    // A rule of the command line brings its own bound along.
    succeed([&"quantize", &model, &output, &"--recipe", &recipe, a, b, &"--rule", &"plain"]);
    let told = summary(&output);
    assert_eq!(
        (&told["options"]["rule"], &told["format"]),
        (&"plain".into(), &"compressed-tensors".into())
    );
    let said = refuse([&"quantize", &model, &output, &"--recipe", &recipe, &"--fp8", &"*mlp*"]);
    assert!(said.contains("--fp8 does not go with a recipe that has fp8"), "{said}");
    let recipe = write_recipe(&folder, "nvfp4 = [\"*mlp*\"]\nkeep = [\"*down*\"]\n");
    for (option, key) in [("--include", "nvfp4"), ("--exclude", "keep"), ("--keep", "keep")] {
        let said = refuse([&"quantize", &model, &output, &"--recipe", &recipe, &option, &"*mlp*"]);
        assert!(said.contains(&format!("a recipe that has {key}: leave one")), "{said}");
    }
    let both = run([&"quantize", &model, &output, &"--recipe", &recipe, &"--like", &"experts"]);
    let said = String::from_utf8(both.stderr).unwrap();
    assert!(
        both.status.code() == Some(2) && said.contains("cannot be used with '--like"),
        "{said}"
    );
}

#[test]
fn recipes_are_refused_with_the_line_and_the_known_keys() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 64);
    for (text, parts) in [
        (
            "rule = \"mse\"\nrules = 3\n",
            &["line 2", "rules", "error-path", "non-finite", "fp8"][..],
        ),
        ("rule = \"best\"\n", &["\"best\"", "plain, mae, mse, search-mse", "modelopt-4o6"]),
        ("scaling = \"rows\"\n", &["line 1", "rows", "tensor"]),
        ("e4m3-max = 300\n", &["e4m3-max", "300", "256"]),
        ("fp8 = \"*attn*\"\n", &["line 1", "sequence"]),
        ("fp8 = []\n", &["fp8 has no pattern"]),
        ("fp8 = [\n", &["recipe.toml, line"]),
        ("nvfp4 = [\"*mpl*\"]\n", &["*mpl*", "matches no tensor"]),
        ("nvfp4 = [\"lm_head.weight\"]\n", &["lm_head.weight", "becomes NVFP4"]),
        ("rule = \"plain\"\ne4m3-max = 256\n", &["--e4m3-max 256 does not go with"]),
    ] {
        let recipe = write_recipe(&folder, text);
        let said = refuse([&"quantize", &model, &output, &"--recipe", &recipe]);
        assert!(parts.iter().all(|part| said.contains(part)), "{text:?}: {said}");
    }
    let missing = folder.path("missing.toml");
    let said = refuse([&"quantize", &model, &output, &"--recipe", &missing]);
    assert!(said.contains("missing.toml"), "{said}");
    assert!(!output.exists());
}

#[test]
fn linear_weights_alone_become_nvfp4_by_a_recipe() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 64);
    let recipe = write_recipe(&folder, "nvfp4 = [\"*\"]\n");
    succeed([&"quantize", &model, &output, &"--recipe", &recipe]);
    let usual = folder.path("usual");
    succeed([&"quantize", &model, &usual]);
    let tensors = |output: &Path| summary(output)["tensors"].clone();
    assert_eq!(tensors(&output), tensors(&usual));
    succeed([&"quantize", &model, &folder.path("like"), &"--like", &"all-linear"]);
    let mut files = [usual, folder.path("like")].map(|output| contents(&output));
    files.iter_mut().for_each(|files| _ = files.remove(Path::new("fouroversix.json")));
    assert!(files[0] == files[1], "--like all-linear is not the default");
}

/// A mixture: attention, a dense layer, a router, two experts and a shared one.
fn write_mixture(model: &Path) {
    fs::create_dir(model).unwrap();
    fs::write(model.join("config.json"), "{\"model_type\": \"qwen2_moe\"}").unwrap();
    let mut names: Vec<String> = ["q_proj", "k_proj", "v_proj", "o_proj"]
        .map(|leaf| format!("model.layers.0.self_attn.{leaf}.weight"))
        .into();
    names.push("model.layers.0.mlp.gate.weight".to_owned());
    for parent in ["experts.0", "experts.1", "shared_expert"] {
        for leaf in ["gate_proj", "up_proj", "down_proj"] {
            names.push(format!("model.layers.0.mlp.{parent}.{leaf}.weight"));
        }
    }
    names.push("lm_head.weight".to_owned());
    let tensors: Vec<_> = names.iter().map(|name| weights(name, &[32, 32])).collect();
    write_safetensors(&model.join("model.safetensors"), &tensors);
}

#[test]
fn presets_take_experts_and_attention() {
    let folder = Folder::new();
    let model = folder.path("model");
    write_mixture(&model);
    for (preset, attention) in [("experts", "keep"), ("experts-fp8-attention", "fp8")] {
        let out = folder.path(preset);
        let said = succeed([&"quantize", &model, &out, &"--like", &preset, &"--dry-run"]);
        for (end, verb) in [
            ("self_attn.o_proj.weight", attention),
            ("mlp.experts.1.up_proj.weight", "quantize"),
            ("mlp.shared_expert.up_proj.weight", "keep"),
            ("mlp.gate.weight", "keep"),
            ("lm_head.weight", "keep"),
        ] {
            let line = said.lines().find(|line| line.contains(end)).unwrap();
            assert!(line.starts_with(verb), "{preset}: {line}");
        }
        succeed([&"quantize", &model, &out, &"--like", &preset]);
        assert_eq!(summary(&out)["recipe"]["name"], preset);
    }
    let dense = folder.path("dense");
    write_model(&dense, 1, 64);
    let said = refuse([&"quantize", &dense, &folder.path("out"), &"--like", &"experts"]);
    assert!(said.contains("*.experts.*"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_changed_recipe_does_not_go_on_with_what_another_began() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 2, 64);
    let recipe = write_recipe(&folder, "fp8 = [\"*self_attn*\"]\n");
    let with = |part: &str| {
        let mut command = program(&[Path::new("quantize"), &model, &output]);
        command.args(["--part", part, "--recipe"]).arg(&recipe);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(with("1/2").0, Some(0));
    // Another text of the same meaning is no other recipe.
    fs::write(&recipe, "# attention\nfp8 = [\"*self_attn*\"]\nrule = \"plain\"\n").unwrap();
    let (status, said) = with("2/2");
    assert!(status == Some(2) && said.contains("rule"), "{said}");
    fs::write(&recipe, "fp8 = [\"*mlp*\"]\n").unwrap();
    let (status, said) = with("2/2");
    assert!(status == Some(2) && said.contains("fp8"), "{said}");
    fs::write(&recipe, "# attention\nfp8 = [\"*self_attn*\"]\n").unwrap();
    assert_eq!(with("2/2").0, Some(0));
    assert!(output.exists());
}

#[test]
fn the_rule_of_modelopt_is_one_of_recipes() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 64);
    succeed([&"quantize", &model, &output, &"--like", &"modelopt-4o6"]);
    let told = summary(&output);
    assert_eq!(told["options"]["rule"], "modelopt 4o6");
    assert_eq!(told["format"], "modelopt");
    // The same global scales as 4over6 with A = 256, and codes of its own.
    let ours = folder.path("ours");
    let rule: [&dyn AsRef<Path>; 2] = [&"--rule", &"mse"];
    let [option, mse] = rule;
    succeed([&"quantize", &model, &ours, &"--format", &"modelopt", option, mse]);
    let [a, b] = [&output, &ours].map(|path| Checkpoint::open(path).unwrap());
    let mut differ = 0;
    for (file, entry) in a.tensors() {
        let (other, twin) = b.get(&entry.name).unwrap();
        let same = file.bytes(entry) == other.bytes(twin);
        assert!(same || !entry.name.ends_with("_scale_2"), "{}", entry.name);
        differ += usize::from(!same);
    }
    assert!(differ > 0, "ModelOpt's order of operations shows");
    let preset: [&dyn AsRef<Path>; 2] = [&"--like", &"modelopt-4o6"];
    let [like, it] = preset;
    for (option, value) in [
        ("--error-path", "fast"),
        ("--e4m3-max", "448"),
        ("--scaling", "tile"),
        ("--non-finite", "saturate"),
    ] {
        let out = folder.path("refused");
        let said = refuse([&"quantize", &model, &out, like, it, &option, &value]);
        assert!(said.contains("Model-Optimizer's 4/6 has one rule"), "{option}: {said}");
    }
    let said = refuse([&"quantize", &model, &output, like, it, &"--device", &"cuda"]);
    assert!(said.contains("on the CPU alone"), "{said}");
    // Another rule on the command line is that rule.
    let mae = folder.path("mae");
    succeed([&"quantize", &model, &mae, like, it, &"--rule", &"mae"]);
    assert_eq!(summary(&mae)["options"]["rule"], "mae strict 256");
}
