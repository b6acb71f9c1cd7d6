"""Heads for the position of each nucleotide in space; see `heads.py`."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import can_return_tuple

from ..layers.distance_geometry import embed_distances
from ..losses import coordinate_loss, distance_loss, ignore_padding
from ..outputs import TertiaryStructureOutput
from .heads import Head, recorded, symmetrise
from .helix_prior import HelixPrior, helix_prior

# Nucleotides of a stretch that moves together in a sampled structure.
SAMPLED_STRETCH = 9
# Part of the predicted scale with which distances are drawn. With more, the best of five samples is worse on held-out
# chains of the PDB; without any, the samples of an RNA whose helices are certain would be one.
SAMPLED_SPREAD = 0.3
# Pairs of nucleotides that the head for distances reads at a time.
DISTANCE_BLOCK = 2**17


class Correction(nn.Linear):
    """A linear layer that begins at zero."""


class DistanceHead(nn.Module):
    """Corrects the distances, their scales and the handedness that the helices of a structure let expect.

    Its last layers begin at zero: untrained, it leaves what is expected as it is.
    """

    def __init__(self, config: Any):
        super().__init__()
        self.dropout = nn.Dropout(config.head_dropout)
        self.dense = nn.Linear(config.pair_hidden_size + 3, config.pair_hidden_size)
        self.distances = Correction(config.pair_hidden_size, 2)
        self.turns = Correction(config.hidden_size + 1, 1)

    def forward(self, hidden_states: Tensor, pair_states: Tensor, prior: HelixPrior) -> tuple[Tensor, Tensor, Tensor]:
        """Return distances (B, L, L) in angstrom, the logarithms of their scales (B, L, L) and the handedness (B, L).

        Args:
            hidden_states: (B, L, H).
            pair_states: (B, L, L, C), of the last layer.
            prior: what is expected.
        """
        length = hidden_states.shape[1]
        features = prior.features().to(pair_states.dtype)
        step = max(1, DISTANCE_BLOCK // (len(pair_states) * length))
        blocks = []
        for start in range(0, length, step):
            rows = slice(start, start + step)
            symmetric = pair_states[:, rows] + pair_states[:, :, rows].transpose(1, 2)
            inner = self.dense(torch.cat([self.dropout(symmetric), features[:, rows]], dim=-1))
            blocks.append(self.distances(nn.functional.gelu(inner)).float())
        ratios, log_scales = torch.cat(blocks, dim=1).unbind(-1)
        turns = self.turns(torch.cat([hidden_states, prior.turns[..., None].to(hidden_states.dtype)], dim=-1))
        return (
            prior.distances * ratios.clamp(-4, 4).exp(),
            (prior.log_scales + log_scales).clamp(-5, 2),
            (prior.turns.atanh() + turns[..., 0].float()).tanh(),
        )


class TertiaryStructureHead(Head):
    """A head for the position of each nucleotide's atom C1'.

    `config.coordinate_head` "sequence" is RibonanzaNet's fine-tune `3D` (`xyz_predictor`), a linear map of the sequence
    state. With "pair" the model predicts all distances, how sure it is of each, and the handedness along the chain;
    `rna_hf.layers.distance_geometry` finds the trace that fits them best. It is found in evaluation mode only, since
    the loss does not need it. The model starts from helices in space: `pair_head` is that of `SecondaryStructureHead`,
    whose checkpoints fill it, and the helices of the structure decoded from it say what `distance_head` corrects.
    Decoding has no gradient, so training for 3D leaves `pair_head` as it is.
    """

    def add_head(self, config: Any) -> None:
        """Add the head for pairs and that for distances, or the linear map."""
        if config.coordinate_head == "pair":
            self.pair_head = nn.Linear(config.pair_hidden_size, 1)
            self.distance_head = DistanceHead(config)
        else:
            self.coordinate_head = nn.Linear(config.state_size, 3)

    @property
    def why_not_exported(self) -> str:
        """See `RnaPreTrainedMixin`."""
        if self.config.coordinate_head != "pair":
            return ""
        return (
            "its 3D head decodes a secondary structure and finds coordinates in steps that depend on the values; "
            "export the pairs, with --task structure"
        )

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_coordinates: bool = True,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TertiaryStructureOutput:
        """Predict coordinates.

        Args:
            input_ids: see the base model's `forward`.
            attention_mask: see the base model's `forward`.
            inputs_embeds: see the base model's `forward`.
            labels: (B, L, 3), angstrom; rows of NaN or -100 where not resolved. Padding never counts.
            output_coordinates: find the trace that fits the distances; without effect where the head reads none.
            **kwargs: see `ReactivityHead.forward`; `num_items_in_batch` counts three for a nucleotide.

        Returns:
            `TertiaryStructureOutput`; the loss is `rna_hf.losses.coordinate_loss`, with the pair state `distance_loss`.
        """
        num_items = kwargs.pop("num_items_in_batch", None)
        reads_pairs = self.config.coordinate_head == "pair"
        outputs = self.run_trunk(input_ids, attention_mask, inputs_embeds, output_last_pair_state=reads_pairs, **kwargs)
        states = outputs.last_hidden_state
        if labels is not None:
            labels = ignore_padding(labels, attention_mask, (*states.shape[:2], 3))
        if not reads_pairs:
            coordinates = self.coordinate_head(states)
            loss = None if labels is None else coordinate_loss(coordinates, labels, num_items)
            return TertiaryStructureOutput(
                loss=loss, coordinates=coordinates, **recorded(outputs, "hidden_states", "pair_states", "attentions")
            )

        keep = self.nucleotides(states, input_ids, attention_mask)
        distances, log_scales, turns, bodies = self._predict_distances(outputs, keep)
        coordinates = None
        if output_coordinates and not self.training:
            coordinates = self._embed(distances, log_scales, turns, bodies, keep)
        return TertiaryStructureOutput(
            loss=None if labels is None else distance_loss(distances, log_scales, turns, labels, num_items),
            coordinates=coordinates,
            distances=distances,
            log_scales=log_scales,
            turns=turns,
            **recorded(outputs, "hidden_states", "pair_states", "attentions"),
        )

    @torch.inference_mode()
    def sample_coordinates(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, num_samples: int = 5, seed: int = 0
    ) -> Tensor:
        """Predict several different structures of each RNA.

        The first is the model's prediction. The others differ by what the model is unsure of: with the pair state,
        other secondary structures are drawn by the probabilities of pairs, and distances around the predicted ones, so
        that some come out more compact and others more open; without it, dropout stays on. What is drawn depends on the
        seed and the number of the sample alone, not on the batch.

        Args:
            input_ids: see the base model's `forward`.
            attention_mask: see the base model's `forward`.
            num_samples: S, at least 1.
            seed: of the draws.

        Returns:
            (B, S, L, 3), float32, angstrom; 0 at padding.

        Raises:
            ValueError: if the model is in training mode or `num_samples` is below 1.
        """
        if self.training:
            raise ValueError("sample_coordinates is for a model in evaluation mode: call model.eval() first")
        if num_samples < 1:
            raise ValueError(f"num_samples is {num_samples}: at least 1 is needed")
        reads_pairs = self.config.coordinate_head == "pair"
        outputs = self.run_trunk(input_ids, attention_mask, None, output_last_pair_state=reads_pairs)
        keep = self.nucleotides(outputs.last_hidden_state, input_ids, attention_mask)
        samples = torch.zeros(len(keep), num_samples, keep.shape[1], 3, device=keep.device)
        for number in range(num_samples):
            if reads_pairs:
                drawn = seed + number if number else None
                distances, log_scales, turns, bodies = self._predict_distances(outputs, keep, drawn)
                if drawn is not None:
                    distances = self._redraw(distances, log_scales, keep, drawn)
                samples[:, number] = self._embed(distances, log_scales, turns, bodies, keep)
            elif number:
                samples[:, number] = self._predict_with_dropout(input_ids, attention_mask, keep, seed + number)
            else:
                samples[:, number] = self.coordinate_head(outputs.last_hidden_state).float() * keep[..., None]
        return samples

    def _predict_distances(
        self, outputs: Any, keep: Tensor, seed: int | None = None
    ) -> tuple[Tensor, Tensor, Tensor, list[list[tuple[Tensor, Tensor]]]]:
        """Return what `distance_head` makes of the helices decoded, or with a seed drawn, and these helices."""
        with torch.no_grad():
            pair_logits = self.pair_head(symmetrise(outputs.last_pair_state))[..., 0]
            prior = helix_prior(pair_logits, keep, self.config.decoding, seed)
        return *self.distance_head(outputs.last_hidden_state, outputs.last_pair_state, prior), prior.bodies

    def _predict_with_dropout(
        self, input_ids: Tensor, attention_mask: Tensor | None, keep: Tensor, seed: int
    ) -> Tensor:
        """Predict RNA by RNA without padding, so that each gets the draws that it would get alone."""
        visible = torch.ones_like(keep) if attention_mask is None else attention_mask != 0
        coordinates = torch.zeros(*keep.shape, 3, device=keep.device)
        self.train()
        try:
            for index, own in enumerate(visible):
                with torch.random.fork_rng([own.device] if own.is_cuda else []):
                    torch.manual_seed(seed)
                    coordinates[index, own] = self(input_ids=input_ids[index : index + 1, own]).coordinates[0].float()
        finally:
            self.eval()
        return coordinates * keep[..., None]

    @staticmethod
    def _redraw(distances: Tensor, log_scales: Tensor, keep: Tensor, seed: int) -> Tensor:
        """Draw distances (B, L, L) around the predicted ones."""
        distances = distances.clone()
        for index, own in enumerate(keep):
            generator = torch.Generator().manual_seed(seed)
            # One number makes the whole more compact or more open, and one for each stretch of the chain that stretch.
            overall = torch.randn((), generator=generator)
            places = torch.randn(int(own.sum()) + SAMPLED_STRETCH - 1, generator=generator)
            places = places.unfold(0, SAMPLED_STRETCH, 1).sum(1) / math.sqrt(SAMPLED_STRETCH)
            draws = (overall + (places[:, None] + places) / 2).flatten().to(distances.device)
            square = own[:, None] & own
            distances[index, square] *= (SAMPLED_SPREAD * draws * log_scales[index, square].exp()).clamp(-1, 1).exp()
        return distances

    @staticmethod
    def _embed(
        distances: Tensor,
        log_scales: Tensor,
        turns: Tensor,
        bodies: list[list[tuple[Tensor, Tensor]]],
        keep: Tensor,
    ) -> Tensor:
        """Find each RNA's trace from its own distances; 0 at padding, <bos> and <eos>."""
        coordinates = distances.new_zeros(*keep.shape, 3)
        for index, own in enumerate(keep):
            square = own[:, None] & own
            length = int(own.sum())
            own_distances, own_scales = (part[index][square].view(length, length) for part in (distances, log_scales))
            weights = (own_distances * own_scales.exp()).pow(-2)
            coordinates[index, own] = embed_distances(own_distances, weights, turns[index, own], bodies[index])
        return coordinates
