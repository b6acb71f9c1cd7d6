"""The trained checkpoints that ship with the package: what there is, where it is, how good it is.

Each is a folder beside this file with `config.json`, `model.safetensors`, the tokenizer's files and a card
(`README.md`), whose front matter holds the scores. Nothing here loads a model.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class CheckpointEntry:
    """Where a checkpoint with a name of its own lies.

    Attributes:
        hub_id: `owner/name` on the Hugging Face Hub; None for a folder that ships with the package.
        revision: the commit or tag there; needed with `hub_id`, so that a name always means the same weights.
    """

    hub_id: str | None = None
    revision: str | None = None


CHECKPOINTS: dict[str, CheckpointEntry] = {
    "ribonanzanet-mini": CheckpointEntry(),
    "ribonanzanet-mini-3d": CheckpointEntry(),
    "ribonanzanet-mini-degradation": CheckpointEntry(),
    "ribonanzanet-mini-structure": CheckpointEntry(),
    "rnatracker-mini": CheckpointEntry(),
}
"""The names that stand for a checkpoint wherever a folder does, beside folders and ids on the Hub."""

OWNER = "rna-hf"
"""Whose they are on the Hub: `rna-hf/ribonanzanet-mini` stands for the same as `ribonanzanet-mini`."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk.

    Attributes:
        name: what `--model` takes.
        path: its folder.
        model_type: the architecture, as in `config.json`.
        model_class: the class it was saved from, or "" if `config.json` does not say.
        num_parameters: number of values in its safetensors files.
        num_bytes: size of all its files.
        training_max_length: longest sequence it was trained on, in nucleotides, if known.
        scores: lines such as `Ribonanza test, MAE 2A3: 0.21`, from the card.
    """

    name: str
    path: Path
    model_type: str
    model_class: str
    num_parameters: int
    num_bytes: int
    training_max_length: int | None = None
    scores: list[str] = field(default_factory=list)


def list_checkpoints(folder: Path = FOLDER) -> list[Checkpoint]:
    """Return the checkpoints in a folder, by default those that ship, in the order of their names."""
    return [_read(path.parent) for path in sorted(folder.glob("*/config.json"))]


def find_bundled(name: str) -> Path:
    """Return the folder of a checkpoint that ships with the package, whether or not it is there."""
    return FOLDER / name


def find_checkpoint(name: str | os.PathLike | None, default: str | None = None, task: str = "reactivity") -> Path:
    """Return the folder of a checkpoint.

    Args:
        name: a folder, one of `CHECKPOINTS`, with or without its owner, or an id on the Hugging Face Hub
            (`owner/name`); what is not here is downloaded.
        default: the name that is taken where `name` is None.
        task: what the checkpoint is for, in messages.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: neither a name nor a default is given.
    """
    if name is None:
        if default is None:
            raise ValueError(f"no checkpoint for `predict {task}` comes with rna-hf; name one with --model")
        return _find_entry(default)
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").exists():
            raise FileNotFoundError(f"{path} is not a checkpoint: it holds no config.json")
        return path
    if path.is_file():
        raise FileNotFoundError(f"{path} is a file; a checkpoint is a folder with config.json and model.safetensors")
    if find_entry(str(name)) is not None:
        return _find_entry(_without_owner(str(name)))
    reason = ""
    if _is_hub_id(str(name)):
        try:
            return _download(str(name))
        except Exception as error:  # huggingface_hub raises many kinds; each means that there is no checkpoint here
            reason = f", nor one that can be downloaded from the Hugging Face Hub ({type(error).__name__})"
    raise FileNotFoundError(
        f"no checkpoint {str(name)!r}: neither a folder nor one of {', '.join(CHECKPOINTS)}{reason}"
    )


def find_entry(name: str) -> CheckpointEntry | None:
    """Return the entry of a name of `CHECKPOINTS`, with or without its owner; None for any other name."""
    return CHECKPOINTS.get(_without_owner(name))


def find_local(name: str) -> Path | None:
    """Return the folder of a checkpoint that is called with its owner and ships with the package; None for others."""
    entry = CHECKPOINTS.get(name.removeprefix(f"{OWNER}/")) if name.startswith(f"{OWNER}/") else None
    path = None if entry is None or entry.hub_id is not None else find_bundled(_without_owner(name))
    return path if path is not None and (path / "config.json").exists() else None


def saved_class(folder: Path) -> tuple[str, str]:
    """Return the `model_type` of a checkpoint and the class that it was saved from; "" for what it does not say."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config.get("model_type", ""), (config.get("architectures") or [""])[0]


def _without_owner(name: str) -> str:
    return name.removeprefix(f"{OWNER}/")


def _find_entry(name: str) -> Path:
    """Return the folder of one of `CHECKPOINTS`."""
    entry = CHECKPOINTS[name]
    if entry.hub_id is not None:
        try:
            return _download(entry.hub_id, entry.revision)
        except Exception as error:  # as above
            raise FileNotFoundError(
                f"the checkpoint {name!r} is not here and cannot be downloaded from {entry.hub_id} at {entry.revision} "
                f"({type(error).__name__})"
            ) from error
    path = find_bundled(name)
    if not (path / "config.json").exists():
        raise FileNotFoundError(
            f"the bundled checkpoint {name!r} is missing from this installation (looked in {path}); "
            "reinstall rna-hf, or name a checkpoint with --model (model= in Python)"
        )
    return path


def _is_hub_id(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 2 and all(part and not part.startswith((".", "~")) for part in parts)


def _download(hub_id: str, revision: str | None = None) -> Path:
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(hub_id, revision=revision, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.md"])
    )


def _read(path: Path) -> Checkpoint:
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    model_type, model_class = saved_class(path)
    return Checkpoint(
        name=path.name,
        path=path,
        model_type=model_type,
        model_class=model_class,
        num_parameters=count_parameters(path),
        num_bytes=sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
        training_max_length=config.get("training_max_length"),
        scores=_read_scores(path / "README.md"),
    )


def count_parameters(folder: Path) -> int:
    """Count the values in the safetensors files of a folder."""
    return sum(_count_values(file) for file in folder.glob("*.safetensors"))


def _count_values(file: Path) -> int:
    """Count the values in a safetensors file from its header: 8 bytes of length, then JSON."""
    with open(file, "rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    count = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            size = 1
            for extent in tensor["shape"]:
                size *= extent
            count += size
    return count


def _read_scores(card: Path) -> list[str]:
    """Read `model-index` of a card's YAML front matter."""
    if not card.exists():
        return []
    import yaml

    text = card.read_text(encoding="utf-8")
    if not text.startswith("---"):
        return []
    front_matter: dict[str, Any] = yaml.safe_load(text.split("---", 2)[1]) or {}
    scores = []
    for model in front_matter.get("model-index") or []:
        for result in model.get("results") or []:
            dataset = (result.get("dataset") or {}).get("name", "")
            for metric in result.get("metrics") or []:
                value = metric.get("value")
                shown = f"{value:.4g}" if isinstance(value, (int, float)) else str(value)
                scores.append(f"{dataset}, {metric.get('name') or metric.get('type')}: {shown}")
    return scores
