//! Patterns, against their definition.
#![no_main]

use fouroversix::checkpoint::Glob;
use libfuzzer_sys::fuzz_target;

/// By the table of all prefixes.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let mut row = vec![false; name.len() + 1];
    row[0] = true;
    for c in pattern {
        let mut next = vec![false; name.len() + 1];
        for n in 0..=name.len() {
            next[n] = match c {
                b'*' => row[n] || n > 0 && next[n - 1],
                b'?' => n > 0 && row[n - 1],
                c => n > 0 && row[n - 1] && name[n - 1] == *c,
            };
        }
        row = next;
    }
    row[name.len()]
}

fuzz_target!(|data: (&str, &str)| {
    let (pattern, name) = data;
    if pattern.len() > 64 || name.len() > 256 {
        return;
    }
    let glob = Glob::new(pattern);
    assert_eq!(glob.matches(name), matches(pattern.as_bytes(), name.as_bytes()));
    if glob.is_literal() {
        assert_eq!(glob.matches(name), pattern == name);
    }
});
