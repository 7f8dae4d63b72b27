//! `ptxas` and `nvdisasm`: from a folder that the caller names, or from PyPI's wheels.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The wheels whose output is committed.
const WHEELS: [(&str, &str); 2] =
    [("nvidia-cuda-nvcc", "13.5.37"), ("nvidia-cuda-nvdisasm", "13.5.37")];

/// The two programs.
pub(crate) struct Tools {
    ptxas: PathBuf,
    nvdisasm: PathBuf,
}

/// What is known of some kernels.
pub(crate) struct Assembled {
    /// `nvdisasm -c`.
    text: String,
    /// `ptxas -v`.
    report: String,
}

impl Assembled {
    /// The disassembly of one kernel.
    pub(crate) fn text(&self, kernel: &str) -> Option<&str> {
        part(&self.text, &format!("\n//--------------------- .text.{kernel} "), "\n//-----")
    }

    /// The assembler's lines on one kernel.
    pub(crate) fn report(&self, kernel: &str) -> Option<&str> {
        part(&self.report, &format!("Compiling entry function '{kernel}'"), "Compiling entry")
    }
}

/// What follows `start`, up to `end`.
fn part<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split(end).next().unwrap_or(rest))
}

impl Tools {
    /// The named folder's programs, or the wheels'; `None` if those can't be fetched.
    pub(crate) fn find(folder: Option<&Path>, work: &Path) -> Result<Option<Self>, String> {
        let bin = match folder {
            Some(folder) => folder.to_owned(),
            None => match fetch(work)? {
                Some(bin) => bin,
                None => return Ok(None),
            },
        };
        let tools = Self { ptxas: bin.join("ptxas"), nvdisasm: bin.join("nvdisasm") };
        for tool in [&tools.ptxas, &tools.nvdisasm] {
            if !tool.is_file() {
                return Err(format!("{} does not exist", tool.display()));
            }
        }
        Ok(Some(tools))
    }

    /// The assembler's release, for instance `V13.5.37`.
    pub(crate) fn version(&self) -> Result<String, String> {
        let text = output(Command::new(&self.ptxas).arg("--version"))?.0;
        let version = text.split_whitespace().find(|word| {
            word.starts_with('V') && word[1..].starts_with(|c: char| c.is_ascii_digit())
        });
        version.map(str::to_owned).ok_or("ptxas does not tell its version".to_owned())
    }

    /// Assembles a PTX file to a cubin, which is written to `cubin`.
    pub(crate) fn machine_code(&self, arch: &str, ptx: &Path, cubin: &Path) -> Result<(), String> {
        let arch = format!("-arch={arch}");
        output(Command::new(&self.ptxas).arg(&arch).arg("-o").args([cubin, ptx])).map(|_| ())
    }

    /// Assembles PTX files to one cubin and disassembles that. The code is what each file alone
    /// gives, but `nvdisasm` takes most of its time to start.
    pub(crate) fn assemble(
        &self,
        arch: &str,
        ptx: &[&Path],
        cubin: &Path,
    ) -> Result<Assembled, String> {
        let arch = format!("-arch={arch}");
        let mut ptxas = Command::new(&self.ptxas);
        let report = output(ptxas.args(["-v", &arch, "-o"]).arg(cubin).args(ptx))?.1;
        let text = output(Command::new(&self.nvdisasm).arg("-c").arg(cubin))?.0;
        let _ = fs::remove_file(cubin);
        Ok(Assembled { text, report })
    }
}

/// Unpacks the wheels under `work`, once.
fn fetch(work: &Path) -> Result<Option<PathBuf>, String> {
    let folder = work.join(format!("cuda-{}", WHEELS[0].1));
    let bin = folder.join("nvidia/cu13/bin");
    if folder.join("complete").is_file() {
        return Ok(Some(bin));
    }
    let _ = fs::remove_dir_all(&folder);
    let wheels = folder.join("wheels");
    for (name, version) in WHEELS {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d"]);
        if output(pip.arg(&wheels).arg(format!("{name}=={version}"))).is_err() {
            return Ok(None);
        }
    }
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    for wheel in fs::read_dir(&wheels).map_err(failed)? {
        let wheel = wheel.map_err(failed)?.path();
        let mut unzip = Command::new("python3");
        output(unzip.args(["-m", "zipfile", "-e"]).arg(wheel).arg(&folder))?;
    }
    for tool in ["ptxas", "nvdisasm"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(bin.join(tool), mode).map_err(failed)?;
    }
    fs::write(folder.join("complete"), "").map_err(failed)?;
    Ok(Some(bin))
}

fn output(command: &mut Command) -> Result<(String, String), String> {
    let shown = format!("{command:?}");
    let out = command.output().map_err(|e| format!("cannot run {shown}: {e}"))?;
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    if out.status.success() {
        Ok((String::from_utf8_lossy(&out.stdout).into_owned(), errors))
    } else {
        Err(format!("{shown} failed: {errors}"))
    }
}
