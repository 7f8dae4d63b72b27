//! `cargo xtask ptx --codegen nvvm`: the same kernels, compiled by rust-cuda's `rustc_codegen_nvvm`.
//!
//! The flags are those of rust-cuda's `cuda_builder`, without its libm override (the kernels call
//! none) and with `-fma=0`: the back end contracts `a * b + c` by default and the numeric contract
//! forbids it. Nothing here runs without that back end: `docs/rust-cuda.md` says how to get it.
//!
//! With `--check` the built-in back end compiles what `--cfg nvvm` selects. That shows that the path
//! type-checks, and its PTX can be executed; it says nothing about `rustc_codegen_nvvm`.

use std::path::{Path, PathBuf};
use std::process::Command;

use fouroversix_core::{InstructionSet, Kernel};

use crate::ptx::{self, Files};
use crate::rust_src;

/// What rust-cuda registers for its attributes.
const REGISTER_TOOL: [&str; 2] =
    ["-Zcrate-attr=feature(register_tool)", "-Zcrate-attr=register_tool(nvvm_internal)"];

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
            eprintln!("xtask: NOT CHECKED: the sources of the standard library can't be had here.");
            return Ok(());
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
    let cfg = format!("--cfg nvvm {}", REGISTER_TOOL.join(" "));
    let mut files = Files::new();
    for &set in sets {
        eprintln!("xtask: compiling for {set} (nvvm)");
        let text = match &toolchain {
            Some(toolchain) => toolchain.compile(root, &work, set)?,
            None => ptx::compile(root, &work, &sysroot, set, &cfg)?,
        };
        let kernels = modules(&text)?;
        if kernels.is_empty() {
            return Err(format!("the PTX for {set} has no entry"));
        }
        files.extend(kernels.into_iter().map(|(kernel, text)| ((set, kernel), text)));
    }
    ptx::write(&out, &files)
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
        flags.extend(REGISTER_TOOL.map(str::to_owned));
        flags.extend([
            "-Zsaturating_float_casts=false".to_owned(),
            "-Cpanic=immediate-abort".to_owned(),
            format!("-Cllvm-args=-arch={} -fma=0", set.row().cpu.replacen("sm_", "compute_", 1)),
        ]);
        flags.extend(["--cfg", "nvvm"].map(str::to_owned));
        flags.extend(ptx::cfgs(set));
        flags
    }

    fn compile(&self, root: &Path, work: &Path, set: InstructionSet) -> Result<String, String> {
        let target = work.join(set.name());
        let mut command = Command::new(self.cargo());
        if let Some(rustc) = &self.rustc {
            command.env("RUSTC", rustc);
        }
        let status = command
            .current_dir(root.join("kernels-gpu"))
            .env("RUSTC_BOOTSTRAP", "1")
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
            .arg("-Zbuild-std=core")
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

/// One module for each entry: what stands outside of functions, every function, and the entry.
///
/// Unlike the built-in back end, this one may leave functions that entries call.
fn modules(text: &str) -> Result<Vec<(Kernel, String)>, String> {
    let (mut common, mut entries) = (String::new(), Vec::<(Kernel, String)>::new());
    let (mut in_entry, mut depth) = (false, 0);
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim().replace('\t', " ");
        if line.is_empty() {
            continue;
        }
        let head = line.trim_start_matches(".visible ");
        if let Some(rest) = head.strip_prefix(".entry ").filter(|_| depth == 0) {
            entries.push((ptx::kernel(rest)?, String::new()));
            in_entry = true;
        }
        let to = match entries.last_mut() {
            Some((_, text)) if in_entry => text,
            _ => &mut common,
        };
        to.push_str(&line);
        to.push('\n');
        depth += line.matches('{').count() as i32 - line.matches('}').count() as i32;
        if depth == 0 && line.ends_with('}') {
            in_entry = false;
        }
    }
    entries.sort();
    Ok(entries.into_iter().map(|(kernel, entry)| (kernel, format!("{common}{entry}"))).collect())
}

#[cfg(test)]
mod tests {
    use fouroversix_core::{InputType, Kernel};

    use super::modules;

    #[test]
    fn entries_are_parted_and_keep_what_they_share() {
        let text = "//\n.version 8.5\n.target sm_89\n\n.func helper(\n)\n{\n\tret;\n}\n\
                    .visible .entry global_scales(\n\t.param .b32 p\n)\n.maxntid 128\n{\n\t{ .reg .b32 t; }\n\
                    \tret; // done\n}\n.shared .b8 s[4];\n.visible .entry amax_f16(\n)\n{\n\tret;\n}\n";
        let common =
            ".version 8.5\n.target sm_89\n.func helper(\n)\n{\nret;\n}\n.shared .b8 s[4];\n";
        let global_scales = ".visible .entry global_scales(\n.param .b32 p\n)\n.maxntid 128\n{\n{ .reg .b32 t; }\nret;\n}\n";
        let amax = ".visible .entry amax_f16(\n)\n{\nret;\n}\n";
        assert_eq!(
            modules(text).unwrap(),
            [
                (Kernel::amax(false, InputType::F16), format!("{common}{amax}")),
                (Kernel::global_scales(), format!("{common}{global_scales}")),
            ]
        );
        assert!(modules(".visible .entry a(\n)\n{\n}\n").unwrap_err().contains("no kernel"));
    }
}
