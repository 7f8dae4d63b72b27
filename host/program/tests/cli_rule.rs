//! The rule: which one is taken where none is named, and that each reaches the library.

use std::fs;
use std::path::Path;

use fouroversix::{E4m3Max, ErrorPath, Metric, Rule, Scaling};

use crate::cli_quantize::assert_stored;
use crate::common;
use crate::common::{Folder, succeed, weights, write_model, write_safetensors};

#[test]
fn every_rule_and_scaling_reaches_the_library() {
    let folder = Folder::new();
    let input = folder.path("in.safetensors");
    write_safetensors(&input, &[weights("a.weight", &[64, 96])]);
    let mae =
        |error_path, e4m3_max| Rule::FourOverSix { metric: Metric::Mae, error_path, e4m3_max };
    let search = |metric| Rule::Search { metric, e4m3_max: E4m3Max::M448 };
    let cases: [(&[&str], Rule, Scaling); 10] = [
        (&[], Rule::SEARCH_MSE, Scaling::Tensor),
        (&["--e4m3-max", "448"], search(Metric::Mse), Scaling::Tensor),
        (&["--scaling", "tile"], Rule::SEARCH_MSE, Scaling::Tile),
        // Search has no error path: who asks for one asks for Four Over Six.
        (&["--error-path", "fast"], Rule::MSE_FAST, Scaling::Tensor),
        (&["--rule", "plain"], Rule::Plain, Scaling::Tensor),
        (
            &["--rule", "mae", "--error-path", "fast", "--e4m3-max", "448"],
            mae(ErrorPath::Fast, E4m3Max::M448),
            Scaling::Tensor,
        ),
        (&["--scaling", "row"], Rule::SEARCH_MSE, Scaling::Row),
        (&["--rule", "mse"], Rule::MSE, Scaling::Tensor),
        (
            &["--rule", "search-mae", "--e4m3-max", "448", "--scaling", "tile"],
            search(Metric::Mae),
            Scaling::Tile,
        ),
        (
            &["--rule", "mae", "--scaling", "tile"],
            mae(ErrorPath::Strict, E4m3Max::M256),
            Scaling::Tile,
        ),
    ];
    for (i, (options, rule, scaling)) in cases.into_iter().enumerate() {
        let output = folder.path(&format!("out{i}.safetensors"));
        let mut arguments = vec![Path::new("quantize"), &input, &output];
        arguments.extend(options.iter().map(Path::new));
        assert!(common::program(&arguments).output().unwrap().status.success(), "{options:?}");
        assert_stored(&output, &input, "a.weight", rule, scaling);
        succeed([&"inspect", &output]);
        succeed([&"dequantize", &output, &folder.path(&format!("back{i}.safetensors"))]);
    }
}

/// The record beside a directory's weights.
fn recorded(output: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(output.join("fouroversix.json")).unwrap()).unwrap()
}

#[test]
fn a_model_directory_takes_scale_search_where_no_rule_is_named() {
    let folder = Folder::new();
    let (model, recipe) = (folder.path("model"), folder.path("recipe.toml"));
    write_model(&model, 2, 64);
    fs::write(&recipe, "fuse = \"none\"\n").unwrap();
    let by_name = folder.path("by-name");
    succeed([&"quantize", &model, &by_name, &"--fuse", &"none", &"--rule", &"search-mse"]);
    let cases: [(&str, [&dyn AsRef<Path>; 2]); 2] =
        [("option", [&"--fuse", &"none"]), ("recipe", [&"--recipe", &recipe])];
    for (name, [option, value]) in cases {
        let output = folder.path(name);
        let said = succeed([&"quantize", &model, &output, option, value]);
        assert!(said.contains("12 quantized (search mse 256, tensor scaling)"), "{said}");
        // Of 13 scales none is map4: a dash, in every line.
        let figures: Vec<&str> = said.lines().filter(|line| line.contains(" -  ")).collect();
        assert!(figures.len() == 13 && !said.contains("0.0%  "), "{said}");
        let told = recorded(&output);
        assert_eq!(told["options"]["rule"], "search mse 256");
        let tensors = told["tensors"].as_array().unwrap();
        assert_eq!(tensors.len(), 12);
        for tensor in tensors {
            let name = tensor["name"].as_str().unwrap();
            assert_stored(&output, &model, name, Rule::SEARCH_MSE, Scaling::Tensor);
            assert_eq!(tensor["chosen"]["map4"], 0, "{name}");
        }
        let said = succeed([&"compare", &by_name, &output, &"--exact"]);
        assert!(said.contains(", 0 not"), "{said}");
    }
    let output = folder.path("preset");
    succeed([&"quantize", &model, &output, &"--like", &"all-linear", &"--fuse", &"none"]);
    succeed([&"compare", &by_name, &output, &"--exact"]);
    assert_eq!(recorded(&output)["options"]["rule"], "search mse 256");
    succeed([&"report", &output]);
    let page = fs::read_to_string(output.join("fouroversix-report.html")).unwrap();
    assert!(page.contains("search mse 256") && !page.contains("Share of map4"), "{page}");
    let table = fs::read_to_string(output.join("fouroversix-report.csv")).unwrap();
    for line in table.lines().skip(1) {
        assert_eq!(line.split(',').nth(9), Some(""), "no share of map4: {line}");
    }
    // What search can't do is Four Over Six, and where both are asked for an error.
    let output = folder.path("strict");
    let said = succeed([&"quantize", &model, &output, &"--error-path", &"strict"]);
    assert!(said.contains("(mse strict 256, tensor scaling)"), "{said}");
    assert_eq!(recorded(&output)["options"]["rule"], "mse strict 256");
    let command = common::program(&[Path::new("quantize"), &model, &folder.path("neither")])
        .args(["--rule", "search-mse", "--error-path", "strict"])
        .output()
        .unwrap();
    let said = String::from_utf8(command.stderr).unwrap();
    assert!(
        command.status.code() == Some(2) && said.contains("--error-path does not go"),
        "{said}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn parts_take_scale_search_and_do_not_go_on_with_another_rule() {
    let folder = Folder::new();
    let (model, output, whole) = (folder.path("model"), folder.path("out"), folder.path("whole"));
    write_model(&model, 2, 64);
    succeed([&"quantize", &model, &whole]);
    succeed([&"quantize", &model, &output, &"--part", &"1/2"]);
    let command = common::program(&[Path::new("quantize"), &model, &output])
        .args(["--part", "2/2", "--rule", "mse"])
        .output()
        .unwrap();
    let said = String::from_utf8(command.stderr).unwrap();
    assert!(command.status.code() == Some(2) && said.contains("rule"), "{said}");
    succeed([&"quantize", &model, &output, &"--part", &"2/2"]);
    assert!(common::contents(&output) == common::contents(&whole), "parts are not the whole");
}
