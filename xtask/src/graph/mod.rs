//! The import graph: of the files of every crate's `src`, and of the crates.
//!
//! An arrow goes from a file to each file whose items it names, in a `use` or in a path. A name that
//! another module only passes on (`pub use`) leads to the file that defines it; `mod x;` alone is no
//! arrow. What is compiled for unit tests only is left out: tests may use what is above them. Names
//! are read from tokens, so arrows that only a method call or a macro's expansion makes don't show.
//!
//! The check fails where files of a crate import each other in a circle, where a crate depends on one
//! above it, and where a file of tests is not compiled.

mod arrows;
mod circles;
mod crates;
mod module;
mod orphans;
mod scan;
#[cfg(test)]
mod tests;

use std::path::Path;

use arrows::{Arrow, Graph};
use crates::Package;

/// `cargo xtask graph`: prints the arrows, and fails if one is forbidden.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let quiet = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("usage: cargo xtask graph [--check]".to_owned()),
    };
    let root = crate::root()?;
    let packages = crates::packages(&root)?;
    let mut faults = crates::faults(&packages);
    let mut files = 0;
    for package in &packages {
        let needs: Vec<_> = package.needs.iter().map(|need| need.name.as_str()).collect();
        if !quiet {
            println!("{} -> {}", package.name, needs.join(", "));
        }
        faults.extend(orphans::faults(package)?);
        for target in &package.roots {
            let graph = of_target(target)?;
            files += graph.len();
            if !quiet {
                print(&root, &graph);
            }
            faults.extend(circle(package, &root, &graph));
        }
    }
    if faults.is_empty() {
        println!("{} crates, {files} files: no circle, no arrow up", packages.len());
        return Ok(());
    }
    Err(faults.join("\n"))
}

fn of_target(root: &Path) -> Result<Graph, String> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    Ok(arrows::of(&module::Crate::read(root, &read)?))
}

fn print(root: &Path, graph: &Graph) {
    let short = |file: &str| {
        Path::new(file)
            .strip_prefix(root)
            .map_or_else(|_| file.to_owned(), |p| p.display().to_string())
    };
    for (file, arrows) in graph {
        println!("  {}", short(file));
        for Arrow { to, line, path } in arrows {
            println!("    -> {} ({path}, line {line})", short(to));
        }
    }
}

/// The faults of one target's files.
fn circle(package: &Package, root: &Path, graph: &Graph) -> Option<String> {
    let arrows = circles::shortest(graph)?;
    let steps: Vec<_> = arrows
        .iter()
        .map(|(from, Arrow { to, line, path })| {
            let short = |file: &str| file.replace(&format!("{}/", root.display()), "");
            format!("  {}:{line} names {path} of {}", short(from), short(to))
        })
        .collect();
    Some(format!("{}: files import each other in a circle:\n{}", package.name, steps.join("\n")))
}
