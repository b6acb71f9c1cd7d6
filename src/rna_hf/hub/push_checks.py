"""What a folder has to be before it is uploaded: a whole checkpoint, with a true card, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..safety import check_folder
from .card_metadata import check_metadata
from .originals import WEIGHT_LICENCES
from .secret_patterns import find_secret

CARD_FILE = "README.md"

# What belongs to a checkpoint, in the folder itself and below it.
NEEDED = re.compile(
    r"config\.json|generation_config\.json|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json"
    r"|tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|vocab\.txt"
    r"|golden\.json|training_data\.json|scores\.json|folds\.json|rna_hf_loader\.py"
    r"|modules\.json|config_sentence_transformers\.json|rna_embedding\.json"
    r"|README\.md|(LICENSE|LICENCE|NOTICE|CITATION)(\.\w+)?|\.gitattributes|\.eval_results/[\w.-]+\.yaml"
    r"|[\w-]+\.(png|svg)"
)
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".h5")
# Of folders that belong to programs: never listed.
_UNSEEN = (".git", "__pycache__", ".ipynb_checkpoints")
_MAX_TEXT = 50_000_000


def list_files(folder: Path) -> list[str]:
    """Return the files of a folder and below, sorted, with `/` between parts; what git and Python keep is left out."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(name.as_posix() for name in names if not set(_UNSEEN) & set(name.parts))


def is_needed(name: str) -> bool:
    """Whether a file, by its name relative to the folder, belongs to a checkpoint."""
    return NEEDED.fullmatch(name) is not None


def find_problems(folder: Path, files: list[str]) -> Iterator[str]:
    """Give what keeps a folder from being uploaded, each in one line; nothing where it may be.

    Args:
        folder: of the checkpoint.
        files: that are to be uploaded, relative to it.
    """
    from .golden import check_golden  # needs torch

    yield from _foreign_files(folder, files)
    if not (folder / "config.json").is_file():
        yield "it holds no config.json, so it is no checkpoint"
        return
    try:
        check_folder(folder)
    except ValueError as error:
        yield str(error)
        return
    for name in files:
        if (secret := _find_secret(folder / name)) is not None:
            yield f"{name}, line {secret[1]}, holds {secret[0]}: take it out, and make it invalid where it came from"
    data: dict[str, Any] = {}
    try:
        data = read_card(folder)
    except (ValueError, FileNotFoundError) as error:
        yield str(error)
    else:
        if not data.get("license"):
            yield f"{CARD_FILE} states no licence: `rna-hf card --facts FILE` writes it, from `license:` in that file"
    yield from _licence_of_original(folder, data)
    try:
        check_golden(folder)
    except (ValueError, FileNotFoundError) as error:
        yield str(error).replace(f"{folder}", "it")


def read_card(folder: Path) -> dict[str, Any]:
    """Return the front matter of a folder's card.

    Raises:
        FileNotFoundError: there is no card.
        ValueError: it can't be read, or the Hub would not understand it.
    """
    from huggingface_hub import ModelCard

    path = folder / CARD_FILE
    if not path.is_file():
        raise FileNotFoundError(f"it has no card: write one with `rna-hf card {folder}`")
    try:
        data: dict[str, Any] = ModelCard.load(path, ignore_metadata_errors=False).data.to_dict()
    except Exception as error:  # of yaml and huggingface_hub
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"the front matter of {CARD_FILE} can't be read: {reason}") from error
    try:
        check_metadata(data)
    except ValueError as error:
        raise ValueError(f"{CARD_FILE}: {error}") from error
    return data


def _foreign_files(folder: Path, files: list[str]) -> Iterator[str]:
    others = [name for name in files if not is_needed(name)]
    pickles = [name for name in others if name.lower().endswith(_PICKLES)]
    rest = [name for name in others if name not in pickles]
    for what, names in (("may run code when it is opened", pickles), ("is nothing that a checkpoint needs", rest)):
        if names:
            more = f", nor any of {len(names) - 1} more" if len(names) > 1 else ""
            yield f"{names[0]} {what}, and is not uploaded{more}: take it out, or use --leave-out-others"
    for name in files:
        if (folder / name).is_symlink() and not (folder / name).resolve().is_relative_to(folder.resolve()):
            yield f"{name} is a link to a file outside of the folder: put a copy in its place"


def _find_secret(path: Path) -> tuple[str, int] | None:
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        # Of weights, the header alone is text: 8 bytes of length, then JSON.
        size = 8 + int.from_bytes(file.read(8), "little") if path.suffix == ".safetensors" else _MAX_TEXT
        file.seek(0)
        return find_secret(file.read(min(size, _MAX_TEXT)))


def _licence_of_original(folder: Path, data: dict[str, Any]) -> Iterator[str]:
    """Give what the licence of an original's weights says against the upload of weights that come from them."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    source = config.get("converted_from")
    if source is None:
        return
    licence = WEIGHT_LICENCES.get(source)
    stated = data.get("license")
    if licence is None and stated and not (stated == "other" and data.get("license_link")):
        yield (
            f"its weights come from {source}, for which no licence was found that allows to publish them: ask its "
            f"authors, and say in {CARD_FILE} which it is (`license: other` with license_name and license_link), or "
            "train your own"
        )
    elif licence is not None and stated and stated != licence:
        yield (
            f"its weights come from {source}, which is under {licence}, and {CARD_FILE} says {stated}: "
            f"write `license: {licence}`"
        )
