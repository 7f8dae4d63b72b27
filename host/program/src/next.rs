//! What to look at once a command is done: commands that can be pasted as they stand.

use std::path::Path;

/// A line with a command of this program, called as this run called it, so that it works where this
/// run did; `what` says in a few words what it shows. Nothing where a path is no text.
pub(crate) fn ours(command: &str, paths: &[&Path], what: &str) -> String {
    let called = std::env::args_os().next().and_then(|name| name.into_string().ok());
    theirs(&format!("{} {command}", quoted(&called.unwrap_or("fouroversix".into()))), paths, what)
}

/// As [`ours`], of another program.
pub(crate) fn theirs(command: &str, paths: &[&Path], what: &str) -> String {
    let paths: Option<Vec<String>> = paths.iter().map(|path| path.to_str().map(quoted)).collect();
    paths.map_or(String::new(), |paths| format!("next: {command} {}  # {what}\n", paths.join(" ")))
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_what_was_meant() {
        for (word, text) in [
            ("target/out.safetensors", "target/out.safetensors"),
            ("", "''"),
            ("two words", "'two words'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("größe", "größe"),
        ] {
            assert_eq!(quoted(word), text);
        }
    }
}
