"""Prediction for many sequences: checks the input, runs a model in batches, writes as it goes and can be continued.

The engine does not know what is predicted. A `PredictionTask` says which models it takes, which columns it makes and
how an output becomes a row; `TASKS` holds one per kind of prediction.

How a run can be killed at any time and still give the same file: usable records are grouped in input order into chunks
whose limits depend on the input alone; batches are made inside a chunk; each finished chunk is one part file of
`RunFolder`. A new run with the same fingerprint (content of the input, of the checkpoint, and the options that change
numbers) does the chunks that have no part file, so it makes the very batches of an undisturbed run; then it joins all.

How several processes share a run: the main one checks the input as ever and tells the others which parts are there; the
k-th of n processes then does the k-th of every n missing chunks. When all are done the main one joins the parts.
"""

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..checkpoints import find_checkpoint
from ..data.run_folder import FORMATS, SKIPPED_FILE, RunFolder
from ..data.sequences import InputSummary, SequenceChecker, SequenceInput, SequenceRecord, open_sequences
from ..memory import MemoryLimit, available_memory
from ..version import __version__
from .predictor import LINEAR_LENGTH, Predictor, hash_checkpoint, load_config
from .processes import Processes, choose_device
from .tasks import TASKS, PredictionTask

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

DTYPES = ("float32", "bfloat16", "float16")
DEFAULT_BATCH_TOKENS = 2048
DEFAULT_PLOT_ROWS = 10

# A chunk, the unit of writing and of resuming, ends after this many sequences or before this many nucleotides.
CHUNK_ROWS = 256
CHUNK_NUCLEOTIDES = 32_768

# A sequence this many times longer than anything trained on gets a warning.
_LENGTH_FACTOR = 2


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
    distributed: bool = False,
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
        distributed: share the work among the processes of `accelerate launch`, each of which makes this very call with
            the same output folder; in a process that was started alone it changes nothing. `auto` and `cuda` then mean
            a GPU for each process.

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
    with Processes.join() if distributed else Processes() as processes:
        chosen_device, num_sharing = choose_device(device, processes)
        run = _Run(
            task=_choose("task", task, TASKS),
            checkpoint=find_checkpoint(None if model is None else os.fspath(model), task),
            flip_average=flip_average,
            format=format,
            device=chosen_device,
            num_sharing=num_sharing,
            dtype=dtype,
            batch_tokens=batch_tokens,
            skip_invalid=skip_invalid,
            progress=progress,
        )
        if output is not None and not os.fspath(output):
            raise ValueError("the output folder's name is empty; name a folder")
        if plot_rows < 0:
            raise ValueError(f"plot_rows must be 0 or more, got {plot_rows}")
        if processes.count > 1 and output is None:
            raise ValueError(f"{processes.count} processes share a run through its output folder; name one")
        if processes.count > 1 and isinstance(inputs, str) and inputs == "-":
            raise ValueError(f"standard input cannot be read by {processes.count} processes; give a file")
        with open_sequences(inputs) as source:
            if output is None:
                return run.collect(source)
            if not processes.is_main:
                return run.assist(source, Path(output), processes)
            if not source.is_resumable:
                logger.warning("%s cannot be read twice: this run cannot be resumed if it is interrupted", source.name)
            return run.write(source, Path(output), overwrite=overwrite, plot_rows=plot_rows, processes=processes)


@dataclass
class _Run:
    """The options of one call of `predict`, checked, and the two ways to go through its input."""

    task: PredictionTask
    checkpoint: Path
    flip_average: bool
    format: str
    device: torch.device
    num_sharing: int  # processes that take their memory from the same device
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

    def _load(self) -> Predictor:
        return Predictor.load(
            self.task, self.checkpoint, self.config, self.device, self.dtype, self.batch_tokens, self.flip_average
        )

    def collect(self, source: SequenceInput) -> list[dict[str, Any]]:
        """Return the rows as dicts of plain Python values."""
        checker, summary, _ = self._check(source)
        if summary.usable < summary.total:
            warnings.warn(f"skipped: {_list_problems(source, summary)}", stacklevel=3)
        predictor = self._load()
        rows = []
        with self._progress_bar(summary.usable, 0) as bar:
            for chunk in _chunks(checker.usable()):
                for record, values in zip(chunk, predictor.run(chunk, bar.update)):
                    columns = {name: array.tolist() for name, array in self.task.row(values, self.config).items()}
                    rows.append({"id": record.id, "sequence": record.sequence, **columns})
        return rows

    def write(self, source: SequenceInput, output: Path, overwrite: bool, plot_rows: int, processes: Processes) -> Path:
        """Write the rows to a folder, continuing what is there, and return the path of the file of predictions."""
        folder = RunFolder(output, self.format, plot_file=self.task.plot_file)
        with folder.open():
            description = self._describe(source)
            if folder.prepare(description, source, overwrite) == "finished":
                processes.agree({"is_finished": True})
                logger.info("%s is finished already, nothing to do (--overwrite repeats it)", folder.predictions)
                return folder.predictions
            with folder.skipped_writer() as write_skipped:
                on_problem = write_skipped if self.skip_invalid else None
                checker, summary, max_length = self._check(source, folder.recorded_max_length, on_problem)
            folder.start(description, source, max_length)
            if processes.count > 1:
                folder.let_others_in()
            done = folder.done_parts()
            plan = {"is_finished": False, "description": description, "max_length": max_length, "done": done}
            processes.agree(plan)
            num_done = sum(done.values())
            if num_done:
                logger.info("resuming: %s of %s are done", f"{num_done:,}", _count(summary.usable, "sequence"))
            schema = self._schema()
            elsewhere: dict[int, int] = {}  # rows of each chunk that another process has to do
            with self._progress_bar(summary.usable, num_done) as bar:

                def count_elsewhere() -> None:
                    for number in [number for number, rows in elsewhere.items() if folder.has_part(number, rows)]:
                        bar.update(elsewhere.pop(number))

                num_chunks = 0
                predictor: Predictor | None = None
                for number, chunk, owner in _share_out(checker.usable(), done, processes.count):
                    num_chunks = number + 1
                    if owner == processes.index:
                        predictor = predictor or self._load()
                        folder.write_part(number, self._table(chunk, predictor.run(chunk, bar.update), schema))
                        count_elsewhere()
                    elif owner is not None:
                        elsewhere[number] = len(chunk)
                processes.wait(count_elsewhere)
                count_elsewhere()
            if elsewhere:
                missing = _count(len(elsewhere), "part")
                raise OSError(f"{missing} of other processes cannot be seen in {output}; all need the same folder")
            folder.join(num_chunks, schema)
            if plot_rows:
                rows = folder.first_rows(plot_rows)
                title = f"{_first(len(rows), summary.usable)}, {self.task.name} predicted by {self.checkpoint.name}"
                self.task.plot(rows, self.config, output / self.task.plot_file, title)
            folder.finish(summary, self.task.unit)
        processes.agree()
        logger.info("%s: %s", _count(summary.usable, "sequence"), folder.predictions)
        if summary.usable < summary.total:
            skipped = _count(summary.total - summary.usable, "sequence")
            logger.warning("%s skipped, listed in %s", skipped, output / SKIPPED_FILE)
        return folder.predictions

    def assist(self, source: SequenceInput, output: Path, processes: Processes) -> Path:
        """Do this process's share of a run that the main process leads; return when the main process has finished."""
        folder = RunFolder(output, self.format, plot_file=self.task.plot_file)
        plan = processes.agree()
        if plan["is_finished"]:
            return folder.predictions
        if plan["description"] != self._describe(source):
            raise ValueError(f"process {processes.index} was given another input or other options than process 0")
        with folder.enter(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the main process gives the same ones
            checker, _, _ = self._check(source, plan["max_length"])
            schema = self._schema()
            predictor: Predictor | None = None
            for number, chunk, owner in _share_out(checker.usable(), plan["done"], processes.count):
                if owner == processes.index:
                    predictor = predictor or self._load()
                    rows = self._table(chunk, predictor.run(chunk, lambda count: None), schema)
                    folder.write_part(number, rows)
        processes.wait(lambda: None)
        processes.agree()
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
        available = available_memory(self.device)
        memory = MemoryLimit(
            config=self.config,
            device=self.device,
            itemsize=self.torch_dtype.itemsize,
            num_weight_bytes=sum(file.stat().st_size for file in self.checkpoint.glob("*.safetensors")),
            available=None if available is None else available // self.num_sharing,
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
        num_pairs = max(length * length, min(length, LINEAR_LENGTH) * self.batch_tokens)
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


def _share_out(
    records: Iterable[SequenceRecord], done: Mapping[int, int], num_processes: int
) -> Iterator[tuple[int, list[SequenceRecord], int | None]]:
    """Yield each chunk with its number and the process that has to do it; the same in all processes.

    Args:
        records: usable records.
        done: the number of rows in each part that is there; one with another number than its chunk is done again.
        num_processes: that share the missing chunks, each in turn.

    Yields:
        The chunk's number, its records, and the process's index, or None where the chunk is done.
    """
    num_missing = 0
    for number, chunk in enumerate(_chunks(records)):
        if done.get(number) == len(chunk):
            yield number, chunk, None
        else:
            yield number, chunk, num_missing % num_processes
            num_missing += 1


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
