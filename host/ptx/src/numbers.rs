//! Numbers of registers and labels, as archives have them: each by how much it differs from the last of its
//! kind, with a sign. Kernels that do the same in other registers are then the same text, and compress.

use std::collections::HashMap;
use std::fmt::Write;

/// Rewrites each number that follows a kind of register (`%rd`) or label (`$L`). `new` takes the last number
/// of its kind and the digits, with a sign if there is one, and gives the number and what to write; `None`
/// leaves them as they are.
fn rewrite(text: &str, new: impl Fn(i64, &str) -> Option<(i64, String)>) -> String {
    let mut last: HashMap<&str, i64> = HashMap::new();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(['%', '$']) {
        let name = &rest[start + 1..];
        let letters = name.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(name.len());
        let (kind, after) = (&rest[start..start + 1 + letters], &name[letters..]);
        let sign = usize::from(after.starts_with(['+', '-']));
        let digits = after[sign..].find(|c: char| !c.is_ascii_digit());
        let digits = &after[..sign + digits.unwrap_or(after.len() - sign)];
        out += &rest[..start + 1 + letters];
        rest = after;
        let known = last.entry(kind).or_default();
        if let Some((number, written)) = new(*known, digits) {
            *known = number;
            out += &written;
            rest = &after[digits.len()..];
        }
    }
    out + rest
}

/// The text that an archive's is made from.
#[allow(dead_code, reason = "whoever packs needs only the other one")]
pub(crate) fn absolute(text: &str) -> String {
    rewrite(text, |last, digits| {
        let signed = digits.starts_with(['+', '-']);
        let number = last + digits.parse::<i64>().ok().filter(|_| signed)?;
        Some((number, number.to_string()))
    })
}

/// The text as an archive has it.
#[allow(dead_code, reason = "whoever unpacks needs only the other one")]
pub(crate) fn relative(text: &str) -> String {
    rewrite(text, |last, digits| {
        let number = digits.parse::<i64>().ok().filter(|_| !digits.starts_with(['+', '-']))?;
        let mut written = String::new();
        write!(written, "{:+}", number - last).ok()?;
        Some((number, written))
    })
}

#[cfg(test)]
mod tests {
    use super::{absolute, relative};

    #[test]
    fn numbers_become_differences_and_back() {
        let text = "add.s32 %r12, %r7, %r12;\nld.b32 %r13, [%rd2+16];\nmov.u32 %r3, %tid.x;\n@%p1 bra $L4;\n";
        let packed = "add.s32 %r+12, %r-5, %r+5;\nld.b32 %r+1, [%rd+2+16];\nmov.u32 %r-10, %tid.x;\n@%p+1 bra $L+4;\n";
        assert_eq!(relative(text), packed);
        assert_eq!(absolute(packed), text);
        assert_eq!(absolute(&relative("%r<7>; $ %")), "%r<7>; $ %");
    }
}
