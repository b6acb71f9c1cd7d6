"""OpenVaccine (Kaggle 2020): reactivity and degradation.

Source of the format: Wayment-Steele et al., "Deep learning models for predicting RNA degradation via dual
crowdsourcing" (2022), and the competition's data page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...structure.dotbracket import parse_dotbracket
from ...text_encoding import is_whole_text
from ..checks import check_sequence
from ..text_files import LARGEST_VALUE, check_count, check_file, open_text
from .record_datasets import make_dataset

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

OPENVACCINE_TARGETS = ("reactivity", "deg_Mg_pH10", "deg_pH10", "deg_Mg_50C", "deg_50C")
"""The five measurements, in the order of the label channels."""

_ERRORS = ("reactivity_error", *(name.replace("deg_", "deg_error_") for name in OPENVACCINE_TARGETS[1:]))
_FIELDS = ("id", "sequence", "structure", "predicted_loop_type", "seq_length", "seq_scored")
_TEXTS = _FIELDS[:4]
_LABELLED_FIELDS = ("signal_to_noise", "SN_filter", *OPENVACCINE_TARGETS, *_ERRORS)


def read_openvaccine(
    path: str | Path, *, streaming: bool = False, cache_dir: str | Path | None = None
) -> Dataset | IterableDataset:
    """Read OpenVaccine's `train.json` or `test.json`, a record on each line.

    | column | type | content |
    | --- | --- | --- |
    | `id` | str | such as `id_001f94081` |
    | `sequence` | str | L nucleotides |
    | `structure` | str | dot-bracket, predicted |
    | `predicted_loop_type` | str | a letter for each nucleotide: S M I B H E X |
    | `seq_scored` | int32 | number of nucleotides from the 5' end that were measured |
    | `signal_to_noise` | float32 | over all five measurements |
    | `sn_filter` | bool | whether the record passed the authors' filter |
    | `labels` | L x 5 float32 | the channels of `OPENVACCINE_TARGETS`; NaN from `seq_scored` on |
    | `errors` | L x 5 float32 | their standard errors |

    Without labels in the file (`test.json`) the last four columns are absent.

    Args:
        path: the file.
        streaming: return an `IterableDataset` that reads as it goes.
        cache_dir: folder of the `Dataset`'s Arrow file; the cache of `datasets` if omitted.

    Raises:
        ValueError: a field is missing or does not fit the sequence.
    """
    from datasets import Features, List, Value

    path = check_file(path)
    with open_text(path) as text:
        is_labelled = "reactivity" in _parse_line(text.readline(), f"{path}, line 1")
    columns: dict[str, Any] = {name: Value("string") for name in ("id", "sequence", "structure", "predicted_loop_type")}
    columns["seq_scored"] = Value("int32")
    if is_labelled:
        channels = len(OPENVACCINE_TARGETS)
        columns |= {
            "signal_to_noise": Value("float32"),
            "sn_filter": Value("bool"),
            "labels": List(List(Value("float32"), length=channels)),
            "errors": List(List(Value("float32"), length=channels)),
        }
    arguments = {"path": path, "is_labelled": is_labelled}
    return make_dataset(_read_records, arguments, Features(columns), [path], streaming, cache_dir)


def _parse_line(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits, and lists in lists
        raise ValueError(
            f"{where}: not a JSON object on a line of its own ({error}); download the file again"
        ) from error
    if not isinstance(record, dict):
        raise ValueError(f"{where}: a JSON object is needed, not {line.strip()[:40]!r}")
    return record


def _read_records(path: Path, is_labelled: bool) -> Iterator[dict[str, Any]]:
    wanted = (*_FIELDS, *_LABELLED_FIELDS) if is_labelled else _FIELDS
    with open_text(path) as text:
        for number, line in enumerate(text, start=1):
            if line.isspace():
                continue
            where = f"{path}, line {number}"
            fields = _parse_line(line, where)
            where = f"{where} (id {str(fields.get('id'))[:60]!r})"
            if missing := [name for name in wanted if fields.get(name) is None]:
                raise ValueError(f"{where}: no {', '.join(missing)}; correct or drop the record")
            yield _check_record(fields, is_labelled, where)


def _check_record(fields: dict[str, Any], is_labelled: bool, where: str) -> dict[str, Any]:
    if wrong := [name for name in _TEXTS if not (isinstance(fields[name], str) and is_whole_text(fields[name]))]:
        raise ValueError(f"{where}: {wrong[0]} is {str(fields[wrong[0]])[:40]!r}; a text is needed: correct the record")
    length, scored = (_whole_number(fields[name], name, where) for name in ("seq_length", "seq_scored"))
    check_count(where, "nucleotides", len(check_sequence(fields["sequence"], where)), length, "which is seq_length")
    for name in ("structure", "predicted_loop_type"):
        check_count(where, f"symbols of {name}", len(fields[name]), length, "one for each nucleotide")
    try:
        parse_dotbracket(fields["structure"])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if not 0 <= scored <= length:
        raise ValueError(f"{where}: seq_scored is {scored}; it must lie in 0..{length}")
    record = {name: fields[name] for name in _TEXTS}
    record["seq_scored"] = scored
    if is_labelled:
        record["signal_to_noise"] = _values([fields["signal_to_noise"]], "signal_to_noise", where).tolist()[0]
        record["sn_filter"] = fields["SN_filter"] == 1
        record["labels"] = _stack(fields, OPENVACCINE_TARGETS, length, scored, where)
        record["errors"] = _stack(fields, _ERRORS, length, scored, where)
    return record


def _whole_number(value: Any, name: str, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or value % 1:
        raise ValueError(f"{where}: {name} is {str(value)[:40]!r}; a whole number is needed: correct the record")
    return int(value)


def _values(values: Any, name: str, where: str) -> np.ndarray:
    """Return numbers in float32, NaN for null; none of them may be infinite, with which training is lost."""
    if not isinstance(values, list):
        raise ValueError(f"{where}: {name} is {str(values)[:40]!r}; a list of numbers is needed: correct the record")
    for value in values:
        if value is None:
            continue
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or abs(value) > LARGEST_VALUE:
            raise ValueError(
                f"{where}: {name} holds {str(value)[:40]!r}, which is no finite number; correct the record"
            )
    return np.array(values, dtype=np.float32)


def _stack(fields: dict[str, Any], names: tuple[str, ...], length: int, scored: int, where: str) -> list[list[float]]:
    """Return named lists as the columns of one array, NaN below their ends."""
    stacked = np.full((length, len(names)), np.nan, dtype=np.float32)
    for channel, name in enumerate(names):
        values = _values(fields[name], name, where)
        check_count(where, f"values of {name}", len(values), scored, "which is seq_scored")
        stacked[:scored, channel] = values
    return stacked.tolist()
