"""`predict`: checks of the call that need no model, then the engine."""

import dataclasses
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, overload

from ..checkpoints import find_checkpoint
from ..data.records import Share
from ..data.sources import find_standard_input, is_path_like, is_read_once, open_sequences
from ..data.table_files import import_h5py
from ..options import option_names, split_options
from ..tasks import EMBEDDING, TASKS, Prediction, Task, predictions
from .options import EmbeddingRunOptions, RunOptions
from .processes import Processes, stand_alone

logger = logging.getLogger(__name__)


@overload
def predict(
    inputs: str | os.PathLike | Iterable[Any],
    output: None = None,
    *,
    task: str = "reactivity",
    model: str | os.PathLike | None = None,
    progress: bool | None = None,
    distributed: bool = False,
    **options: Any,
) -> list[dict[str, Any]]: ...


@overload
def predict(
    inputs: str | os.PathLike | Iterable[Any],
    output: str | os.PathLike,
    *,
    task: str = "reactivity",
    model: str | os.PathLike | None = None,
    progress: bool | None = None,
    distributed: bool = False,
    **options: Any,
) -> Path: ...


def predict(
    inputs: str | os.PathLike | Iterable[Any],
    output: str | os.PathLike | None = None,
    *,
    task: str = "reactivity",
    model: str | os.PathLike | None = None,
    progress: bool | None = None,
    distributed: bool = False,
    **options: Any,
) -> list[dict[str, Any]] | Path:
    """Predict for every sequence of an input.

    With an output folder the result is written as it comes, and a run that was interrupted is continued by the same
    call. The folder then holds `predictions.parquet` (or `.csv`, `.jsonl`) with the rows in input order, `run.json`
    saying how they were made and, with `skip_invalid`, `skipped.tsv`. One folder holds one run.

    A CSV of numbers for each nucleotide has a row for each of them, with `position` (from 1) and `nucleotide` in place
    of `sequence`; `wide` gives it a row for each RNA, lists as JSON. All tables have a column `warning`, mostly empty:
    why the prediction for an RNA, or for a stretch of it, is to be taken with care (shorter or much longer than what
    the model was trained on, many unknown nucleotides, ends that were measured in no training RNA).

    The tasks, their columns besides `id`, `sequence` and `warning`, and their files:

    - `reactivity`: `reactivity_<channel>`, a number for each nucleotide. `reactivity.png`, a heat map.
    - `degradation`: `config.degradation_targets`, a number for each nucleotide, relative to a reference, so that only
      ratios mean something. `degradation.png`, a heat map, and for two or more RNAs `half_life_ranking.csv`.
    - `dropout`: `reads_<channel>`, a number.
    - `structure`: `structure`, dot-bracket, and `confidence`, 0 to 1. `structures.dbn`, `structures.ct` with `ct`, and
      `structure.png`, an arc for each pair.
    - `localisation`: `config.compartments`, the RNA's share in each, 0 to 1. `localisation.png`, bars and the attention
      along each RNA, `attention_windows.csv`, the windows with the most attention (0-based, the end not included), and
      for two or more RNAs `motifs.csv`, what these windows have in common; see `LocalisationPrediction`.
    - `3d`: a row for each `sample` (from 1) with `x`, `y` and `z` of each nucleotide's C1', angstrom.
      `<id>_<sample>.cif`, with `pdb` also `.pdb`, and `<id>.html`, a page with all samples of an RNA.

    Args:
        inputs: a FASTA, FASTQ, CSV, TSV or parquet file (text also gzipped), `-` for standard input, a sequence, a
            table in memory (a data frame of pandas or polars, an Arrow table, a `datasets.Dataset`, a dict of columns),
            or an iterable of sequences, such as a column, of pairs (id, sequence) or of mappings with `sequence` and
            perhaps `id`. A table needs a column `sequence`; its `id` column is used if there is one, else ids are
            `seq1`, `seq2`, ...; a FASTA or FASTQ record's id is the first word of its header. Refused, or left out
            with `skip_invalid`: missing values, also as text (NA, nan, None, NULL, #N/A, ...), and sequences of which
            more than half is N or another code of unknown nucleotides. More than `config.max_unknown_share` of them
            (0.1, for localisation 0.01) brings a warning.
        output: folder to write to; None returns the rows.
        task: a key of `rna_hf.tasks.TASKS` whose task is predicted.
        model: a checkpoint's folder, the name of a bundled one, or an id on the Hub; the task's default one if None.
        progress: show a progress bar; None: if standard error is a terminal.
        distributed: share the work among the processes of `accelerate launch`, each of which makes this very call with
            the same output folder; in a process that was started alone it changes nothing. `auto` and `cuda` then mean
            a GPU for each process.
        **options: attributes of `RunOptions`, and of the task's own: `ct` for `structure`, `num_samples` and `pdb` for
            `3d`, `num_windows` and `fixed_length` for `localisation`; see `rna_hf.tasks`. None: the default.

    Returns:
        Without `output` a list with a dict for each row: `id`, `sequence` (as read: case and T or U are kept), the
        predicted columns as plain Python values, `warning` (None: no warning) and the kept columns. With `output` the
        path of the file of predictions.

    Raises:
        ValueError: the input, the checkpoint or an option cannot be used; the message says why.
        TypeError: there is no such option.
        MemoryError: memory ran out although the estimate said that it would do.
        OSError: a file cannot be read or written.

    Example:
        >>> rows = rna_hf.predict("GGGAAACUCC")
        >>> len(rows[0]["reactivity_2A3"])
        10
    """
    with Processes.join() if distributed else Processes() as processes:
        return _run(inputs, output, check_call(output, task, model, options), processes, progress)


def embed(
    inputs: str | os.PathLike | Iterable[Any],
    output: str | os.PathLike | None = None,
    *,
    model: str | os.PathLike | None = None,
    progress: bool | None = None,
    distributed: bool = False,
    **options: Any,
) -> list[dict[str, Any]] | Path:
    """Return or write the states of a base model for every sequence of an input.

    With an output folder it writes `embeddings.parquet` with the columns `id` and `embedding`, or `.npz` or `.h5` (see
    `rna_hf.data.table_files`), as it comes, and a run that was interrupted is continued by the same call, as `predict`
    is. Numbers are the same alone and in any batch, up to the rounding of float32.

    Args:
        inputs: see `predict`.
        output: folder to write to; None returns the rows.
        model: a checkpoint saved with any head, see `predict`.
        progress: see `predict`.
        distributed: see `predict`.
        **options: `pooling` and `layer`, see `rna_hf.tasks.embedding.EmbeddingPrediction`, and attributes of
            `EmbeddingRunOptions`.

    Returns:
        Without `output` a list with a dict for each sequence: `id` and `embedding`, a list of H floats, or with
        `pooling` "none" L lists of H. With `output` the path of the file of embeddings.

    Raises:
        ValueError: the input, the checkpoint or an option cannot be used; the message says why.
        TypeError: there is no such option.

    Example:
        >>> rows = rna_hf.embed(["GGGAAACUCC", "GGCA"], pooling="mean")
        >>> len(rows[0]["embedding"])
        128
    """
    call = check_embed_call(output, model, options)
    run_options = call[2]
    assert isinstance(run_options, EmbeddingRunOptions)
    if run_options.part:
        return _embed_part(inputs, output, call, run_options.find_part(), progress)
    with Processes.join() if distributed else Processes() as processes:
        return _run(inputs, output, call, processes, progress)


def _embed_part(
    inputs: Any, output: str | os.PathLike | None, call: "_Call", part: tuple[int, int], progress: bool | None
) -> list[dict[str, Any]] | Path:
    """Do a part of an input alone, in a folder of its own."""
    index, count = part
    if output is None:
        raise ValueError("part is for files; name an output folder")
    if (isinstance(inputs, str) and inputs == "-") or _is_pipe(inputs):
        raise ValueError("part needs an input that each process can read; give a file")
    folder = Path(output) / f"part-{index + 1:05d}-of-{count:05d}"
    return _run(inputs, folder, call, stand_alone(), progress, part)


_Call = tuple[Task, Prediction, RunOptions, Path]


def _run(
    inputs: Any,
    output: str | os.PathLike | None,
    call: _Call,
    processes: Processes,
    progress: bool | None,
    part: tuple[int, int] = (0, 1),
) -> list[dict[str, Any]] | Path:
    """Start a run whose options are checked."""
    task, prediction, run_options, checkpoint = call
    if processes.count > 1 and output is None:
        raise ValueError(f"{processes.count} processes share a run through its output folder; name one")
    if processes.count > 1 and ((isinstance(inputs, str) and inputs == "-") or _is_pipe(inputs)):
        what = "standard input" if inputs == "-" else str(inputs)
        raise ValueError(f"{what} cannot be read by {processes.count} processes; give a file")
    with open_sequences(inputs, keep_columns=run_options.keep_columns) as whole:
        from .engine import Run

        source = Share(whole, *part) if part[1] > 1 else whole
        run = Run(task, prediction, checkpoint, run_options, processes, progress)
        if output is None:
            return run.collect(source)
        if not processes.is_main:
            return run.assist(source, Path(output))
        if not source.is_resumable:
            logger.warning("%s cannot be read twice: this run cannot be resumed if it is interrupted", source.name)
        return run.write(source, Path(output))


def check_call(
    output: str | os.PathLike | None, task: str, model: str | os.PathLike | None, options: dict[str, Any]
) -> tuple[Task, Prediction, RunOptions, Path]:
    """Check the arguments of `predict`, which takes no model and imports nothing heavy.

    Returns:
        The task, how it is predicted and the options of the run, and the checkpoint's folder.

    Raises:
        ValueError: an argument cannot be used.
        TypeError: there is no such option.
        FileNotFoundError: there is no such checkpoint.
    """
    chosen, prediction, run_options = _configure(task, options)
    if output is None:
        _refuse_file_options(prediction)
    elif not os.fspath(output):
        raise ValueError("the output folder's name is empty; name a folder")
    return chosen, prediction, run_options, find_checkpoint(model, chosen.default_checkpoint, task)


def check_embed_call(
    output: str | os.PathLike | None, model: str | os.PathLike | None, options: dict[str, Any]
) -> tuple[Task, Prediction, RunOptions, Path]:
    """Check the arguments of `embed`, as `check_call` does those of `predict`."""
    prediction = EMBEDDING.prediction
    assert prediction is not None
    known = {*prediction.options(), *option_names(EmbeddingRunOptions)} - prediction.run_options_left_out()
    if unknown := [name for name in options if name not in known]:
        raise TypeError(f"embed() has no option {unknown[0]!r}; options: {', '.join(sorted(known))}")
    for_run, for_task = split_options(options, [EmbeddingRunOptions, prediction])
    run_options = EmbeddingRunOptions(**for_run)
    if output is not None and not os.fspath(output):
        raise ValueError("the output folder's name is empty; name a folder")
    if run_options.format == "h5":
        import_h5py()
    checkpoint = find_checkpoint(model, EMBEDDING.default_checkpoint, EMBEDDING.name)
    return EMBEDDING, prediction.with_options(**for_task), run_options, checkpoint


def check_input(inputs: str) -> None:
    """Refuse a file that cannot be read at all, or a sequence that is none; what can be read only once is left alone.

    Raises:
        ValueError: it holds nothing that can be read.
        OSError: it cannot be opened.
    """
    if inputs == "-":
        find_standard_input()
    elif not _is_pipe(inputs):
        with open_sequences(inputs) as source:
            next(source.records(), None)


def _is_pipe(inputs: Any) -> bool:
    """Tell whether inputs are a path that can be read only once."""
    return isinstance(inputs, str | os.PathLike) and is_path_like(os.fspath(inputs)) and is_read_once(os.fspath(inputs))


def _configure(name: str, options: dict[str, Any]) -> tuple[Task, Prediction, RunOptions]:
    """Return a task, how it is predicted and the options of the run; False means for a task's option: not given."""
    known = predictions()
    if name not in known:
        raise ValueError(f"task must be one of {', '.join(known)}, got {name!r}")
    own, shared = known[name], option_names(RunOptions)
    for option, value in options.items():
        if option in shared or option in own.options():
            continue
        owners = [other for other, prediction in known.items() if option in prediction.options()]
        if not owners:
            raise TypeError(f"predict() has no option {option!r}; options: {', '.join((*shared, *own.options()))}")
        if value is not None and value is not False:
            raise ValueError(f"{option} is for `predict {owners[0]}`, not for `predict {name}`; leave it out")
    for_run, for_task = split_options(options, [RunOptions, own])
    run_options = RunOptions(**for_run)
    if run_options.flip_average and not own.can_flip:
        raise ValueError(f"flip_average is not for `predict {name}`: the reversed sequence is another molecule")
    if run_options.wide and not own.per_nucleotide:
        raise ValueError(f"wide is not for `predict {name}`, whose table has a row for each RNA anyway")
    return TASKS[name], own.with_options(**for_task), run_options


def _refuse_file_options(prediction: Prediction) -> None:
    values = set(prediction.options()) - set(option_names(prediction, for_files=False))
    for field in dataclasses.fields(prediction):
        if field.name in values and getattr(prediction, field.name) != field.default:
            raise ValueError(f"{field.name} is for files; name an output folder")
