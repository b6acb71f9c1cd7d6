"""A toy architecture and a toy task, as somebody would add them: everything that the package has to know is here.

The architecture is a plain encoder with fused attention, whose memory grows with the length. The task is the share of
purines (A and G) of an RNA. `register()` puts both into the registries; no file of the package knows of them.
"""

from dataclasses import dataclass

import numpy as np
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput
from transformers.utils.generic import can_return_tuple

from rna_hf.losses import masked_mse
from rna_hf.models.base import RnaConfig
from rna_hf.models.heads import Head, ReactivityHead
from rna_hf.models.registry import ARCHITECTURES, Architecture
from rna_hf.options import option
from rna_hf.registration import register as register_all
from rna_hf.tasks import TASKS, Prediction, Task, Training
from rna_hf.tasks.scores import BatchMetrics, pearson_r


class ToyConfig(RnaConfig):
    """Sizes of a toy encoder."""

    model_type = "toy"

    vocab_size: int = 9
    hidden_size: int = 64
    num_hidden_layers: int = 2
    num_attention_heads: int = 2
    pad_token_id: int | None = 4
    channels: tuple[str, ...] | list[str] = ("2A3", "DMS")

    def forward_cost(self, batch, length, itemsize):
        """Bytes: some states of each nucleotide, since no matrix of attention is ever held."""
        return int(batch * length * self.hidden_size * VALUES_PER_CHANNEL * itemsize)


# Values held at the peak, per nucleotide and channel: state, query, key, value and result, and the inner ones.
VALUES_PER_CHANNEL = 8.0


class ToyPreTrainedModel(PreTrainedModel):
    config: ToyConfig
    base_model_prefix = "model"
    _supports_sdpa = True


class ToyModel(ToyPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.qkv_projs = nn.ModuleList(
            nn.Linear(config.hidden_size, 3 * config.hidden_size) for _ in range(config.num_hidden_layers)
        )
        self.post_init()

    @can_return_tuple
    def forward(self, input_ids=None, attention_mask=None, inputs_embeds=None, **kwargs):
        states = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        mask = None if attention_mask is None else (attention_mask != 0)[:, None, None]
        for proj in self.qkv_projs:
            heads = proj(states).unflatten(-1, (3, self.config.num_attention_heads, -1)).permute(2, 0, 3, 1, 4)
            attended = nn.functional.scaled_dot_product_attention(*heads, attn_mask=mask)
            states = states + attended.transpose(1, 2).flatten(2)
        return BaseModelOutput(last_hidden_state=states)


class PurineHead(Head):
    """A head for the share of purines of a sequence."""

    def add_head(self, config):
        self.purine_head = nn.Linear(config.state_size, 1)

    @can_return_tuple
    def forward(self, input_ids=None, attention_mask=None, inputs_embeds=None, labels=None, **kwargs):
        num_items = kwargs.pop("num_items_in_batch", None)
        outputs = self.run_trunk(input_ids, attention_mask, inputs_embeds, **kwargs)
        logits = self.purine_head(self.pool(outputs, input_ids, attention_mask))
        loss = None if labels is None else masked_mse(logits, labels, num_items)
        return SequenceClassifierOutput(loss=loss, logits=logits)


class ToyForPurines(PurineHead, ToyPreTrainedModel):
    trunk_class = ToyModel


class ToyForReactivity(ReactivityHead, ToyPreTrainedModel):
    trunk_class = ToyModel


@dataclass(frozen=True)
class PurinesPrediction(Prediction):
    """The share of purines, in per cent with `percent`."""

    summary = "share of purines of each RNA"
    unit = "share"

    percent: bool = option(False, "give per cent")

    def columns(self, config):
        return {"purines": "number"}

    def values(self, outputs, keep):
        return list(outputs.logits.float().cpu().numpy())

    def rows(self, values, sequence, config):
        return [{"purines": float(values[0]) * (100 if self.percent else 1)}]

    def describe(self, rows, sequence, config):
        """Share of purines, for one sequence or a list of them."""
        return {"purines": rows[0]["purines"]}


class PurinesMetrics(BatchMetrics):
    def __init__(self, config):
        super().__init__()

    def reduce(self, values, labels):
        return values.reshape(-1), labels.reshape(-1)

    def compute(self, batches):
        values, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
        return {"pearson": pearson_r(values, labels)}


TOY = Architecture(
    name="toy",
    prefix="Toy",
    alphabet="ribonanzanet",
    heads=("Purines", "Reactivity"),
    lora_targets=("0", "1"),
    package=__name__,
)
PURINES = Task(
    name="purines",
    head="Purines",
    prediction=PurinesPrediction(),
    training=Training("`labels`: the share", "rna_hf.data.collators:DataCollatorForSequences", PurinesMetrics),
)


def register():
    """Make both known to the package and to transformers."""
    ARCHITECTURES["toy"] = TOY
    TASKS["purines"] = PURINES
    register_all()


def unregister():
    """Take both out of the package's registries again; transformers keeps what it has been told."""
    del ARCHITECTURES["toy"], TASKS["purines"]
