//! `inspect`: what is in a checkpoint.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;

use fouroversix::Scaling;
use fouroversix::checkpoint::{
    Checkpoint, Histograms, Quantization, Role, StoredGlobal, StoredName, StoredTensor,
    TensorEntry, choices_from_codes,
};
use serde_json::{Value, json};

use super::args::TalkArgs;
use super::error::{CliError, Outcome};
use super::{input, print};

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
    let quantization = Quantization::of(&checkpoint)?;
    let (mut quantized, mut others, mut parts) = (Vec::new(), Vec::new(), HashSet::new());
    for ((_, entry), role) in checkpoint.tensors().zip(&quantization.roles) {
        let Role::Codes(name) = role else { continue };
        match checkpoint.stored(name) {
            Ok(stored) => {
                quantized.push((name, statistics(&stored)));
                parts.insert(name.tensor.as_str());
            }
            Err(error) => others.push((entry, format!("NVFP4 codes, not readable: {error}"))),
        }
        checkpoint.release();
    }
    for ((_, entry), role) in checkpoint.tensors().zip(&quantization.roles) {
        match role {
            Role::Codes(_) => {}
            Role::Part(of) if parts.contains(of.as_str()) => {}
            Role::Plain => others.push((entry, String::new())),
            _ => others.push((entry, role.describe())),
        }
    }
    if args.talk.json {
        print::json(&report(&quantization, &quantized, &others))?;
    } else if !args.talk.quiet {
        for declared in &quantization.declarations {
            print::line(&format!("{} declares {}", declared.place, declared.method))?;
        }
        for (name, statistics) in &quantized {
            print::line(&statistics.text(name))?;
        }
        for (entry, note) in &others {
            let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
            print::line(&format!("{} {:?} {}{note}", entry.name, entry.shape, entry.dtype))?;
        }
        totals(&checkpoint, &quantized)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn report(
    quantization: &Quantization,
    quantized: &[(&StoredName, Statistics)],
    others: &[(&TensorEntry, String)],
) -> Value {
    let declared: Vec<Value> = quantization
        .declarations
        .iter()
        .map(|declared| json!({"place": declared.place, "method": declared.method}))
        .collect();
    let quantized: Vec<Value> =
        quantized.iter().map(|(name, statistics)| statistics.json(name)).collect();
    let others: Vec<Value> = others
        .iter()
        .map(|(e, note)| {
            let mut other = json!({"name": e.name, "dtype": e.dtype.name(), "shape": e.shape});
            if !note.is_empty() {
                other["role"] = note.as_str().into();
            }
            other
        })
        .collect();
    json!({"declared": declared, "quantized": quantized, "others": others})
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
        "{} files, {} tensors, {}; {} quantized tensors, {share:.1}% of their blocks \
         have 4 as largest code",
        checkpoint.files().len(),
        checkpoint.tensors().count(),
        print::bytes(bytes),
        quantized.len()
    ))?;
    Ok(())
}

/// What the codes and scales of a tensor look like.
struct Statistics {
    shape: Vec<usize>,
    global: StoredGlobal,
    /// Smallest and largest block scale, as E4M3 bytes, of those that are numbers and not negative.
    scales: (u8, u8),
    zero_scales: usize,
    /// Block scales that are NaN or negative.
    odd_scales: usize,
    map4: u64,
    blocks: u64,
    histograms: Histograms,
}

fn statistics(stored: &StoredTensor<'_>) -> Statistics {
    // What made one choice is not stored; blocks of 1x16 are what every tensor has.
    let choices = choices_from_codes(stored.codes, stored.shape[1], Scaling::Tensor);
    let sound = || stored.scales.iter().copied().filter(|&scale| scale < 0x7F);
    Statistics {
        shape: stored.dimensions(),
        global: stored.global.clone(),
        scales: (sound().min().unwrap_or(0), sound().max().unwrap_or(0)),
        odd_scales: stored.scales.len() - sound().count(),
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
        let one = StoredGlobal::Multiplier(vec![1.0]);
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
            "odd_block_scales": self.odd_scales,
            "map4_share": self.map4_share(),
            "histograms": self.histograms,
        })
    }

    fn text(&self, name: &StoredName) -> String {
        let (low, high) = self.scale_values();
        let global = match self.global.values() {
            [one] => format!("global scale {one}"),
            many => format!("{} global scales", many.len()),
        };
        let odd = match self.odd_scales {
            0 => String::new(),
            odd => format!(", {odd} NaN or negative"),
        };
        format!(
            "{} {:?} NVFP4 ({}), {global}, block scales {low} to {high} ({} zero{odd}), \
             largest code 4 in {:.1}% of blocks",
            name.tensor,
            self.shape,
            name.format,
            self.zero_scales,
            100.0 * self.map4_share()
        )
    }
}
