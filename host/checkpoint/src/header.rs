//! The header of a safetensors file: 8 bytes of length, JSON, then the tensors' bytes.
//!
//! Reading trusts nothing: every length, offset and shape is checked against the file before a byte
//! of it is used.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use fouroversix_core::InputType;

/// The longest header that readers of the format accept.
const MAX_HEADER: u64 = 100_000_000;

/// The element type of a stored tensor, by the name the format gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dtype(String);

impl Dtype {
    /// A type by its name in the format: `"BF16"`, `"F8_E4M3"`, …
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Bits an element takes, or `None` for a type this library has never heard of.
    #[must_use]
    pub fn bits(&self) -> Option<u64> {
        Some(match self.0.as_str() {
            "F4" => 4,
            "F6_E2M3" | "F6_E3M2" => 6,
            "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E5M2" | "F8_E8M0" | "F8_E4M3FNUZ"
            | "F8_E5M2FNUZ" => 8,
            "U16" | "I16" | "F16" | "BF16" => 16,
            "U32" | "I32" | "F32" => 32,
            "U64" | "I64" | "F64" | "C64" => 64,
            _ => return None,
        })
    }

    /// The quantizer's tag for it, where it can be quantized.
    #[must_use]
    pub fn input_type(&self) -> Option<InputType> {
        match self.0.as_str() {
            "BF16" => Some(InputType::Bf16),
            "F16" => Some(InputType::F16),
            "F32" => Some(InputType::F32),
            _ => None,
        }
    }
}

impl From<InputType> for Dtype {
    fn from(input: InputType) -> Self {
        Self::new(match input {
            InputType::Bf16 => "BF16",
            InputType::F16 => "F16",
            InputType::F32 => "F32",
        })
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One tensor as a header lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorEntry {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: Dtype,
    /// Its dimensions in elements, outermost first.
    pub shape: Vec<usize>,
    /// Its bytes, counted from the end of the header.
    pub range: Range<u64>,
}

impl TensorEntry {
    /// Bytes it takes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// What precedes the tensors' bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// The tensors, in the order their bytes lie.
    pub entries: Vec<TensorEntry>,
    /// The file's `__metadata__`.
    pub metadata: BTreeMap<String, String>,
    /// Where the first tensor's bytes start in the file.
    pub data_start: u64,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("tensors", &self.entries.len())
            .field("metadata", &self.metadata.keys())
            .field("data_start", &self.data_start)
            .finish_non_exhaustive()
    }
}

impl Header {
    /// Reads the header of `file`, the whole file's bytes.
    ///
    /// # Errors
    /// A sentence fragment that names the claim and the fact: a header longer than the file, JSON
    /// that isn't, a tensor whose offsets are out of the file, overlap, leave a hole, or disagree
    /// with its shape and type.
    pub fn parse(file: &[u8]) -> Result<Self, String> {
        let file_len = file.len() as u64;
        let Some((length, rest)) = file.split_first_chunk::<8>() else {
            return Err(format!(
                "the file has {file_len} bytes, too few for a safetensors header: fetch it again"
            ));
        };
        let length = u64::from_le_bytes(*length);
        if length > MAX_HEADER || length > rest.len() as u64 {
            return Err(format!(
                "the header claims {length} bytes but the file has {file_len}: the file is \
                 truncated or not safetensors, fetch it again"
            ));
        }
        // The check above bounds it by the slice's length.
        let length_bytes = length as usize;
        let json: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&rest[..length_bytes]).map_err(|error| {
                format!("the header is not JSON ({error}): the file is damaged, fetch it again")
            })?;
        let mut header = Self {
            entries: Vec::with_capacity(json.len()),
            data_start: 8 + length,
            ..Self::default()
        };
        for (name, value) in json {
            if name == "__metadata__" {
                // null is none, as to the safetensors package.
                let metadata: Option<_> = serde_json::from_value(value).map_err(|error| {
                    format!("the header's __metadata__ is not a map of strings ({error})")
                })?;
                header.metadata = metadata.unwrap_or_default();
            } else {
                header.entries.push(parse_entry(name, &value)?);
            }
        }
        header.entries.sort_by(|a, b| {
            (a.range.start, a.range.end, &a.name).cmp(&(b.range.start, b.range.end, &b.name))
        });
        header.check_layout(file_len - header.data_start)?;
        Ok(header)
    }

    /// The tensors' bytes must tile the data section: no overlap, no hole, no excess.
    fn check_layout(&self, data_len: u64) -> Result<(), String> {
        let mut end = 0;
        for entry in &self.entries {
            if entry.range.end > data_len {
                return Err(format!(
                    "tensor {} claims bytes {}..{} but the file holds {data_len} bytes of data: \
                     the file is truncated, fetch it again",
                    entry.name, entry.range.start, entry.range.end
                ));
            }
            if entry.range.start != end {
                let what = if entry.range.start < end { "overlaps" } else { "leaves a hole after" };
                return Err(format!(
                    "tensor {} starts at byte {} and {what} the tensor that ends at {end}: the \
                     header lies, fetch the file again",
                    entry.name, entry.range.start
                ));
            }
            end = entry.range.end;
        }
        if end != data_len {
            return Err(format!(
                "the tensors end at byte {end} but the file holds {data_len} bytes of data: the \
                 header lies, fetch the file again"
            ));
        }
        Ok(())
    }

    /// Lays `tensors` out one after the other and returns the header and its encoded bytes,
    /// length prefix included and padded with spaces to a multiple of 8.
    ///
    /// Wide types come first so that each tensor is aligned to its element; names break ties. The
    /// given ranges say nothing but, for types that [`Dtype::bits`] does not know, the length.
    #[must_use]
    pub fn layout(
        mut entries: Vec<TensorEntry>,
        metadata: BTreeMap<String, String>,
    ) -> (Self, Vec<u8>) {
        entries.sort_by(|a, b| {
            let bits = |entry: &TensorEntry| entry.dtype.bits().unwrap_or(0);
            (bits(b), &a.name).cmp(&(bits(a), &b.name))
        });
        let mut offset = 0;
        for entry in &mut entries {
            let bytes = entry
                .dtype
                .bits()
                .map_or(entry.bytes(), |bits| element_count(&entry.shape).unwrap_or(0) * bits / 8);
            entry.range = offset..offset + bytes;
            offset += bytes;
        }
        let mut header = Self { entries, metadata, data_start: 0 };
        let json = header.json();
        let padded = json.len().next_multiple_of(8);
        let mut encoded = Vec::with_capacity(8 + padded);
        encoded.extend_from_slice(&(padded as u64).to_le_bytes());
        encoded.extend_from_slice(json.as_bytes());
        encoded.resize(8 + padded, b' ');
        header.data_start = encoded.len() as u64;
        (header, encoded)
    }

    fn json(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut fields = Vec::with_capacity(self.entries.len() + 1);
        if !self.metadata.is_empty() {
            let pairs: Vec<String> = self
                .metadata
                .iter()
                .map(|(key, value)| format!("{}:{}", quoted(key), quoted(value)))
                .collect();
            fields.push(format!("\"__metadata__\":{{{}}}", pairs.join(",")));
        }
        for entry in &self.entries {
            fields.push(format!(
                "{}:{{\"dtype\":{},\"shape\":{},\"data_offsets\":[{},{}]}}",
                quoted(&entry.name),
                quoted(entry.dtype.name()),
                serde_json::Value::from(entry.shape.clone()),
                entry.range.start,
                entry.range.end
            ));
        }
        format!("{{{}}}", fields.join(","))
    }

    /// The tensor called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&TensorEntry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

/// Elements of a shape, unless they overflow.
pub(crate) fn element_count(shape: &[usize]) -> Option<u64> {
    shape.iter().try_fold(1_u64, |count, &length| count.checked_mul(length as u64))
}

fn parse_entry(name: String, value: &serde_json::Value) -> Result<TensorEntry, String> {
    let damaged = |what: &str| format!("tensor {name} has no valid {what}: fetch the file again");
    let dtype = value.get("dtype").and_then(|v| v.as_str()).ok_or_else(|| damaged("dtype"))?;
    let numbers = |field: &str| -> Option<Vec<u64>> {
        value.get(field)?.as_array()?.iter().map(serde_json::Value::as_u64).collect()
    };
    let shape: Vec<usize> = numbers("shape")
        .and_then(|lengths| lengths.into_iter().map(|n| usize::try_from(n).ok()).collect())
        .ok_or_else(|| damaged("shape"))?;
    let range = match numbers("data_offsets").as_deref() {
        Some(&[start, end]) if start <= end => start..end,
        _ => return Err(damaged("data_offsets")),
    };
    let dtype = Dtype::new(dtype);
    let held = range.end - range.start;
    if let Some(bits) = dtype.bits() {
        let needed = element_count(&shape).and_then(|count| count.checked_mul(bits));
        if needed.is_none_or(|needed| needed % 8 != 0 || needed / 8 != held) {
            return Err(format!(
                "tensor {name} claims shape {shape:?} of {dtype} but its offsets hold {held} \
                 bytes: the header lies, fetch the file again"
            ));
        }
    }
    Ok(TensorEntry { name, dtype, shape, range })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, dtype: &str, shape: &[usize]) -> TensorEntry {
        TensorEntry {
            name: name.to_owned(),
            dtype: Dtype::new(dtype),
            shape: shape.to_vec(),
            range: 0..0,
        }
    }

    fn file() -> Vec<u8> {
        let (header, mut bytes) = Header::layout(
            vec![
                entry("b", "U8", &[3]),
                entry("a", "F32", &[2, 2]),
                entry("empty", "BF16", &[0, 4]),
            ],
            BTreeMap::from([("format".to_owned(), "pt\"\n".to_owned())]),
        );
        bytes.resize(header.data_start as usize + 19, 7);
        bytes
    }

    #[test]
    fn layout_parses_back() {
        let bytes = file();
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(header.data_start % 8, 0);
        assert_eq!(header.metadata["format"], "pt\"\n");
        assert_eq!(header.get("a").unwrap().range, 0..16);
        assert_eq!(header.get("b").unwrap().range, 16..19);
        assert_eq!(header.get("empty").unwrap().shape, [0, 4]);
    }

    #[test]
    fn lies_are_refused() {
        let good = file();
        let json_end = Header::parse(&good).unwrap().data_start as usize;
        let lie = |from: &str, to: &str| {
            let json = std::str::from_utf8(&good[8..json_end]).unwrap().replace(from, to);
            assert_ne!(json.as_bytes(), &good[8..json_end], "{from} is not in the header");
            let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
            bytes.extend_from_slice(json.as_bytes());
            bytes.extend_from_slice(&good[json_end..]);
            Header::parse(&bytes).unwrap_err()
        };
        assert!(lie("{\"format\":\"pt\\\"\\n\"}", "{\"format\":1}").contains("map of strings"));
        assert!(lie("[2,2]", "[2,3]").contains("[2, 3]"));
        assert!(lie("[2,2]", "[18446744073709551615,2]").contains("a claims shape"));
        assert!(lie("[16,19]", "[15,18]").contains("overlaps"));
        assert!(lie("[16,19]", "[17,20]").contains("b claims bytes 17..20"));
        assert!(lie("[0,16]", "[16,0]").contains("data_offsets"));
        assert!(lie("\"F32\"", "32").contains("dtype"));
        assert!(lie("{", "[").contains("not JSON"));
        assert!(Header::parse(&good[..good.len() - 1]).unwrap_err().contains("truncated"));
        assert!(Header::parse(&good[..20]).unwrap_err().contains("header claims"));
        assert!(Header::parse(&good[..7]).unwrap_err().contains("7 bytes"));
        let mut long = good.clone();
        long.push(0);
        assert!(Header::parse(&long).unwrap_err().contains("end at byte 19"));
    }
}
