"""A folder that takes the rows of a long run chunk by chunk, so that a killed run can be continued.

Each finished chunk is one part file, written under another name and renamed; the parts are joined at the end. What is
finished of a chunk under way may be there too, in files that the chunk's own part replaces. A record beside them
(`run.json`) holds the fingerprint of what the rows are made from.

The system is given paths by Python's own `open` alone: a name may be any bytes, which other libraries refuse.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..atomic_files import explaining, find_remedy, replacing
from .checks import InputSummary
from .records import SequenceInput, SequenceRecord
from .table_files import FORMATS

if TYPE_CHECKING:
    import pyarrow as pa

RUN_FILE = "run.json"
SKIPPED_FILE = "skipped.tsv"

_PARTS_FOLDER = ".rna-hf-parts"
_PART = re.compile(r"part-\d+\.parquet")


class RunFolder:
    """The output folder of a run: its finished files, the parts of a run under way, and the record of its making.

    Args:
        path: the folder; created if need be.
        format: of the file of predictions, `parquet`, `csv` or `jsonl`.
        rows_per_sequence: number of rows for each sequence.
        stem: name of the file of predictions without its suffix.

    Attributes:
        predictions: the file of predictions.
    """

    def __init__(self, path: Path, format: str, rows_per_sequence: int = 1, stem: str = "predictions"):
        self.path = path
        self.predictions = path / f"{stem}.{format}"
        self._format = format
        self._rows_per_sequence = rows_per_sequence
        self._parts = path / _PARTS_FOLDER
        self._record: dict[str, Any] | None = None
        self._files: list[str] = []  # of an earlier run, or of this one, beside the predictions
        self._lock_file: IO[str] | None = None
        self._is_shared = False

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Create the folder and keep other runs out of it; leave nothing behind if nothing was started.

        Raises:
            OSError: the folder cannot be written to.
            FileExistsError: another run is writing to it.
        """
        existed = os.path.lexists(self.path)  # of a name that is too long the next step tells
        if existed and not self.path.is_dir():
            raise NotADirectoryError(f"the output {self.path} is a file; name a folder")
        try:
            self._parts.mkdir(parents=True, exist_ok=True)
            lock = open(self._parts / "lock", "w+")  # noqa: SIM115 (held until the end of this function)
        except OSError as error:
            reason = f"{error.strerror}; {find_remedy(error)}"
            raise OSError(f"the output folder {self.path} cannot be written to: {reason}") from error
        with lock:
            _lock(lock, self.path)
            self._lock_file = lock
            try:
                yield
            finally:
                # Others may still be about to write their parts.
                if self._is_finished() or not (self._has_parts() or self._is_shared):
                    shutil.rmtree(self._parts, ignore_errors=True)
                    if not existed and not (self.path / RUN_FILE).exists():
                        with contextlib.suppress(OSError):
                            self.path.rmdir()

    def let_others_in(self) -> None:
        """Let other processes `enter` from now on, to write parts of this run; other runs are still kept out.

        Raises:
            FileExistsError: another run has begun to write to the folder.
        """
        self._is_shared = True
        _lock(self._lock_file, self.path, is_shared=True)

    @contextlib.contextmanager
    def enter(self) -> Iterator[None]:
        """Join the run of another process, which has opened the folder and let others in, to write parts of it.

        While one process is inside, no other run can begin there, even if the one that opened the folder has ended.

        Raises:
            OSError: this process does not see the run there.
        """
        try:
            lock = open(self._parts / "lock", "r+")  # noqa: SIM115 (held until the end of this function)
        except OSError as error:
            raise OSError(
                f"the main process's run is not in {self.path} ({error.strerror}); all processes need the same folder"
            ) from error
        with lock:
            _lock(lock, self.path, is_shared=True)
            yield

    def prepare(self, made_from: Mapping[str, Any], source: SequenceInput, overwrite: bool) -> str:
        """Compare a run with what is there.

        Args:
            made_from: everything that the rows depend on, as plain values.
            source: the input.
            overwrite: take the folder, whatever is there.

        Returns:
            `finished` (by an equal run), `resume` (an equal run was interrupted) or `new`.

        Raises:
            FileExistsError: something else is there.
        """
        self._record = self._read_record()
        if self._record is not None:
            self._files = self._record.get("files", [])
            is_equal = self._record.get("fingerprint") == _fingerprint(made_from)
            is_resumable = self._record.get("is_resumable", True) and self._has_parts()
            if is_equal and not overwrite:
                if self._is_finished() and self.predictions.exists():
                    return "finished"
                if not self._is_finished() and source.is_resumable:
                    return "resume"
            # What cannot be resumed is worth nothing; what is finished or can be resumed is not ours to remove.
            elif not overwrite and (self._is_finished() or is_resumable):
                raise FileExistsError(self._describe_difference(made_from))
        elif not overwrite:
            for name in self._prediction_files():
                if (self.path / name).exists():
                    raise FileExistsError(f"{self.path / name} exists already; choose another folder or --overwrite")
        self._record = None
        return "new"

    @property
    def recorded_max_length(self) -> int | None:
        """Longest length, in nucleotides, that was let pass when this run was started; None for a new run."""
        return None if self._record is None else self._record.get("max_length")

    def start(self, made_from: Mapping[str, Any], source: SequenceInput, max_length: int) -> None:
        """Record what the parts to come are made from; a new run first removes what is there."""
        if self._record is None:
            self._clear()
        self._record = {
            "status": "unfinished",
            "fingerprint": _fingerprint(made_from),
            "is_resumable": source.is_resumable,
            "max_length": max_length,
            "input": source.name,
            "made_from": dict(made_from),
            "files": self._files,
        }
        self._write_record()

    def refuse_foreign(self, names: list[str], overwrite: bool) -> None:
        """See that files may have these names; the arguments and errors are those of `announce_files`."""
        known = set(self._files)
        for name in names:
            if name not in known and not overwrite and os.path.lexists(self.path / name):
                raise FileExistsError(
                    f"{self.path / name} exists already and is not of this run; move it away and run the command again"
                )

    def announce_files(self, names: list[str], overwrite: bool) -> None:
        """Record which files are about to be written beside the predictions, for a later run that overwrites this one.

        Args:
            names: of files in the folder.
            overwrite: take the names, whatever has them.

        Raises:
            FileExistsError: a file of another origin has such a name.
        """
        self.refuse_foreign(names, overwrite)
        self._files = names
        self._record = {**(self._record or {}), "files": names}
        self._write_record()

    @contextlib.contextmanager
    def skipped_writer(self) -> Iterator[Callable[[SequenceRecord, str], None]]:
        """Open the list of skipped records anew."""
        with explaining(self.path / SKIPPED_FILE), open(self._parts / SKIPPED_FILE, "w", encoding="utf-8") as file:
            file.write("id\tlocation\treason\n")

            def write(record: SequenceRecord, reason: str) -> None:
                fields = (record.id, record.location, reason)
                file.write("\t".join(" ".join(text.split()) for text in fields) + "\n")

            yield write

    def done_parts(self) -> dict[int, int]:
        """Return the number of sequences in each part that is there, by the chunk's number; 0 in a damaged one."""
        parts = (path for path in self._parts.glob("part-*.parquet") if _PART.fullmatch(path.name))
        return {int(path.stem.removeprefix("part-")): self._count_sequences(path) for path in parts}

    def has_part(self, number: int, num_sequences: int) -> bool:
        """Tell whether a chunk is done."""
        path = self._part(number)
        return path.exists() and self._count_sequences(path) == num_sequences

    def write_part(self, number: int, table: "pa.Table") -> None:
        """Write a chunk's rows, durably, in one step; what is there of the chunk's beginning goes."""
        _write_table(self._part(number), table)
        for path in self._pieces(number):
            path.unlink(missing_ok=True)

    def write_piece(self, number: int, first: int, table: "pa.Table") -> None:
        """Write what is finished of a chunk under way, durably, in one step.

        Args:
            number: the chunk's.
            first: a number that no other piece of the chunk has.
            table: rows of some of its sequences, all rows of each.
        """
        _write_table(self._parts / f"part-{number:06d}-from-{first:06d}.parquet", table)

    def read_pieces(self, number: int) -> list["pa.Table"]:
        """Return what was finished of a chunk before its part was written; damaged pieces are removed."""
        import pyarrow as pa

        tables = []
        for path in self._pieces(number):
            try:
                tables.append(_read_table(path))
            except (pa.ArrowInvalid, OSError):
                path.unlink(missing_ok=True)
        return tables

    def piece_counts(self) -> dict[int, int]:
        """Return the number of sequences in the pieces that are there, by the chunk's number."""
        counts: dict[int, int] = {}
        for path in self._parts.glob("part-*-from-*.parquet"):
            number = int(path.name.split("-")[1])
            counts[number] = counts.get(number, 0) + self._count_sequences(path)
        return counts

    def join(
        self, num_parts: int, schema: "pa.Schema", write: Callable[[Path, Iterable["pa.Table"], "pa.Schema"], None]
    ) -> None:
        """Write the file of predictions, with one part in memory at a time; parts may have more columns than it.

        Args:
            num_parts: how many parts there are.
            schema: of the file.
            write: writes it, see `rna_hf.data.table_files`.
        """
        parts = _Parts([self._part(number) for number in range(num_parts)], schema)
        with replacing(self.predictions) as temporary:
            write(temporary, parts, schema)

    def tables(self, columns: list[str] | None = None) -> Iterator["pa.Table"]:
        """Yield the rows of each part, all columns of it by default."""
        for number in itertools.count():
            if not self._part(number).exists():
                return
            yield _read_table(self._part(number), columns=columns)

    def ids(self) -> Iterator[str]:
        """Yield the id of each sequence."""
        for table in self.tables(["id"]):
            yield from table.column("id").to_pylist()[:: self._rows_per_sequence]

    def finish(self, summary: InputSummary, unit: str) -> None:
        """Record that everything is in its place.

        Args:
            summary: of the input.
            unit: of the predicted values.
        """
        num_skipped = summary.total - summary.usable
        if num_skipped:
            with explaining(self.path / SKIPPED_FILE):
                os.replace(self._parts / SKIPPED_FILE, self.path / SKIPPED_FILE)
        facts = {"status": "finished", "num_sequences": summary.usable, "num_skipped": num_skipped, "unit": unit}
        self._record = {**(self._record or {}), **facts}
        self._write_record()

    def first_rows(self, count: int) -> list[dict[str, Any]]:
        """Return the first rows, with all columns of the parts."""
        rows: list[dict[str, Any]] = []
        for table in self.tables():
            rows += table.slice(0, count - len(rows)).to_pylist()
            if len(rows) == count:
                break
        return rows

    def _part(self, number: int) -> Path:
        return self._parts / f"part-{number:06d}.parquet"

    def _pieces(self, number: int) -> list[Path]:
        return sorted(self._parts.glob(f"part-{number:06d}-from-*.parquet"))

    def _count_sequences(self, path: Path) -> int:
        """Count the sequences of a part; 0 if it is damaged."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with open(path, "rb") as file:
                return pq.read_metadata(file).num_rows // self._rows_per_sequence
        except (pa.ArrowInvalid, OSError):
            return 0

    def _has_parts(self) -> bool:
        return any(self._parts.glob("part-*.parquet"))

    def _is_finished(self) -> bool:
        return self._record is not None and self._record.get("status") == "finished"

    def _read_record(self) -> dict[str, Any] | None:
        try:
            record = json.loads((self.path / RUN_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            record = None
        return record if isinstance(record, dict) else {}

    def _write_record(self) -> None:
        with replacing(self.path / RUN_FILE) as temporary:
            temporary.write_text(json.dumps(self._record, indent=2) + "\n", encoding="utf-8")

    def _describe_difference(self, made_from: Mapping[str, Any]) -> str:
        old = (self._record or {}).get("made_from", {})
        differences = []
        for key, value in made_from.items():
            if old.get(key) != value:
                # Hashes say nothing to a reader.
                is_hash = key in ("input", "model")
                differences.append(f"another {key}" if is_hash else f"{key} {old.get(key)} there, {value} here")
        state = "a finished" if self._is_finished() else "an unfinished"
        return (
            f"{self.path} holds {state} run of something else ({', '.join(differences)}); "
            "choose another folder or --overwrite"
        )

    def _clear(self) -> None:
        """Remove an earlier run's files, its record last."""
        for part in self._parts.glob("part-*"):
            part.unlink()
        for name in (*self._prediction_files(), SKIPPED_FILE, *self._files, RUN_FILE):
            if Path(name).name == name:  # nothing outside of the folder, whatever the record says
                with explaining(self.path / name):
                    (self.path / name).unlink(missing_ok=True)
        self._files = []

    def _prediction_files(self) -> list[str]:
        return [f"{self.predictions.stem}.{format}" for format in FORMATS]


class _Parts:
    """The tables of parts, one in memory at a time, as often as somebody goes through them."""

    def __init__(self, paths: list[Path], schema: "pa.Schema"):
        self._paths, self._schema = paths, schema

    def __iter__(self) -> Iterator["pa.Table"]:
        return (_read_table(path, schema=self._schema) for path in self._paths)


def _write_table(path: Path, table: "pa.Table") -> None:
    import pyarrow.parquet as pq

    with replacing(path) as temporary, open(temporary, "wb") as file:
        pq.write_table(table, file)


def _read_table(path: Path, **options: Any) -> "pa.Table":
    import pyarrow.parquet as pq

    with open(path, "rb") as file:
        return pq.read_table(file, **options)


def _lock(file: Any, path: Path, is_shared: bool = False) -> None:
    """Take the folder's lock, which the system frees when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        return
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise FileExistsError(f"another run is writing to {path}; wait for it or choose another folder") from error
    except OSError:  # some network file systems have no locks
        return


def _fingerprint(made_from: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(made_from), sort_keys=True).encode()).hexdigest()
