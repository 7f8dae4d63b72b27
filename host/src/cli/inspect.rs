//! `inspect`: what is in a checkpoint.

use std::path::PathBuf;
use std::process::ExitCode;

use fouroversix::Scaling;
use fouroversix::checkpoint::{
    Checkpoint, GlobalScale, Histograms, StoredName, StoredTensor, choices_from_codes,
};
use serde_json::{Value, json};

use super::args::TalkArgs;
use super::error::CliError;
use super::{Outcome, input, print};

/// Options of `inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A .safetensors file or a model directory, quantized or not
    input: PathBuf,

    #[command(flatten)]
    talk: TalkArgs,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let checkpoint = input::open(&args.input)?;
    let stored = checkpoint.stored_names();
    let parts: std::collections::HashSet<String> = stored
        .iter()
        .flat_map(|name| {
            let parts = name.format.part_names(&name.tensor);
            [parts.codes, parts.scales, parts.global]
        })
        .collect();
    let mut quantized = Vec::with_capacity(stored.len());
    for name in &stored {
        quantized.push((name, statistics(&checkpoint.stored(name)?)));
        checkpoint.release();
    }
    let others = || checkpoint.tensors().filter(|(_, entry)| !parts.contains(&entry.name));
    if args.talk.json {
        let quantized: Vec<Value> =
            quantized.iter().map(|(name, statistics)| statistics.json(name)).collect();
        let others: Vec<Value> = others()
            .map(|(_, e)| json!({"name": e.name, "dtype": e.dtype.name(), "shape": e.shape}))
            .collect();
        print::json(&json!({"quantized": quantized, "others": others}))?;
    } else if !args.talk.quiet {
        for (name, statistics) in &quantized {
            print::line(&statistics.text(name))?;
        }
        for (_, entry) in others() {
            print::line(&format!("{} {:?} {}", entry.name, entry.shape, entry.dtype))?;
        }
        totals(&checkpoint, &quantized)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn totals(
    checkpoint: &Checkpoint,
    quantized: &[(&StoredName, Statistics)],
) -> Result<(), CliError> {
    let bytes: u64 = checkpoint.tensors().map(|(_, entry)| entry.bytes()).sum();
    let (map4, blocks) =
        quantized.iter().fold((0, 0), |(map4, blocks), (_, s)| (map4 + s.map4, blocks + s.blocks));
    let share = if blocks == 0 { 0.0 } else { 100.0 * map4 as f64 / blocks as f64 };
    print::line(&format!(
        "{} files, {} tensors, {}; {} quantized tensors, {share:.1}% of their blocks map4",
        checkpoint.files().len(),
        checkpoint.tensors().count(),
        print::bytes(bytes),
        quantized.len()
    ))?;
    Ok(())
}

/// What the codes and scales of a tensor look like.
struct Statistics {
    shape: [usize; 2],
    global: GlobalScale,
    /// Smallest and largest block scale, as E4M3 bytes.
    scales: (u8, u8),
    zero_scales: usize,
    map4: u64,
    blocks: u64,
    histograms: Histograms,
}

fn statistics(stored: &StoredTensor<'_>) -> Statistics {
    // What made one choice is not stored; blocks of 1x16 are what every tensor has.
    let choices = choices_from_codes(stored.codes, stored.shape[1], Scaling::Tensor);
    Statistics {
        shape: stored.shape,
        global: stored.global.clone(),
        scales: (
            stored.scales.iter().copied().min().unwrap_or(0),
            stored.scales.iter().copied().max().unwrap_or(0),
        ),
        zero_scales: stored.scales.iter().filter(|&&scale| scale == 0).count(),
        map4: choices.map4,
        blocks: choices.blocks,
        histograms: Histograms::of(stored.codes, stored.scales),
    }
}

impl Statistics {
    fn map4_share(&self) -> f64 {
        if self.blocks == 0 { 0.0 } else { self.map4 as f64 / self.blocks as f64 }
    }

    /// Smallest and largest block scale as numbers: with a global scale of 1 that is what they are.
    fn scale_values(&self) -> (f32, f32) {
        let one = GlobalScale::Multiplier(vec![1.0]);
        (one.block_scale(0, self.scales.0), one.block_scale(0, self.scales.1))
    }

    fn json(&self, name: &StoredName) -> Value {
        let (low, high) = self.scale_values();
        json!({
            "name": name.tensor,
            "format": name.format.name(),
            "shape": self.shape,
            "global_scale": self.global.values(),
            "block_scale_min": low,
            "block_scale_max": high,
            "zero_block_scales": self.zero_scales,
            "map4_share": self.map4_share(),
            "histograms": self.histograms,
        })
    }

    fn text(&self, name: &StoredName) -> String {
        let (low, high) = self.scale_values();
        let global = match self.global.values() {
            [one] => format!("global scale {one}"),
            many => format!("{} row scales", many.len()),
        };
        format!(
            "{} {:?} NVFP4 ({}), {global}, block scales {low} to {high} ({} zero), map4 {:.1}%",
            name.tensor,
            self.shape,
            name.format,
            self.zero_scales,
            100.0 * self.map4_share()
        )
    }
}
