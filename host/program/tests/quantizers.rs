//! Quantizers that fail midway: the CPU goes on with the same bytes, or the error says what to do
//! and keeps what is finished.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fouroversix::checkpoint::{
    Checkpoint, CheckpointError, CpuQuantizer, Fuse, Observer, OrCpu, QuantizeOptions,
    QuantizePanels, Several, Summary, TensorRecord, Values, quantize_checkpoint,
};
use fouroversix::cuda::DeviceError;
use fouroversix::{Amax, Choices, Config, Error, Nvfp4Mut, Rule, Scaling, ShapeError};

use crate::common::{Folder, contents, weights, write_model, write_safetensors};

/// A device that serves some panels and then fails, leaving wrong bytes behind.
struct Failing {
    panels_left: usize,
    code: &'static str,
}

impl QuantizePanels for Failing {
    fn name(&self) -> String {
        "cuda:7 (a double)".to_owned()
    }

    /// Small, so that tensors have several panels.
    fn panel_bytes(&self) -> usize {
        4096
    }

    fn quantize(
        &mut self,
        values: Values<'_>,
        shape: [usize; 2],
        config: &Config,
        amax: Amax<'_>,
        out: Nvfp4Mut<'_>,
    ) -> Result<Choices, Error> {
        if self.panels_left == 0 {
            out.codes.fill(0xA5);
            out.scales.fill(0x5A);
            out.global_amax.fill(-1.0);
            return Err(Error::from(DeviceError::Driver {
                action: "allocate device memory",
                code: self.code.to_owned(),
                description: "said by a double".to_owned(),
            }));
        }
        self.panels_left -= 1;
        CpuQuantizer.quantize(values, shape, config, amax, out)
    }
}

#[derive(Default)]
struct Notes(Vec<String>);

impl Observer for Notes {
    fn advance(&mut self, _: u64) {}
    fn tensor(&mut self, _: &TensorRecord) {}
    fn note(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

/// Every file but the error figures, whose sums depend on the panels in the last digit.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = contents(folder);
    assert!(files.remove(Path::new("fouroversix.json")).is_some());
    files
}

fn options(scaling: Scaling) -> QuantizeOptions {
    QuantizeOptions::default()
        .with_scaling(scaling)
        .with_fuse(Fuse::Experts)
        .with_max_shard_bytes(30_000)
}

fn quantize(
    input: &Path,
    output: &Path,
    scaling: Scaling,
    quantizer: &mut dyn QuantizePanels,
    notes: &mut Notes,
) -> Result<Summary, CheckpointError> {
    let checkpoint = Checkpoint::open(input)?;
    quantize_checkpoint(&checkpoint, output, &options(scaling), quantizer, notes)
}

#[test]
fn the_cpu_goes_on_with_the_same_bytes() {
    let folder = Folder::new();
    let (model, expected) = (folder.path("model"), folder.path("expected"));
    write_model(&model, 2, 64);
    quantize(&model, &expected, Scaling::Tensor, &mut CpuQuantizer, &mut Notes::default()).unwrap();
    let expected = files(&expected);
    // The first panel, one in the middle of a tensor and of a shard, the plain rule's turn, never.
    for (panels_left, fails) in [(0, true), (5, true), (8, true), (10_000, false)] {
        let output = folder.path(&format!("out{panels_left}"));
        let code = "CUDA_ERROR_OUT_OF_MEMORY";
        let mut quantizer = OrCpu::new(Failing { panels_left, code });
        let mut notes = Notes::default();
        quantize(&model, &output, Scaling::Tensor, &mut quantizer, &mut notes).unwrap();
        assert!(files(&output) == expected, "failed at panel {panels_left}");
        let told: Vec<&String> = notes.0.iter().filter(|note| note.contains(code)).collect();
        assert_eq!(told.len(), usize::from(fails), "{:?}", notes.0);
        if fails {
            assert!(told[0].contains(": cpu (") && told[0].ends_with(" goes on"), "{told:?}");
            assert!(quantizer.name().starts_with("cuda:7 (a double), then cpu ("));
            assert!(quantizer.replaced().unwrap().contains(code));
        } else {
            assert_eq!(quantizer.name(), "cuda:7 (a double)");
            assert_eq!(quantizer.replaced(), None);
        }
    }
}

/// Someone who writes to the output's place while a run goes on.
struct Meddler<'a>(&'a dyn Fn());

impl Observer for Meddler<'_> {
    fn advance(&mut self, _: u64) {}
    fn tensor(&mut self, _: &TensorRecord) {
        (self.0)();
    }
    fn note(&mut self, _: &str) {}
}

#[test]
fn what_is_put_in_the_outputs_place_meanwhile_stays() {
    let folder = Folder::new();
    let (model, file) = (folder.path("model"), folder.path("x.safetensors"));
    write_model(&model, 2, 64);
    write_safetensors(&file, &[weights("a", &[96, 96])]);
    let run = |input: &Path, output: &Path, force, put: &dyn Fn()| {
        let options = options(Scaling::Tensor).with_force(force);
        let checkpoint = Checkpoint::open(input).unwrap();
        quantize_checkpoint(&checkpoint, output, &options, &mut CpuQuantizer, &mut Meddler(put))
    };
    for force in [false, true] {
        let output = folder.path(&format!("out-{force}"));
        let thesis = output.join("thesis.txt");
        let put = || {
            std::fs::create_dir_all(&output).unwrap();
            std::fs::write(&thesis, "years of work").unwrap();
        };
        let error = run(&model, &output, force, &put).unwrap_err();
        assert!(error.to_string().contains("exists"), "{error}");
        assert_eq!(std::fs::read(&thesis).unwrap(), b"years of work");
        // What was finished is kept.
        std::fs::remove_dir_all(&output).unwrap();
        let mut notes = Notes::default();
        quantize(&model, &output, Scaling::Tensor, &mut CpuQuantizer, &mut notes).unwrap();
        let kept = notes.0.iter().filter(|note| note.contains("was finished before: kept"));
        assert!(kept.count() > 1, "{:?}", notes.0);
    }
    let put = || std::fs::write(folder.path("y.safetensors"), "years of work").unwrap();
    for force in [false, true] {
        let error = run(&file, &folder.path("y.safetensors"), force, &put).unwrap_err();
        assert!(error.to_string().contains("exists"), "{error}");
        assert_eq!(std::fs::read(folder.path("y.safetensors")).unwrap(), b"years of work");
        std::fs::remove_file(folder.path("y.safetensors")).unwrap();
    }
}

#[test]
fn an_input_that_is_shortened_meanwhile_costs_no_finished_shard() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 2, 64);
    let last = model.join("model-00002-of-00002.safetensors");
    let (whole, written) = (std::fs::read(&last).unwrap(), modified(&last));
    let checkpoint = Checkpoint::open(&model).unwrap();
    let cut = || std::fs::OpenOptions::new().write(true).open(&last).unwrap().set_len(64).unwrap();
    let mut meddler = Meddler(&cut);
    // Small shards: some are finished when the second file's turn comes.
    let options = options(Scaling::Tensor).with_max_shard_bytes(9_000);
    let mut quantizer = CpuQuantizer;
    let error = quantize_checkpoint(&checkpoint, &output, &options, &mut quantizer, &mut meddler)
        .unwrap_err();
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(said.contains("shortened"), "{said}");
    // As it comes back with a lost mount.
    std::fs::write(&last, whole).unwrap();
    std::fs::File::open(&last).unwrap().set_modified(written).unwrap();
    let (checkpoint, mut notes) = (Checkpoint::open(&model).unwrap(), Notes::default());
    quantize_checkpoint(&checkpoint, &output, &options, &mut quantizer, &mut notes).unwrap();
    assert!(notes.0.iter().any(|note| note.contains("was finished before: kept")), "{:?}", notes.0);
}

fn modified(path: &Path) -> std::time::SystemTime {
    std::fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn files_of_every_scaling_survive_a_lost_device() {
    let folder = Folder::new();
    let input = folder.path("in.safetensors");
    write_safetensors(&input, &[weights("a", &[96, 96]), weights("b", &[32, 64])]);
    for (i, scaling) in [Scaling::Tensor, Scaling::Row, Scaling::Tile].into_iter().enumerate() {
        let outputs = [folder.path(&format!("cpu{i}")), folder.path(&format!("lost{i}"))];
        let mut notes = Notes::default();
        quantize(&input, &outputs[0], scaling, &mut CpuQuantizer, &mut notes).unwrap();
        let failing = Failing { panels_left: 3, code: "CUDA_ERROR_ILLEGAL_ADDRESS" };
        quantize(&input, &outputs[1], scaling, &mut OrCpu::new(failing), &mut notes).unwrap();
        let [expected, found] = outputs.map(|path| std::fs::read(path).unwrap());
        assert!(expected == found, "{scaling:?}");
        assert_eq!(notes.0.len(), 1);
    }
}

#[test]
fn a_device_that_was_asked_for_fails_and_leaves_finished_shards() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 2, 64);
    let mut notes = Notes::default();
    let mut failing = Failing { panels_left: 24, code: "CUDA_ERROR_OUT_OF_MEMORY" };
    let error = quantize(&model, &output, Scaling::Tensor, &mut failing, &mut notes).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("CUDA_ERROR_OUT_OF_MEMORY"), "{said}");
    assert!(matches!(error, CheckpointError::Quantize(Error::Device(_))));
    assert!(!output.exists() && !notes.0.iter().any(|note| note.contains("finished")));
    quantize(&model, &output, Scaling::Tensor, &mut CpuQuantizer, &mut notes).unwrap();
    assert!(notes.0.iter().any(|note| note.contains("was finished before: kept")), "{:?}", notes.0);
    let expected = folder.path("expected");
    quantize(&model, &expected, Scaling::Tensor, &mut CpuQuantizer, &mut notes).unwrap();
    assert!(files(&output) == files(&expected));
}

#[test]
fn errors_of_the_input_are_not_taken_for_the_devices() {
    let mut quantizer = OrCpu::new(CpuQuantizer);
    let values = [half::bf16::ONE; 20];
    let (mut codes, mut scales, mut global_amax) = ([0; 10], [0; 1], [0.0]);
    let out = Nvfp4Mut { codes: &mut codes, scales: &mut scales, global_amax: &mut global_amax };
    let config = Config::rowwise(Rule::Plain);
    let values = Values::Bf16(&values);
    let error = quantizer.quantize(values, [1, 20], &config, Amax::Tensor(1.0), out).unwrap_err();
    let refused = ShapeError::Dimension { dimension: "columns", length: 20, multiple: 16 };
    assert!(matches!(error, Error::Shape(error) if error == refused), "{error}");
    assert_eq!(quantizer.replaced(), None);
}

/// One of several devices: of its own speed, with panels as small as those of [`Failing`].
struct OneOf {
    number: u64,
    panels: Arc<AtomicUsize>,
}

impl QuantizePanels for OneOf {
    fn name(&self) -> String {
        format!("cuda:{} (a double)", self.number)
    }

    fn panel_bytes(&self) -> usize {
        4096
    }

    fn quantize(
        &mut self,
        values: Values<'_>,
        shape: [usize; 2],
        config: &Config,
        amax: Amax<'_>,
        out: Nvfp4Mut<'_>,
    ) -> Result<Choices, Error> {
        self.panels.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_micros(50 + 100 * self.number));
        CpuQuantizer.quantize(values, shape, config, amax, out)
    }
}

fn several(members: Vec<Box<dyn QuantizePanels>>) -> Several {
    Several::new(members, "doubles".to_owned())
}

#[test]
fn several_devices_make_the_bytes_of_one() {
    let folder = Folder::new();
    let (model, expected) = (folder.path("model"), folder.path("expected"));
    write_model(&model, 4, 64);
    let mut alone = OneOf { number: 0, panels: Arc::default() };
    quantize(&model, &expected, Scaling::Tensor, &mut alone, &mut Notes::default()).unwrap();
    let all = alone.panels.load(Ordering::Relaxed);
    let file = folder.path("in.safetensors");
    write_safetensors(&file, &[weights("a", &[96, 96]), weights("b", &[32, 64])]);
    for count in [1, 2, 5] {
        let output = folder.path(&format!("out{count}"));
        let panels: Vec<Arc<AtomicUsize>> = (0..count).map(|_| Arc::default()).collect();
        let member = |(number, panels): (usize, &Arc<AtomicUsize>)| {
            let (number, panels) = (number as u64, panels.clone());
            Box::new(OneOf { number, panels }) as Box<dyn QuantizePanels>
        };
        let devices = || several(panels.iter().enumerate().map(member).collect());
        let mut told = Told::default();
        let checkpoint = Checkpoint::open(&model).unwrap();
        let options = options(Scaling::Tensor);
        let summary =
            quantize_checkpoint(&checkpoint, &output, &options, &mut devices(), &mut told).unwrap();
        // The figures too: they are sums over the same panels, in the tensors' order.
        assert!(contents(&output) == contents(&expected), "{count} devices");
        let worked: Vec<usize> = panels.iter().map(|it| it.load(Ordering::Relaxed)).collect();
        assert_eq!(worked.iter().sum::<usize>(), all);
        let at_work = worked.iter().filter(|panels| **panels > 0).count();
        assert!(at_work >= count.min(2), "{worked:?}");
        assert_eq!(told.tensors, summary.tensors.len());
        assert_eq!(told.bytes, summary.input_bytes);
        for scaling in [Scaling::Row, Scaling::Tile] {
            let [one, many] =
                ["one", "many"].map(|name| folder.path(&format!("{name}{count}{scaling}")));
            quantize(&file, &one, scaling, &mut CpuQuantizer, &mut Notes::default()).unwrap();
            quantize(&file, &many, scaling, &mut devices(), &mut Notes::default()).unwrap();
            assert!(std::fs::read(one).unwrap() == std::fs::read(many).unwrap(), "{scaling}");
        }
    }
}

/// Counts what is told.
#[derive(Default)]
struct Told {
    tensors: usize,
    bytes: u64,
}

impl Observer for Told {
    fn advance(&mut self, bytes: u64) {
        self.bytes += bytes;
    }
    fn tensor(&mut self, _: &TensorRecord) {
        self.tensors += 1;
    }
    fn note(&mut self, _: &str) {}
}

/// A device that fails once a shard is finished.
struct FailsLater {
    journal: PathBuf,
}

impl QuantizePanels for FailsLater {
    fn name(&self) -> String {
        "cuda:7 (a double)".to_owned()
    }

    fn quantize(
        &mut self,
        values: Values<'_>,
        shape: [usize; 2],
        config: &Config,
        amax: Amax<'_>,
        out: Nvfp4Mut<'_>,
    ) -> Result<Choices, Error> {
        let journal = std::fs::read_to_string(&self.journal).unwrap();
        let panels_left = usize::from(journal.lines().count() == 1);
        let code = "CUDA_ERROR_OUT_OF_MEMORY";
        Failing { panels_left, code }.quantize(values, shape, config, amax, out)
    }
}

#[test]
fn one_of_several_devices_fails() {
    let folder = Folder::new();
    let (model, expected) = (folder.path("model"), folder.path("expected"));
    write_model(&model, 4, 64);
    quantize(&model, &expected, Scaling::Tensor, &mut CpuQuantizer, &mut Notes::default()).unwrap();
    let sound = || Box::new(OneOf { number: 1, panels: Arc::default() }) as Box<dyn QuantizePanels>;
    let failing = || Failing { panels_left: 20, code: "CUDA_ERROR_OUT_OF_MEMORY" };
    // One that was asked for: the error, and what is finished is kept.
    let output = folder.path("out");
    let later = FailsLater { journal: folder.path("out.partial/journal.jsonl") };
    let mut devices = several(vec![sound(), Box::new(later), sound()]);
    let mut notes = Notes::default();
    let error = quantize(&model, &output, Scaling::Tensor, &mut devices, &mut notes).unwrap_err();
    assert!(matches!(error, CheckpointError::Quantize(Error::Device(_))), "{error}");
    quantize(&model, &output, Scaling::Tensor, &mut several(vec![sound()]), &mut notes).unwrap();
    assert!(notes.0.iter().any(|note| note.contains("was finished before: kept")), "{:?}", notes.0);
    assert!(files(&output) == files(&expected));
    // One with the CPU behind it.
    let output = folder.path("replaced");
    let mut devices = several(vec![sound(), Box::new(OrCpu::new(failing()))]);
    let mut notes = Notes::default();
    quantize(&model, &output, Scaling::Tensor, &mut devices, &mut notes).unwrap();
    assert!(files(&output) == files(&expected));
    assert!(devices.replaced().unwrap().contains("CUDA_ERROR_OUT_OF_MEMORY"));
    let told = notes.0.iter().filter(|note| note.contains("CUDA_ERROR_OUT_OF_MEMORY"));
    assert_eq!(told.count(), 1, "{:?}", notes.0);
}
