//! The crates of the workspace, and which may depend on which.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A crate of ours.
pub(super) struct Package {
    pub(super) name: String,
    pub(super) published: bool,
    /// Dependencies on crates of ours.
    pub(super) needs: Vec<Need>,
    /// Root files of its library and programs.
    pub(super) roots: Vec<PathBuf>,
    /// Root files of its tests.
    pub(super) tests: Vec<PathBuf>,
}

/// A dependency.
pub(super) struct Need {
    pub(super) name: String,
    /// For tests and examples only.
    pub(super) dev: bool,
}

/// Published crates and what each may need: lower ones know nothing of upper ones. Crates that are
/// never published stand above all of them.
const LAYERS: [(&str, &[&str]); 7] = [
    ("fouroversix-core", &[]),
    ("fouroversix-cpu", &["fouroversix-core"]),
    ("fouroversix-ptx", &["fouroversix-core"]),
    // The quantizer for files is implemented for a device where the feature asks for it.
    ("fouroversix-cuda", &["fouroversix-core", "fouroversix-ptx", "fouroversix-checkpoint"]),
    // Files are quantized through a trait, which the CPU path implements there.
    ("fouroversix-checkpoint", &["fouroversix-core", "fouroversix-cpu"]),
    (
        "fouroversix",
        &[
            "fouroversix-core",
            "fouroversix-cpu",
            "fouroversix-ptx",
            "fouroversix-cuda",
            "fouroversix-checkpoint",
        ],
    ),
    ("fouroversix-cli", &["fouroversix"]),
];

/// What `cargo metadata` says about the workspace.
pub(super) fn packages(root: &Path) -> Result<Vec<Package>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    parse(&String::from_utf8_lossy(&output.stdout))
}

fn parse(metadata: &str) -> Result<Vec<Package>, String> {
    let metadata: Value =
        serde_json::from_str(metadata).map_err(|error| format!("cargo metadata: {error}"))?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = list(&metadata["packages"]);
    if packages.is_empty() {
        return Err("cargo metadata names no package".to_owned());
    }
    let names: Vec<String> = packages.iter().map(|package| text(&package["name"])).collect();
    let files = |package: &Value, kinds: &[&str]| -> Vec<PathBuf> {
        list(&package["targets"])
            .iter()
            .filter(|target| {
                list(&target["kind"]).iter().any(|kind| kinds.contains(&text(kind).as_str()))
            })
            .map(|target| PathBuf::from(text(&target["src_path"])))
            .collect()
    };
    Ok(packages
        .iter()
        .map(|package| Package {
            name: text(&package["name"]),
            // Null: anywhere. A list: only there, so an empty one is nowhere.
            published: package["publish"].as_array().is_none_or(|to| !to.is_empty()),
            needs: list(&package["dependencies"])
                .iter()
                .map(|need| Need { name: text(&need["name"]), dev: need["kind"] == "dev" })
                .filter(|need| names.contains(&need.name))
                .collect(),
            roots: files(package, &["lib", "rlib", "bin"]),
            tests: files(package, &["test"]),
        })
        .collect())
}

/// Dependencies that no layer allows.
pub(super) fn faults(packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages.iter().filter(|package| package.published) {
        let name = &package.name;
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| layer == name) else {
            faults.push(format!(
                "{name} is published and has no layer: give it one, or publish = false"
            ));
            continue;
        };
        for need in &package.needs {
            if need.dev {
                continue;
            }
            let published = packages.iter().any(|other| other.name == need.name && other.published);
            if !published {
                faults.push(format!("{name} is published and needs {}, which is not", need.name));
            } else if !allowed.contains(&need.name.as_str()) {
                faults.push(format!("{name} needs {}, which is not below it", need.name));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, published: bool, needs: &[(&str, bool)]) -> Package {
        let need = |(name, dev): &(&str, bool)| Need { name: (*name).to_owned(), dev: *dev };
        let needs = needs.iter().map(need).collect();
        Package { name: name.to_owned(), published, needs, roots: Vec::new(), tests: Vec::new() }
    }

    #[test]
    fn an_arrow_up_is_a_fault() {
        let packages = [
            package("fouroversix-core", true, &[("fouroversix-cpu", false)]),
            package("fouroversix-cpu", true, &[("fouroversix-core", false)]),
        ];
        assert_eq!(
            faults(&packages),
            ["fouroversix-core needs fouroversix-cpu, which is not below it"]
        );
    }

    #[test]
    fn what_is_published_needs_nothing_unpublished_but_for_tests() {
        let packages = [
            package("fouroversix-core", true, &[("oracle", true)]),
            package("fouroversix-cpu", true, &[("oracle", false)]),
            package("oracle", false, &[("fouroversix-core", false)]),
        ];
        assert_eq!(
            faults(&packages),
            ["fouroversix-cpu is published and needs oracle, which is not"]
        );
    }

    #[test]
    fn a_new_published_crate_needs_a_layer() {
        let faults = faults(&[package("fouroversix-new", true, &[])]);
        assert!(faults[0].contains("fouroversix-new is published and has no layer"), "{faults:?}");
    }

    #[test]
    fn metadata_is_read() {
        let packages = parse(
            r#"{"packages": [
                {"name": "a", "publish": null, "dependencies": [{"name": "b", "kind": "dev"},
                 {"name": "elsewhere", "kind": null}],
                 "targets": [{"kind": ["lib"], "src_path": "/a/src/lib.rs"},
                 {"kind": ["test"], "src_path": "/a/tests/t.rs"}]},
                {"name": "b", "publish": [], "dependencies": [], "targets": []}]}"#,
        )
        .unwrap();
        assert!(packages[0].published && !packages[1].published);
        assert!(packages[0].needs.len() == 1 && packages[0].needs[0].dev);
        assert_eq!(packages[0].roots, [PathBuf::from("/a/src/lib.rs")]);
        assert_eq!(packages[0].tests, [PathBuf::from("/a/tests/t.rs")]);
        assert!(parse(r#"{"packages": []}"#).is_err());
    }
}
