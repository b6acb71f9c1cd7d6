"""Heads that every architecture shares: mixins that read a base model's states and nothing else of it.

`class RibonanzaNetForReactivity(ReactivityHead, RibonanzaNetPreTrainedModel)` with `trunk_class = RibonanzaNetModel` is
a whole model. A head reads `last_hidden_state` (B, L, H); for the whole sequence `pooler_output` (B, H), where the base
model has one, else the mean over nucleotides; for pairs `last_pair_state` (B, L, L, C), which the base model gives when
it is asked by `output_last_pair_state=True`. The widths are `config.state_size` and `config.pair_hidden_size`.

Each kind of head has an attribute name of its own, so that a checkpoint of one task never fills the head of another:
transformers then reports that the head is newly initialised. Heads of the same kind share it on purpose: the 3D head
decodes helices by the `pair_head` of a checkpoint for secondary structure.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import MaskedLMOutput, SequenceClassifierOutput, TokenClassifierOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import can_return_tuple

from ..layers.plain import is_watched
from ..losses import (
    ignore_padding,
    masked_bce,
    masked_cross_entropy,
    masked_kl_divergence,
    masked_mae,
    masked_mse,
    mcrmse,
    problem_type_of,
    task_loss,
)
from ..measured import is_measured
from ..outputs import (
    DegradationOutput,
    LocalisationOutput,
    ReactivityOutput,
    SecondaryStructureOutput,
    SequenceDropoutOutput,
)


def symmetrise(pair_states: Tensor) -> Tensor:
    """Return a pair state (B, L, L, C) plus its transpose."""
    return pair_states + pair_states.transpose(1, 2)


def mean_over(states: Tensor, keep: Tensor) -> Tensor:
    """Return the mean (B, N) of states (B, L, N) over the positions where keep (B, L) is True; 0 without any."""
    weights = keep.to(states.dtype)[..., None]
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def find_nucleotides(config: Any, states: Tensor, input_ids: Tensor | None, attention_mask: Tensor | None) -> Tensor:
    """Return where the nucleotides of states (B, L, N) are, (B, L): not at padding, nor at <bos> and <eos>."""
    keep = states.new_ones(states.shape[:2], dtype=torch.bool) if attention_mask is None else attention_mask != 0
    for token in (config.bos_token_id, config.eos_token_id):
        if input_ids is not None and token is not None:
            keep = keep & (input_ids != token)
    return keep


def recorded(outputs: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return what a head hands on of the base model's output: what was asked for, under the same names."""
    return {name: outputs.get(name) for name in names}


if TYPE_CHECKING:  # what comes next among the bases
    _Base = PreTrainedModel
else:
    _Base = object


class Head(_Base):
    """A base model and a head on it; comes before the architecture's `PreTrainedModel` among the bases.

    Attributes:
        trunk_class: the base model's class.
    """

    trunk_class: ClassVar[type]

    model: Any

    def __init__(self, config: Any):
        super().__init__(config)
        self.model = self.trunk_class(config)
        self.add_head(config)
        self.post_init()

    def add_head(self, config: Any) -> None:
        """Add the head's modules."""
        raise NotImplementedError(f"{type(self).__name__} adds no head")

    def run_trunk(
        self, input_ids: Tensor | None, attention_mask: Tensor | None, inputs_embeds: Tensor | None, **kwargs: Any
    ) -> Any:
        """Run the base model and return its output.

        Nothing is kept for a backward pass where all weights of the base model are frozen, and no hook can bring in
        something that is not.
        """
        has_gradient = (
            inputs_embeds is not None
            or any(weight.requires_grad for weight in self.model.parameters())
            or is_watched(self.model)
        )
        with torch.set_grad_enabled(torch.is_grad_enabled() and has_gradient):
            return self.model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                inputs_embeds=inputs_embeds,
                return_dict=True,
                **kwargs,
            )

    def nucleotides(self, states: Tensor, input_ids: Tensor | None, attention_mask: Tensor | None) -> Tensor:
        """Return where nucleotides are, (B, L); see `find_nucleotides`."""
        return find_nucleotides(self.config, states, input_ids, attention_mask)

    def pool(self, outputs: Any, input_ids: Tensor | None, attention_mask: Tensor | None) -> Tensor:
        """Return the state of each sequence, (B, H): the base model's own, or the mean over nucleotides."""
        pooled = outputs.get("pooler_output")
        if pooled is not None:
            return pooled
        states = outputs.last_hidden_state
        return mean_over(states, self.nucleotides(states, input_ids, attention_mask))


class ReactivityHead(Head):
    """A linear head for the chemical reactivity of each nucleotide, one value for each of `config.channels`."""

    def add_head(self, config: Any) -> None:
        """Add the linear map."""
        self.reactivity_head = nn.Linear(config.state_size, len(config.channels))

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        signal_to_noise: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> ReactivityOutput:
        """Predict reactivity.

        Args:
            input_ids: see the base model's `forward`.
            attention_mask: see the base model's `forward`.
            inputs_embeds: see the base model's `forward`.
            labels: (B, L, channels), measured reactivity; NaN or -100 where not measured. Padding never counts.
            signal_to_noise: (B, channels) or (B,), of each profile; those under `config.min_signal_to_noise` and
                those that are NaN don't count in the loss.
            **kwargs: of the base model's `forward`, such as `output_hidden_states`. `num_items_in_batch` is the number
                of measured values over all accumulated batches, as the Trainer counts them with
                `DataCollatorForReactivity`; by default the loss is the mean over this batch.

        Returns:
            `ReactivityOutput`; the loss is the mean absolute error on labels clipped to `config.label_range`.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self.run_trunk(input_ids, attention_mask, inputs_embeds, **kwargs)
        logits = self.reactivity_head(outputs.last_hidden_state)
        loss = None
        if labels is not None:
            loss = self._loss(logits, labels, attention_mask, signal_to_noise, num_items)
        return ReactivityOutput(
            loss=loss, logits=logits, **recorded(outputs, "hidden_states", "pair_states", "attentions")
        )

    def _loss(
        self,
        logits: Tensor,
        labels: Tensor,
        attention_mask: Tensor | None,
        signal_to_noise: Tensor | None,
        num_items: Tensor | int | None,
    ) -> Tensor:
        if labels.shape != logits.shape:
            raise ValueError(
                f"labels have shape {tuple(labels.shape)}: {tuple(logits.shape)} is needed, that is a value for each "
                f"nucleotide and each of the channels {self.config.channels}"
            )
        counted = is_measured(labels)
        if attention_mask is not None:
            counted = counted & (attention_mask != 0)[..., None]
        if signal_to_noise is not None:
            if signal_to_noise.shape not in ((len(labels),), (len(labels), labels.shape[2])):
                raise ValueError(
                    f"signal_to_noise has shape {tuple(signal_to_noise.shape)}: ({len(labels)},) or "
                    f"({len(labels)}, {labels.shape[2]}) is needed, one number for each profile"
                )
            per_profile = signal_to_noise if signal_to_noise.dim() == 2 else signal_to_noise[:, None]
            counted = counted & (per_profile >= self.config.min_signal_to_noise)[:, None, :]
        if self.config.label_range is not None:
            labels = labels.clamp(*self.config.label_range)
        return masked_mae(logits, labels.masked_fill(~counted, torch.nan), num_items)


class DegradationHead(Head):
    """A linear head for reactivity and degradation rates of each nucleotide: `config.degradation_targets`.

    Source: RibonanzaNet's fine-tune `Deg`; targets of the OpenVaccine competition (Wayment-Steele et al. 2022).
    """

    def add_head(self, config: Any) -> None:
        """Add the linear map."""
        self.degradation_head = nn.Linear(config.state_size, len(config.degradation_targets))

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> DegradationOutput:
        """Predict degradation.

        Args:
            input_ids: see the base model's `forward`.
            attention_mask: see the base model's `forward`.
            inputs_embeds: see the base model's `forward`.
            labels: (B, L, targets), NaN or -100 where not measured. Padding never counts.
            **kwargs: see `ReactivityHead.forward`.

        Returns:
            `DegradationOutput`; the loss is `rna_hf.losses.mcrmse`.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self.run_trunk(input_ids, attention_mask, inputs_embeds, **kwargs)
        logits = self.degradation_head(outputs.last_hidden_state)
        loss = None
        if labels is not None:
            loss = mcrmse(logits, ignore_padding(labels, attention_mask, logits.shape), num_items)
        return DegradationOutput(
            loss=loss, logits=logits, **recorded(outputs, "hidden_states", "pair_states", "attentions")
        )


class SequenceDropoutHead(Head):
    """A head for the number of reads that a sequence gets with each of `config.channels`.

    A sequence that gets few reads drops out of an experiment. Source: RibonanzaNet's fine-tune `Drop`: exp of the mean
    over nucleotides of a linear map. Here the mean is over the sequence's own nucleotides, never over padding.
    """

    def add_head(self, config: Any) -> None:
        """Add the linear map."""
        self.read_count_head = nn.Linear(config.state_size, len(config.channels))

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SequenceDropoutOutput:
        """Predict read counts.

        Args:
            input_ids: see the base model's `forward`.
            attention_mask: see the base model's `forward`.
            inputs_embeds: see the base model's `forward`.
            labels: (B, channels), numbers of reads, 0 or more; NaN or -100 where not counted.
            **kwargs: see `ReactivityHead.forward`.

        Returns:
            `SequenceDropoutOutput`; the loss is the mean squared error of log(1 + reads).

        Raises:
            ValueError: if a label is negative (and not -100).
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self.run_trunk(input_ids, attention_mask, inputs_embeds, **kwargs)
        nucleotides = self.nucleotides(outputs.last_hidden_state, input_ids, attention_mask)
        logits = mean_over(self.read_count_head(outputs.last_hidden_state), nucleotides)
        loss = None
        if labels is not None:
            counted = is_measured(labels)
            if (labels[counted] < 0).any():
                raise ValueError(f"labels hold a negative number of reads ({labels[counted].min().item():g})")
            # log(1 + exp(logits)), without the overflow.
            log_labels = torch.where(counted, torch.where(counted, labels.float(), 0.0).log1p(), torch.nan)
            loss = masked_mse(nn.functional.softplus(logits.float()), log_labels, num_items)
        return SequenceDropoutOutput(
            loss=loss,
            logits=logits,
            read_counts=logits.float().exp(),
            **recorded(outputs, "hidden_states", "pair_states", "attentions"),
        )


class SecondaryStructureHead(Head):
    """A head for the probability that two nucleotides pair, from the symmetrised last pair state.

    With `config.predict_reactivity`, the reactivity of `config.channels` beside it. Source: RibonanzaNet's fine-tune
    `SS` (`ct_predictor`). `rna_hf.structure.decode_pairs` makes a structure of it.
    """

    def add_head(self, config: Any) -> None:
        """Add the linear map, and that for reactivity where it is asked for."""
        self.dropout = nn.Dropout(config.head_dropout)
        self.pair_head = nn.Linear(config.pair_hidden_size, 1)
        if config.predict_reactivity:
            self.reactivity_head = nn.Linear(config.state_size, len(config.channels))

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SecondaryStructureOutput:
        """Predict which nucleotides pair.

        Args:
            input_ids: see the base model's `forward`.
            attention_mask: see the base model's `forward`.
            inputs_embeds: see the base model's `forward`.
            labels: (B, L, L), 1 for a pair and 0 for none; NaN or -100 where unknown. Padding never counts.
            **kwargs: see `ReactivityHead.forward`.

        Returns:
            `SecondaryStructureOutput`; the loss is the binary cross-entropy over pairs.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self.run_trunk(input_ids, attention_mask, inputs_embeds, output_last_pair_state=True, **kwargs)
        logits = self.pair_head(self.dropout(symmetrise(outputs.last_pair_state)))[..., 0]
        loss = None
        if labels is not None:
            loss = masked_bce(logits, ignore_padding(labels, attention_mask, logits.shape, 2), num_items)
        return SecondaryStructureOutput(
            loss=loss,
            logits=logits,
            reactivity=self.reactivity_head(outputs.last_hidden_state) if self.config.predict_reactivity else None,
            **recorded(outputs, "hidden_states", "pair_states", "attentions"),
        )


class LocalisationHead(Head):
    """A linear head for the shares of an RNA that are found in each of `config.compartments`."""

    def add_head(self, config: Any) -> None:
        """Add the linear map."""
        self.localisation_head = nn.Linear(config.state_size, len(config.compartments))

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> LocalisationOutput:
        """Predict localisation.

        Args:
            input_ids: see the base model's `forward`.
            attention_mask: see the base model's `forward`.
            inputs_embeds: see the base model's `forward`.
            labels: (B, compartments), shares that sum to 1, in the order of `config.compartments`; a row with NaN or
                -100 doesn't count.
            **kwargs: of the base model's `forward`. `num_items_in_batch` is the number of labels (compartments times
                labelled rows) over all accumulated batches, as the Trainer counts them; by default the loss is the mean
                over this batch's labelled rows.

        Returns:
            `LocalisationOutput`; the loss is `rna_hf.losses.masked_kl_divergence`.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self.run_trunk(input_ids, attention_mask, inputs_embeds, **kwargs)
        logits = self.localisation_head(self.pool(outputs, input_ids, attention_mask))
        return LocalisationOutput(
            loss=None if labels is None else masked_kl_divergence(logits, labels, num_items),
            logits=logits,
            **recorded(outputs, "hidden_states", "attentions"),
        )


class _LabelHead(Head):
    """What the general heads share: `num_labels` values and a loss by `problem_type`.

    Without a problem type in the configuration, it is "regression" for one label and "single_label_classification" for
    several; it is never guessed from a batch.
    """

    def add_head(self, config: Any) -> None:
        """Read what the labels are."""
        self.num_labels = int(config.num_labels or 1)
        self.problem_type = problem_type_of(config)
        self.dropout = nn.Dropout(config.head_dropout)

    def _loss(self, logits: Tensor, labels: Tensor | None, num_items: Tensor | int | None) -> Tensor | None:
        if labels is None:
            return None
        return task_loss(logits, labels, self.problem_type, num_items)


class SequenceClassificationHead(_LabelHead):
    """A head for one set of labels a sequence.

    Without a problem type in the configuration, it is "regression" for one label and "single_label_classification" for
    several; it is never guessed from a batch.
    """

    def add_head(self, config: Any) -> None:
        """Add the linear map."""
        super().add_head(config)
        self.sequence_classifier = nn.Linear(config.state_size, self.num_labels)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SequenceClassifierOutput:
        """Return logits (B, labels).

        Args:
            input_ids: see the base model's `forward`.
            attention_mask: see the base model's `forward`.
            inputs_embeds: see the base model's `forward`.
            labels: (B,) classes, or (B, labels) numbers, by `config.problem_type`; see `rna_hf.losses.task_loss`.
            **kwargs: see `ReactivityHead.forward`; `num_items_in_batch` is the number of known labels.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self.run_trunk(input_ids, attention_mask, inputs_embeds, **kwargs)
        logits = self.sequence_classifier(self.dropout(self.pool(outputs, input_ids, attention_mask)))
        if labels is not None and labels.shape == (len(logits),) and self.num_labels == 1:
            labels = labels[:, None]
        return SequenceClassifierOutput(
            loss=self._loss(logits, labels, num_items),
            logits=logits,
            **recorded(outputs, "hidden_states", "attentions"),
        )


class TokenClassificationHead(_LabelHead):
    """A head for a set of labels a nucleotide; what they are as in `SequenceClassificationHead`."""

    def add_head(self, config: Any) -> None:
        """Add the linear map."""
        super().add_head(config)
        self.token_classifier = nn.Linear(config.state_size, self.num_labels)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TokenClassifierOutput:
        """Return logits (B, L, labels).

        Args:
            input_ids: see the base model's `forward`.
            attention_mask: see the base model's `forward`.
            inputs_embeds: see the base model's `forward`.
            labels: (B, L) classes, or (B, L, labels) numbers, by `config.problem_type`. Padding never counts.
            **kwargs: see `ReactivityHead.forward`.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self.run_trunk(input_ids, attention_mask, inputs_embeds, **kwargs)
        logits = self.token_classifier(self.dropout(outputs.last_hidden_state))
        if labels is not None:
            labels = ignore_padding(labels, attention_mask, logits.shape[: labels.dim()])
        return TokenClassifierOutput(
            loss=self._loss(logits, labels, num_items),
            logits=logits,
            **recorded(outputs, "hidden_states", "attentions"),
        )


class ContactPredictionHead(_LabelHead):
    """A head for a set of labels a pair of nucleotides, such as a contact in 3D or a distance."""

    def add_head(self, config: Any) -> None:
        """Add the linear map."""
        super().add_head(config)
        self.contact_classifier = nn.Linear(config.pair_hidden_size, self.num_labels)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TokenClassifierOutput:
        """Return logits (B, L, L, labels), symmetric in the two nucleotides.

        Args:
            input_ids: see the base model's `forward`.
            attention_mask: see the base model's `forward`.
            inputs_embeds: see the base model's `forward`.
            labels: (B, L, L) classes, or (B, L, L, labels) numbers, by `config.problem_type`. Padding never counts.
            **kwargs: see `ReactivityHead.forward`.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self.run_trunk(input_ids, attention_mask, inputs_embeds, output_last_pair_state=True, **kwargs)
        logits = self.contact_classifier(self.dropout(symmetrise(outputs.last_pair_state)))
        if labels is not None:
            labels = ignore_padding(labels, attention_mask, logits.shape[: labels.dim()], 2)
        return TokenClassifierOutput(
            loss=self._loss(logits, labels, num_items),
            logits=logits,
            **recorded(outputs, "hidden_states", "attentions"),
        )


class MaskedLMHead(Head):
    """A head that fills in masked nucleotides."""

    def add_head(self, config: Any) -> None:
        """Add the linear map."""
        self.lm_head = nn.Linear(config.state_size, config.vocab_size)

    def get_output_embeddings(self) -> nn.Linear:
        """Return the head, whose rows are the vocabulary's."""
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the head, as `resize_token_embeddings` does."""
        self.lm_head = new_embeddings

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> MaskedLMOutput:
        """Return logits (B, L, vocabulary).

        Args:
            input_ids: see the base model's `forward`.
            attention_mask: see the base model's `forward`.
            inputs_embeds: see the base model's `forward`.
            labels: (B, L), ids of the original letters; -100 where not masked.
            **kwargs: see `ReactivityHead.forward`.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self.run_trunk(input_ids, attention_mask, inputs_embeds, **kwargs)
        logits = self.lm_head(outputs.last_hidden_state)
        return MaskedLMOutput(
            loss=None if labels is None else masked_cross_entropy(logits, labels, num_items),
            logits=logits,
            **recorded(outputs, "hidden_states", "attentions"),
        )
