//! The standard library's sources, which `-Zbuild-std` needs, wherever they can be had.
//!
//! In this order: the toolchain's own (rustup's `rust-src`), a folder named by
//! `FOUROVERSIX_RUST_SRC`, and Debian's package of the same version, fetched through a throw-away
//! apt configuration that takes the mirror from the machine's own. The toolchain is not touched:
//! the sources are linked into an overlay of its sysroot under `target/`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version whose sources match `rust-toolchain.toml`.
const VERSION: &str = "1.95.0";
const SUITE: &str = "trixie-backports";

/// A sysroot that has the sources, or `None` where they can't be had.
pub(crate) fn sysroot(work: &Path) -> Result<Option<PathBuf>, String> {
    let own = PathBuf::from(output(Command::new("rustc").args(["--print", "sysroot"]))?.trim());
    if own.join("lib/rustlib/src/rust/library/core").is_dir() {
        return Ok(Some(own));
    }
    let sources = match std::env::var_os("FOUROVERSIX_RUST_SRC") {
        Some(folder) => Some(PathBuf::from(folder)),
        None => debian(work)?,
    };
    let Some(sources) = sources else { return Ok(None) };
    if !sources.join("library/core").is_dir() {
        return Err(format!(
            "{} holds no library/core: name the root of the sources",
            sources.display()
        ));
    }
    overlay(&own, &sources, &work.join("sysroot")).map(Some)
}

/// The sysroot again, entry by entry, with `lib/rustlib/src/rust` added.
fn overlay(own: &Path, sources: &Path, to: &Path) -> Result<PathBuf, String> {
    let failed = |e: std::io::Error| format!("cannot lay out {}: {e}", to.display());
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to.join("lib/rustlib/src")).map_err(failed)?;
    for (folder, skip) in [("", "lib"), ("lib", "rustlib"), ("lib/rustlib", "src")] {
        for entry in fs::read_dir(own.join(folder)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name() != skip {
                symlink(entry.path(), to.join(folder).join(entry.file_name())).map_err(failed)?;
            }
        }
    }
    symlink(sources, to.join("lib/rustlib/src/rust")).map_err(failed)?;
    Ok(to.to_owned())
}

/// Debian's `rust-src` of our version, unpacked under `work`.
fn debian(work: &Path) -> Result<Option<PathBuf>, String> {
    let unpacked = work.join("debian");
    let sources = unpacked.join(format!("usr/src/rustc-{VERSION}"));
    if sources.join("library/core").is_dir() {
        return Ok(Some(sources));
    }
    let Some(mirror) = mirror() else { return Ok(None) };
    let apt = work.join("apt");
    for folder in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(folder)).map_err(|e| format!("{}: {e}", apt.display()))?;
    }
    let list = apt.join("sources.list");
    fs::write(&list, format!("deb {mirror} {SUITE} main\n"))
        .map_err(|e| format!("{}: {e}", list.display()))?;
    let options = [
        format!("-oDir::Etc::SourceList={}", list.display()),
        "-oDir::Etc::SourceParts=/dev/null".to_owned(),
        format!("-oDir::State::Lists={}", apt.join("lists").display()),
        format!("-oDir::Cache={}", apt.join("cache").display()),
        // The key of a newer suite may not be on an older machine; the version is checked by the
        // compiler, which refuses the library of another release.
        "-oAcquire::AllowInsecureRepositories=true".to_owned(),
        "-oAPT::Get::AllowUnauthenticated=true".to_owned(),
    ];
    let apt_get = |arguments: &[&str]| {
        output(Command::new("apt-get").args(&options).args(arguments).current_dir(&apt))
    };
    let package = format!("rust-src={VERSION}*");
    if apt_get(&["update"]).is_err() || apt_get(&["download", &package]).is_err() {
        return Ok(None);
    }
    let deb = fs::read_dir(&apt)
        .map_err(|e| e.to_string())?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .find(|path| path.extension().is_some_and(|e| e == "deb"));
    let Some(deb) = deb else { return Ok(None) };
    output(Command::new("dpkg").arg("-x").arg(&deb).arg(&unpacked))?;
    Ok(sources.is_dir().then_some(sources))
}

/// The Debian mirror that apt is set up for.
fn mirror() -> Option<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    files
        .extend(fs::read_dir("/etc/apt/sources.list.d").ok()?.filter_map(|e| Some(e.ok()?.path())));
    files.sort();
    let text: String = files.iter().filter_map(|f| fs::read_to_string(f).ok()).collect();
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace)
        .find(|word| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian"))
        .map(str::to_owned)
}

fn output(command: &mut Command) -> Result<String, String> {
    let shown = format!("{command:?}");
    let out = command.output().map_err(|e| format!("cannot run {shown}: {e}"))?;
    if out.status.success() {
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    } else {
        Err(format!("{shown} failed: {}", String::from_utf8_lossy(&out.stderr)))
    }
}
