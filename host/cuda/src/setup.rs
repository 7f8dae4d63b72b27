//! What a quantization needs, worked out without a device: kernels, grids, parameters.

use fouroversix_core::abi::{
    AmaxParams, GlobalScale, QuantizeParams, QuantizeTensor, SKIPPABLE, TrainingParams,
    TransformAmaxParams,
};
use fouroversix_core::check_shape;
use fouroversix_core::launch::{self, Launch, LaunchError};
use fouroversix_core::{
    Config, Error, Feature, InputType, Outputs, RandomState, Rounding, Scaling, Transforms, named,
};

use super::address::{ALIGNMENT, OutputAddresses, QuantizeAddresses, WORD, needed, optional};
use super::error::DeviceError;

/// Where the global amax of a quantization comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AmaxSource {
    /// The input. With row scaling and rowwise output in the same pass over it as the
    /// quantization, otherwise in a pass before. The default.
    #[default]
    Input,
    /// The input, always in a pass before the quantization: what that leaves can be reduced over
    /// ranks ([`super::AmaxReduction`]) before the quantization takes it.
    InputApart,
    /// FP32 values in device memory, used as they are. NaN or a negative value gives codes and
    /// scales without meaning.
    Supplied,
    /// The workspace, where an earlier launch left it: one of a quantizer with the same scaling,
    /// [`fouroversix_core::E4m3Max`] and shape.
    Workspace,
}

impl AmaxSource {
    /// `input`, `input-apart`, `supplied` or `workspace`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::InputApart => "input-apart",
            Self::Supplied => "supplied",
            Self::Workspace => "workspace",
        }
    }
}

named!(AmaxSource, "source of the amax", [Input, InputApart, Supplied, Workspace]);

/// What a launch of an amax kernel reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AmaxStep {
    /// The input's amax or amaxes, to the rowwise global scales.
    Input,
    /// The input's columns' amaxes, to the columnwise global scales.
    InputColumns,
    /// The input's amax, to the columnwise global scale: beside a rowwise output that is transformed.
    InputToColumns,
    /// The amax of the input's transform along rows, to the rowwise global scale.
    Transform,
    /// That of its transform along columns, to the columnwise global scale.
    TransformColumns,
    /// The supplied amax or amaxes, to the rowwise global scales.
    Supplied,
    /// The supplied columns' amaxes, to the columnwise global scales.
    SuppliedColumns,
}

/// How the workspace is laid out: 16 bytes of counters, then global scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Workspace {
    /// Global scales of the rowwise output, or of the tensor.
    pub(super) rows: usize,
    /// Global scales of the columnwise output where it has its own.
    pub(super) columns: usize,
}

/// Whether each output has one amax of its own: a transform makes them of other values.
pub(super) fn outputs_are_apart(config: &Config) -> bool {
    !config.transforms().is_none() && config.outputs() == Outputs::Both
}

impl Workspace {
    pub(super) const COUNTERS: usize = 16;

    fn new(config: &Config, [rows, cols]: [usize; 2]) -> Self {
        if config.scaling() != Scaling::Row {
            return Self { rows: 1, columns: usize::from(outputs_are_apart(config)) };
        }
        let outputs = config.outputs();
        Self {
            rows: if outputs.rowwise() { rows } else { 0 },
            columns: if outputs.columnwise() { cols } else { 0 },
        }
    }

    pub(super) const fn bytes(self) -> usize {
        Self::COUNTERS + (self.rows + self.columns) * size_of::<GlobalScale>()
    }

    pub(super) const fn columns_offset(self) -> usize {
        if self.columns == 0 {
            return Self::COUNTERS;
        }
        Self::COUNTERS + self.rows * size_of::<GlobalScale>()
    }
}

/// The launches of one configuration, input type and shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct QuantizeSetup {
    pub(super) config: Config,
    pub(super) input: InputType,
    pub(super) shape: [usize; 2],
    pub(super) source: AmaxSource,
    pub(super) workspace: Workspace,
    tensor: QuantizeTensor,
    flags: u32,
    grouped: bool,
}

impl QuantizeSetup {
    pub(super) fn new(
        config: &Config,
        input: InputType,
        shape: [usize; 2],
        source: AmaxSource,
    ) -> Result<Self, Error> {
        let [rows, cols] = shape;
        check_shape(rows.saturating_mul(cols), shape.into(), config)?;
        launch::check_shape(config, shape).map_err(DeviceError::from)?;
        Ok(Self {
            config: *config,
            input,
            shape,
            source,
            workspace: Workspace::new(config, shape),
            tensor: launch::tensor(shape),
            flags: launch::flags(config),
            grouped: false,
        })
    }

    /// For one tensor of a group, whose quantization is not one pass with its row amaxes.
    pub(super) fn for_group(
        config: &Config,
        input: InputType,
        shape: [usize; 2],
        source: AmaxSource,
    ) -> Result<Self, Error> {
        Ok(Self { grouped: true, ..Self::new(config, input, shape, source)? })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Whether amax and quantization are one launch.
    pub(super) fn one_pass(&self) -> bool {
        !self.grouped
            && self.source == AmaxSource::Input
            && self.config.scaling() == Scaling::Row
            && self.config.outputs() == Outputs::Rowwise
    }

    /// The launches that leave global scales in the workspace, on a device with this many
    /// multiprocessors.
    pub(super) fn amax_launches(
        &self,
        multiprocessors: u32,
    ) -> Result<Vec<(AmaxStep, Launch)>, LaunchError> {
        if self.is_empty() || self.one_pass() {
            return Ok(Vec::new());
        }
        let steps = self.amax_steps().into_iter();
        steps.map(|step| Ok((step, self.amax_launch(step, multiprocessors)?))).collect()
    }

    /// The launch that quantizes, unless the tensor is empty.
    pub(super) fn quantize_launch(&self) -> Result<Option<Launch>, LaunchError> {
        let Self { config, input, shape, .. } = self;
        if self.is_empty() {
            Ok(None)
        } else if self.one_pass() {
            launch::quantize_rows(config, *input, *shape).map(Some)
        } else {
            launch::quantize(config, *input, *shape).map(Some)
        }
    }

    fn amax_steps(&self) -> Vec<AmaxStep> {
        let (rows, columns) = match self.source {
            AmaxSource::Input | AmaxSource::InputApart if !self.config.transforms().is_none() => {
                return self.transformed_amax_steps();
            }
            AmaxSource::Input | AmaxSource::InputApart => (AmaxStep::Input, AmaxStep::InputColumns),
            AmaxSource::Supplied => (AmaxStep::Supplied, AmaxStep::SuppliedColumns),
            AmaxSource::Workspace => return Vec::new(),
        };
        let Workspace { rows: row_count, columns: column_count } = self.workspace;
        let steps = [(row_count, rows), (column_count, columns)];
        steps.into_iter().filter(|(count, _)| *count > 0).map(|(_, step)| step).collect()
    }

    /// Each output has the amax of its transform, or the input's.
    fn transformed_amax_steps(&self) -> Vec<AmaxStep> {
        let Transforms { rowwise, columnwise } = self.config.transforms();
        let rows = if rowwise.is_some() { AmaxStep::Transform } else { AmaxStep::Input };
        let columns = match columnwise {
            Some(_) => AmaxStep::TransformColumns,
            None => AmaxStep::InputToColumns,
        };
        let outputs = self.config.outputs();
        let steps = [(outputs.rowwise(), rows), (outputs.columnwise(), columns)];
        steps.into_iter().filter(|(asked, _)| *asked).map(|(_, step)| step).collect()
    }

    fn amax_launch(&self, step: AmaxStep, multiprocessors: u32) -> Result<Launch, LaunchError> {
        let [rows, cols] = self.shape;
        match step {
            AmaxStep::Input if self.config.scaling() == Scaling::Row => {
                launch::amax_rows(self.input, self.shape)
            }
            AmaxStep::Input | AmaxStep::InputToColumns => {
                Ok(launch::amax(self.input, (rows * cols) as u64, multiprocessors))
            }
            AmaxStep::Transform => {
                launch::amax_transform(self.input, self.shape, false, multiprocessors)
            }
            AmaxStep::TransformColumns => {
                launch::amax_transform(self.input, self.shape, true, multiprocessors)
            }
            AmaxStep::InputColumns => launch::amax_columns(self.input, self.shape),
            AmaxStep::Supplied => Ok(launch::global_scales(self.workspace.rows)),
            AmaxStep::SuppliedColumns => Ok(launch::global_scales(self.workspace.columns)),
        }
    }

    /// The elements of the tensor, if `step` finds their one amax.
    pub(super) fn one_amax_of(&self, step: AmaxStep) -> Option<u64> {
        let one = step == AmaxStep::Input && self.config.scaling() != Scaling::Row;
        one.then(|| self.shape.map(|length| length as u64).iter().product())
    }

    /// Offset into the workspace of the rowwise global scales, and their number.
    pub(super) fn row_global_scales(&self) -> (usize, usize) {
        (Workspace::COUNTERS, self.workspace.rows)
    }

    /// As [`QuantizeSetup::row_global_scales`], of the columnwise output.
    pub(super) fn column_global_scales(&self) -> (usize, usize) {
        match self.workspace.columns {
            0 => self.row_global_scales(),
            columns => (self.workspace.columns_offset(), columns),
        }
    }

    /// What the kernel takes, which of nearest rounding without transforms is the first field alone.
    pub(super) fn quantize_params(
        &self,
        at: &QuantizeAddresses,
    ) -> Result<TrainingParams, DeviceError> {
        optional("the skip flag", at.skip, WORD)?;
        optional("the random state", at.random_state, ALIGNMENT)?;
        let mut random = launch::random(&self.config, self.shape);
        random.state = at.random_state;
        let quantize = QuantizeParams {
            tensor: self.tensor(at)?,
            skip: at.skip,
            flags: self.flags | if at.skip == 0 { 0 } else { SKIPPABLE },
            ..QuantizeParams::default()
        };
        Ok(TrainingParams { quantize, random, signs: launch::signs(&self.config, self.input) })
    }

    /// Changes the numbers that random bytes come from, where there are any.
    pub(super) fn set_random_state(&mut self, state: RandomState) {
        if self.config.uses(Feature::Stochastic) {
            let builder = self.config.to_builder().rounding(Rounding::Stochastic(state));
            self.config = builder.build().expect("it was built with another state");
        }
    }

    /// For the copy kernel, which writes rowwise outputs and, where there are any, columnwise ones:
    /// a columnwise output alone takes the place of the rowwise one, which has as many bytes.
    pub(super) fn copy_params(
        &self,
        at: &QuantizeAddresses,
    ) -> Result<QuantizeParams, DeviceError> {
        let mut params = self.quantize_params(at)?.quantize;
        if !self.config.outputs().rowwise() {
            let tensor = &mut params.tensor;
            (tensor.codes, tensor.codes_t) = (tensor.codes_t, 0);
            (tensor.scales, tensor.scales_t) = (tensor.scales_t, 0);
        }
        Ok(params)
    }

    /// The tensor of a launch, its addresses checked.
    pub(super) fn tensor(&self, at: &QuantizeAddresses) -> Result<QuantizeTensor, DeviceError> {
        if self.is_empty() {
            return Ok(self.tensor);
        }
        let outputs = self.config.outputs();
        needed("the input", at.input, ALIGNMENT)?;
        needed("the workspace", at.workspace, ALIGNMENT)?;
        check_output(outputs.rowwise(), ["the codes", "the scales"], &at.rowwise)?;
        let names = ["the columnwise codes", "the columnwise scales"];
        check_output(outputs.columnwise(), names, &at.columnwise)?;
        Ok(QuantizeTensor {
            input: at.input,
            codes: at.rowwise.codes,
            scales: at.rowwise.scales,
            codes_t: at.columnwise.codes,
            scales_t: at.columnwise.scales,
            global: at.workspace + self.row_global_scales().0 as u64,
            global_t: at.workspace + self.column_global_scales().0 as u64,
            ..self.tensor
        })
    }

    /// What an amax kernel takes: without a transform the first field alone.
    pub(super) fn amax_params(
        &self,
        step: AmaxStep,
        at: &QuantizeAddresses,
    ) -> Result<TransformAmaxParams, DeviceError> {
        let [rows, cols] = self.shape.map(|length| length as u64);
        let by_row = self.config.scaling() == Scaling::Row;
        let (input, rows, cols, buffer, alignment) = match step {
            AmaxStep::Input if by_row => (at.input, rows, cols, "the input", ALIGNMENT),
            AmaxStep::Input | AmaxStep::InputToColumns => {
                (at.input, 1, rows * cols, "the input", ALIGNMENT)
            }
            AmaxStep::InputColumns | AmaxStep::Transform | AmaxStep::TransformColumns => {
                (at.input, rows, cols, "the input", ALIGNMENT)
            }
            AmaxStep::Supplied => {
                (at.row_amax, self.workspace.rows as u64, 0, "the supplied amax", WORD)
            }
            AmaxStep::SuppliedColumns => {
                (at.column_amax, self.workspace.columns as u64, 0, "the supplied amax", WORD)
            }
        };
        needed(buffer, input, alignment)?;
        needed("the workspace", at.workspace, ALIGNMENT)?;
        optional("the skip flag", at.skip, WORD)?;
        let (offset, _) = match step {
            AmaxStep::Input | AmaxStep::Transform | AmaxStep::Supplied => self.row_global_scales(),
            AmaxStep::InputColumns
            | AmaxStep::InputToColumns
            | AmaxStep::TransformColumns
            | AmaxStep::SuppliedColumns => self.column_global_scales(),
        };
        let amax = AmaxParams {
            input,
            global: at.workspace + offset as u64,
            workspace: at.workspace,
            skip: at.skip,
            rows,
            cols,
            flags: launch::rule_flags(self.config.rule()),
            reserved: 0,
        };
        let [of_rows, of_columns] = launch::signs(&self.config, self.input);
        let signs = if step == AmaxStep::TransformColumns { of_columns } else { of_rows };
        Ok(TransformAmaxParams { amax, signs })
    }
}

fn check_output(
    wanted: bool,
    [codes, scales]: [&'static str; 2],
    at: &OutputAddresses,
) -> Result<(), DeviceError> {
    if !wanted {
        return Ok(());
    }
    needed(codes, at.codes, ALIGNMENT)?;
    needed(scales, at.scales, ALIGNMENT)
}
