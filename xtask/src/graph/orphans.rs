//! Test files that nothing compiles: a crate's tests are the modules that its `tests/main.rs` names.

use std::path::Path;

use super::crates::Package;

/// Files beside a root of tests that it doesn't name.
pub(super) fn faults(package: &Package) -> Result<Vec<String>, String> {
    let mut faults = Vec::new();
    for root in &package.tests {
        let shown = root.display();
        let text = std::fs::read_to_string(root).map_err(|error| format!("{shown}: {error}"))?;
        let folder = root.parent().unwrap_or(Path::new(""));
        let entries =
            folder.read_dir().map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            if !package.tests.contains(&path) && is_module(&path) && !names(&text, &path) {
                faults.push(format!("{}: not named in {shown}, never compiled", path.display()));
            }
        }
    }
    faults.sort();
    Ok(faults)
}

fn is_module(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs") || path.join("mod.rs").exists()
}

fn names(root: &str, module: &Path) -> bool {
    let name = module.file_stem().unwrap_or_default().to_string_lossy();
    root.lines().any(|line| line == format!("mod {name};"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_must_be_named() {
        let root = "mod common;\n#[cfg(unix)]\nmod files;\n";
        assert!(names(root, Path::new("tests/common")) && names(root, Path::new("tests/files.rs")));
        assert!(!names(root, Path::new("tests/forgotten.rs")));
    }

    #[test]
    fn tests_of_this_crate_are_named() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/main.rs");
        let package = |tests| Package {
            name: "xtask".to_owned(),
            published: false,
            needs: Vec::new(),
            roots: Vec::new(),
            tests,
        };
        assert_eq!(faults(&package(vec![root.clone()])), Ok(Vec::new()));
        // Another file of the folder names none of the rest.
        let found = faults(&package(vec![root.with_file_name("archive.rs")])).unwrap();
        assert!(found.iter().any(|fault| fault.contains("nvvm.rs: not named in")), "{found:?}");
    }
}
