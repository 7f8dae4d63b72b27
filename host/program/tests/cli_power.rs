//! The power fails: of a run survives what it made durable by fsync, a file's bytes and a folder's names
//! each for themselves. From every such state a rerun gives the undisturbed bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::common::{Folder, contents, program, write_model};
use crate::trace::{Action, Call, available, is_in, traced};

/// A file or folder, whatever its name is. Numbers are used again: the time of its making tells.
type Id = (u64, Option<std::time::SystemTime>);

fn id(meta: &Metadata) -> Id {
    (meta.ino(), meta.created().ok())
}

/// What a disk holds for certain.
#[derive(Default)]
struct Disk {
    files: BTreeMap<Id, Vec<u8>>,
    folders: BTreeMap<Id, BTreeMap<String, (Id, bool)>>,
}

/// A tree: folders are `None`.
type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

fn names(folder: &Path) -> BTreeMap<String, (Id, bool)> {
    let Ok(items) = fs::read_dir(folder) else { return BTreeMap::new() };
    items
        .flatten()
        .filter_map(|item| {
            let meta = fs::symlink_metadata(item.path()).ok()?;
            Some((item.file_name().into_string().ok()?, (id(&meta), meta.is_dir())))
        })
        .collect()
}

impl Disk {
    /// Everything below `path` as it is.
    fn all(&mut self, path: &Path) {
        let Ok(meta) = fs::symlink_metadata(path) else { return };
        if meta.is_dir() {
            let names = names(path);
            names.keys().for_each(|name| self.all(&path.join(name)));
            self.folders.insert(id(&meta), names);
        } else if let Ok(bytes) = fs::read(path) {
            self.files.insert(id(&meta), bytes);
        }
    }

    /// One file or folder as it is.
    fn sync(&mut self, path: &Path) {
        let Ok(meta) = fs::metadata(path) else { return };
        if meta.is_dir() {
            self.folders.insert(id(&meta), names(path));
        } else if let Ok(bytes) = fs::read(path) {
            self.files.insert(id(&meta), bytes);
        }
    }

    /// What is there after the power failed: names and bytes that are durable; or, of a file system that
    /// is quicker with names, the names that are there `now` with the bytes that are durable.
    fn tree(&self, root: &Path, now: bool) -> Tree {
        let mut tree = Tree::new();
        if let Ok(meta) = fs::metadata(root) {
            self.add(root, PathBuf::new(), &id(&meta), now, &mut tree);
        }
        tree
    }

    fn add(&self, root: &Path, at: PathBuf, folder: &Id, now: bool, tree: &mut Tree) {
        let listed = if now {
            names(&root.join(&at))
        } else {
            self.folders.get(folder).cloned().unwrap_or_default()
        };
        for (name, (id, is_folder)) in listed {
            let path = at.join(name);
            if path == Path::new("model") {
                continue;
            }
            if is_folder {
                tree.insert(path.clone(), None);
                self.add(root, path, &id, now, tree);
            } else {
                tree.insert(path, Some(self.files.get(&id).cloned().unwrap_or_default()));
            }
        }
    }
}

fn restore(root: &Path, tree: &Tree) {
    for name in ["out", "out.partial"] {
        let _ = fs::remove_dir_all(root.join(name));
    }
    for (name, bytes) in tree {
        match bytes {
            None => fs::create_dir_all(root.join(name)).unwrap(),
            Some(bytes) => fs::write(root.join(name), bytes).unwrap(),
        }
    }
}

/// Runs, and reruns from every state that the power may have left. `older` is an output to replace.
fn check(force: bool) {
    let folder = Folder::new();
    let (root, model, output) = (folder.path(""), folder.path("model"), folder.path("out"));
    write_model(&model, 1, 32);
    let command = || {
        let mut command = program(&[Path::new("quantize"), &model, &output]);
        command.args(["--max-shard-size", "8KB", "--device", "cpu"]);
        if force {
            command.arg("--force");
        }
        command
    };
    assert!(command().output().unwrap().status.success());
    let expected = contents(&output);
    fs::remove_dir_all(&output).unwrap();
    let mut older = None;
    if force {
        assert!(command().args(["--rule", "plain"]).output().unwrap().status.success());
        older = Some(contents(&output));
    }
    let mut disk = Disk::default();
    disk.all(&root);
    let mut states: BTreeSet<Tree> = BTreeSet::new();
    let mut syncs = 0;
    let ended = traced(
        &mut command(),
        |_| Action::Go,
        |call: &Call, result| {
            let changes = matches!(
                call.number,
                libc::SYS_rename
                    | libc::SYS_renameat2
                    | libc::SYS_mkdir
                    | libc::SYS_unlink
                    | libc::SYS_unlinkat
                    | libc::SYS_rmdir
                    | libc::SYS_openat
            );
            if result < 0 || !is_in(call, &root) {
                return;
            }
            if matches!(call.number, libc::SYS_fsync | libc::SYS_fdatasync) {
                disk.sync(call.place.as_ref().expect("it has one"));
                syncs += 1;
            } else if !changes {
                return;
            }
            states.insert(disk.tree(&root, false));
            states.insert(disk.tree(&root, true));
        },
    );
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(syncs > 8 && states.len() > syncs, "{syncs} syncs, {} states", states.len());
    let (mut whole, mut again) = (0, 0);
    for state in &states {
        restore(&root, state);
        let told = || {
            state
                .iter()
                .map(|(name, bytes)| (name, bytes.as_ref().map(Vec::len)))
                .collect::<Vec<_>>()
        };
        if output.exists() {
            let there = contents(&output);
            let right = there == expected || Some(&there) == older.as_ref();
            assert!(right, "an output by halves: {:?}", told());
            if there == expected {
                whole += 1;
                continue;
            }
        }
        let rerun = command().output().unwrap();
        let said = String::from_utf8_lossy(&rerun.stderr);
        assert!(rerun.status.success(), "{said}: {:?}", told());
        assert!(contents(&output) == expected, "other bytes from {:?}", told());
        again += 1;
    }
    println!(
        "force {force}: {syncs} calls of fsync, {} states: {whole} with the whole output, {again} rerun",
        states.len()
    );
}

#[test]
fn the_power_fails_while_a_directory_is_made() {
    if !available() {
        return;
    }
    check(false);
}

#[test]
fn the_power_fails_while_a_directory_is_replaced() {
    if !available() {
        return;
    }
    check(true);
}
