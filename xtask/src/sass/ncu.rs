//! The hardware's own count beside the walker's.
//!
//! Reads what `scripts/ncu_instructions.sh` writes: Nsight Compute's CSV with
//! `smsp__inst_executed.sum`, a launch a row. On certain data the counts must agree. Random data take
//! some warps off the hot path: near ties, and with row scaling the block of each row's maximum, for
//! which both candidates have the scale 448 and stand for the same values.
//!
//! The driver assembles PTX by the assembler of its own CUDA release: `--tools` names that one.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use fouroversix_core::Kernel;
use fouroversix_core::kernel::Operation;

use super::kernel::ELEMENTS;
use super::measure::Measured;

/// How far the counts may lie apart, on the data that must agree.
const WANTED: f64 = 0.02;
const JUDGED: &str = "certain";
const METRIC: &str = "smsp__inst_executed.sum";

/// Prints both counts for each kernel; an error if a pair that must agree does not.
pub(crate) fn compare(files: &[PathBuf], measured: &[Measured]) -> Result<(), String> {
    let warps = ELEMENTS as f64 / 16.0 / 32.0;
    let mut wrong = Vec::new();
    println!("| kernel | data | walked | executed | difference |\n|---|---|---:|---:|---:|");
    for file in files {
        let text = fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        let data = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut compared = 0;
        for (kernel, executed) in executed(&text)? {
            if !kernel.quantizes() && kernel.operation() != Operation::Dequantize {
                continue; // Blocks for a thread depend on the GPU.
            }
            let on_h100 = |m: &&Measured| m.kernel == kernel && m.arch == "sm_90";
            let Some(measured) = measured.iter().find(on_h100) else { continue };
            let Some(walked) = &measured.walked else { continue };
            let walked = walked.hot as f64 / f64::from(walked.work.blocks);
            let executed = executed / warps;
            let difference = executed / walked - 1.0;
            println!(
                "| {kernel} | {data} | {walked:.1} | {executed:.1} | {:+.1}% |",
                difference * 100.0
            );
            compared += 1;
            if data == JUDGED && difference.abs() > WANTED {
                wrong.push(kernel.to_string());
            }
        }
        if compared == 0 {
            return Err(format!("{}: no launch of a kernel that is known", file.display()));
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("more than {}% apart: {}", WANTED * 100.0, wrong.join(", ")))
    }
}

/// Counts of our kernels.
fn executed(text: &str) -> Result<BTreeMap<Kernel, f64>, String> {
    let mut lines = text.lines().map(fields).skip_while(|f| !f.iter().any(|x| x == "Metric Name"));
    let header = lines.next().ok_or("no column Metric Name: is this ncu --csv?")?;
    let column = |name: &str| {
        header.iter().position(|x| x == name).ok_or(format!("no column {name:?} in ncu's CSV"))
    };
    let (kernel, metric, value) =
        (column("Kernel Name")?, column("Metric Name")?, column("Metric Value")?);
    let mut counts = BTreeMap::new();
    for line in lines.filter(|line| line.get(metric).is_some_and(|m| m == METRIC)) {
        let number = line.get(value).map(|v| v.replace(',', "")).unwrap_or_default();
        let number = number.parse().map_err(|_| format!("not a number: {number:?}"))?;
        // Launches of others (cuBLAS, copies) are in the file too.
        if let Some(kernel) = Kernel::from_name(&line[kernel]) {
            counts.insert(kernel, number);
        }
    }
    Ok(counts)
}

/// The fields of a line of CSV with double quotes.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => {
                let last = fields.len() - 1;
                fields[last].push(c);
            }
        }
    }
    fields
}
