"""The architectures, one entry each; `registration.py` makes them known to transformers.

Importing this imports no architecture: an entry says where things are, and imports them when they are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ..options import option
from ..tokenization.alphabets import KEPT_ENDS


@dataclass(frozen=True)
class ConversionOptions:
    """What `rna-hf convert ARCHITECTURE` can be told beside checkpoint, output and `--set`; none by default."""


@dataclass(frozen=True)
class Architecture:
    """An architecture and the names of its parts.

    Attributes:
        name: its `model_type`, and the name of its package's last part.
        prefix: of its classes: `RibonanzaNet` stands for `RibonanzaNetConfig`, `RibonanzaNetModel`,
            `RibonanzaNetForReactivity`, ...
        alphabet: of its tokenizer, a key of `rna_hf.tokenization.ALPHABETS`.
        heads: the tasks that it has a class for, as in `Task.head`.
        lora_targets: names of the linear layers that get LoRA adapters; none where it has no such layers.
        conversion: options of its converter; None where there is none. The package has then a module
            `convert_<name>` with a function `convert(checkpoint, output, overrides, **options)`, whose `overrides` are
            fields of the configuration.
        names_as_text: fields of the configuration that are lists of names, which `rna-hf convert --set` reads as they
            stand.
        package: where its classes are; of this package by default.
    """

    name: str
    prefix: str
    alphabet: str
    heads: Sequence[str] = ()
    lora_targets: Sequence[str] = ()
    conversion: type[ConversionOptions] | None = None
    names_as_text: Sequence[str] = ()
    package: str = ""

    @property
    def module(self) -> str:
        """The package that holds its classes."""
        return self.package or f"{__package__}.{self.name}"

    @property
    def converter(self) -> str:
        """Name of the module that converts its checkpoints, and of the function in it that users call."""
        return f"convert_{self.name}"

    @property
    def class_names(self) -> list[str]:
        """The names of its classes: configuration, base classes and heads."""
        kinds = ["Config", "PreTrainedModel", "Model", *(f"For{head}" for head in self.heads)]
        return [self.prefix + kind for kind in kinds]

    def find_class(self, kind: str) -> Any:
        """Import a class by what stands behind the prefix, such as "Config", "Model" or "ForReactivity"."""
        return getattr(import_module(self.module), self.prefix + kind)

    def convert(self, checkpoint: Path, output: Path, overrides: dict[str, Any], options: dict[str, Any]) -> Path:
        """Run its converter and return what it wrote."""
        written: Path = import_module(f"{self.module}.{self.converter}").convert(
            checkpoint, output, overrides, **options
        )
        return written


@dataclass(frozen=True)
class RibonanzaNetConversion(ConversionOptions):
    """Options of `rna-hf convert ribonanzanet`."""

    config: Path | None = option(None, "the original's YAML or JSON; a folder has its own config", metavar="FILE")
    to: str = option(
        "rna_hf",
        "rna_hf writes a folder that transformers opens, original a .pt file that the original's code opens, beside "
        "which its configuration is written as .yaml",
        choices=("rna_hf", "original"),
    )
    head: str | None = option(
        None,
        "of the original's .pt: reactivity, degradation, dropout, structure, 3d or none; by default what its names and "
        "columns tell, which is not enough for read counts (dropout) and for coordinates in a plain decoder (3d)",
        metavar="NAME",
    )


@dataclass(frozen=True)
class RnaTrackerConversion(ConversionOptions):
    """Options of `rna-hf convert rnatracker`."""

    keep: str = option(
        "5prime",
        "the end of longer sequences that the tokenizer keeps; 5prime as the original",
        choices=tuple(KEPT_ENDS),
    )
    max_length: int = option(4000, "length to which the tokenizer pads and truncates, nucleotides", metavar="NT")


@dataclass(frozen=True)
class PlantRnaFmConversion(ConversionOptions):
    """Options of `rna-hf convert plantrna_fm`."""

    to: str = option(
        "rna_hf",
        "rna_hf writes a folder of ours from one as PlantRNA-FM or OmniGenome were published (model_type esm, "
        "vocab.txt); published writes such a folder, which transformers' EsmForMaskedLM opens",
        choices=("rna_hf", "published"),
    )
    t_as_u: bool = option(False, "the tokenizer reads T as U; as published, T has a token of its own")


ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        Architecture(
            name="ribonanzanet",
            prefix="RibonanzaNet",
            alphabet="ribonanzanet",
            heads=(
                "ContactPrediction",
                "Degradation",
                "MaskedLM",
                "Reactivity",
                "SecondaryStructure",
                "SequenceClassification",
                "SequenceDropout",
                "TertiaryStructure",
                "TokenClassification",
            ),
            # Linear layers of the sequence track.
            lora_targets=("q_proj", "k_proj", "v_proj", "out_proj", "up_proj", "down_proj"),
            conversion=RibonanzaNetConversion,
            names_as_text=("channels",),
        ),
        Architecture(
            name="rnatracker",
            prefix="RnaTracker",
            alphabet="rnatracker",
            heads=("Localisation", "SequenceClassification"),
            conversion=RnaTrackerConversion,
            names_as_text=("compartments",),
        ),
        Architecture(
            name="plantrna_fm",
            prefix="PlantRnaFm",
            alphabet="plantrna_fm",
            heads=(
                "ContactPrediction",
                "MaskedLM",
                "SecondaryStructure",
                "SequenceClassification",
                "TokenClassification",
            ),
            lora_targets=("q_proj", "k_proj", "v_proj", "out_proj", "up_proj", "down_proj"),
            conversion=PlantRnaFmConversion,
        ),
    )
}
"""All architectures by name."""
