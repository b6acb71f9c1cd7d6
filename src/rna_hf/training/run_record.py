"""What a folder's weights or labels are made from, written at the start and compared before going on there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from ..atomic_files import replace_text
from ..checkpoints import find_checkpoint
from .arguments import DataArguments, ModelArguments
from .training_data import find_files

RECORD_FILE = "finetune.json"

_MODEL_FIELDS = ("task", "from_scratch", "lora_rank", "lora_alpha", "optimizer")
_DATA_FIELDS = (
    "data_format",
    "profiles",
    "validation_fraction",
    "split",
    "similarity_k",
    "similarity_min_shared",
    "folds",
    "fold",
    "truncate",
    "keep",
    "pad_to_multiple_of",
    "round_labels",
)


def make_record(model: ModelArguments, data: DataArguments, training: TrainingArguments) -> dict[str, Any]:
    """Return what the checkpoints of a run can't do without: its task, model and data.

    Files are recorded by content. What may change between two starts of a run (its length, its test file, the batch)
    is left out.
    """
    record = {name: getattr(model, name) for name in _MODEL_FIELDS} | {
        name: getattr(data, name) for name in _DATA_FIELDS
    }
    record["model"] = {"name": model.model, "sha256": ""} if model.is_architecture else describe_model(model.model)
    record["config"] = model.config_fields()
    for name in ("train_file", "validation_file"):
        file = getattr(data, name)
        record[name] = describe_data(file) if file else ""
    return record | {"seed": training.seed}


def describe_data(file: str) -> dict[str, str]:
    """Return name and content (SHA-256) of data: a file, a folder, or several of them with commas between."""
    files: list[Path] = []
    for path in find_files(file):
        files += sorted(part for part in path.rglob("*") if part.is_file()) if path.is_dir() else [path]
    return {"name": file, "sha256": _hash(files)}


def describe_model(name: str) -> dict[str, str]:
    """Return name and content (SHA-256) of a checkpoint: its configuration and weights."""
    folder = find_checkpoint(name)
    return {"name": name, "sha256": _hash([folder / "config.json", *sorted(folder.glob("*.safetensors"))])}


def check_record(path: Path, record: dict[str, Any]) -> None:
    """Compare a record with the one in a file; a folder without one passes, and so does a field that it lacks.

    Raises:
        FileExistsError: they differ; the message says in what.
    """
    if not path.exists():
        return
    for name, old in json.loads(path.read_text(encoding="utf-8")).items():
        new = record.get(name, old)
        if isinstance(old, dict) and isinstance(new, dict) and "sha256" in old:
            if old["sha256"] == new["sha256"]:
                continue
            if old["name"] == new["name"]:
                raise FileExistsError(f"{_explain(path)}: {name} {old['name']} had another content then{_REMEDY}")
            old, new = old["name"], new["name"]
        if old != new:
            raise FileExistsError(f"{_explain(path)}: {name} was {old!r} and is {new!r} now{_REMEDY}")


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record, and the folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(record, indent=1) + "\n")


def kept_step(folder: Path) -> int:
    """Return the optimiser step of the weights that a finished run kept: of its best checkpoint, or else of its last.

    Raises:
        FileNotFoundError: the folder holds no checkpoint of a run.
    """
    last = get_last_checkpoint(folder) if folder.is_dir() else None
    if last is None:
        raise FileNotFoundError(f"{folder} holds no checkpoint of a run: name the output folder of one")
    state = json.loads((Path(last) / "trainer_state.json").read_text(encoding="utf-8"))
    return state["best_global_step"] if state["best_model_checkpoint"] else state["global_step"]


_REMEDY = "; name another output_dir, or repeat the options of that run"


def _explain(path: Path) -> str:
    return f"{path.parent} holds another run"


def _hash(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
