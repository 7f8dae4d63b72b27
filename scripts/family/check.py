"""One family on its way through both formats: what is written, and what each step finds."""

import subprocess
import traceback

import torch

from checkpoint_files import same_bits, tensors_of
from family import compressed, modelopt, stacks
from family.models import inputs_of, make
from family.table import Row
from family.verdict import Wrong, compared, none, require

# What the formats put behind the name of a weight that has codes.
PARTS = {
    "compressed-tensors": ("_packed", "_scale", "_global_scale"),
    "modelopt": ("", "_scale", "_scale_2"),
}


class Check:
    """A family's model, its quantized directories, and the row of the table."""

    def __init__(self, program, family, work):
        self.program, self.family, self.work = program, family, work
        self.row = Row(family)
        self.source = work / "source"
        self.kind = make(family, self.source, seed=46)
        given = tensors_of(self.source)
        self.names = given.keys()
        # As the program cuts them; every family without stacks has what it has.
        self.given = stacks.cut(family, given)
        self.loaded = None

    def step(self, column, action, *arguments):
        """Runs a part of the check; whether it was right."""
        try:
            action(*arguments)
        except Wrong as wrong:
            self.row.fail(column, str(wrong))
            return False
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.row.fail(column, f"{type(error).__name__} in {where.name}: {str(error)[:300]}")
            return False
        return True

    def run(self):
        """Every part whose premises hold; the row of the table."""
        if self.family.refused:
            self.step("refused", self.refused)
            return self.row
        if not self.step("compressed", compressed.write, self):
            return self.row
        self.step("compressed", compressed.bits_in_files, self)
        self.step("compressed", compressed.fused, self)
        if not self.step("compressed", self.load_dequantized):
            return self.row
        self.step("compressed", compressed.ignored, self)
        if self.step("compressed", compressed.load, self):
            self.step("compressed", compressed.bits_in_model, self)
        self.step("compressed", self.distance)
        self.row.right("compressed", self.row.bug or "equal")
        if self.step("modelopt", modelopt.write, self):
            self.step("modelopt", modelopt.bits_in_files, self)
            self.step("modelopt", modelopt.excluded, self)
            self.step("modelopt", modelopt.converted, self)
            self.row.right("modelopt")
        return self.row

    def fouroversix(self, *arguments):
        """Runs the program; its status and its words on standard error."""
        command = [self.program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, done.stderr.strip()

    def refused(self):
        """What the program can't quantize it refuses, in both formats, with the reason."""
        for format in PARTS:
            folder = self.work / format
            status, words = self.fouroversix("quantize", self.source, folder, "--format", format)
            require(status != 0, "the program did not refuse it")
            require(self.family.refused in words, f"the refusal says: {words[:300]}")
            require(not folder.exists(), "something was written")
        self.row.compressed = self.row.modelopt = f"refused: {self.family.refused}"

    def quantize(self, format):
        """Quantizes and takes back: both folders and their tensors."""
        folder, back = self.work / format, self.work / f"{format}-dequantized"
        # The rule of the committed table.
        options = ["--format", format, "--rule", "mse", "--device", "cpu", "--no-figures", "-q"]
        for command in (
            ("quantize", self.source, folder, *options),
            ("dequantize", folder, back, "-q"),
        ):
            status, words = self.fouroversix(*command)
            require(status == 0, f"{command[0]} ended with status {status}: {words[:300]}")
        dense = tensors_of(back)
        none(self.names ^ dense.keys(), f"{format}: other tensors after dequantize")
        return folder, tensors_of(folder), back, stacks.cut(self.family, dense)

    def compare_files(self, format, files, dense):
        """No tensor is lost or new, and what is not quantized is as it was, in both directories."""
        kept = self.given.keys() - self.stored
        known = kept | {name + part for name in self.stored for part in PARTS[format]}
        none(known ^ files.keys(), f"{format}: lost or new tensors")
        none(self.given.keys() ^ dense.keys(), f"{format}: lost or new tensors after dequantize")
        for tensors, what in ((files, "kept tensors"), (dense, "after dequantize, kept tensors")):
            changed = {name for name in kept if not same_bits(tensors[name], self.given[name])}
            none(changed, f"{format}: {what} that changed")

    def load(self, folder, **settings):
        """The folder's model: no key may be left over on either side."""
        model, info = self.kind.from_pretrained(folder, output_loading_info=True, **settings)
        for what, keys in info.items():
            none(map(str, keys), f"{folder.name}: {what}")
        return model.eval()

    def load_dequantized(self):
        """The original and what `dequantize` makes of it; where they differ there are codes."""
        self.original = self.load(self.source, dtype=torch.bfloat16)
        self.taken_back = self.load(self.back)
        now, self.quantized = self.taken_back.state_dict(), set()
        for name, value in self.original.state_dict().items():
            if not same_bits(now[name].to(value.dtype), value):
                self.quantized.add(name)
        parameters = dict(self.original.named_parameters())
        none(self.quantized - parameters.keys(), "dequantize changed what is no weight of its own")
        count = sum(parameters[name].numel() for name in self.quantized)
        require(
            count == sum(self.given[name].numel() for name in self.stored),
            "in the model, not as many weights are quantized as in the file",
        )
        self.experts = {name for name in self.quantized if parameters[name].ndim == 3}

    def modules(self):
        """Linear modules and stacks of experts of the running model, and if they have codes."""
        found_stacks = {}
        for name, module in self.original.named_modules():
            if isinstance(module, torch.nn.Linear):
                yield name, f"{name}.weight" in self.quantized, False
                continue
            stack, found, _ = f"{name}.".rpartition("experts.")
            for part, value in module.named_parameters(recurse=False):
                if found and value.ndim >= 2 and not part.endswith("bias"):
                    states = found_stacks.setdefault(stack + "experts", set())
                    states.add(f"{name}.{part}" in self.quantized)
        for name, states in found_stacks.items():
            require(len(states) == 1, f"{name}: one part is quantized, another not")
            yield name, states.pop(), True

    def distance(self):
        """How far the logits are from the original's: as loaded, and in F32 for the table."""
        served = self.loaded or self.taken_back.to(torch.bfloat16)
        as_loaded = compared(self.logits(self.original), self.logits(served))
        # In F32 sums and the choice of experts are the same on all machines, but for rare ties.
        exact = compared(self.logits(self.original.float()), self.logits(self.taken_back.float()))
        self.row.cosine, self.row.error = exact
        nearest = min(as_loaded[0], exact[0])
        require(
            nearest >= self.family.nearest, f"logits far from the original's: cosine {nearest:.3f}"
        )

    def logits(self, model):
        with torch.no_grad():
            logits = model(**inputs_of(self.family, model.dtype)).logits.float()
        require(bool(torch.isfinite(logits).all()), f"logits in {model.dtype} are not finite")
        return logits
