"""The table of the family check: one row a family, in a page between two marks."""

import torch

from family.models import INIT, STACKS

BEGIN, END = "<!-- family-check:begin -->", "<!-- family-check:end -->"
HEADER = [
    "family",
    "class",
    "type",
    "tensors quantized",
    "compressed-tensors → transformers",
    "modelopt → converter → transformers",
    "cosine",
    "relative MSE",
]
UNDIVIDED = "experts are not divided by their global scale"
# What a bug of transformers leaves of the outcome, with its link.
LINKS = {
    UNDIVIDED: "equal; experts from the file only: transformers leaves out their global scale "
    "([48371](https://github.com/huggingface/transformers/issues/48371))",
    INIT: "equal with `dequantize=True`; without it transformers crashes in `_init_weights` "
    "([47920](https://github.com/huggingface/transformers/issues/47920))",
    STACKS: "equal; experts from the file only: transformers looks for them in stacks "
    "(`dequantize` puts them back)",
}
TYPES = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}
# How far a distance may be from the table's: machines round sums differently.
COSINE_STEP, ERROR_STEP = 0.004, 0.1


class Row:
    """What came of one family."""

    def __init__(self, family):
        self.family = family
        self.quantized = "–"
        # Nothing is right before it was checked.
        self.compressed = self.modelopt = "not checked"
        self.cosine = self.error = None
        self.failures = []
        self.bug = None

    def right(self, column, text="equal"):
        """All that belongs to the column was checked and is right."""
        if getattr(self, column) == "not checked":
            setattr(self, column, text)

    def upstream(self, what):
        """What an upstream bug does to the outcome."""
        self.bug = LINKS[what]

    def fail(self, column, text):
        self.failures.append(f"{column}: {text}")
        if column == "refused":
            self.compressed = self.modelopt = "FAILS"
        else:
            setattr(self, column, "FAILS")

    def print(self):
        """One line, and one for each failure."""
        state = "FAIL " if self.failures else "ok   "
        distance = (
            ""
            if self.cosine is None
            else f", cosine {self.cosine:.4f}, relative MSE {self.error:.4f}"
        )
        print(
            f"{state} {self.family.name}: {self.quantized} quantized{distance}; "
            f"{self.compressed}; {self.modelopt}",
            flush=True,
        )
        for text in self.failures:
            print(f"      {text}", flush=True)

    def cells(self):
        family = self.family
        kind = TYPES[family.dtype]
        numbers = ["–", "–"] if self.cosine is None else [f"{self.cosine:.3f}", f"{self.error:.3f}"]
        return [
            family.name,
            f"`{family.model}`",
            kind,
            self.quantized,
            self.compressed,
            self.modelopt,
            *numbers,
        ]


def lines(rows):
    cells = [HEADER, ["---"] * len(HEADER), *(row.cells() for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in cells]


def settle(page, rows, write):
    """Puts the table into the page, or counts how often the page says otherwise."""
    text = page.read_text()
    before, mark, rest = text.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not mark or not end:
        print(f"FAIL  {page.name} has no table of families")
        return 1
    fresh = lines(rows)
    if write and any(row.failures for row in rows):
        print(f"FAIL  {page.name} is left as it was: a table of failures is not written")
        return 1
    if write:
        page.write_text(before + mark + "\n" + "\n".join(fresh) + "\n" + end + after)
        return 0
    stated = inside.strip().splitlines()
    wrong = [line for line, row in zip(stated[2:], rows, strict=False) if not agrees(line, row)]
    if len(stated) != len(fresh) or stated[:2] != fresh[:2] or wrong:
        print(f"FAIL  the table in {page.name} is not what was found; it should be")
        print("\n".join(fresh))
        return 1
    print(f"ok    the table in {page.name} is what was found")
    return 0


def agrees(line, row):
    """Whether a line of the page says what the row says, distances to within a tolerance."""
    stated = [cell.strip() for cell in line.strip("|").split("|")]
    found = row.cells()
    if len(stated) != len(found) or stated[:-2] != found[:-2]:
        return False
    if "–" in stated[-2:] + found[-2:]:
        return stated == found
    cosine, error = map(float, stated[-2:])
    return (
        abs(cosine - row.cosine) <= COSINE_STEP
        and abs(error - row.error) <= ERROR_STEP * row.error + 0.001
    )
