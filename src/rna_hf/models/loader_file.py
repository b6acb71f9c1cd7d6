"""The loader file of a checkpoint folder: a few lines that let transformers' Auto classes find this package.

Modeling code is never copied into a checkpoint. A folder holds `rna_hf_loader.py`, which only imports from `rna_hf`,
and an `auto_map` in `config.json` that points to it: `AutoModel.from_pretrained(folder, trust_remote_code=True)` then
works without importing `rna_hf` by name. Where the package is missing, transformers finds it among the file's imports
and names it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOADER_MODULE = "rna_hf_loader"
LOADER_FILE_NAME = f"{LOADER_MODULE}.py"


def loader_source(package: str, class_names: list[str]) -> str:
    """Write the text of a loader file.

    Args:
        package: the architecture's package, such as `rna_hf.models.ribonanzanet`.
        class_names: the classes that `auto_map` points to.
    """
    names = sorted(set(class_names))
    imported = "".join(f"    {name},\n" for name in names)
    exported = "".join(f'    "{name}",\n' for name in names)
    return (
        '"""Opens this checkpoint with transformers\' Auto classes. The model itself: pip install rna-hf."""\n\n'
        f"from {package} import (\n{imported})\n\n"
        f"__all__ = [\n{exported}]\n"
    )


def is_loader_map(auto_map: Any) -> bool:
    """Whether an `auto_map` points to our loader file."""
    return isinstance(auto_map, Mapping) and any(
        isinstance(target, str) and target.startswith(f"{LOADER_MODULE}.") for target in auto_map.values()
    )


def write_loader_file(folder: str | os.PathLike, package: str, auto_map: Mapping[str, str]) -> Path:
    """Write the loader file that an `auto_map` points to.

    Args:
        folder: the checkpoint folder.
        package: the architecture's package, such as `rna_hf.models.ribonanzanet`.
        auto_map: name of an Auto class to `rna_hf_loader.<class>`.

    Returns:
        The path of the written file.
    """
    path = Path(folder) / LOADER_FILE_NAME
    class_names = [target.removeprefix(f"{LOADER_MODULE}.") for target in auto_map.values()]
    path.write_text(loader_source(package, class_names), encoding="utf-8")
    return path


class LoaderFileMixin:
    """Keeps a loader file beside every copy of a configuration that points to one.

    Put it before `PreTrainedConfig` among the bases of a configuration. Without it, two things go wrong in
    transformers 5.23: a checkpoint opened through `trust_remote_code=True` is saved again with a copy of our
    configuration file and an `auto_map` that mixes both; and one opened after `import rna_hf` is saved with an
    `auto_map` to a file that is missing.
    """

    @classmethod
    def register_for_auto_class(cls, auto_class: str | type = "AutoConfig") -> None:
        """Do nothing: the Auto classes call this to have the defining file copied, which is what we avoid."""

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **kwargs: Any) -> Any:
        """Save as transformers does, then write the loader file if `auto_map` points to it."""
        auto_map = getattr(self, "auto_map", {})
        if is_loader_map(auto_map):
            Path(save_directory).mkdir(parents=True, exist_ok=True)
            write_loader_file(save_directory, type(self).__module__.rpartition(".")[0], auto_map)
        return super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)  # type: ignore[misc]
