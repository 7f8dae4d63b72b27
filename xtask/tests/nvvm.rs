//! `cargo xtask ptx --codegen nvvm` with a compiler and a cargo that record how they are called.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Records its arguments, calls the compiler with cargo's flags as cargo would, and leaves its PTX
/// where cargo leaves a cdylib.
const CARGO: &str = r#"#!/bin/sh
here=$(dirname "$0")
printf '%s\n' "$@" > "$here/cargo.args"
env | grep -E '^(RUSTC|RUSTC_BOOTSTRAP|CARGO_FEATURE_NO_F16_F128|RUSTFLAGS|RUSTC_WRAPPER)=' \
    | sort > "$here/cargo.env"
pwd > "$here/cargo.folder"
old=$IFS; IFS=$(printf '\037')
set -f; set -- $CARGO_ENCODED_RUSTFLAGS
IFS=$old
"$RUSTC" "$@" --out-dir "$CARGO_TARGET_DIR/nvptx64-nvidia-cuda/ptx"
"#;

/// Records its arguments and writes PTX with two entries.
const RUSTC: &str = r#"#!/bin/sh
printf '%s\n' "$@" > "$(dirname "$0")/rustc.args"
for out; do :; done
mkdir -p "$out"
cat > "$out/fouroversix_kernels.ptx" <<'PTX'
//
.version 8.5
.target sm_89
.address_size 64
.visible .entry amax_bf16(
)
{
	ret;
}
.visible .entry global_scales(
)
{
	ret;
}
PTX
"#;

struct FakeToolchain(PathBuf);

impl FakeToolchain {
    fn new(test: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, script) in [("cargo", CARGO), ("rustc", RUSTC)] {
            let path = folder.join(name);
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(folder.join("librustc_codegen_nvvm.so"), "").unwrap();
        Self(folder)
    }

    fn xtask(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["ptx", "--codegen", "nvvm"])
            .args(arguments)
            .env("RUSTC_CODEGEN_NVVM", self.0.join("librustc_codegen_nvvm.so"))
            .env("NVVM_RUSTC", self.0.join("rustc"))
            .env("RUSTFLAGS", "-Ctarget-cpu=native")
            .env("RUSTC_WRAPPER", "a-cache")
            .output()
            .unwrap()
    }

    fn lines(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.0.join(file)).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().canonicalize().unwrap()
}

fn error(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_compiler_gets_the_flags_of_cuda_builder_without_contraction() {
    let fake = FakeToolchain::new("flags");
    let all: &[&str] = &["fp8_cvt", "max_abs", "fp4_cvt", "fp4_kernels", "f32x2", "f32_f16"];
    for (isa, arch, capabilities) in [
        ("sm_80", "80", &[][..]),
        ("sm_100f", "100f", all),
        ("sm_90_as_blackwell", "90", &["fp8_cvt", "max_abs", "fp4_kernels"]),
    ] {
        let out = fake.path("out");
        let output = fake.xtask(&["--isa", isa, "--out", &out]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut expected = vec![
            format!("-Zcodegen-backend={}", fake.path("librustc_codegen_nvvm.so")),
            "-Zunstable-options".to_owned(),
            "-Zcrate-attr=feature(register_tool)".to_owned(),
            "-Zcrate-attr=register_tool(nvvm_internal)".to_owned(),
            "-Zcrate-attr=no_std".to_owned(),
            "-Zsaturating_float_casts=false".to_owned(),
            "-Cpanic=immediate-abort".to_owned(),
            format!("-Cllvm-args=-arch=compute_{arch} -fma=0"),
            "--cfg".to_owned(),
            "nvvm".to_owned(),
        ];
        expected.extend(capabilities.iter().flat_map(|it| ["--cfg", it].map(str::to_owned)));
        expected.push("--out-dir".to_owned());
        assert_eq!(fake.lines("rustc.args")[..expected.len()], expected);
        let arguments = fake.lines("cargo.args");
        for pair in [["--crate-type", "cdylib"], ["--target", "nvptx64-nvidia-cuda"]] {
            assert!(arguments.windows(2).any(|two| two == pair), "{arguments:?}");
        }
        assert!(arguments.contains(&"-Zbuild-std=core,alloc".to_owned()), "{arguments:?}");
        assert!(!arguments.iter().any(|a| a.contains("lto")), "{arguments:?}");
        let environment = [
            "CARGO_FEATURE_NO_F16_F128=1".to_owned(),
            format!("RUSTC={}", fake.path("rustc")),
            "RUSTC_BOOTSTRAP=1".to_owned(),
        ];
        assert_eq!(fake.lines("cargo.env"), environment);
        assert_eq!(Path::new(&fake.lines("cargo.folder")[0]), root().join("rust-cuda/kernels"));
        let kernel =
            fs::read_to_string(fake.0.join("out").join(isa).join("amax_bf16.ptx")).unwrap();
        assert_eq!(kernel.matches(".entry").count(), 1);
        assert!(
            kernel.starts_with(".version 8.5\n.target sm_89\n.address_size 64\n.visible .entry")
        );
    }
}

#[test]
fn output_goes_to_the_target_folder_by_default_and_never_over_the_committed_files() {
    let fake = FakeToolchain::new("output");
    let committed = root().join("kernels-gpu/ptx");
    let kernel = "sm_89/global_scales.ptx";
    let before = fs::read(committed.join(kernel)).unwrap();
    let output = fake.xtask(&["--isa", "sm_89"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let written = root().join("target/xtask/nvvm/ptx").join(kernel);
    assert!(fs::read_to_string(written).unwrap().contains(".entry global_scales("));
    for folder in [committed.clone(), committed.join("new"), committed.join("../ptx/sm_89")] {
        let output = fake.xtask(&["--isa", "sm_89", "--out", &folder.display().to_string()]);
        assert!(error(&output).contains("name another folder"), "{}", error(&output));
    }
    assert_eq!(fs::read(committed.join(kernel)).unwrap(), before);
    assert!(!committed.join("new").exists());
}

#[test]
fn what_is_missing_is_named() {
    let xtask = |codegen: &str, backend: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(["ptx", "--codegen", codegen, "--isa", "sm_80"])
            .env_remove("RUSTC_CODEGEN_NVVM");
        command.envs(backend.map(|path| ("RUSTC_CODEGEN_NVVM", path)));
        error(&command.output().unwrap())
    };
    assert!(xtask("nvvm", None).contains("RUSTC_CODEGEN_NVVM is not set"));
    assert!(xtask("nvvm", Some("no/such.so")).contains("no/such.so, which is not a file"));
    assert!(xtask("gcc", None).contains("unknown back end \"gcc\""));
}

/// No one back end serves all sets, and what failed is said by the compiler, not guessed.
#[test]
fn a_set_must_be_named_and_a_failure_is_not_explained_away() {
    let fake = FakeToolchain::new("choice");
    let message = error(&fake.xtask(&[]));
    assert!(message.contains("--codegen nvvm needs --isa"), "{message}");
    let message = error(&fake.xtask(&["--isa", "sm_70"]));
    assert!(message.contains("unknown instruction set \"sm_70\""), "{message}");

    fs::write(fake.0.join("cargo"), "#!/bin/sh\necho 'error: a type does not fit' >&2\nexit 101\n")
        .unwrap();
    let message = error(&fake.xtask(&["--isa", "sm_80"]));
    assert!(message.contains("error: a type does not fit"), "{message}");
    assert!(message.contains("sm_80 ended with exit status: 101"), "{message}");
    for (sets, llvm) in [("sm_80 and sm_89", "7"), ("sm_100f and sm_120f", "19")] {
        assert!(message.contains(sets) && message.contains(llvm), "{message}");
    }
}

#[test]
fn several_sets_may_be_named() {
    let fake = FakeToolchain::new("several");
    let output = fake.xtask(&["--isa", "sm_80", "--isa", "sm_89", "--out", &fake.path("out")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for isa in ["sm_80", "sm_89"] {
        assert!(fake.0.join("out").join(isa).join("amax_bf16.ptx").is_file());
    }
}
