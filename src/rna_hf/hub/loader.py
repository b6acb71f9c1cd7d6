"""Makes a checkpoint folder open with plain transformers and `trust_remote_code=True`."""

import json
from pathlib import Path
from typing import Any

from rna_hf.models.loader_file import LOADER_MODULE, write_loader_file


def auto_classes_of(config_class: type) -> dict[str, str]:
    """List the classes that transformers' own Auto classes give for a configuration.

    This package's own (`AutoModelForReactivity`) are left out: `auto_map` may only name what transformers has.

    Args:
        config_class: a registered configuration class.

    Returns:
        Name of the Auto class to the name of the class it opens, in alphabetical order.
    """
    # Imported here, since `import rna_hf.hub.loader` alone should stay free of transformers' model registry.
    from transformers.models.auto import modeling_auto
    from transformers.models.auto.auto_factory import _BaseAutoModelClass

    found: dict[str, str] = {}
    for name, auto_class in sorted(vars(modeling_auto).items()):
        is_auto_class = isinstance(auto_class, type) and issubclass(auto_class, _BaseAutoModelClass)
        if not is_auto_class or name.startswith("_") or auto_class._model_mapping is None:
            continue
        # `_extra_content` holds what was registered from outside; the rest would import all of transformers' models.
        model_class = auto_class._model_mapping._extra_content.get(config_class)
        if model_class is not None:
            found[name] = model_class.__name__
    return found


def auto_map_of(config_class: type) -> dict[str, str]:
    """Build the `auto_map` of a configuration class: name of an Auto class to `rna_hf_loader.<class>`."""
    classes = {"AutoConfig": config_class.__name__, **auto_classes_of(config_class)}
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
    config_class = _config_class_of(values.get("model_type"))
    auto_map = auto_map_of(config_class)
    values["auto_map"] = auto_map
    # Sorted and indented as transformers writes it, so that saving again leaves the file as it is.
    config_path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return write_loader_file(folder, config_class.__module__.rpartition(".")[0], auto_map)


def _config_class_of(model_type: str | None) -> type:
    from transformers import CONFIG_MAPPING

    import rna_hf.registration  # registers on import of the package

    rna_hf.registration.register()
    registered: dict[str, type] = {
        name: config_class
        for name, config_class in CONFIG_MAPPING._extra_content.items()
        if config_class.__module__.startswith("rna_hf.")
    }
    if model_type not in registered:
        raise ValueError(
            f"model_type {model_type!r} is not one of this package's: {sorted(registered)}. "
            "Other models need no loader file of ours."
        )
    return registered[model_type]
