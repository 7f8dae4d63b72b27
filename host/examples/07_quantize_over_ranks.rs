//! Quantizes a tensor that is cut over all GPUs of the host, by rows and by columns: the shards'
//! bytes, put together, are those of the whole tensor. First one process with a thread for each GPU,
//! then a process for each.
//!
//! `cargo run --release -p fouroversix --features cudarc,nccl --example 07_quantize_over_ranks`

use std::error::Error;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use cudarc::driver::DevicePtr;
use fouroversix::cuda::{
    AmaxReduction, AmaxSource, Device, NcclCommunicator, NcclId, Split, device_count,
};
use fouroversix::{Config, InputType, Nvfp4Tensor, Outputs, Quantized, Rule, ScaleLayout, Scaling};

const SHAPE: [usize; 2] = [4096, 2048];

type Fault = Box<dyn Error + Send + Sync>;
/// Codes and scales of the rowwise output and of the columnwise one.
type Bytes = [Vec<u8>; 4];

fn config() -> Result<Config, Fault> {
    Ok(Config::new(Rule::MSE, Scaling::Tensor, Outputs::Both, ScaleLayout::Linear)?)
}

/// The part of the tensor that a rank has. Its largest element is in the last shard.
fn shard(split: Split, rank: usize, ranks: usize) -> (Vec<f32>, [usize; 2]) {
    let [rows, cols] = SHAPE;
    // Multiples of 16; they need not be alike, or hold anything at all.
    let cut =
        |length: usize| length / 16 * rank / ranks * 16..length / 16 * (rank + 1) / ranks * 16;
    let (rows, cols) = match split {
        Split::Rows => (cut(rows), 0..cols),
        Split::Columns => (0..rows, cut(cols)),
    };
    let element = |i: usize| (i as f32 * 0.37).sin() * (1.0 + i as f32 * 1e-6);
    let shape = [rows.len(), cols.len()];
    let of_row = |row| cols.clone().map(move |col| element(row * SHAPE[1] + col));
    (rows.flat_map(of_row).collect(), shape)
}

/// What a rank does: its shards' quantizations, cut by rows and by columns.
fn rank(number: usize, ranks: usize, id: NcclId) -> Result<Vec<Bytes>, Fault> {
    let device = Device::new(number)?;
    let others = NcclCommunicator::join(&device, id, number, ranks)?;
    let stream = device.stream()?;
    let quantize = |split| {
        let (input, shape) = shard(split, number, ranks);
        // Prepared once, launched for every tensor of this shape.
        let quantizer =
            device.quantizer(&config()?, InputType::F32, shape, AmaxSource::InputApart)?;
        let reduction = AmaxReduction::new(&quantizer, split)?;
        let out = quantizer.allocate(&stream)?;
        let amaxes = stream.alloc_zeros::<f32>(reduction.count().max(1))?;
        // An empty shard has no memory of its own; its rank takes part all the same.
        let on_device = stream.clone_htod(if input.is_empty() { &[0.0][..] } else { &input })?;
        let mut at = out.addresses(&stream);
        at.input = on_device.device_ptr(&stream).0;
        let room = amaxes.device_ptr(&stream).0;
        // SAFETY: the memory has the lengths that the shape asks for and was allocated on the
        // stream; every rank enqueues the same.
        unsafe {
            quantizer.launch_amax(&at, &stream)?;
            reduction.launch(&[at.workspace], room, 0, &others, &stream)?;
            quantizer.launch_quantize(&at, &stream)?;
        }
        Ok::<_, Fault>(bytes(&out.to_host(&stream)?))
    };
    [Split::Rows, Split::Columns].into_iter().map(quantize).collect()
}

fn bytes(quantized: &Quantized) -> Bytes {
    let part = |tensor: &Option<Nvfp4Tensor>| {
        let tensor = tensor.as_ref().expect("both outputs are configured");
        [tensor.codes().to_vec(), tensor.scales().to_vec()]
    };
    let ([a, b], [c, d]) = (part(&quantized.rowwise), part(&quantized.columnwise));
    [a, b, c, d]
}

/// Compares the shards of all ranks, put together, with the whole tensor's bytes.
fn compare(how: &str, shards: &[Vec<Bytes>], whole: &Bytes) {
    for (i, split) in [Split::Rows, Split::Columns].into_iter().enumerate() {
        for part in 0..4 {
            // A line is a row, of the columnwise output a column.
            let (lines, cut_by_line) =
                if part < 2 { (SHAPE[0], Split::Rows) } else { (SHAPE[1], Split::Columns) };
            let of_ranks = || shards.iter().map(|shards| &shards[i][part]);
            let line = |line: usize| {
                let of_rank = move |it: &Vec<u8>| {
                    let length = it.len() / lines;
                    it[line * length..(line + 1) * length].to_vec()
                };
                of_ranks().flat_map(of_rank).collect::<Vec<u8>>()
            };
            let joined: Vec<u8> = match split == cut_by_line {
                true => of_ranks().flatten().copied().collect(),
                false => (0..lines).flat_map(line).collect(),
            };
            assert!(joined == whole[part], "{how}, cut by {split:?}: part {part} differs");
        }
    }
    println!("{how}: the shards of {} ranks are the whole tensor, bit for bit", shards.len());
}

/// A process for each GPU: this program, with its rank and the id on standard input.
fn processes(ranks: usize) -> Result<Vec<Vec<Bytes>>, Fault> {
    let id = NcclId::new()?.to_bytes();
    let mut running = Vec::new();
    for number in 0..ranks {
        let mut process = Command::new(std::env::current_exe()?)
            .args([number.to_string(), ranks.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        process.stdin.take().expect("it is piped").write_all(&id)?;
        running.push(process);
    }
    // Each is listened to by a thread: none may wait for its reader while others wait for it.
    let listen = |process: std::process::Child| {
        std::thread::spawn(move || {
            let said = process.wait_with_output()?;
            let mut left = said.stdout.as_slice();
            let mut next = || {
                let length = left.split_off(..8).expect("a length");
                let length = u64::from_le_bytes(length.try_into().expect("8 bytes")) as usize;
                left.split_off(..length).expect("as many bytes").to_vec()
            };
            match said.status.success() {
                true => Ok((0..2).map(|_| std::array::from_fn(|_| next())).collect()),
                false => Err(Fault::from("a rank's process failed")),
            }
        })
    };
    let threads: Vec<_> = running.into_iter().map(listen).collect();
    threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
}

fn main() -> Result<(), Fault> {
    let arguments: Vec<usize> = std::env::args().skip(1).filter_map(|it| it.parse().ok()).collect();
    if let [number, ranks] = arguments[..] {
        let mut id = [0; NcclId::BYTES];
        std::io::stdin().read_exact(&mut id)?;
        for part in rank(number, ranks, NcclId::from_bytes(id))?.iter().flatten() {
            std::io::stdout().write_all(&(part.len() as u64).to_le_bytes())?;
            std::io::stdout().write_all(part)?;
        }
        return Ok(());
    }
    let found = device_count().and_then(|count| NcclId::new().map(|_| count));
    let ranks = found.inspect_err(|error| eprintln!("nothing to show: {error}")).unwrap_or(0);
    if ranks == 0 {
        return Ok(());
    }
    let (input, shape) = shard(Split::Rows, 0, 1);
    let whole = bytes(&Device::new(0)?.quantize_outputs(&input, shape, &config()?, None)?);
    let id = NcclId::new()?;
    let threads: Vec<_> =
        (0..ranks).map(|number| std::thread::spawn(move || rank(number, ranks, id))).collect();
    let shards = threads.into_iter().map(|thread| thread.join().expect("it does not panic"));
    compare("one process", &shards.collect::<Result<Vec<_>, _>>()?, &whole);
    compare("a process for each GPU", &processes(ranks)?, &whole);
    Ok(())
}
