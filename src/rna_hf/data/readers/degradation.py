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
from ..checks import check_sequence
from ..text_files import check_count, check_file, open_text
from .record_datasets import make_dataset

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

OPENVACCINE_TARGETS = ("reactivity", "deg_Mg_pH10", "deg_pH10", "deg_Mg_50C", "deg_50C")
"""The five measurements, in the order of the label channels."""

_ERRORS = ("reactivity_error", *(name.replace("deg_", "deg_error_") for name in OPENVACCINE_TARGETS[1:]))
_FIELDS = ("id", "sequence", "structure", "predicted_loop_type", "seq_length", "seq_scored")
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
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{where}: not a JSON object on a line of its own ({error}); download the file again"
        ) from error
    if not isinstance(record, dict):
        raise ValueError(f"{where}: a JSON object is needed, not {line.strip()[:40]}")
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
    length, scored = int(fields["seq_length"]), int(fields["seq_scored"])
    check_count(where, "nucleotides", len(check_sequence(fields["sequence"], where)), length, "which is seq_length")
    for name in ("structure", "predicted_loop_type"):
        check_count(where, f"symbols of {name}", len(fields[name]), length, "one for each nucleotide")
    try:
        parse_dotbracket(fields["structure"])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if not 0 <= scored <= length:
        raise ValueError(f"{where}: seq_scored is {scored}; it must lie in 0..{length}")
    record = {name: fields[name] for name in ("id", "sequence", "structure", "predicted_loop_type")}
    record["seq_scored"] = scored
    if is_labelled:
        record["signal_to_noise"] = float(np.float32(fields["signal_to_noise"]))
        record["sn_filter"] = fields["SN_filter"] == 1
        record["labels"] = _stack(fields, OPENVACCINE_TARGETS, length, scored, where)
        record["errors"] = _stack(fields, _ERRORS, length, scored, where)
    return record


def _stack(fields: dict[str, Any], names: tuple[str, ...], length: int, scored: int, where: str) -> list[list[float]]:
    """Return named lists as the columns of one array, NaN below their ends."""
    stacked = np.full((length, len(names)), np.nan, dtype=np.float32)
    for channel, name in enumerate(names):
        check_count(where, f"values of {name}", len(fields[name]), scored, "which is seq_scored")
        stacked[:scored, channel] = fields[name]
    return stacked.tolist()
