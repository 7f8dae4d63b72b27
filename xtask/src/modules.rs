//! One PTX module for each kernel, cut from what rust-cuda's back end writes. `rust-cuda/build.rs` uses it too.

/// A line without its comment and indentation.
pub(crate) fn bare(line: &str) -> String {
    line.split("//").next().unwrap_or_default().trim().replace('\t', " ")
}

/// The name and the text of each entry's module, sorted: what stands outside of functions, every function, and
/// the entry.
///
/// Unlike the built-in back end, rust-cuda's may leave functions that entries call.
pub(crate) fn modules(text: &str) -> Vec<(String, String)> {
    let (mut common, mut entries) = (String::new(), Vec::<(String, String)>::new());
    let (mut in_entry, mut depth) = (false, 0);
    for line in text.lines() {
        let line = bare(line);
        if line.is_empty() {
            continue;
        }
        let head = line.trim_start_matches(".visible ");
        if let Some(rest) = head.strip_prefix(".entry ").filter(|_| depth == 0) {
            let name = rest.split('(').next().unwrap_or_default().trim();
            entries.push((name.to_owned(), String::new()));
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
    entries.into_iter().map(|(name, entry)| (name, format!("{common}{entry}"))).collect()
}

#[cfg(test)]
mod tests {
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
        let expected = [("amax_f16", amax), ("global_scales", global_scales)];
        let expected = expected.map(|(name, entry)| (name.to_owned(), format!("{common}{entry}")));
        assert_eq!(modules(text), expected);
    }
}
