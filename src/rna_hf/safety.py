"""A look at a checkpoint's folder before anything of it is opened: `SECURITY.md` says what is promised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

INDEX = "model.safetensors.index.json"

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
# safetensors itself takes no longer header.
_MAX_HEADER = 100_000_000
_MAX_JSON = 50_000_000
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})


def check_folder(folder: Path) -> None:
    """Refuse a checkpoint that would read what is not its own, or whose files are none of a model.

    Weights are read from safetensors in the folder itself alone. Links are followed, since the Hub's cache is made of
    them.

    Raises:
        ValueError: with the file and what is wrong with it.
    """
    config = read_json(folder / "config.json", folder)
    shards = sorted(folder.glob("*.safetensors"))
    if (folder / INDEX).is_file():
        shards = _read_index(folder)
    if not shards:
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
        if pickles:
            raise ValueError(
                f"checkpoint {folder.name!r} holds its weights as a pickle ({pickles[0]}), which may run any code and "
                "is not opened; an original's checkpoint is for `rna-hf convert`"
            )
    for shard in shards:
        _check_weights(shard, folder, is_quantised="quantization_config" in config)
    check_tokenizer(folder)


def check_tokenizer(folder: Path) -> None:
    """Refuse the files of a tokenizer in a folder that can't be those of one; there may be none.

    Raises:
        ValueError: with the file and what is wrong with it.
    """
    for name in ("tokenizer_config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            continue
        content = read_json(folder / name, folder)
        if name == "tokenizer.json" and not (
            isinstance(content.get("added_tokens"), list) and isinstance(content.get("model"), dict)
        ):
            raise ValueError(f"checkpoint {folder.name!r}: {name} is no tokenizer, which has added_tokens and a model")


def read_json(path: Path, folder: Path) -> dict[str, Any]:
    """Return the table of a JSON file of a checkpoint.

    Raises:
        ValueError: it is no JSON, no table, or larger or deeper than any of a checkpoint.
    """
    what = f"checkpoint {folder.name!r}: {path.name}"
    try:
        if path.stat().st_size > _MAX_JSON:
            raise ValueError(f"{what} has {path.stat().st_size:,} bytes, too many for such a file")
        found = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(f"{what} is nested too deeply") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{what} is not readable JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{what} must hold a JSON object, not {type(found).__name__}")
    return found


def _read_index(folder: Path) -> list[Path]:
    places = read_json(folder / INDEX, folder).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise ValueError(f"checkpoint {folder.name!r}: {INDEX} has no weight_map of names to files")
    names = sorted(set(places.values()))
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ValueError(
                f"checkpoint {folder.name!r}: {INDEX} names {name[:80]!r}; weights are .safetensors files in the "
                "folder itself"
            )
        if not (folder / name).is_file():
            raise ValueError(f"checkpoint {folder.name!r} lacks {name[:80]}, which {INDEX} names")
    return [folder / name for name in names]


def _check_weights(path: Path, folder: Path, is_quantised: bool) -> None:
    """Read the header of a safetensors file: 8 bytes of length, then JSON."""
    what = f"checkpoint {folder.name!r}: {path.name}"
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER, path.stat().st_size - 8):
            raise ValueError(f"{what} is no safetensors file, or is not whole")
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{what} is no safetensors file: its header cannot be read") from error
    if not isinstance(header, dict):
        raise ValueError(f"{what} is no safetensors file: its header is no table")
    # Buffers, such as counters, may be whole numbers.
    tensors = [value for name, value in header.items() if name.endswith((".weight", ".bias"))]
    kinds = {value.get("dtype") if isinstance(value, dict) else None for value in tensors}
    if not is_quantised and not kinds <= _FLOATS:
        odd = ", ".join(sorted(map(str, kinds - _FLOATS)))
        raise ValueError(f"{what} holds weights of type {odd}; a model's are floating-point numbers")
