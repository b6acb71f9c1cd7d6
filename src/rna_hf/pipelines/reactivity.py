"""`pipeline("rna-reactivity")`: chemical reactivity of each nucleotide of a sequence."""

from __future__ import annotations

import os
from typing import Any

import torch
from transformers import Pipeline

from rna_hf.checkpoints import default_checkpoint_path
from rna_hf.prediction import REACTIVITY_UNIT

TASK = "rna-reactivity"


class ReactivityPipeline(Pipeline):
    """Predicts the reactivity of each nucleotide, for one sequence or a list of them.

    Returns for each sequence a dict with `sequence` (as given), `reactivity` (for each of the model's channels a list
    of floats as long as the sequence) and `unit`. Opened without a model it uses the bundled checkpoint, offline.

    Example:
        >>> predict = pipeline("rna-reactivity")
        >>> predict("GGGAAACUCC")["reactivity"].keys()
        dict_keys(['2A3', 'DMS'])
    """

    tokenizer: Any

    # transformers annotates these as None, and says in the comment beside them that they are three-valued.
    _load_tokenizer = True  # type: ignore[assignment]
    _load_processor = False  # type: ignore[assignment]
    _load_image_processor = False  # type: ignore[assignment]
    _load_video_processor = False  # type: ignore[assignment]
    _load_feature_extractor = False  # type: ignore[assignment]

    @classmethod
    def registration(cls) -> dict[str, Any]:
        """Return the arguments of `PIPELINE_REGISTRY.register_pipeline`."""
        from rna_hf.auto import AutoModelForReactivity

        return {
            "task": TASK,
            "pipeline_class": cls,
            "pt_model": (AutoModelForReactivity,),
            # A folder in place of a name on the Hub, without a revision.
            "default": {"model": (str(default_checkpoint_path()), None)},
            "type": "text",
        }

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict, dict, dict]:
        if kwargs:
            raise ValueError(f"{TASK} takes no option {', '.join(sorted(kwargs))}; options of transformers: batch_size")
        return {}, {}, {}

    def preprocess(self, input_: str, **preprocess_parameters: Any) -> dict[str, Any]:
        """Encode a sequence."""
        if not isinstance(input_, str):
            raise ValueError(f"{TASK} takes a sequence or a list of sequences, got {type(input_).__name__}")
        sequence = input_.strip()
        if not sequence:
            raise ValueError("the sequence is empty; give at least one nucleotide")
        encoded = self.tokenizer(sequence, return_tensors="pt", return_special_tokens_mask=True)
        return {**encoded, "sequence": sequence}

    def _forward(self, input_tensors: dict[str, Any], **forward_parameters: Any) -> Any:
        input_ids, mask = input_tensors["input_ids"], input_tensors["attention_mask"]
        keep = (input_tensors["special_tokens_mask"] == 0) & (mask != 0)
        if mask.all():
            # Without padding no mask is given: the same numbers with less work.
            logits = self.model(input_ids=input_ids).logits
        elif getattr(self.model.config, "fix_attention_mask", True):
            logits = self.model(input_ids=input_ids, attention_mask=mask).logits
        else:
            # Padding leaks into such a model's nucleotides as in the original, so each sequence runs alone.
            logits = torch.nn.utils.rnn.pad_sequence(
                [self.model(input_ids=ids[own != 0][None]).logits[0] for ids, own in zip(input_ids, mask, strict=True)],
                batch_first=True,
                padding_side=self.tokenizer.padding_side,
            )
        return {"logits": logits, "keep": keep, "sequence": input_tensors["sequence"]}

    def postprocess(self, model_outputs: dict[str, Any], **postprocess_parameters: Any) -> dict[str, Any]:
        """Cut special tokens and padding off and name the channels."""
        values = model_outputs["logits"][0][model_outputs["keep"][0]].float()
        sequence = model_outputs["sequence"]
        return {
            "sequence": sequence if isinstance(sequence, str) else sequence[0],
            "reactivity": {
                channel: values[:, index].tolist() for index, channel in enumerate(self.model.config.channels)
            },
            "unit": REACTIVITY_UNIT,
        }

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Save model and tokenizer. Unlike transformers' own, this copies no code: the package brings it."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.tokenizer.save_pretrained(save_directory)
