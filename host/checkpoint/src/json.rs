//! JSON as Python reads and writes it: `Infinity`, `-Infinity` and `NaN` are numbers there.
//!
//! Numbers that this program could not write back as they were read (those three words, integers
//! beyond 64 bits, `1e-06`) are held as marked strings between [`read_object`] and [`pretty`]. Of keys that
//! are there twice the last counts, at the place of the first, as in Python; keys keep their order.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::error::CheckpointError;

/// What marked strings start with: a code point that is assigned to nobody.
pub(crate) const MARK: char = '\u{10FFFD}';

/// A JSON object from a file, or `None` when there is no file.
///
/// # Errors
/// [`CheckpointError::Read`] and [`CheckpointError::Malformed`].
pub(crate) fn read_object(path: &Path) -> Result<Option<Map<String, Value>>, CheckpointError> {
    match fs::metadata(path) {
        // Opening a FIFO would wait for a writer.
        Ok(kind) if !kind.is_file() => {
            return Err(CheckpointError::malformed(path, "it is not a file: replace it by one"));
        }
        Ok(_) => {}
        // What it says is unknown, which is not that it says nothing.
        Err(_) if fs::symlink_metadata(path).is_ok_and(|kind| kind.is_symlink()) => {
            return Err(CheckpointError::malformed(
                path,
                "it is a link to nothing: fetch what it leads to, or remove it",
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CheckpointError::read(path, error)),
    }
    let text = fs::read(path).map_err(|error| CheckpointError::read(path, error))?;
    parse(&text).map(Some).map_err(|problem| {
        CheckpointError::malformed(
            path,
            format!("it is not a JSON object ({problem}): fetch it again"),
        )
    })
}

/// The object in `text`.
fn parse(text: &[u8]) -> Result<Map<String, Value>, String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    if text.contains(MARK) || text.to_ascii_lowercase().contains("\\udbff\\udffd") {
        return Err(format!("it holds the code point U+{:X}", u32::from(MARK)));
    }
    serde_json::from_str(&marked(text)).map_err(|error| error.to_string())
}

/// `text` with the numbers that would change in writing as marked strings.
fn marked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        // A word before a colon stands where a key must be, and is none.
        let is_key = after.trim_start().starts_with(':');
        if is_word(first) && !is_key && !survives(token) {
            out.push('"');
            out.push(MARK);
            out.push_str(token);
            out.push('"');
        } else {
            out.push_str(token);
        }
        rest = after;
    }
    out
}

/// What numbers and literals are made of.
const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')
}

/// Bytes of the string literal that `text` starts with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether a word outside of strings may stay: it is written as it is read, or is no JSON at all.
fn survives(word: &str) -> bool {
    if matches!(word, "Infinity" | "-Infinity" | "NaN") {
        return false;
    }
    match serde_json::from_str::<Value>(word).map(|value| value.to_string()) {
        Ok(written) => written == word,
        // Numbers beyond a double's range are infinities to Python.
        Err(_) => !is_number(word),
    }
}

/// Whether `word` has the form of a JSON number.
fn is_number(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = word.strip_prefix('-').unwrap_or(word);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}

/// JSON as these files are usually written: two spaces, a newline at the end, numbers as they were
/// read.
pub(crate) fn pretty(value: &impl serde::Serialize) -> Vec<u8> {
    let text = serde_json::to_string_pretty(value).expect("maps with string keys are JSON");
    let mut out = String::with_capacity(text.len() + 1);
    let open = format!("\"{MARK}");
    let mut rest = text.as_str();
    while let Some((before, marked)) = rest.split_once(&open) {
        let (word, after) = marked.split_once('"').expect("marked strings hold no quotes");
        out.push_str(before);
        out.push_str(word);
        rest = after;
    }
    out.push_str(rest);
    out.push('\n');
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let object = parse(text.as_bytes()).unwrap();
        String::from_utf8(pretty(&object)).unwrap().split_whitespace().collect()
    }

    #[test]
    fn numbers_are_written_as_they_were_read() {
        for text in [
            "{\"a\":[0.0,Infinity,-Infinity,NaN],\"b\":{\"c\":NaN}}",
            "{\"a\":1e-06,\"b\":1E5,\"c\":1.50,\"d\":-0,\"e\":-0.0}",
            "{\"a\":123456789012345678901234567890,\"b\":18446744073709551615}",
            "{\"a\":1e999,\"b\":0.30000000000000004}",
            "{\"Infinity\":\"NaN,Infinity\",\"b\":\"\\\"NaN\",\"c\":\"1e-06\",\"d\":true,\"e\":null}",
        ] {
            assert_eq!(written(text), text);
        }
        assert_eq!(written("{\"a\":1,\"a\":Infinity}"), "{\"a\":Infinity}");
    }

    #[test]
    fn keys_keep_their_order() {
        let text = "{\"z\":{\"y\":1,\"b\":[{\"d\":0,\"c\":0}]},\"a\":2,\"m\":3}";
        assert_eq!(written(text), text);
        assert_eq!(written("{\"z\":1,\"a\":2,\"z\":3}"), "{\"z\":3,\"a\":2}");
    }

    #[test]
    fn what_python_refuses_is_refused() {
        for text in [
            "{\"a\":infinity}",
            "{\"a\":+1}",
            "{\"a\":01}",
            "{\"a\":.5}",
            "{\"a\":1.}",
            "[]",
            "{\"a\":\"x}",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(format!("{{\"a\":\"{MARK}NaN\"}}").as_bytes()).is_err());
        assert!(parse(b"{\"a\":\"\\uDBFF\\uDFFDNaN\"}").is_err());
        // A word where a key must be is no key.
        assert!(parse(b"{NaN:1}").is_err());
    }
}
