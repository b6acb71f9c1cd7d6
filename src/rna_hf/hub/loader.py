"""Makes a checkpoint folder open with plain transformers and `trust_remote_code=True`."""

import json
from pathlib import Path
from typing import Any

from ..auto import auto_class
from ..models.loader_file import LOADER_MODULE, write_loader_file
from ..models.registry import ARCHITECTURES, Architecture


def auto_classes_of(architecture: Architecture) -> dict[str, str]:
    """List the classes of an architecture that transformers' own Auto classes give.

    This package's own (`AutoModelForReactivity`) are left out: `auto_map` may only name what transformers has.

    Returns:
        Name of the Auto class to the name of the class it opens, in alphabetical order.
    """
    heads = [head for head in architecture.heads if auto_class(head).__module__.startswith("transformers.")]
    found = {f"AutoModelFor{head}": f"{architecture.prefix}For{head}" for head in heads}
    return dict(sorted({"AutoModel": f"{architecture.prefix}Model", **found}.items()))


def auto_map_of(architecture: Architecture) -> dict[str, str]:
    """Build the `auto_map` of an architecture: name of an Auto class to `rna_hf_loader.<class>`."""
    classes = {"AutoConfig": f"{architecture.prefix}Config", **auto_classes_of(architecture)}
    return {auto_class: f"{LOADER_MODULE}.{name}" for auto_class, name in classes.items()}


def add_loader(folder: str | Path) -> Path:
    """Write the loader file into a checkpoint folder and point its `config.json` to it.

    Running it twice changes nothing. Saving a model that was opened from such a folder keeps both.

    Args:
        folder: a folder with the `config.json` of one of this package's models.

    Returns:
        The path of the loader file.

    Raises:
        FileNotFoundError: the folder has no `config.json`.
        ValueError: the configuration is not one of this package's.
    """
    folder = Path(folder)
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise FileNotFoundError(
            f"{folder} has no config.json: save the model there first, with model.save_pretrained(...)."
        )
    values: dict[str, Any] = json.loads(config_path.read_text(encoding="utf-8"))
    model_type = values.get("model_type")
    if model_type not in ARCHITECTURES:
        raise ValueError(
            f"model_type {model_type!r} is not one of this package's: {sorted(ARCHITECTURES)}. "
            "Other models need no loader file of ours."
        )
    architecture = ARCHITECTURES[model_type]
    auto_map = auto_map_of(architecture)
    values["auto_map"] = auto_map
    # Sorted and indented as transformers writes it, so that saving again leaves the file as it is.
    config_path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return write_loader_file(folder, architecture.module, auto_map)
