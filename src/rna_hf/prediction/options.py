"""The options of a run of predictions, whatever the task; those of a task are in `rna_hf.tasks`."""

import re
from dataclasses import dataclass

from ..data.table_files import TEXT_AND_PARQUET, VECTOR_FORMATS
from ..options import check_choices, option
from .processes import find_process

DTYPES = ("float32", "bfloat16", "float16")
DEFAULT_BATCH_TOKENS = 2048
DEFAULT_PLOT_ROWS = 10


@dataclass(frozen=True)
class RunOptions:
    """Options that every task has; arguments of `rna_hf.predict` and flags of `rna-hf predict`.

    Attributes:
        flip_average: average with the prediction for the reversed sequence, as the RibonanzaNet authors do.
        format: `parquet`, `csv` or `jsonl`. A CSV of values for each nucleotide has a row for each nucleotide, with
            `position` (from 1) and `nucleotide` in place of `sequence`.
        wide: a row for each RNA in such a CSV too, lists as JSON.
        keep_columns: also write the other columns of the input, a FASTA or FASTQ header's rest as `description`.
        device: `auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`, ...
        dtype: `float32`, `bfloat16` or `float16`.
        batch_tokens: nucleotides in a batch, padding included, fewer beyond 256 nt where a model's memory grows with
            the square of the length. A longer sequence runs alone.
        skip_invalid: leave out sequences that cannot be predicted instead of stopping before the first prediction.
        overwrite: replace what an earlier, different run left in the output folder.
        plot_rows: number of RNAs in the picture; 0 for none.
    """

    flip_average: bool = option(False, "average with the prediction for the reversed sequence (2 x slower)")
    format: str = option("parquet", "of the file of predictions", choices=TEXT_AND_PARQUET)
    wide: bool = option(False, "in a CSV a row for each RNA, lists as JSON, not a row for each nucleotide")
    keep_columns: bool = option(
        False, "also write the input's other columns; of a FASTA or FASTQ header the rest, as `description`"
    )
    device: str = option("auto", "cpu, cuda, cuda:1, ..., or auto for a GPU if there is one")
    dtype: str = option("float32", "of the model's numbers", choices=DTYPES)
    batch_tokens: int = option(
        DEFAULT_BATCH_TOKENS,
        "nucleotides in a batch, padding included, fewer beyond 256 nt where a model has states for pairs; more is "
        "faster on a GPU and takes more memory",
        metavar="N",
    )
    skip_invalid: bool = option(False, "leave out sequences that cannot be predicted, and list them in DIR/skipped.tsv")
    overwrite: bool = option(False, "replace what another run left in DIR")
    plot_rows: int = option(
        DEFAULT_PLOT_ROWS, "RNAs in the picture, 0 for none", flags=["--plot"], metavar="N", for_files=True
    )

    def __post_init__(self) -> None:
        check_choices(self)
        if isinstance(self.batch_tokens, bool) or not isinstance(self.batch_tokens, int) or self.batch_tokens < 1:
            raise ValueError(f"batch_tokens must be a whole number of at least 1, got {self.batch_tokens!r}")
        if self.wide and self.format != "csv":
            raise ValueError(f"wide is for format csv; {self.format} has a row for each RNA anyway")
        if self.plot_rows < 0:
            raise ValueError(f"plot_rows must be 0 or more, got {self.plot_rows}")


@dataclass(frozen=True)
class EmbeddingRunOptions(RunOptions):
    """Those of `rna_hf.embed` and `rna-hf embed`: the same but for the formats, and parts of an input.

    Attributes:
        format: `parquet`, `npz` or `h5`, see `rna_hf.data.table_files`.
        part: `K/N` does the K-th (from 1) of N parts of the input, every N-th sequence, into a folder of its own in the
            output folder, `part-00001-of-00004`. Nobody has to know of the others. `auto`: as the launcher numbers its
            processes, which then need not reach each other. "" for the whole.
    """

    format: str = option("parquet", "of the file of embeddings", choices=VECTOR_FORMATS)
    part: str = option(
        "",
        "do part K of N of the input alone, into DIR/part-K-of-N; auto: as a launcher numbers this process",
        metavar="K/N",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.part not in ("", "auto"):
            self.find_part()

    def find_part(self) -> tuple[int, int]:
        """Return which part is to be done, from 0, and of how many: (0, 1) for the whole.

        Raises:
            ValueError: it is none.
        """
        if self.part == "auto":
            return find_process()
        if not self.part:
            return 0, 1
        found = re.fullmatch(r"(\d{1,5})/(\d{1,5})", self.part)
        index, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= index <= count:
            raise ValueError(f"part is {self.part!r}: give K/N, the K-th of N parts, such as 1/4, or auto")
        return index - 1, count
