//! From the paths that a file names to the files that they lead to.

use std::collections::BTreeMap;

use super::module::Crate;

/// Each file of a target with its arrows; a file is a path.
pub(super) type Graph = BTreeMap<String, Vec<Arrow>>;

/// An arrow to a file: the first path that makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrow {
    pub(super) to: String,
    pub(super) line: usize,
    pub(super) path: String,
}

/// Re-exports followed for one path: more than any crate has, fewer than a circle of them.
const DEPTH: usize = 16;

/// Each file's arrows to others.
pub(super) fn of(all: &Crate) -> Graph {
    let mut graph: BTreeMap<String, BTreeMap<String, Arrow>> = BTreeMap::new();
    for (index, module) in all.modules.iter().enumerate() {
        let from = module.file.display().to_string();
        let arrows = graph.entry(from.clone()).or_default();
        for named in &module.named {
            let Some(target) = resolve(all, index, &named.path, DEPTH) else { continue };
            let to = all.modules[target].file.display().to_string();
            if to != from {
                let (line, path) = (named.line, named.path.join("::"));
                arrows.entry(to.clone()).or_insert(Arrow { to, line, path });
            }
        }
    }
    graph.into_iter().map(|(from, arrows)| (from, arrows.into_values().collect())).collect()
}

/// The module that defines what `path` names in `module`; none where that is another crate's.
fn resolve(all: &Crate, module: usize, path: &[String], depth: usize) -> Option<usize> {
    if depth == 0 {
        return None;
    }
    let mut at = module;
    for (position, name) in path.iter().enumerate() {
        let here = &all.modules[at];
        at = match name.as_str() {
            "crate" => 0,
            "self" => at,
            "super" => here.parent,
            _ if here.children.contains_key(name) => here.children[name],
            _ if here.items.contains(name) => return Some(at),
            _ if at == 0 && all.exported.contains_key(name) => return Some(all.exported[name]),
            _ => return imported(all, at, position == 0, &path[position..], depth),
        };
    }
    Some(at)
}

/// As [`resolve`], for a first name that `module` may have imported.
fn imported(
    all: &Crate,
    module: usize,
    first: bool,
    path: &[String],
    depth: usize,
) -> Option<usize> {
    let follow = |import: &[String], rest: &[String]| {
        let path: Vec<_> = import.iter().chain(rest).cloned().collect();
        (path != rest).then(|| resolve(all, module, &path, depth - 1)).flatten()
    };
    let imports = &all.modules[module].imports;
    let bound = imports.iter().filter(|import| import.name.as_ref() == Some(&path[0]));
    let mut bound = bound.filter(|import| import.path != path[..1]).peekable();
    if bound.peek().is_some() {
        return bound.find_map(|import| follow(&import.path, &path[1..]));
    }
    let globs = imports.iter().filter(|import| import.name.is_none());
    let by_glob = globs.filter_map(|import| follow(&import.path, path)).next();
    // A name that no item shows was made by a macro, in the module that is asked for it.
    by_glob.or_else(|| (!first).then_some(module))
}
