//! Which model a report is about, and when.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use fouroversix::checkpoint::Summary;
use serde_json::Value;

use super::escape::escaped;

/// The file that `quantize` leaves its figures in.
pub(super) const FIGURES: &str = "fouroversix.json";

/// Which model a report is about, and when.
#[derive(Debug)]
pub(super) struct About {
    /// The name of its directory.
    pub(super) model: String,
    /// What its configuration calls its kind.
    architecture: Option<String>,
    /// The program and version that quantized it.
    producer: Option<String>,
    /// When it was quantized: the day its figures were written.
    quantized: Option<String>,
    /// Today.
    reported: String,
}

impl About {
    /// About what is in `directory`.
    pub(super) fn of(directory: &Path, summary: &Summary) -> Self {
        let resolved = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
        let name = resolved.file_name().unwrap_or(resolved.as_os_str());
        let config: Option<Value> = read_file(&directory.join("config.json"))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        let written = fs::metadata(directory.join(FIGURES)).and_then(|meta| meta.modified());
        Self {
            model: name.to_string_lossy().into_owned(),
            architecture: config.as_ref().and_then(architecture),
            producer: producer(&summary.producer),
            quantized: written.ok().map(day),
            reported: day(SystemTime::now()),
        }
    }

    /// As a paragraph of the page.
    pub(super) fn line(&self) -> String {
        let mut parts: Vec<String> = self.architecture.iter().map(|kind| escaped(kind)).collect();
        let by = self.producer.iter().map(|name| format!(" by {}", escaped(name)));
        let by: String = by.collect();
        parts.extend(self.quantized.iter().map(|day| format!("quantized {day}{by}")));
        parts.push(format!("report of {}", self.reported));
        format!("<p>{}</p>", parts.join(" · "))
    }
}

fn architecture(config: &Value) -> Option<String> {
    let named = config.pointer("/architectures/0").or_else(|| config.get("model_type"));
    named.and_then(Value::as_str).map(str::to_owned)
}

fn producer(producer: &Value) -> Option<String> {
    let text = |field: &str| producer.get(field).and_then(Value::as_str);
    Some(format!("{} {}", text("name")?, text("version")?))
}

/// The day of a time in UTC, as `2026-01-31`.
fn day(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

/// A file's bytes; of a FIFO, which would be waited for, an error.
pub(super) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    fs::read(path)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let at = |seconds| day(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01");
        assert_eq!(at(951_868_799), "2000-02-29");
        assert_eq!(at(951_868_800), "2000-03-01");
    }
}
