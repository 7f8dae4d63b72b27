//! The modules of a target, with what each defines and imports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;

use super::scan::{self, Found, Import, Named};

/// A target's modules; the first is the root.
pub(super) struct Crate {
    pub(super) modules: Vec<Module>,
    /// Modules that define the macros at the root, by name.
    pub(super) exported: BTreeMap<String, usize>,
}

/// A module, in a file of its own or in its parent's.
pub(super) struct Module {
    pub(super) file: PathBuf,
    pub(super) parent: usize,
    pub(super) children: BTreeMap<String, usize>,
    /// Names of items that it defines.
    pub(super) items: BTreeSet<String>,
    pub(super) imports: Vec<Import>,
    /// Every path that its items name, imports too.
    pub(super) named: Vec<Named>,
}

/// Where the modules declared in a file are looked for.
struct Place {
    file: PathBuf,
    folder: PathBuf,
}

impl Crate {
    /// Reads the modules from a target's root file on; `read` gives a file's text if there is one.
    pub(super) fn read(
        root: &Path,
        read: &dyn Fn(&Path) -> Option<String>,
    ) -> Result<Self, String> {
        let text = read(root).ok_or_else(|| format!("can't read {}", root.display()))?;
        let folder = root.parent().unwrap_or(Path::new("")).to_owned();
        let mut all = Self { modules: Vec::new(), exported: BTreeMap::new() };
        let place = Place { file: root.to_owned(), folder };
        all.add(&place, 0, parse(root, &text)?, read)?;
        Ok(all)
    }

    fn add(
        &mut self,
        place: &Place,
        parent: usize,
        tokens: TokenStream,
        read: &dyn Fn(&Path) -> Option<String>,
    ) -> Result<usize, String> {
        let index = self.modules.len();
        let Found { items, imports, named, modules, exported } = scan::module(tokens);
        self.exported.extend(exported.into_iter().map(|name| (name, index)));
        self.modules.push(Module {
            file: place.file.clone(),
            parent,
            children: BTreeMap::new(),
            items,
            imports,
            named,
        });
        for declared in modules {
            let inside = place.folder.join(&declared.name);
            let child = if let Some(tokens) = declared.body {
                let place = Place { file: place.file.clone(), folder: inside };
                self.add(&place, index, tokens, read)?
            } else {
                let beside = place.file.parent().unwrap_or(Path::new(""));
                let candidates = match declared.path {
                    Some(path) => vec![beside.join(path)],
                    None => vec![inside.with_extension("rs"), inside.join("mod.rs")],
                };
                let found = candidates.iter().find_map(|path| Some((path, read(path)?)));
                let Some((file, text)) = found else {
                    return Err(format!(
                        "{}: no file for mod {}",
                        place.file.display(),
                        declared.name
                    ));
                };
                let tokens = parse(file, &text)?;
                let place = Place { file: file.clone(), folder: folder_of(file) };
                self.add(&place, index, tokens, read)?
            };
            self.modules[index].children.insert(declared.name, child);
        }
        Ok(index)
    }
}

/// Where the modules that a file declares are.
fn folder_of(file: &Path) -> PathBuf {
    if file.file_name().is_some_and(|name| name == "mod.rs") {
        file.parent().unwrap_or(Path::new("")).to_owned()
    } else {
        file.with_extension("")
    }
}

fn parse(file: &Path, text: &str) -> Result<TokenStream, String> {
    text.parse().map_err(|error| format!("{}: {error}", file.display()))
}
