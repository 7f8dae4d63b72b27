//! `cargo xtask ptx --codegen nvvm`: the same kernels, compiled by rust-cuda's `rustc_codegen_nvvm`.
//!
//! The flags are those of rust-cuda's `cuda_builder`, without its libm override (the kernels call
//! none) and with `-fma=0`: the back end contracts `a * b + c` by default and the numeric contract
//! forbids it. Nothing here runs without that back end: `docs/rust-cuda.md` says how to get it.
//!
//! With `--check` the built-in back end compiles what `--cfg nvvm` selects, with a stand-in for
//! `cuda_std`. That shows that the path type-checks, and its PTX can be executed; it says nothing about
//! `rustc_codegen_nvvm`.

use std::path::{Path, PathBuf};
use std::process::Command;

use fouroversix_core::InstructionSet;

use crate::files::{self, Files};
use crate::modules::modules;
use crate::workspace::not_checked;
use crate::{compile, rust_src};

/// What rust-cuda registers for its attributes, and `cuda_std` leaves to the flags.
const CRATE_ATTRIBUTES: [&str; 3] = [
    "-Zcrate-attr=feature(register_tool)",
    "-Zcrate-attr=register_tool(nvvm_internal)",
    "-Zcrate-attr=no_std",
];

/// Why `--isa` can't be left out.
pub(crate) const ISA_NEEDED: &str = "--codegen nvvm needs --isa: one back end does not serve all instruction sets. Built with LLVM 7 \
     it compiles sm_80 and sm_89, with LLVM 19 sm_100f and sm_120f, see docs/rust-cuda.md";

/// Compiles for `sets` and writes one file for each kernel to `out`, or below `work`.
pub(crate) fn run(
    root: &Path,
    work: &Path,
    sets: &[InstructionSet],
    check: bool,
    out: Option<PathBuf>,
) -> Result<(), String> {
    let (toolchain, sysroot) = if check {
        let Some(sysroot) = rust_src::sysroot(work)? else {
            return not_checked(
                "rust-src",
                "the sources of the standard library can't be had here",
            );
        };
        (None, sysroot)
    } else {
        (Some(Toolchain::from_environment()?), PathBuf::new())
    };
    let work = work.join(if check { "nvvm-check" } else { "nvvm" });
    std::fs::create_dir_all(&work).map_err(|e| format!("{}: {e}", work.display()))?;
    let out = out.unwrap_or_else(|| work.join("ptx"));
    if is_within(&out, &root.join("kernels-gpu/ptx")) {
        return Err("the committed PTX is the built-in back end's: name another folder".into());
    }
    let stand_in = root.join("rust-cuda/check/kernels");
    let mut files = Files::new();
    for &set in sets {
        eprintln!("xtask: compiling for {set} (nvvm)");
        let text = match &toolchain {
            Some(toolchain) => toolchain.compile(root, &work, set)?,
            None => compile::compile(&stand_in, &work, &sysroot, set, "--cfg nvvm")?,
        };
        let modules = modules(&text);
        if modules.is_empty() {
            return Err(format!("the PTX for {set} has no entry"));
        }
        for (name, text) in modules {
            files.insert((set, files::kernel(&name)?), text);
        }
    }
    files::write(&out, &files)
}

/// Whether `path` is `folder` or lies in it; either may not exist yet.
fn is_within(path: &Path, folder: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else { return false };
    path.ancestors().any(|ancestor| ancestor.canonicalize().is_ok_and(|a| a == folder))
}

/// A compiler of rust-cuda's nightly and the back end built for it.
struct Toolchain {
    backend: String,
    rustc: Option<PathBuf>,
}

impl Toolchain {
    fn from_environment() -> Result<Self, String> {
        let backend = std::env::var("RUSTC_CODEGEN_NVVM").map_err(|_| {
            "RUSTC_CODEGEN_NVVM is not set: name rust-cuda's librustc_codegen_nvvm.so by it, see \
             docs/rust-cuda.md"
        })?;
        if !Path::new(&backend).is_file() {
            return Err(format!("RUSTC_CODEGEN_NVVM names {backend}, which is not a file"));
        }
        Ok(Self { backend, rustc: std::env::var_os("NVVM_RUSTC").map(PathBuf::from) })
    }

    /// The `cargo` beside the named compiler, or the active one.
    fn cargo(&self) -> PathBuf {
        let beside =
            self.rustc.as_deref().and_then(Path::parent).map(|folder| folder.join("cargo"));
        beside.filter(|path| path.is_file()).unwrap_or_else(|| "cargo".into())
    }

    fn flags(&self, set: InstructionSet) -> Vec<String> {
        let mut flags =
            vec![format!("-Zcodegen-backend={}", self.backend), "-Zunstable-options".to_owned()];
        flags.extend(CRATE_ATTRIBUTES.map(str::to_owned));
        flags.extend([
            "-Zsaturating_float_casts=false".to_owned(),
            "-Cpanic=immediate-abort".to_owned(),
            format!("-Cllvm-args=-arch={} -fma=0", set.row().cpu.replacen("sm_", "compute_", 1)),
        ]);
        flags.extend(["--cfg", "nvvm"].map(str::to_owned));
        flags.extend(compile::cfgs(set));
        flags
    }

    fn compile(&self, root: &Path, work: &Path, set: InstructionSet) -> Result<String, String> {
        let target = work.join(set.name());
        let mut command = Command::new(self.cargo());
        if let Some(rustc) = &self.rustc {
            command.env("RUSTC", rustc);
        }
        let status = command
            .current_dir(root.join("rust-cuda/kernels"))
            .env("RUSTC_BOOTSTRAP", "1")
            .env("FOUROVERSIX_ISA", set.name())
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags(set).join("\x1f"))
            .env("CARGO_TARGET_DIR", &target)
            // The back end has neither type, and the compiler's builtins would use them.
            .env("CARGO_FEATURE_NO_F16_F128", "1")
            .env_remove("RUSTFLAGS")
            .env_remove("RUSTC_WRAPPER")
            .args(["rustc", "--quiet", "--profile", "ptx"])
            .args(["--config", "profile.ptx.inherits='release'"])
            .args(["--config", "profile.ptx.debug=0"])
            .args(["--lib", "--crate-type", "cdylib", "--target", "nvptx64-nvidia-cuda"])
            .arg("-Zbuild-std=core,alloc")
            .status()
            .map_err(|e| format!("cannot run {}: {e}", self.cargo().display()))?;
        if !status.success() {
            return Err(format!(
                "compiling the kernels for {set} ended with {status}: the compiler's own messages are \
                 above. If libNVVM refuses the bitcode, the back end has the wrong LLVM: sm_80 and \
                 sm_89 need 7, sm_100f and sm_120f need 19, see docs/rust-cuda.md"
            ));
        }
        let text = target.join("nvptx64-nvidia-cuda/ptx/fouroversix_kernels.ptx");
        std::fs::read_to_string(&text).map_err(|e| format!("{}: {e}", text.display()))
    }
}
