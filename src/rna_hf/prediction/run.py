"""Prediction for many sequences: checks the input, runs a model in batches, writes as it goes and can be continued.

The engine does not know what is predicted. A `PredictionTask` says which models it takes, which columns and files it
makes and how an output becomes rows; `TASKS` holds one per kind of prediction.

How a run can be killed at any time and still give the same file: usable records are grouped in input order into chunks
whose limits depend on the input alone; batches are made inside a chunk; each finished chunk is one part file of
`RunFolder`. A new run with the same fingerprint (content of the input, of the checkpoint, and the options that change
numbers) does the chunks that have no part file, so it makes the very batches of an undisturbed run; then it joins all.
Files beside the joined one are made from the parts too, last of all.

How several processes share a run: the main one checks the input as ever and tells the others which parts are there; the
k-th of n processes then does the k-th of every n missing chunks. When all are done the main one joins the parts.
"""

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..checkpoints import find_checkpoint
from ..data.checks import InputSummary, SequenceChecker, explain_unknown, unknown_share
from ..data.run_folder import FORMATS, SKIPPED_FILE, RunFolder
from ..data.sources import SequenceInput, SequenceRecord, open_sequences
from ..memory import MemoryLimit, available_memory
from ..version import __version__
from .chunks import make_chunks, share_out
from .predictor import Predictor, find_linear_length, hash_checkpoint, load_config, load_tokenizer
from .processes import Processes, choose_device
from .tasks import TASKS, Kind, PredictionTask, Row

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

DTYPES = ("float32", "bfloat16", "float16")
DEFAULT_BATCH_TOKENS = 2048
DEFAULT_PLOT_ROWS = 10

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
    num_samples: int | None = None,
    num_windows: int | None = None,
    fixed_length: int | None = None,
    ct: bool = False,
    pdb: bool = False,
    progress: bool | None = None,
    distributed: bool = False,
) -> list[dict[str, Any]] | Path:
    """Predict for every sequence of an input.

    With an output folder the result is written as it comes, and a run that was interrupted is continued by the same
    call. The folder then holds `predictions.parquet` (or `.csv`, `.jsonl`; lists are JSON in a CSV) with the rows in
    input order, `run.json` saying how they were made and, with `skip_invalid`, `skipped.tsv`. One folder holds one run.

    The tasks, their columns besides `id` and `sequence`, and their files:

    - `reactivity`: `reactivity_<channel>`, a number for each nucleotide. `reactivity.png`, a heat map.
    - `degradation`: `config.degradation_targets`, a number for each nucleotide, relative to a reference, so that only
      ratios mean something. `degradation.png`, a heat map, and for two or more RNAs `half_life_ranking.csv`.
    - `dropout`: `reads_<channel>`, a number.
    - `structure`: `structure`, dot-bracket, and `confidence`, 0 to 1. `structures.dbn`, `structures.ct` with `ct`, and
      `structure.png`, an arc for each pair.
    - `localisation`: `config.compartments`, the RNA's share in each, 0 to 1. `localisation.png`, bars and the attention
      along each RNA, `attention_windows.csv`, the windows with the most attention (0-based, the end not included), and
      for two or more RNAs `motifs.csv`, what these windows have in common; see `LocalisationTask`.
    - `3d`: a row for each `sample` (from 1) with `x`, `y` and `z` of each nucleotide's C1', angstrom.
      `<id>_<sample>.cif`, with `pdb` also `.pdb`, and `<id>.html`, a page with all samples of an RNA.

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
            states grow with L * L (B * L for a model without pair states). A longer sequence runs alone.
        skip_invalid: leave out sequences that cannot be predicted instead of stopping before the first prediction.
        overwrite: replace what an earlier, different run left in the output folder.
        plot_rows: number of RNAs in the picture; 0 for none.
        num_samples: for `3d`, structures for each RNA, 1 to 100; 5 if None.
        num_windows: for `localisation`, windows in the table for each RNA at most, 1 to 100; 5 if None.
        fixed_length: for `localisation`, nucleotides to which each RNA is cut and, for a model that reads padding
            (`config.mask_padding` off), padded, on the sides that the tokenizer says; 4000 with converted weights is
            what the original does. None: each RNA whole and without padding, whatever the model.
        ct: for `structure`, write a CT file too.
        pdb: for `3d`, write PDB files too.
        progress: show a progress bar; None: if standard error is a terminal.
        distributed: share the work among the processes of `accelerate launch`, each of which makes this very call with
            the same output folder; in a process that was started alone it changes nothing. `auto` and `cuda` then mean
            a GPU for each process.

    Returns:
        Without `output` a list with a dict for each row: `id`, `sequence` (as read: case and T or U are kept) and the
        predicted columns as plain Python values. With `output` the path of the file of predictions.

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
        prediction_task = _configure(
            task, num_samples=num_samples, num_windows=num_windows, fixed_length=fixed_length, ct=ct, pdb=pdb
        )
        run = _Run(
            task=prediction_task,
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
        if output is None:
            for name, value in (("ct", ct), ("pdb", pdb), ("num_windows", num_windows)):
                if value:
                    raise ValueError(f"{name} is for files; name an output folder")
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
        if self.flip_average and not self.task.can_flip:
            raise ValueError(
                f"flip_average is not for `predict {self.task.name}`: the reversed sequence is another molecule"
            )
        self.config = load_config(self.checkpoint, self.task)
        self.tokenizer = load_tokenizer(self.checkpoint)
        self.task = self.task.for_checkpoint(self.config, self.tokenizer)
        self.torch_dtype = getattr(torch, self.dtype)

    def _load(self) -> Predictor:
        return Predictor.load(
            self.task,
            self.checkpoint,
            self.config,
            self.tokenizer,
            self.device,
            self.dtype,
            self.batch_tokens,
            self.flip_average,
        )

    def collect(self, source: SequenceInput) -> list[dict[str, Any]]:
        """Return the rows as dicts of plain Python values."""
        checker, summary, _ = self._check(source)
        if summary.usable < summary.total:
            warnings.warn(f"skipped: {_list_problems(source, summary)}", stacklevel=3)
        predictor = self._load()
        kinds = self._columns()
        rows = []
        with self._progress_bar(summary.usable, 0) as bar:
            for chunk in make_chunks(checker.usable()):
                for row in predictor.run(chunk, bar.update):
                    rows.append(
                        {name: row[name].tolist() if kind == "numbers" else row[name] for name, kind in kinds.items()}
                    )
        return rows

    def write(self, source: SequenceInput, output: Path, overwrite: bool, plot_rows: int, processes: Processes) -> Path:
        """Write the rows to a folder, continuing what is there, and return the path of the file of predictions."""
        folder = RunFolder(output, self.format, self.task.rows_per_sequence)
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
            part_schema = self._schema(self._columns() | self.task.plot_columns())
            elsewhere: dict[int, int] = {}  # sequences of each chunk that another process has to do
            with self._progress_bar(summary.usable, num_done) as bar:

                def count_elsewhere() -> None:
                    for number in [number for number, count in elsewhere.items() if folder.has_part(number, count)]:
                        bar.update(elsewhere.pop(number))

                num_chunks = 0
                predictor: Predictor | None = None
                for number, chunk, owner in share_out(checker.usable(), done, processes.count):
                    num_chunks = number + 1
                    if owner == processes.index:
                        predictor = predictor or self._load()
                        folder.write_part(number, _table(predictor.run(chunk, bar.update), part_schema))
                        count_elsewhere()
                    elif owner is not None:
                        elsewhere[number] = len(chunk)
                processes.wait(count_elsewhere)
                count_elsewhere()
            if elsewhere:
                missing = _count(len(elsewhere), "part")
                raise OSError(f"{missing} of other processes cannot be seen in {output}; all need the same folder")
            folder.join(num_chunks, self._schema(self._columns()))
            self._write_files(folder, summary, overwrite, plot_rows)
            folder.finish(summary, self.task.unit)
        processes.agree()
        logger.info("%s: %s", _count(summary.usable, "sequence"), folder.predictions)
        if summary.usable < summary.total:
            skipped = _count(summary.total - summary.usable, "sequence")
            logger.warning("%s skipped, listed in %s", skipped, output / SKIPPED_FILE)
        return folder.predictions

    def _write_files(self, folder: RunFolder, summary: InputSummary, overwrite: bool, plot_rows: int) -> None:
        """Write what comes beside the file of predictions."""
        names = self.task.file_names(folder.ids(), self.config)
        plot_files = [self.task.plot_file] if plot_rows and self.task.plot_file else []
        folder.announce_files(names + plot_files, overwrite)
        if names:
            logger.info("writing %s beside the predictions", _count(len(names), "file"))
            self.task.write_files(folder.tables, self.config, folder.path)
        for plot_file in plot_files:
            rows = folder.first_rows(plot_rows)
            title = f"{_first(len(rows), summary.usable)}, {self.task.name} predicted by {self.checkpoint.name}"
            self.task.plot(rows, self.config, folder.path / plot_file, title)

    def assist(self, source: SequenceInput, output: Path, processes: Processes) -> Path:
        """Do this process's share of a run that the main process leads; return when the main process has finished."""
        folder = RunFolder(output, self.format, self.task.rows_per_sequence)
        plan = processes.agree()
        if plan["is_finished"]:
            return folder.predictions
        if plan["description"] != self._describe(source):
            raise ValueError(f"process {processes.index} was given another input or other options than process 0")
        with folder.enter(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the main process gives the same ones
            checker, _, _ = self._check(source, plan["max_length"])
            part_schema = self._schema(self._columns() | self.task.plot_columns())
            predictor: Predictor | None = None
            for number, chunk, owner in share_out(checker.usable(), plan["done"], processes.count):
                if owner == processes.index:
                    predictor = predictor or self._load()
                    folder.write_part(number, _table(predictor.run(chunk, lambda count: None), part_schema))
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
            read = self.task.read_length(length, self.config)
            if read <= max_length:
                return self.task.explain_length(length, self.config)
            return f"{read:,} nt {memory.explain(read, read * read)}; at most {max_length:,} nt fit"

        max_unknown = getattr(self.config, "max_unknown_share", None)

        def is_doubtful(sequence: str) -> bool:
            return max_unknown is not None and unknown_share(self.task.part_read(sequence)) > max_unknown

        trained = getattr(self.config, "training_max_length", None)
        limit = None if trained is None else _LENGTH_FACTOR * trained
        checker = SequenceChecker(source, explain_length)
        summary = checker.check(limit, on_problem, is_doubtful)
        if summary.usable == 0:
            raise ValueError(_list_problems(source, summary) + " (nothing is left to predict)")
        if summary.usable < summary.total and not self.skip_invalid:
            raise ValueError(_list_problems(source, summary) + " (--skip-invalid predicts the others)")

        length, identifier = summary.longest
        length = self.task.read_length(length, self.config)
        num_pairs = max(length * length, int(min(length, find_linear_length(self.config))) * self.batch_tokens)
        num_pairs = min(num_pairs, summary.usable * length * length)
        if not memory.has_room(length, num_pairs):
            reason = memory.explain(length, num_pairs)
            if num_pairs == length * length:
                raise ValueError(f"sequence {identifier!r} of {length:,} nt {reason}")
            raise ValueError(f"a batch of {self.batch_tokens:,} tokens {reason}; choose a smaller --batch-tokens")
        if max_unknown is not None and summary.num_doubtful:
            names = [repr(identifier[:60]) for identifier in summary.doubtful]
            warnings.warn(explain_unknown(names, summary.num_doubtful, max_unknown), stacklevel=4)
        # What is cut to a fixed length may be no longer than that.
        if limit is not None and summary.num_longer and length > limit:
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
            **asdict(self.task),
        }

    def _columns(self) -> dict[str, Kind]:
        return {"id": "text", "sequence": "text", **self.task.columns(self.config)}

    def _schema(self, columns: Mapping[str, Kind]) -> "pa.Schema":
        import pyarrow as pa

        types = {"numbers": pa.list_(pa.float32()), "number": pa.float32(), "index": pa.int32(), "text": pa.string()}
        fields = [pa.field(name, types[kind]) for name, kind in columns.items()]
        facts = {"task": self.task.name, "unit": self.task.unit, "model": self.checkpoint.name, "rna_hf": __version__}
        return pa.schema(fields, metadata={"rna_hf": json.dumps(facts)})

    def _progress_bar(self, total: int, done: int) -> Any:
        from tqdm import tqdm

        disable = None if self.progress is None else not self.progress
        return tqdm(total=total, initial=done, unit="seq", desc=self.task.name, disable=disable, smoothing=0.05)


def _table(rows: list[Row], schema: "pa.Schema") -> "pa.Table":
    import pyarrow as pa

    return pa.table({name: [row[name] for row in rows] for name in schema.names}, schema=schema)


def _configure(task: str, **options: Any) -> PredictionTask:
    """Return a task with options that it alone has; None and False mean that an option was not given."""
    chosen: PredictionTask = _choose("task", task, TASKS)
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    for name in given:
        if name not in chosen.options():
            owner = next(other.name for other in TASKS.values() if name in other.options())
            raise ValueError(f"{name} is for `predict {owner}`, not for `predict {task}`; leave it out")
    return chosen.with_options(**given)


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
