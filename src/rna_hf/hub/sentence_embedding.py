"""A module of sentence-transformers, so that its tools read a checkpoint of this package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

from ..atomic_files import replace_text
from ..checkpoints import find_checkpoint, saved_class
from ..models.registry import ARCHITECTURES

try:
    import torch
    from sentence_transformers.sentence_transformer.modules import Module
    from torch import Tensor
except ImportError as error:
    raise ImportError(
        "vectors for sentence-transformers need that package: pip install 'rna-hf[sentence-transformers]'"
    ) from error

MODULES_FILE = "modules.json"
SETTINGS_FILE = "rna_embedding.json"
_SHOWN_LETTERS = 40


class RnaEmbedding(Module):
    """The mean state of an RNA's nucleotides, from the base model of any checkpoint: the vector of `rna_hf.embed`.

    It reads RNA only, and each sequence as if it were alone, also with a model that sees its padding. With gradients,
    so that a `SentenceTransformerTrainer` trains the model below it.

    Args:
        model: folder or id of a checkpoint.
        **options: of `from_pretrained`, such as `revision`.

    Example:
        >>> model = SentenceTransformer(modules=[RnaEmbedding("rna-hf/ribonanzanet-mini")])
        >>> model.encode(["GGGAAACUCC", "GGCA"]).shape
        (2, 128)
    """

    config_file_name = SETTINGS_FILE
    config_keys: list[str] = []
    save_in_root = True

    def __init__(self, model: str, **options: Any):
        super().__init__()
        from transformers import AutoModel, AutoTokenizer

        from ..tasks.embedding import EmbeddingPrediction

        self.model = AutoModel.from_pretrained(model, **options)
        self.tokenizer = AutoTokenizer.from_pretrained(model, **options)
        self._prediction = EmbeddingPrediction().for_checkpoint(self.model.config, self.tokenizer)

    def get_embedding_dimension(self) -> int:
        """Return how many numbers a vector has."""
        return int(self.model.config.state_size)

    @property
    def max_seq_length(self) -> int | None:
        """Longest RNA that is read whole; None: there is no limit."""
        return None

    def preprocess(self, inputs: list[str], prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Tokenise RNAs; `prompt` is text and left out.

        Raises:
            ValueError: something is no RNA, or shorter than the model reads.
        """
        from ..data.checks import check_sequence

        # The order of the inputs is not the caller's, so that their numbers would say nothing.
        sequences = [check_sequence(sequence, repr(sequence[:_SHOWN_LETTERS])) for sequence in inputs]
        for sequence in sequences:
            if reason := self._prediction.explain_length(len(sequence), self.model.config):
                raise ValueError(f"{sequence[:_SHOWN_LETTERS]!r}: {reason}")
        return dict(self._prediction.encode(self.tokenizer, sequences, self.model.config))

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Add `sentence_embedding` (B, H) and `token_embeddings` (B, positions, H) to the features."""
        ids, mask, special = (features[name] for name in ("input_ids", "attention_mask", "special_tokens_mask"))
        if self.model.config.masks_padding:
            states = self._prediction.forward(self.model, ids, mask)
            pooled = torch.stack([self._pool(one, keep) for one, keep in zip(states, special == 0)])
            return features | {"token_embeddings": states, "sentence_embedding": pooled}
        pooled_rows = []
        for row, keep in enumerate(mask.bool()):
            states = self._prediction.forward(self.model, ids[row : row + 1, keep], None)
            pooled_rows.append(self._pool(states[0], special[row, keep] == 0))
        return features | {"sentence_embedding": torch.stack(pooled_rows)}

    def _pool(self, states: Tensor, keep: Tensor) -> Tensor:
        if self._prediction.has_positions:
            return states[: self.model.config.num_positions(int(keep.sum()))].mean(0)
        return states[keep].double().mean(0).to(states.dtype)

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write model, tokenizer and settings into a folder."""
        self.model.save_pretrained(output_path)
        self.tokenizer.save_pretrained(output_path)
        self.save_config(output_path)

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        init_defaults: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Open what `save` wrote, or any checkpoint folder."""
        place = {"token": token, "cache_dir": cache_folder, "revision": revision, "local_files_only": local_files_only}
        return cls(model_name_or_path, **{name: value for name, value in place.items() if value})


def write_sentence_transformer(folder: str | Path) -> Path:
    """Write what makes `SentenceTransformer(folder, trust_remote_code=True)` open a checkpoint by `RnaEmbedding`.

    sentence-transformers asks for that trust for any module but its own; no code of the folder is run. Without these
    files it opens a folder by itself, and takes the mean over all tokens: for a model with a state for each nucleotide,
    no special tokens and no regard to padding, such as `ribonanzanet-mini`, after `import rna_hf`, the same vectors.

    Returns:
        The written file.

    Raises:
        FileNotFoundError: it is no checkpoint folder.
        ValueError: its model is none of this package.
    """
    folder = find_checkpoint(folder)
    model_type, _ = saved_class(folder)
    if model_type not in ARCHITECTURES:
        raise ValueError(f"{folder}: model_type {model_type!r} is none of {', '.join(ARCHITECTURES)}")
    kind = f"{RnaEmbedding.__module__}.{RnaEmbedding.__qualname__}"
    entry = {"idx": 0, "name": "0", "path": "", "type": kind}
    replace_text(folder / SETTINGS_FILE, "{}\n")
    replace_text(folder / MODULES_FILE, json.dumps([entry], indent=2) + "\n")
    return folder / MODULES_FILE
