"""Prediction for many sequences: checks the input, runs a model in batches, writes as it goes and can be continued.

The engine does not know what is predicted. A `Task` says which models it takes, and its `Prediction` which columns and
files it makes and how an output becomes rows.

How a run can be killed at any time and still give the same file: usable records are grouped in input order into chunks
whose limits depend on the input alone; batches are made inside a chunk; each finished chunk is one part file of
`RunFolder`. A chunk may take long, so the batches that are finished are written as a piece of it after each half minute
of work, and on Ctrl-C. A new run with the same fingerprint (content of the input, of the checkpoint, and the options
that change numbers) does the chunks that have no part file, and of these the batches that no piece has, so it makes the
very batches of an undisturbed run; then it joins all. Files beside the joined one are made from the parts too, last of
all.

How several processes share a run: the main one checks the input as ever and tells the others which parts are there; the
k-th of n processes then does the k-th of every n missing chunks, from the pieces of it that any process has written.
When all are done the main one joins the parts.
"""

import json
import logging
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..data.checks import InputSummary, SequenceChecker, explain_caution
from ..data.kept_columns import KeptColumns
from ..data.records import SequenceInput, SequenceRecord
from ..data.run_folder import SKIPPED_FILE, RunFolder
from ..data.table_files import NUCLEOTIDE, POSITION, WRITERS, Remark, write_long_csv
from ..memory import MemoryLimit, available_memory
from ..tasks import WARNING, Kind, Prediction, Row, Task, join_cautions
from ..version import __version__
from .chunks import make_chunks, share_out
from .options import RunOptions
from .predictor import Predictor, hash_checkpoint, load_config, load_model, load_tokenizer, token_weight
from .processes import Processes, choose_device

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

# Said instead of an advice to leave out what is unusable.
_DOUBT = "is this the right input, and is it RNA?"
# What is finished is written after this many seconds of work.
WRITE_SECONDS = 30.0


@dataclass
class Run:
    """One run, its options checked, and the two ways to go through its input.

    Attributes:
        task: what is predicted.
        prediction: of the task, with its options.
        checkpoint: a checkpoint's folder.
        options: of the run.
        processes: that share it.
        progress: show a progress bar; None: if standard error is a terminal.
    """

    task: Task
    prediction: Prediction
    checkpoint: Path
    options: RunOptions
    processes: Processes
    progress: bool | None

    def __post_init__(self) -> None:
        self.device, self.num_sharing = choose_device(self.options.device, self.processes)
        self.config = load_config(self.checkpoint, self.task)
        self.tokenizer = load_tokenizer(self.checkpoint)
        self.prediction = self.prediction.for_checkpoint(self.config, self.tokenizer)
        self.kept = KeptColumns()
        self._last_write = time.monotonic()

    @cached_property
    def predictor(self) -> Predictor:
        """The loaded model; loaded when it is first asked for."""
        return Predictor(
            self.prediction,
            load_model(self.checkpoint, self.task, self.config, self.options.dtype, self.device),
            self.tokenizer,
            self.checkpoint.name,
            self.options.batch_tokens,
            self.options.flip_average,
            self._batch_sequences,
        )

    def _folder(self, output: Path) -> RunFolder:
        prediction = self.prediction
        return RunFolder(output, self.options.format, prediction.rows_per_sequence, prediction.file_stem)

    @property
    def _batch_sequences(self) -> int | None:
        return self.prediction.cpu_batch_sequences if self.device.type == "cpu" else None

    def _rows(self, chunk: list[SequenceRecord], predicted: list[list[Row]]) -> list[Row]:
        """Give rows their records' `id`, `sequence` and kept columns, and what to be careful of."""
        return [
            {
                "id": record.id,
                "sequence": record.sequence,
                **row,
                WARNING: join_cautions(self.prediction.cautions(record.sequence, self.config)),
                **self.kept.values(record),
            }
            for record, rows in zip(chunk, predicted, strict=True)
            for row in rows
        ]

    def _write_chunk(
        self,
        folder: RunFolder,
        number: int,
        chunk: list[SequenceRecord],
        schema: "pa.Schema",
        source: SequenceInput,
        report: Callable[[int], Any],
    ) -> None:
        """Predict what is not done of a chunk, writing on the way, and write its part."""
        import pyarrow as pa

        tables = [table for table in folder.read_pieces(number) if table.schema.equals(schema)]
        done = {identifier for table in tables for identifier in table.column("id").to_pylist()}
        sequences, ids = [record.sequence for record in chunk], [record.id for record in chunk]
        pending: list[pa.Table] = []
        first = 0  # the first batch of those pending

        def write_piece() -> None:
            nonlocal pending
            source.check_unchanged()
            folder.write_piece(number, first, pa.concat_tables(pending))
            tables.extend(pending)
            pending = []
            self._last_write = time.monotonic()

        batches = self.predictor.batches(sequences)
        for index, batch in enumerate(batches):
            if done.issuperset(ids[member] for member in batch):
                continue
            first = first if pending else index
            try:
                predicted = self.predictor.predict_batch(sequences, batch, ids)
                rows = self._rows([chunk[member] for member in batch], predicted)
            except Exception:
                raise
            except BaseException:  # someone is waiting for the end: no error, which the same command would meet again
                if pending:
                    write_piece()
                raise
            pending.append(_table(rows, schema))
            report(len(batch))
            if time.monotonic() - self._last_write >= WRITE_SECONDS and index + 1 < len(batches):
                write_piece()
        source.check_unchanged()
        folder.write_part(number, _in_order(pa.concat_tables(tables + pending), ids))
        self._last_write = time.monotonic()

    def collect(self, source: SequenceInput) -> list[dict[str, Any]]:
        """Return the rows as dicts of plain Python values."""
        checker, summary, _ = self._check(source)
        if summary.usable < summary.total:
            warnings.warn(f"skipped: {_list_problems(source, summary)}", stacklevel=3)
        kinds = self._columns()
        rows = []
        with self._progress_bar(summary.usable, 0) as bar:
            for chunk in make_chunks(checker.usable()):
                ids = [record.id for record in chunk]
                predicted = self.predictor.predict([record.sequence for record in chunk], bar.update, ids)
                for row in self._rows(chunk, predicted):
                    values = {name: _plain(row[name], kind) for name, kind in kinds.items()}
                    rows.append(values | {name: row[name] for name in self.kept.names})
        return rows

    def write(self, source: SequenceInput, output: Path) -> Path:
        """Write the rows to a folder, continuing what is there, and return the path of the file of predictions."""
        processes, overwrite = self.processes, self.options.overwrite
        folder = self._folder(output)
        with folder.open():
            description = self._describe(source)
            if folder.prepare(description, source, overwrite) == "finished":
                processes.agree({"is_finished": True})
                logger.info("%s is finished already, nothing to do (--overwrite repeats it)", folder.predictions)
                return folder.predictions
            with folder.skipped_writer() as write_skipped:
                on_problem = write_skipped if self.options.skip_invalid else None
                checker, summary, max_length = self._check(source, folder.recorded_max_length, on_problem)
            names, plot_files = self._file_names(record.id for record in checker.usable())
            folder.refuse_foreign(names + plot_files, overwrite)
            folder.start(description, source, max_length)
            if processes.count > 1:
                folder.let_others_in()
            done = folder.done_parts()
            plan = {"is_finished": False, "description": description, "max_length": max_length, "done": done}
            processes.agree(plan)
            begun = {number: count for number, count in folder.piece_counts().items() if not done.get(number)}
            num_done = sum(done.values()) + sum(begun.values())
            if num_done:
                logger.info("resuming: %s of %s are done", f"{num_done:,}", _count(summary.usable, "sequence"))
            part_schema = self._schema(self._columns() | self.prediction.plot_columns())
            elsewhere: dict[int, int] = {}  # sequences of each chunk that another process has to finish
            with self._progress_bar(summary.usable, num_done) as bar:

                def count_elsewhere() -> None:
                    for number in [number for number, count in elsewhere.items() if folder.has_part(number, count)]:
                        bar.update(elsewhere.pop(number) - begun.get(number, 0))

                num_chunks = 0
                for number, chunk, owner in share_out(checker.usable(), done, processes.count):
                    num_chunks = number + 1
                    if owner == processes.index:
                        self._write_chunk(folder, number, chunk, part_schema, source, bar.update)
                        count_elsewhere()
                    elif owner is not None:
                        elsewhere[number] = len(chunk)
                processes.wait(count_elsewhere)
                count_elsewhere()
            if elsewhere:
                missing = _count(len(elsewhere), "part")
                raise OSError(f"{missing} of other processes cannot be seen in {output}; all need the same folder")
            source.check_unchanged()
            folder.join(num_chunks, self._schema(self._columns()), self._writer())
            self._write_files(folder, summary)
            folder.finish(summary, self.prediction.unit)
        processes.agree()
        logger.info("%s: %s", _count(summary.usable, "sequence"), folder.predictions)
        if summary.usable < summary.total:
            skipped = _count(summary.total - summary.usable, "sequence")
            logger.warning("%s skipped, listed in %s", skipped, output / SKIPPED_FILE)
        return folder.predictions

    def _writer(self) -> Callable[[Path, Iterable["pa.Table"], "pa.Schema"], None]:
        """Return what writes the file of predictions."""
        if self.options.format == "csv" and self.prediction.per_nucleotide and not self.options.wide:
            return partial(write_long_csv, remark_column=WARNING, find_remarks=self._remarks)
        return WRITERS[self.options.format]

    def _remarks(self, sequence: str) -> list[Remark]:
        """Return what to be careful of, by stretches of an RNA."""
        cautions = self.prediction.cautions(sequence, self.config)
        return [(one.start or 0, len(sequence) if one.end is None else one.end, one.reason) for one in cautions]

    def _file_names(self, ids: Iterator[str]) -> tuple[list[str], list[str]]:
        """Return the names of the files that come beside the file of predictions, and those of pictures."""
        plot_file = self.prediction.plot_file if self.options.plot_rows else None
        return self.prediction.file_names(ids, self.config), [plot_file] if plot_file else []

    def _write_files(self, folder: RunFolder, summary: InputSummary) -> None:
        """Write what comes beside the file of predictions."""
        prediction, plot_rows = self.prediction, self.options.plot_rows
        names, plot_files = self._file_names(folder.ids())
        folder.announce_files(names + plot_files, self.options.overwrite)
        if names:
            logger.info("writing %s beside the predictions", _count(len(names), "file"))
            prediction.write_files(folder.tables, self.config, folder.path)
        for plot_file in plot_files:
            rows = folder.first_rows(plot_rows)
            title = f"{_first(len(rows), summary.usable)}, {self.task.name} predicted by {self.checkpoint.name}"
            prediction.plot(rows, self.config, folder.path / plot_file, title)

    def assist(self, source: SequenceInput, output: Path) -> Path:
        """Do this process's share of a run that the main process leads; return when the main process has finished."""
        processes = self.processes
        folder = self._folder(output)
        plan = processes.agree()
        if plan["is_finished"]:
            return folder.predictions
        if plan["description"] != self._describe(source):
            raise ValueError(f"process {processes.index} was given another input or other options than process 0")
        with folder.enter(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the main process gives the same ones
            checker, _, _ = self._check(source, plan["max_length"])
            part_schema = self._schema(self._columns() | self.prediction.plot_columns())
            for number, chunk, owner in share_out(checker.usable(), plan["done"], processes.count):
                if owner == processes.index:
                    self._write_chunk(folder, number, chunk, part_schema, source, lambda count: None)
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
            itemsize=getattr(torch, self.options.dtype).itemsize,
            num_weight_bytes=sum(file.stat().st_size for file in self.checkpoint.glob("*.safetensors")),
            available=None if available is None else available // self.num_sharing,
        )
        max_length = memory.max_length() if recorded_max_length is None else recorded_max_length

        def explain_length(length: int) -> str | None:
            read = self.prediction.read_length(length, self.config)
            if read <= max_length:
                return self.prediction.explain_length(length, self.config)
            return f"{read:,} nt {memory.explain(1, read)}; at most {max_length:,} nt fit"

        def find_cautions(sequence: str) -> list[str]:
            cautions = self.prediction.cautions(sequence, self.config)
            return [caution.reason for caution in cautions if caution.start is None]

        checker = SequenceChecker(source, explain_length, self.prediction.part_read)
        summary = checker.check(on_problem, find_cautions, self.kept.note)
        if summary.usable == 0:
            raise ValueError(_list_problems(source, summary) + " (nothing is left to predict)")
        if summary.usable < summary.total and not self.options.skip_invalid:
            advice = _DOUBT if summary.is_mostly_unusable else "--skip-invalid predicts the others"
            raise ValueError(f"{_list_problems(source, summary)} ({advice})")
        if self.options.keep_columns:
            self.kept.check(source.name, [*self._columns(), *self.prediction.plot_columns(), POSITION, NUCLEOTIDE])
        if summary.is_mostly_unusable:
            warnings.warn(
                f"{source.name}: {summary.total - summary.usable:,} of {_count(summary.total, 'sequence')} cannot be "
                f"used and are skipped: {_DOUBT}",
                stacklevel=4,
            )

        length, identifier = summary.longest
        length = self.prediction.read_length(length, self.config)
        tokens = self.options.batch_tokens
        batch = min(summary.usable, max(1, int(tokens / (length * token_weight(length, self.config)))))
        batch = min(batch, self._batch_sequences or batch)
        if not memory.has_room(batch, length):
            reason = memory.explain(batch, length)
            if batch == 1:
                raise ValueError(f"sequence {identifier!r} of {length:,} nt {reason}")
            raise ValueError(f"a batch of {tokens:,} tokens {reason}; choose a smaller --batch-tokens")
        for reason, (count, ids) in summary.cautions.items():
            names = [repr(identifier[:60]) for identifier in ids]
            warnings.warn(explain_caution(names, count, reason), stacklevel=4)
        return checker, summary, max_length

    def _describe(self, source: SequenceInput) -> dict[str, Any]:
        """Everything that the numbers depend on; equal descriptions give equal predictions."""
        return {
            "task": self.task.name,
            "input": source.digest(),
            "model": hash_checkpoint(self.checkpoint),
            "flip_average": self.options.flip_average,
            "format": self.options.format,
            "wide": self.options.wide,
            "keep_columns": self.options.keep_columns,
            "dtype": self.options.dtype,
            "device": self.device.type,
            "batch_tokens": self.options.batch_tokens,
            "skip_invalid": self.options.skip_invalid,
            "rna_hf": __version__,
            "torch": torch.__version__,
            **asdict(self.prediction),
        }

    def _columns(self) -> dict[str, Kind]:
        columns = self.prediction.columns(self.config)
        if self.prediction.is_lean:
            return {"id": "text", **columns}
        return {"id": "text", "sequence": "text", **columns, WARNING: "text"}

    def _schema(self, columns: Mapping[str, Kind]) -> "pa.Schema":
        import pyarrow as pa

        types = {
            "numbers": pa.list_(pa.float32()),
            "matrix": pa.list_(pa.list_(pa.float32())),
            "number": pa.float32(),
            "index": pa.int32(),
            "text": pa.string(),
        }
        fields = [pa.field(name, types[kind]) for name, kind in columns.items()] + self.kept.fields()
        facts = {
            "task": self.task.name,
            "unit": self.prediction.unit,
            "model": self.checkpoint.name,
            "rna_hf": __version__,
        }
        return pa.schema(fields, metadata={"rna_hf": json.dumps(facts)})

    def _progress_bar(self, total: int, done: int) -> Any:
        from tqdm import tqdm

        disable = None if self.progress is None else not self.progress
        return tqdm(total=total, initial=done, unit="seq", desc=self.task.name, disable=disable, smoothing=0.05)


def _plain(value: Any, kind: Kind) -> Any:
    """Return a value of a row as plain Python values."""
    if kind == "matrix":
        return [numbers.tolist() for numbers in value]
    return value.tolist() if kind == "numbers" else value


def _table(rows: list[Row], schema: "pa.Schema") -> "pa.Table":
    import pyarrow as pa

    return pa.table({name: [row[name] for row in rows] for name in schema.names}, schema=schema)


def _in_order(table: "pa.Table", ids: list[str]) -> "pa.Table":
    """Return the rows in the order of their ids; those of the same id keep theirs."""
    place = {identifier: index for index, identifier in enumerate(ids)}
    found = [place[identifier] for identifier in table.column("id").to_pylist()]
    return table.take(sorted(range(len(found)), key=found.__getitem__)).combine_chunks()


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
