"""Train `ribonanzanet-mini`: first to fold, then on measured profiles. One resumable command::

    python -m recipes.ribonanzanet_mini.train --data ../shared/data --output runs/ribonanzanet_mini

Stages: (1) fold: pairing probabilities of ViennaRNA on generated and natural sequences, short ones first, and known
secondary structures; (2) profiles: measured 2A3, DMS and 1M7, beside more folding; (3) long: the same with longer
folded pieces and structures; (4) wide: pieces of transcripts and genomes, up to 400 nt, Rfam's structures and short
hairpins as well; (5) final: 2A3 and DMS only, all training RNAs, falling learning rate. Each reagent and source has its
own channel while training, so that scales don't mix; the written checkpoint keeps 2A3 and DMS. Runs the same on a CPU
and on a GPU. Started again with the same arguments it goes on from the last saved state, on the batches that it would
have seen.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from rna_hf import RibonanzaNetConfig, RibonanzaNetForReactivity, RnaTokenizerFast
from rna_hf.data.splits import write_manifest
from rna_hf.hub.loader import add_loader
from rna_hf.tasks.scores import evaluate
from rna_hf.training.training_range import describe_range

from ..places import DEFAULT_DATA, REPOSITORY
from .batches import PAD_ID, PAIR_SOURCES, TRAINING_CHANNELS, Batch, Stage, TrainingBatches, encode
from .known_structures import KnownStructure, load_known_structures
from .measured_data import Profile, load_measured, manifest_sources, split
from .natural import Piece, load_pieces, load_rfam

SHIPPED_CHANNELS = ["2A3", "DMS"]
CONFIG = {
    "hidden_size": 128,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "pair_hidden_size": 32,
    "hidden_dropout": 0.05,
    "fix_attention_mask": True,
    "fix_attention_residual": True,
    "fix_pairwise_dropout": True,
}
EVERYTHING = {"lib15k": 0.35, "pk50": 0.2, "cloudlab": 0.35, "openvaccine": 0.1}
# The test libraries were made like pk50; lib15k has a higher DMS background (seen on the validation RNAs).
RIBONANZA = {"lib15k": 0.4, "pk50": 0.6}
STAGES = (
    Stage("fold", 2600, 0.8, 0.2, (30, 90), 0.0, (1e-3, 1e-3), "development", EVERYTHING),
    Stage("profiles", 4800, 0.15, 0.1, (110, 110), 0.1, (1e-3, 8e-4), "development", EVERYTHING),
    Stage("long", 7500, 0.3, 0.15, (160, 240), 0.25, (1e-3, 7e-4), "development", EVERYTHING),
    Stage("wide", 40_000, 0.35, 0.2, (240, 400), 0.25, (8e-4, 5e-4), "development", EVERYTHING, 0.7, 0.06),
    Stage("final", 2400, 0.1, 0.0, (200, 200), 0.4, (7e-4, 1e-5), "final", RIBONANZA),
)
EMA_DECAY = 0.999
STRUCTURE_MAX_LENGTH = 400


class TrainingModel(nn.Module):
    """The model with all training channels, and a head that reads pairing from its pair track.

    The pair head reads the pair state that enters the last layer: the one that the last attention uses, and the last
    that has any effect on reactivity.
    """

    def __init__(self, config: RibonanzaNetConfig):
        super().__init__()
        self.reactivity = RibonanzaNetForReactivity(config)
        self.pair_norm = nn.LayerNorm(config.pair_hidden_size)
        self.pair_head = nn.Linear(config.pair_hidden_size, len(PAIR_SOURCES))
        nn.init.constant_(self.pair_head.bias, -4.0)  # few nucleotides of the L x L pair
        self._pair_states: Tensor | None = None
        self.reactivity.model.layers[-1].register_forward_pre_hook(self._keep_pair_states)

    def _keep_pair_states(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        self._pair_states = args[1]

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return reactivities (B, L, channels) and pairing logits (B, L, L, sources), both in float32."""
        logits = self.reactivity(input_ids=input_ids, attention_mask=attention_mask).logits
        symmetric = self._pair_states + self._pair_states.transpose(1, 2)
        return logits.float(), self.pair_head(self.pair_norm(symmetric)).float()


def batch_loss(model: TrainingModel, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of a batch and its parts: error of the profiles, and of the pairing per nucleotide."""
    reactivity, pairing = model(batch.input_ids, batch.attention_mask)
    measured = batch.labels.isfinite()
    error = reactivity - torch.where(measured, batch.labels, 0.0).clamp(0, 1)
    # The absolute error is what is reported; the squared one keeps the rare high values, which correlation rewards.
    error = (error.abs() + 0.5 * error.square()) * batch.weights
    profile_loss = torch.where(measured, error, 0.0).sum() / measured.sum().clamp(min=1)
    real = (batch.input_ids != PAD_ID).float()
    both_real = real[:, :, None] * real[:, None, :]
    pair_loss = nn.functional.binary_cross_entropy_with_logits(
        pairing[..., batch.pair_source], batch.pairs, reduction="none"
    )
    pair_loss = (pair_loss * both_real).sum() / real.sum()
    return profile_loss + 0.5 * pair_loss, {"profile": profile_loss.item(), "pair": pair_loss.item()}


def device_name(device: torch.device) -> str:
    """Return what a training runs on, as the card says it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU thread{'s' if torch.get_num_threads() > 1 else ''}"


class Trainer:
    """Weights in float32 with their average, a bfloat16 copy that computes, the optimiser and the step number."""

    def __init__(self, batches: TrainingBatches, output: Path, device: torch.device, seed: int):
        self.batches, self.output, self.device, self.step = batches, output, device, 0
        torch.manual_seed(seed)
        config = RibonanzaNetConfig(**CONFIG, channels=list(TRAINING_CHANNELS))
        self.model = TrainingModel(config).to(device)
        self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        self.master = [p.detach().clone() for p in self.model.parameters()]
        decayed = [p for p in self.master if p.dim() > 1]
        others = [p for p in self.master if p.dim() <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}], betas=(0.9, 0.99)
        )
        self.model.to(torch.bfloat16)
        self.seconds = dict.fromkeys((stage.name for stage in batches.stages), 0.0)
        self.devices: dict[str, str] = {}  # what each stage last ran on
        self.warmup_start = 0  # step at which the optimiser last started without its averages

    def train_step(self, batch: Batch) -> dict[str, float]:
        """Take one optimiser step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.batches.learning_rate(self.step, self.warmup_start)
        # Dropout follows the step number, so that a resumed run draws what an unbroken one would.
        torch.manual_seed(self.batches.seed * 1_000_003 + self.step)
        batch = dataclasses.replace(
            batch, **{k: v.to(self.device) for k, v in vars(batch).items() if isinstance(v, Tensor)}
        )
        self.model.train()
        loss, parts = batch_loss(self.model, batch)
        loss.backward()
        for master, parameter in zip(self.master, self.model.parameters()):
            master.grad = torch.zeros_like(master) if parameter.grad is None else parameter.grad.float()
            parameter.grad = None
        norm = torch.nn.utils.clip_grad_norm_(self.master, 1.0)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.step += 1
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.values()), self.master, 1 - decay)
            torch._foreach_copy_(list(self.model.parameters()), self.master)
        return parts

    def save(self, compact: Path | None = None) -> None:
        """Write the state, in one move.

        Args:
            compact: write a small state here instead, the averaged weights alone; a training that goes on from it
                warms up again.
        """
        state: dict[str, object] = {"step": self.step, "seconds": self.seconds, "devices": self.devices}
        state["average"] = self.average
        if compact is None:
            state |= {"warmup_start": self.warmup_start, "master": self.master}
            state |= {"optimizer": self.optimizer.state_dict()}
        path = compact or self.output / "state.pt"
        temporary = path.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, path)

    def restore(self, start_from: Path | None = None) -> None:
        """Take up the saved state, or another run's if this one has none; without either, start anew."""
        path = self.output / "state.pt"
        if not path.exists():
            if start_from is None:
                return
            path = start_from
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.step, self.seconds, self.average = state["step"], self.seconds | state["seconds"], state["average"]
        self.devices = state.get("devices", {})
        with torch.no_grad():
            torch._foreach_copy_(self.master, state.get("master", list(self.average.values())))
            torch._foreach_copy_(list(self.model.parameters()), self.master)
        if "optimizer" in state:
            self.optimizer.load_state_dict(state["optimizer"])
            self.warmup_start = state.get("warmup_start", 0)
        else:
            self.warmup_start = self.step

    def describe_stages(self) -> list[dict[str, str | int]]:
        """Return for each stage its name, the steps done, their wall time in seconds, and what they ran on."""
        rows: list[dict[str, str | int]] = []
        first = 0
        for stage in self.batches.stages:
            steps = min(max(self.step - first, 0), stage.steps)
            seconds = round(self.seconds[stage.name])
            device = self.devices.get(stage.name, "not recorded")
            rows.append({"name": stage.name, "steps": steps, "seconds": seconds, "device": device})
            first += stage.steps
        return rows

    def averaged_model(self) -> TrainingModel:
        """Return the averaged weights in float32, for evaluation and for the checkpoint."""
        model = TrainingModel(self.model.reactivity.config).to(self.device)
        model.load_state_dict(self.average)
        return model.eval()


@torch.no_grad()
def predict_profiles(
    model: nn.Module, sequences: list[str], device: torch.device, batch_size: int = 4
) -> list[np.ndarray]:
    """Predict (L, 2) for each sequence: 2A3 and DMS."""
    results: list[np.ndarray | None] = [None] * len(sequences)
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        length = max(len(sequences[i]) for i in rows)
        ids = torch.full((len(rows), length), PAD_ID)
        for row, i in enumerate(rows):
            ids[row, : len(sequences[i])] = torch.from_numpy(encode(sequences[i]))
        logits = model(input_ids=ids.to(device), attention_mask=(ids != PAD_ID).to(device)).logits.float().cpu().numpy()
        for row, i in enumerate(rows):
            results[i] = logits[row, : len(sequences[i]), :2]
    return results


def validate(trainer: Trainer, records: list[Profile], count: int) -> dict[str, dict[str, float]]:
    """Score the averaged weights on some held-out RNAs of each source."""
    model = trainer.averaged_model().reactivity
    scores = {}
    for source in ("lib15k", "pk50"):
        chosen = [r for r in records if r.source == source][:count]
        scores[source] = evaluate(
            lambda sequences: predict_profiles(model, list(sequences), trainer.device), chosen, SHIPPED_CHANNELS
        )
    return scores


def range_of_records(records: Sequence[Profile | KnownStructure | Piece]) -> dict[str, int]:
    """Return what the RNAs were like, the ends by the channels that the checkpoint predicts."""
    kept = [TRAINING_CHANNELS.index(name) for name in SHIPPED_CHANNELS]
    lengths = describe_range([record.sequence for record in records])
    profiles = [record for record in records if isinstance(record, Profile)]
    ends = describe_range([r.sequence for r in profiles], [r.reactivity[:, kept] for r in profiles])
    return ends | {name: value for name, value in lengths.items() if name.endswith("length")}


def export(trainer: Trainer, records: list[Profile | KnownStructure | Piece], folder: Path) -> None:
    """Write the averaged weights as a checkpoint that predicts 2A3 and DMS, with the manifest of what it learnt from.

    Args:
        trainer: with the state to write.
        records: all profiles and structures of the training.
        folder: where to write.
    """
    trained = trainer.averaged_model().reactivity
    config = RibonanzaNetConfig(**CONFIG, channels=SHIPPED_CHANNELS, **range_of_records(records))
    model = RibonanzaNetForReactivity(config)
    weights = trained.state_dict()
    for name in ("reactivity_head.weight", "reactivity_head.bias"):
        weights[name] = weights[name][[TRAINING_CHANNELS.index(channel) for channel in SHIPPED_CHANNELS]]
    model.load_state_dict(weights)
    model.save_pretrained(folder)
    RnaTokenizerFast(alphabet="ribonanzanet").save_pretrained(folder)
    add_loader(folder)
    write_manifest(
        folder / "training_data.json",
        manifest_sources(records),
        split="final",
        structure_max_length=STRUCTURE_MAX_LENGTH,
        seed=trainer.batches.seed,
        stages=trainer.describe_stages(),
    )


def main(argv: list[str] | None = None) -> int:
    """Train, resume or export."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the shared data folder")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "runs" / "ribonanzanet_mini")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the steps of every stage")
    parser.add_argument("--pair-budget", type=int, default=50_000, help="B * L * L of a batch")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=1, help="processes that make batches")
    parser.add_argument("--save-every", type=int, default=200, help="steps between saved states")
    parser.add_argument("--validate-every", type=int, default=1000, help="steps between validations")
    parser.add_argument("--validation-rnas", type=int, default=60, help="of each source")
    parser.add_argument("--start-from", type=Path, metavar="STATE", help="state.pt of another run, to branch off from")
    parser.add_argument("--stop-after", type=int, help="stop at this step, to be resumed")
    parser.add_argument("--compact", type=Path, metavar="FILE", help="write the weights alone here, to go on elsewhere")
    parser.add_argument("--export", type=Path, help="write the checkpoint here, and train no further")
    arguments = parser.parse_args(argv)
    if not (arguments.export or arguments.compact) and importlib.util.find_spec("RNA") is None:
        parser.error("training needs ViennaRNA: pip install 'rna-hf[train]', or run `make setup`")

    arguments.output.mkdir(parents=True, exist_ok=True)
    profiles, structures = load_measured(arguments.data), load_known_structures(arguments.data, STRUCTURE_MAX_LENGTH)
    structures += load_rfam(arguments.data, STRUCTURE_MAX_LENGTH)
    pieces = load_pieces(arguments.data)
    development, validation = split(profiles, "development")
    np.random.default_rng(0).shuffle(validation)
    stages = [dataclasses.replace(s, steps=max(1, round(s.steps * arguments.scale))) for s in STAGES]
    batches = TrainingBatches(
        stages,
        {"development": development, "final": profiles},
        structures,
        arguments.seed,
        arguments.pair_budget,
        [piece.sequence for piece in pieces],
    )
    device = torch.device(arguments.device)
    trainer = Trainer(batches, arguments.output, device, arguments.seed)
    trainer.restore(arguments.start_from)
    if arguments.compact:
        trainer.save(arguments.compact)
        print(f"wrote {arguments.compact} after {trainer.step} of {len(batches)} steps")
        return 0
    if arguments.export:
        export(trainer, [*profiles, *structures, *pieces], arguments.export)
        print(f"wrote {arguments.export} after {trainer.step} of {len(batches)} steps")
        return 0

    last = min(len(batches), arguments.stop_after or len(batches))
    print(
        f"steps {trainer.step} to {last}; {len(profiles)} profiles, {len(structures)} structures, {len(pieces)} pieces",
        flush=True,
    )
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=range(trainer.step, last),
        num_workers=arguments.workers,
        prefetch_factor=8 if arguments.workers else None,
    )
    log = (arguments.output / "log.jsonl").open("a")
    running: dict[str, list[float]] = {"profile": [], "pair": []}
    started = time.perf_counter()
    for batch in loader:
        stage, _ = batches.stage_of(trainer.step)
        trainer.devices[stage.name] = device_name(device)
        parts = trainer.train_step(batch)
        for name, value in parts.items():
            if value:
                running[name].append(value)
        now = time.perf_counter()
        trainer.seconds[stage.name] += now - started
        started = now
        if trainer.step % 50 == 0:
            row = {"step": trainer.step, "stage": stage.name, "seconds": round(sum(trainer.seconds.values()))}
            row |= {name: round(float(np.mean(values)), 4) for name, values in running.items() if values}
            running = {name: [] for name in running}
            print(json.dumps(row), file=log, flush=True)
            print(row, flush=True)
        if trainer.step % arguments.save_every == 0 or trainer.step == last:
            trainer.save()
        if trainer.step % arguments.validate_every == 0 or trainer.step == last:
            row = {"step": trainer.step, "validation": validate(trainer, validation, arguments.validation_rnas)}
            print(json.dumps(row), file=log, flush=True)
            print(row, flush=True)
            started = time.perf_counter()
    return 0


if __name__ == "__main__":
    sys.exit(main())
