"""Prediction for many sequences: checks the input, runs a model in batches, writes as it goes and can be continued.

The engine does not know what is predicted. A `PredictionTask` says which models it takes, which columns it makes and
how an output becomes a row; `TASKS` holds one per kind of prediction.

How a run can be killed at any time and still give the same file: usable records are grouped in input order into chunks
whose limits depend on the input alone; batches are made inside a chunk; each finished chunk is one part file of
`RunFolder`. A new run with the same fingerprint (content of the input, of the checkpoint, and the options that change
numbers) does the chunks that have no part file, so it makes the very batches of an undisturbed run; then it joins all.
"""

import contextlib
import hashlib
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .checkpoints import find_checkpoint
from .data.run_folder import FORMATS, SKIPPED_FILE, RunFolder
from .data.sequences import InputSummary, SequenceChecker, SequenceInput, SequenceRecord, open_sequences
from .memory import MemoryLimit, available_memory, resolve_device
from .version import __version__

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

REACTIVITY_UNIT = "normalised; 1 = 90th percentile"

DTYPES = ("float32", "bfloat16", "float16")
DEFAULT_BATCH_TOKENS = 2048
DEFAULT_PLOT_ROWS = 10

# A chunk, the unit of writing and of resuming, ends after this many sequences or before this many nucleotides.
CHUNK_ROWS = 256
CHUNK_NUCLEOTIDES = 32_768

# Up to this length (nucleotides) a batch is limited by its tokens; beyond, by its pair states, which grow with the
# square of the length.
_LINEAR_LENGTH = 256

# A sequence this many times longer than anything trained on gets a warning.
_LENGTH_FACTOR = 2


class PredictionTask:
    """What the engine has to know about one kind of prediction.

    Attributes:
        name: as on the command line.
        unit: of the predicted values, for the files' metadata.
        plot_file: name of the figure of the first RNAs.
    """

    name: str
    unit: str
    plot_file: str

    def auto_class(self) -> Any:
        """Return the Auto class whose models are accepted."""
        raise NotImplementedError

    def columns(self, config: Any) -> list[str]:
        """Return the names of the predicted columns, each a list of float32 as long as the sequence."""
        raise NotImplementedError

    def values(self, outputs: Any, keep: Tensor) -> list[np.ndarray]:
        """Return one array for each sequence of a batch.

        Args:
            outputs: what the model returned.
            keep: (B, L), True at the sequence's own nucleotides, False at special tokens and padding.
        """
        raise NotImplementedError

    def reverse(self, values: np.ndarray) -> np.ndarray:
        """Bring the array of a reversed sequence into the order of the sequence itself."""
        raise NotImplementedError

    def row(self, values: np.ndarray, config: Any) -> dict[str, np.ndarray]:
        """Spread an array over `columns`."""
        raise NotImplementedError

    def plot(self, rows: Sequence[dict[str, Any]], config: Any, path: Path, title: str) -> None:
        """Draw rows (with `id` and `sequence`) to a PNG."""
        raise NotImplementedError


class ReactivityTask(PredictionTask):
    """Chemical reactivity of each nucleotide, one column `reactivity_<channel>` for each of the model's channels."""

    name = "reactivity"
    unit = REACTIVITY_UNIT
    plot_file = "reactivity.png"

    def auto_class(self) -> Any:
        from .auto import AutoModelForReactivity

        return AutoModelForReactivity

    def columns(self, config: Any) -> list[str]:
        return [f"reactivity_{channel}" for channel in config.channels]

    def values(self, outputs: Any, keep: Tensor) -> list[np.ndarray]:
        logits = outputs.logits.float().cpu()
        return [logits[index][keep[index]].numpy() for index in range(len(keep))]

    def reverse(self, values: np.ndarray) -> np.ndarray:
        return values[::-1]

    def row(self, values: np.ndarray, config: Any) -> dict[str, np.ndarray]:
        return {name: values[:, index] for index, name in enumerate(self.columns(config))}

    def plot(self, rows: Sequence[dict[str, Any]], config: Any, path: Path, title: str) -> None:
        from .plots import plot_reactivity

        plot_reactivity(rows, config.channels, path, self.unit, title)


TASKS: dict[str, PredictionTask] = {task.name: task for task in (ReactivityTask(),)}


def predict(
    inputs: str | os.PathLike | Iterable[Any],
    output: str | os.PathLike | None = None,
    *,
    task: str = "reactivity",
    model: str | os.PathLike | None = None,
    flip_average: bool = False,
    format: str = "parquet",
    device: str = "auto",
    dtype: str = "float32",
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    skip_invalid: bool = False,
    overwrite: bool = False,
    plot_rows: int = DEFAULT_PLOT_ROWS,
    progress: bool | None = None,
) -> list[dict[str, Any]] | Path:
    """Predict for every sequence of an input.

    With an output folder the result is written as it comes, and a run that was interrupted is continued by the same
    call. The folder then holds `predictions.parquet` (or `.csv`, `.jsonl`; lists are JSON in a CSV) with one row for
    each sequence in input order, a heat map of the first RNAs, `run.json` saying how the rows were made and, with
    `skip_invalid`, `skipped.tsv`. One folder holds one run.

    Args:
        inputs: a FASTA, CSV, TSV or parquet file (text also gzipped), `-` for standard input, a sequence, or an
            iterable of sequences, of pairs (id, sequence) or of mappings with `sequence` and perhaps `id`. A table
            needs a column `sequence`; its `id` column is used if there is one, else ids are `seq1`, `seq2`, ...; a
            FASTA record's id is the first word of its header.
        output: folder to write to; None returns the rows.
        task: a key of `TASKS`.
        model: a checkpoint's folder, the name of a bundled one, or an id on the Hub; the task's bundled one if None.
        flip_average: average with the prediction for the reversed sequence, as the RibonanzaNet authors do.
        format: `parquet`, `csv` or `jsonl`.
        device: `auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`, ...
        dtype: `float32`, `bfloat16` or `float16`.
        batch_tokens: nucleotides in a batch, padding included; B * L * max(1, L / 256) stays below it, since pair
            states grow with L * L. A longer sequence runs alone.
        skip_invalid: leave out sequences that cannot be predicted instead of stopping before the first prediction.
        overwrite: replace what an earlier, different run left in the output folder.
        plot_rows: number of RNAs in the heat map; 0 for none.
        progress: show a progress bar; None: if standard error is a terminal.

    Returns:
        Without `output` a list with a dict for each sequence: `id`, `sequence` (as read: case and T or U are kept) and
        a list of floats for each predicted column. With `output` the path of the file of predictions.

    Raises:
        ValueError: the input, the checkpoint or an option cannot be used; the message says why.
        MemoryError: memory ran out although the estimate said that it would do.
        OSError: a file cannot be read or written.

    Example:
        >>> rows = rna_hf.predict("GGGAAACUCC")
        >>> len(rows[0]["reactivity_2A3"])
        10
    """
    run = _Run(
        task=_choose("task", task, TASKS),
        checkpoint=find_checkpoint(None if model is None else os.fspath(model), task),
        flip_average=flip_average,
        format=format,
        device=resolve_device(device),
        dtype=dtype,
        batch_tokens=batch_tokens,
        skip_invalid=skip_invalid,
        progress=progress,
    )
    if plot_rows < 0:
        raise ValueError(f"plot_rows must be 0 or more, got {plot_rows}")
    if isinstance(inputs, str) and inputs == "-" and output is not None:
        logger.warning("standard input cannot be read twice: this run cannot be resumed if it is interrupted")
    with open_sequences(inputs) as source:
        if output is None:
            return run.collect(source)
        return run.write(source, Path(output), overwrite=overwrite, plot_rows=plot_rows)


@dataclass
class _Run:
    """The options of one call of `predict`, checked, and the two ways to go through its input."""

    task: PredictionTask
    checkpoint: Path
    flip_average: bool
    format: str
    device: torch.device
    dtype: str
    batch_tokens: int
    skip_invalid: bool
    progress: bool | None

    def __post_init__(self) -> None:
        _choose("format", self.format, dict.fromkeys(FORMATS))
        _choose("dtype", self.dtype, dict.fromkeys(DTYPES))
        if isinstance(self.batch_tokens, bool) or not isinstance(self.batch_tokens, int) or self.batch_tokens < 1:
            raise ValueError(f"batch_tokens must be a whole number of at least 1, got {self.batch_tokens!r}")
        self.config = load_config(self.checkpoint, self.task)
        self.torch_dtype = getattr(torch, self.dtype)

    def collect(self, source: SequenceInput) -> list[dict[str, Any]]:
        """Return the rows as dicts of plain Python values."""
        checker, summary, _ = self._check(source)
        if summary.usable < summary.total:
            warnings.warn(f"skipped: {_list_problems(source, summary)}", stacklevel=3)
        predictor = _Predictor.load(self)
        rows = []
        with self._progress_bar(summary.usable, 0) as bar:
            for chunk in _chunks(checker.usable()):
                for record, values in zip(chunk, predictor.run(chunk, bar.update)):
                    columns = {name: array.tolist() for name, array in self.task.row(values, self.config).items()}
                    rows.append({"id": record.id, "sequence": record.sequence, **columns})
        return rows

    def write(self, source: SequenceInput, output: Path, overwrite: bool, plot_rows: int) -> Path:
        """Write the rows to a folder, continuing what is there, and return the path of the file of predictions."""
        folder = RunFolder(output, self.format, plot_file=self.task.plot_file)
        with folder.open():
            description = self._describe(source)
            if folder.prepare(description, source, overwrite) == "finished":
                logger.info("%s is finished already, nothing to do", folder.predictions)
                return folder.predictions
            with folder.skipped_writer() as write_skipped:
                on_problem = write_skipped if self.skip_invalid else None
                checker, summary, max_length = self._check(source, folder.recorded_max_length, on_problem)
            folder.start(description, source, max_length)
            schema = self._schema()
            predictor: _Predictor | None = None
            num_chunks = 0
            done = folder.count_done()
            if done:
                logger.info("resuming: %s of %s are done", f"{done:,}", _count(summary.usable, "sequence"))
            with self._progress_bar(summary.usable, done) as bar:
                for number, chunk in enumerate(_chunks(checker.usable())):
                    num_chunks = number + 1
                    if not folder.has_part(number, len(chunk)):
                        predictor = predictor or _Predictor.load(self)
                        folder.write_part(number, self._table(chunk, predictor.run(chunk, bar.update), schema))
            folder.join(num_chunks, schema)
            if plot_rows:
                rows = folder.first_rows(plot_rows)
                title = f"{_first(len(rows), summary.usable)}, {self.task.name} predicted by {self.checkpoint.name}"
                self.task.plot(rows, self.config, output / self.task.plot_file, title)
            folder.finish(summary, self.task.unit)
        logger.info("%s: %s", _count(summary.usable, "sequence"), folder.predictions)
        if summary.usable < summary.total:
            skipped = _count(summary.total - summary.usable, "sequence")
            logger.warning("%s skipped, listed in %s", skipped, output / SKIPPED_FILE)
        return folder.predictions

    def _check(
        self,
        source: SequenceInput,
        recorded_max_length: int | None = None,
        on_problem: Callable[[SequenceRecord, str], None] | None = None,
    ) -> tuple[SequenceChecker, InputSummary, int]:
        """Read the whole input once, before anything is predicted.

        Args:
            source: the input.
            recorded_max_length: the longest length that fitted when this run was started, so that what was usable
                then, and with it the chunks, stays the same.
            on_problem: called with each unusable record and the reason.

        Returns:
            The checker that gives the usable records, what it found, and the longest length it lets pass.

        Raises:
            ValueError: a record is unusable and `skip_invalid` is off, or none is usable, or memory is too small.
        """
        memory = MemoryLimit(
            config=self.config,
            device=self.device,
            itemsize=self.torch_dtype.itemsize,
            num_weight_bytes=sum(file.stat().st_size for file in self.checkpoint.glob("*.safetensors")),
            available=available_memory(self.device),
        )
        max_length = memory.max_length() if recorded_max_length is None else recorded_max_length

        def explain_length(length: int) -> str | None:
            if length <= max_length:
                return None
            return f"{length:,} nt {memory.explain(length, length * length)}; at most {max_length:,} nt fit"

        trained = getattr(self.config, "training_max_length", None)
        checker = SequenceChecker(source, explain_length)
        summary = checker.check(None if trained is None else _LENGTH_FACTOR * trained, on_problem)
        if summary.usable == 0:
            raise ValueError(_list_problems(source, summary) + " (nothing is left to predict)")
        if summary.usable < summary.total and not self.skip_invalid:
            raise ValueError(_list_problems(source, summary) + " (--skip-invalid predicts the others)")

        length, identifier = summary.longest
        num_pairs = max(length * length, min(length, _LINEAR_LENGTH) * self.batch_tokens)
        num_pairs = min(num_pairs, summary.usable * length * length)
        if not memory.has_room(length, num_pairs):
            reason = memory.explain(length, num_pairs)
            if num_pairs == length * length:
                raise ValueError(f"sequence {identifier!r} of {length:,} nt {reason}")
            raise ValueError(f"a batch of {self.batch_tokens:,} tokens {reason}; choose a smaller --batch-tokens")
        if summary.num_longer:
            warnings.warn(
                f"{_count(summary.num_longer, 'sequence')} longer than {_LENGTH_FACTOR} x {trained:,} nt, the longest "
                f"the model was trained on (the longest is {identifier!r} with {length:,} nt): expect less accuracy",
                stacklevel=4,
            )
        return checker, summary, max_length

    def _describe(self, source: SequenceInput) -> dict[str, Any]:
        """Everything that the numbers depend on; equal descriptions give equal predictions."""
        return {
            "task": self.task.name,
            "input": source.digest(),
            "model": hash_checkpoint(self.checkpoint),
            "flip_average": self.flip_average,
            "format": self.format,
            "dtype": self.dtype,
            "device": self.device.type,
            "batch_tokens": self.batch_tokens,
            "skip_invalid": self.skip_invalid,
            "rna_hf": __version__,
            "torch": torch.__version__,
        }

    def _schema(self) -> "pa.Schema":
        import pyarrow as pa

        fields = [pa.field("id", pa.string()), pa.field("sequence", pa.string())]
        fields += [pa.field(name, pa.list_(pa.float32())) for name in self.task.columns(self.config)]
        facts = {"task": self.task.name, "unit": self.task.unit, "model": self.checkpoint.name, "rna_hf": __version__}
        return pa.schema(fields, metadata={"rna_hf": json.dumps(facts)})

    def _table(self, chunk: list[SequenceRecord], predictions: Iterable[np.ndarray], schema: "pa.Schema") -> "pa.Table":
        import pyarrow as pa

        columns: dict[str, list[Any]] = {name: [] for name in schema.names}
        for record, values in zip(chunk, predictions):
            columns["id"].append(record.id)
            columns["sequence"].append(record.sequence)
            for name, array in self.task.row(values, self.config).items():
                columns[name].append(array)
        return pa.table(columns, schema=schema)

    def _progress_bar(self, total: int, done: int) -> Any:
        from tqdm import tqdm

        disable = None if self.progress is None else not self.progress
        return tqdm(total=total, initial=done, unit="seq", desc=self.task.name, disable=disable, smoothing=0.05)


class _Predictor:
    """A loaded model and tokenizer that turn a chunk of records into arrays."""

    def __init__(self, run: _Run, model: Any, tokenizer: Any):
        self._run = run
        self._model = model
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, run: _Run) -> "_Predictor":
        from transformers import AutoTokenizer

        with _explain_checkpoint(run.checkpoint):
            tokenizer = AutoTokenizer.from_pretrained(run.checkpoint)
            model, report = run.task.auto_class().from_pretrained(
                run.checkpoint, dtype=run.torch_dtype, output_loading_info=True
            )
        missing = sorted(report["missing_keys"])
        if missing:
            saved_from = (run.config.architectures or ["another class"])[0]
            raise ValueError(
                f"checkpoint {run.checkpoint.name!r} lacks weights of {type(model).__name__} ({', '.join(missing[:3])}"
                f"{', ...' if len(missing) > 3 else ''}): it was saved from {saved_from}"
            )
        return cls(run, model.eval().to(run.device), tokenizer)

    def run(self, chunk: list[SequenceRecord], report: Callable[[int], Any]) -> list[np.ndarray]:
        """Predict a chunk; arrays come in the chunk's order.

        Args:
            chunk: usable records.
            report: called with the number of sequences done since the last call.
        """
        results: list[np.ndarray | None] = [None] * len(chunk)
        pads = getattr(self._run.config, "fix_attention_mask", True)
        for batch in make_batches([len(record.sequence) for record in chunk], self._run.batch_tokens, pads):
            sequences = [chunk[index].sequence for index in batch]
            predictions = self._forward(sequences)
            if self._run.flip_average:
                flipped = self._forward([sequence[::-1] for sequence in sequences])
                reverse = self._run.task.reverse
                predictions = [(one + reverse(other)) / 2 for one, other in zip(predictions, flipped)]
            for index, values in zip(batch, predictions):
                if not np.isfinite(values).all():
                    raise FloatingPointError(
                        f"the prediction for {chunk[index].id!r} is not finite in {self._run.dtype}; "
                        "use --dtype float32, and check the checkpoint if that does not help"
                    )
                results[index] = values
            report(len(batch))
        return [values for values in results if values is not None]

    def _forward(self, sequences: list[str]) -> list[np.ndarray]:
        device = self._run.device
        encoded = self._tokenizer(sequences, padding=True, return_tensors="pt", return_special_tokens_mask=True)
        keep = encoded["special_tokens_mask"] == 0
        for sequence, count in zip(sequences, keep.sum(1).tolist()):
            if count != len(sequence):
                raise ValueError(
                    f"the tokenizer of {self._run.checkpoint.name!r} makes {count} tokens of {len(sequence)} nt; "
                    "prediction per nucleotide needs one token for each"
                )
        mask = encoded["attention_mask"]
        # Without padding no mask is given: the same numbers with less work.
        mask = None if bool(mask.all()) else mask.to(device)
        try:
            with torch.inference_mode():
                outputs = self._model(input_ids=encoded["input_ids"].to(device), attention_mask=mask)
            return self._run.task.values(outputs, keep)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
                raise MemoryError(
                    f"out of memory on {device} with {len(sequences)} x {len(sequences[0]):,} nt; "
                    "lower --batch-tokens, or use --dtype bfloat16"
                ) from error
            raise


def make_batches(lengths: Sequence[int], batch_tokens: int, pads: bool) -> list[list[int]]:
    """Group sequences of similar length; the result depends on the arguments alone.

    Args:
        lengths: of the sequences, in nucleotides.
        batch_tokens: B * L * max(1, L / 256) stays within it, L the longest of the batch; one sequence always fits.
        pads: whether sequences of different length may share a batch. Not for a model whose padding changes the
            predictions (`fix_attention_mask` off): there each sequence comes out as if it were alone.

    Returns:
        Indices of the sequences of each batch, longest batch first, so that a lack of memory shows at once.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    batches: list[list[int]] = []
    for index in order:
        if batches:
            longest = lengths[batches[-1][0]]
            cost = (len(batches[-1]) + 1) * longest * max(1.0, longest / _LINEAR_LENGTH)
            if cost <= batch_tokens and (pads or lengths[index] == longest):
                batches[-1].append(index)
                continue
        batches.append([index])
    return batches


def load_config(checkpoint: Path, task: PredictionTask) -> Any:
    """Read a checkpoint's configuration and refuse one that the task cannot use.

    Raises:
        ValueError: the configuration cannot be read, is of another architecture or of another head.
    """
    from transformers import AutoConfig

    try:
        raw = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"checkpoint {checkpoint.name!r}: config.json is not readable JSON ({error})") from error
    mapping = task.auto_class()._model_mapping
    accepted = {config_class.model_type: mapping[config_class] for config_class in mapping.keys()}  # noqa: SIM118
    model_type = raw.get("model_type")
    saved_from = (raw.get("architectures") or [None])[0]
    if model_type not in accepted:
        raise ValueError(
            f"checkpoint {checkpoint.name!r} is of another architecture (model_type {model_type!r}"
            f"{f', saved from {saved_from}' if saved_from else ''}); "
            f"`predict {task.name}` takes {', '.join(sorted(accepted))}"
        )
    if saved_from is not None and saved_from != accepted[model_type].__name__:
        raise ValueError(
            f"checkpoint {checkpoint.name!r} was saved from {saved_from}; "
            f"`predict {task.name}` needs {accepted[model_type].__name__}"
        )
    with _explain_checkpoint(checkpoint):
        return AutoConfig.from_pretrained(checkpoint)


def hash_checkpoint(folder: Path) -> str:
    """Return the SHA-256 of the files of a checkpoint that its predictions depend on."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in (".json", ".safetensors", ".txt", ".py"):
            with open(path, "rb") as file:
                digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _chunks(records: Iterable[SequenceRecord]) -> Iterator[list[SequenceRecord]]:
    chunk: list[SequenceRecord] = []
    nucleotides = 0
    for record in records:
        if chunk and (len(chunk) == CHUNK_ROWS or nucleotides + len(record.sequence) > CHUNK_NUCLEOTIDES):
            yield chunk
            chunk, nucleotides = [], 0
        chunk.append(record)
        nucleotides += len(record.sequence)
    if chunk:
        yield chunk


@contextlib.contextmanager
def _explain_checkpoint(checkpoint: Path) -> Iterator[None]:
    """Put the checkpoint's name and one line around whatever loading raises."""
    try:
        yield
    except Exception as error:  # transformers, tokenizers and safetensors raise many kinds
        reason = " ".join(str(error).split())
        raise ValueError(f"checkpoint {checkpoint.name!r} cannot be loaded: {reason[:300]}") from error


def _choose(option: str, value: str, choices: dict[str, Any]) -> Any:
    if value not in choices:
        raise ValueError(f"{option} must be one of {', '.join(choices)}, got {value!r}")
    return choices[value]


def _list_problems(source: SequenceInput, summary: InputSummary) -> str:
    if summary.total == 1:
        return f"{source.name}: {summary.problems[0]}"
    count = summary.total - summary.usable
    hidden = count - len(summary.problems)
    more = f"; and {hidden:,} more" if hidden else ""
    verb = "is" if count == 1 else "are"
    return (
        f"{source.name}: {count:,} of {summary.total:,} sequences {verb} unusable: {'; '.join(summary.problems)}{more}"
    )


def _first(count: int, total: int) -> str:
    return f"First {count:,} of {total:,} RNAs" if count < total else _count(total, "RNA")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
