//! `report`: a quantized directory's error figures as a page and a table.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fouroversix::checkpoint::{REPORTS, Summary, TensorRecord, check_not_read};

use super::args::TalkArgs;
use super::error::{CliError, Outcome};
use super::print;
use about::{About, FIGURES, read_file};
use row::Row;

mod about;
mod escape;
mod page;
mod row;
mod svg;

/// Options of `report`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A directory that quantize wrote
    input: PathBuf,

    /// The page to write [default: fouroversix-report.html in the directory]
    #[arg(long)]
    html: Option<PathBuf>,

    /// The table to write [default: fouroversix-report.csv in the directory]
    #[arg(long)]
    csv: Option<PathBuf>,

    #[command(flatten)]
    talk: TalkArgs,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let summary = read_summary(&args.input)?;
    let rows = rows(&summary);
    if rows.is_empty() {
        return Err(CliError::said(format!(
            "{} has no error figures: quantize again without --no-figures",
            args.input.display()
        )));
    }
    let [html, csv] = REPORTS.map(|name| args.input.join(name));
    let (html, csv) = (args.html.clone().unwrap_or(html), args.csv.clone().unwrap_or(csv));
    let about = About::of(&args.input, &summary);
    check_not_read(&html, &args.input)?;
    check_not_read(&csv, &args.input)?;
    if place(&html) == place(&csv) {
        return Err(CliError::said(format!(
            "--html and --csv both name {}: choose two files",
            html.display()
        )));
    }
    let counts = summary.options.get("rule").is_none_or(|rule| print::counts_map4(rule));
    write(&html, &page::page(&about, &summary, &rows))?;
    write(&csv, &table(&rows, counts))?;
    tell(args.talk, &rows, &html, &csv).map_err(|error| CliError::output(error, &html))?;
    Ok(ExitCode::SUCCESS)
}

/// Where a file is or will be, links resolved as far as they lead somewhere.
fn place(path: &Path) -> PathBuf {
    let path: PathBuf = path.components().collect();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = fs::canonicalize(folder.unwrap_or(Path::new(".")));
    let there = || Some(folder.ok()?.join(path.file_name()?));
    fs::canonicalize(&path).ok().or_else(there).unwrap_or_else(|| path.clone())
}

fn tell(talk: TalkArgs, rows: &[Row<'_>], html: &Path, csv: &Path) -> io::Result<()> {
    let better = rows.iter().filter(|row| row.change() < 0.0).count();
    if talk.json {
        return print::json(&serde_json::json!({
            "tensors": rows.len(),
            "lower_error": better,
            "html": html,
            "csv": csv,
        }));
    }
    if talk.quiet {
        return Ok(());
    }
    print::line(&format!(
        "{better} of {} tensors have a lower error than with plain NVFP4\n{}\n{}",
        rows.len(),
        html.display(),
        csv.display()
    ))
}

fn rows(summary: &Summary) -> Vec<Row<'_>> {
    let row = |record| -> Option<Row<'_>> {
        let record: &TensorRecord = record;
        Some(Row { record, chosen: record.chosen?, plain: record.plain? })
    };
    summary.tensors.iter().filter_map(row).collect()
}

fn read_summary(directory: &Path) -> Result<Summary, CliError> {
    let path = directory.join(FIGURES);
    let text = read_file(&path).map_err(|error| {
        let path = path.display();
        let text = format!("cannot read {path}: {error}: pass a directory that quantize wrote");
        CliError::of("read", text)
    })?;
    serde_json::from_slice(&text).map_err(|error| {
        let path = path.display();
        let text = format!("{path} is not what quantize writes ({error}): quantize again");
        CliError::of("malformed", text)
    })
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    fs::write(path, text).map_err(|error| {
        let path = path.display();
        let text = format!("cannot write {path}: {error}: choose another with --html and --csv");
        CliError::of("write", text)
    })
}

/// A line for each tensor; the share of map4 is empty unless it `counts`.
fn table(rows: &[Row<'_>], counts: bool) -> String {
    let mut text = String::from(
        "tensor,rows,cols,dtype,group,amax,relative_mse,sqnr_db,max_error,map4_share,\
         plain_relative_mse,plain_sqnr_db,plain_max_error,change\n",
    );
    for row in rows {
        let record = row.record;
        let fields = [
            quoted(&record.name),
            record.shape[0].to_string(),
            record.shape[1].to_string(),
            record.dtype.clone(),
            quoted(record.group.as_deref().unwrap_or("")),
            record.amax.to_string(),
            row.chosen.relative_mse().to_string(),
            row.chosen.sqnr_db().to_string(),
            row.chosen.max_error.to_string(),
            if counts { row.chosen.map4_share().to_string() } else { String::new() },
            row.plain.relative_mse().to_string(),
            row.plain.sqnr_db().to_string(),
            row.plain.max_error.to_string(),
            row.change().to_string(),
        ];
        text += &fields.join(",");
        text.push('\n');
    }
    text
}

/// A CSV field that may hold anything.
fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
