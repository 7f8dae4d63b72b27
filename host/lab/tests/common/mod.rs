//! What the tests of the program share: a folder with weights, and ways to run it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Copies of a file of weights, in a folder that is removed at the end of the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("fouroversix-lab-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let sample =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/minilm-layer0.safetensors");
        fs::copy(sample, path.join("x.safetensors")).unwrap();
        Self(path)
    }

    pub(crate) fn weights(&self) -> String {
        self.0.join("x.safetensors").display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fouroversix-lab"));
    command.args(arguments);
    command
}
