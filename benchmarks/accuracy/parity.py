"""Compare converted RibonanzaNet checkpoints with the original's golden vectors, and print a table.

::

    python -m benchmarks.accuracy.parity --golden ../shared/golden

Every golden file is read: weights are converted as a user would convert them, opened with eager and with
sdpa attention, and run on the stored inputs. One row of the table is one file, variant and attention implementation; it
shows the largest absolute difference of each quantity, and of gradients the largest as a share of what is allowed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.common.places import REPOSITORY
from rna_hf import RibonanzaNetForReactivity, convert_ribonanzanet
from rna_hf.layers.pair import OuterProductMean
from rna_hf.models.ribonanzanet.original_ribonanzanet import key_table

DEFAULT_GOLDEN = REPOSITORY.parent / "shared" / "golden"

# Two orders of evaluation that are equal in exact arithmetic differ by a fifth of these (golden README).
TOLERANCE = {
    "output": 1e-5,
    "sequence state": 1e-5,
    "pair state": 5e-5,
    "attention": 5e-6,
    "unpadded run": 1e-5,
    "outer product": 5e-6,
    "gradient": 1.0,  # a share: rtol 1e-4 plus atol 1e-5 times the largest entry is 1
}
IMPLEMENTATIONS = ("eager", "sdpa")

# Variant of the `fixed` files -> the configuration that it stands for. The `outer` readings are not offered.
FIXED_VARIANTS: dict[str, dict[str, Any]] = {
    "fix_mask": {"fix_attention_mask": True},
    "fix_mask_and_residual_inner": {"fix_attention_mask": True, "fix_attention_residual": True},
    "fix_residual_inner_unpadded": {"fix_attention_residual": True},
    "fix_residual_inner_upstream_float_mask": {"fix_attention_residual": True},
    "fix_residual_inner_upstream_bool_mask": {"fix_attention_residual": True, "padding_quirk": "bool"},
}
GRADIENT_MODES: dict[str, dict[str, Any]] = {
    "unpadded": {},
    "long": {"padding_quirk": "float"},
    "bool": {"padding_quirk": "bool"},
    "fix_mask": {"fix_attention_mask": True},
}


@dataclass
class Comparison:
    """One row of the table.

    Attributes:
        file: golden file.
        variant: flags or kind of mask.
        implementation: of attention, or empty where there is none.
        differences: quantity to the largest absolute difference (gradients: largest share of what is allowed).
    """

    file: str
    variant: str
    implementation: str
    differences: dict[str, float] = field(default_factory=dict)

    def add(self, quantity: str, ours: Tensor, golden: Tensor) -> None:
        """Note the largest difference; a shape that differs or a NaN counts as infinite."""
        if ours.shape != golden.shape:
            difference = float("inf")
        else:
            difference = float((ours.detach().double() - golden.double()).abs().max())
        if difference != difference:
            difference = float("inf")
        self.differences[quantity] = max(self.differences.get(quantity, 0.0), difference)

    @property
    def failures(self) -> list[str]:
        """Quantities over their tolerance."""
        return [name for name, value in self.differences.items() if value > TOLERANCE[name]]


class GoldenModels:
    """Converts each golden checkpoint once and opens it as asked."""

    def __init__(self, folder: Path):
        self.folder = folder

    def load(self, config: dict[str, Any], weights: dict[str, Tensor], name: str, **options: Any) -> Any:
        """Return a converted model in evaluation mode."""
        checkpoint = self.folder / name
        if not checkpoint.exists():
            weights_file, config_file = self.folder / f"{name}.safetensors", self.folder / f"{name}.json"
            save_file(weights, weights_file)
            config_file.write_text(json.dumps(config))
            convert_ribonanzanet(weights_file, config_file, checkpoint)
        return RibonanzaNetForReactivity.from_pretrained(checkpoint, **options)


def _compare_states(row: Comparison, golden: dict[str, Tensor], model: Any, mask: Tensor | None, **select: Any) -> None:
    """Compare every state that a golden file holds.

    Args:
        row: takes the differences.
        golden: tensors, with `prefix` before each name.
        model: converted model.
        mask: handed to the model as it is.
        select: `prefix` of the names, `inputs` (B, L), and `real` (B, L) where only real positions are compared.
    """
    prefix, real = select.get("prefix", ""), select.get("real")
    wants_attentions = model.config._attn_implementation == "eager"
    before = None if mask is None else mask.clone()
    out = model(
        select["inputs"],
        attention_mask=mask,
        output_hidden_states=True,
        output_pair_states=True,
        output_attentions=wants_attentions,
    )
    if mask is not None and not torch.equal(mask, before):
        row.differences["output"] = float("inf")  # the caller's mask was written to
    pair_real = None if real is None else real[:, :, None] & real[:, None, :]

    def add(quantity: str, ours: Tensor, name: str, chosen: Tensor | None) -> None:
        if name in golden:
            theirs = golden[name]
            row.add(quantity, *((ours, theirs) if chosen is None else (ours[chosen], theirs[chosen])))

    add("output", out.logits, f"{prefix}output", real)
    add("sequence state", out.hidden_states[0], f"{prefix}embedding", real)
    add("pair state", out.pair_states[0], f"{prefix}pair/init", pair_real)
    for i in range(model.config.num_hidden_layers):
        add("sequence state", out.hidden_states[i + 1], f"{prefix}layer{i}/seq_out", real)
        add("pair state", out.pair_states[i + 1], f"{prefix}layer{i}/pair_out", pair_real)
        name = f"{prefix}layer{i}/attn_weights"
        if wants_attentions and name in golden:
            queries = (lambda a: a) if real is None else (lambda a: a.transpose(1, 2)[real])
            row.add("attention", queries(out.attentions[i]), queries(golden[name]))


def _compare_gradients(row: Comparison, golden: dict[str, Tensor], model: Any, mode: str, config: dict) -> None:
    """Compare loss and gradients of one mode, and that unused parameters get a gradient of exactly 0."""
    inputs, mask, weight = golden["input_ids"], golden["mask"], golden["loss_weight"]
    model.train()
    if mode == "unpadded":
        length = int(mask[0].sum())
        loss = (model(inputs[:1, :length]).logits * weight[:1, :length]).sum()
    else:
        logits = model(inputs, attention_mask=mask.bool() if mode == "bool" else mask).logits
        loss = (logits * weight * mask[..., None]).sum()
    loss.backward()
    row.add("output", loss.detach() / 10, golden[f"{mode}/loss"][0] / 10)  # a sum over some 50 outputs
    worst, squares = 0.0, 0.0
    for name, originals in key_table(model.config).items():
        gradient = model.get_parameter(name).grad
        if gradient is None:
            row.differences["gradient"] = float("inf")
            continue
        squares += float(gradient.double().square().sum())
        for part, original in zip(gradient.chunk(len(originals)), originals):
            theirs = golden.get(f"{mode}/grad/{original}")
            if theirs is None:
                continue
            ours = part[: theirs.shape[0]]  # the embedding has rows that the original lacks
            allowed = 1e-4 * theirs.abs() + 1e-5 * theirs.abs().max()
            share = ((ours - theirs).abs() / allowed.clamp(min=1e-30)).max()
            worst = max(worst, float(share))
    norm = float(golden[f"{mode}/grad_norm_all"][0])
    worst = max(worst, abs(squares**0.5 - norm) / (1e-4 * norm))
    row.differences["gradient"] = max(row.differences.get("gradient", 0.0), worst)
    for original in config["last_layer_params_with_exactly_zero_grad"]:
        for name, originals in key_table(model.config).items():
            if any(o == f"transformer_encoder.{model.config.num_hidden_layers - 1}.{original}" for o in originals):
                gradient = model.get_parameter(name).grad
                if gradient is None or gradient.abs().max() != 0:
                    row.differences["gradient"] = float("inf")


def compare_file(path: Path, models: GoldenModels) -> Iterator[Comparison]:
    """Compare one golden file, all its variants and attention implementations.

    Args:
        path: a `.safetensors` file with its `.json` and the weights file beside it.
        models: converts and opens checkpoints.
    """
    golden = load_file(path)
    about = json.loads(path.with_suffix(".json").read_text())
    name, config = path.stem, about["config"]
    if name == "outer_product_mean":
        row = Comparison(name, "two matrix products", "")
        module = OuterProductMean(config["din"], config["P"], config["d"])
        keys = ("down_proj.weight", "down_proj.bias", "weight", "bias")
        originals = ("proj_down1.weight", "proj_down1.bias", "proj_down2.weight", "proj_down2.bias")
        module.load_state_dict({ours: golden[f"w/{theirs}"] for ours, theirs in zip(keys, originals)})
        row.add("outer product", module(golden["x"]), golden["out"])
        yield row
        return
    if name == "ribonanzanet_nclass1":
        weights, kind = {k[2:]: v for k, v in golden.items() if k.startswith("w/")}, "nclass1"
    else:
        kind = name.split("_")[1]
        weights = load_file(path.with_name(f"ribonanzanet_{kind}_weights.safetensors"))

    for implementation in IMPLEMENTATIONS:

        def load(implementation: str = implementation, **options: Any) -> Any:
            return models.load(config, weights, kind, attn_implementation=implementation, **options)

        if kind == "nclass1":
            row = Comparison(name, "one channel", implementation)
            with torch.no_grad():
                row.add("output", load()(golden["input_ids"]).logits.squeeze(-1), golden["output"])
            yield row
        elif name.endswith("_train_grad"):
            for mode, flags in GRADIENT_MODES.items():
                row = Comparison(name, mode, implementation)
                model = load(hidden_dropout=0.0, attention_dropout=0.0, **flags)
                _compare_gradients(row, golden, model, mode, about)
                yield row
        elif name.endswith("_fixed"):
            yield from _compare_fixed(name, golden, implementation, load)
        else:
            mask_kind = name.rsplit("_", 1)[1]
            mask = golden["mask_before_call"]
            flags = {"padding_quirk": "bool"} if mask_kind == "bool" else {}
            row = Comparison(name, f"{mask_kind} mask" if "padded_" in name else "mask of ones", implementation)
            with torch.no_grad():
                _compare_states(row, golden, load(**flags), mask, inputs=golden["input_ids"])
            yield row
            if mask_kind == "unpadded":
                row = Comparison(name, "no mask", implementation)
                with torch.no_grad():
                    _compare_states(row, golden, load(), None, inputs=golden["input_ids"])
                yield row


def _compare_fixed(name: str, golden: dict[str, Tensor], implementation: str, load: Any) -> Iterator[Comparison]:
    mask = golden["attention_mask"]
    for variant, flags in FIXED_VARIANTS.items():
        row = Comparison(name, variant, implementation)
        model = load(**flags)
        with torch.no_grad():
            if variant.endswith("_unpadded"):
                inputs = golden["unpadded_input_ids"]
                _compare_states(row, golden, model, torch.ones_like(inputs), inputs=inputs, prefix=f"{variant}/")
            else:
                real = mask.bool() if variant.startswith("fix_mask") else None
                _compare_states(row, golden, model, mask, inputs=golden["input_ids"], prefix=f"{variant}/", real=real)
            if variant == "fix_mask":
                logits = model(golden["input_ids"], attention_mask=mask).logits
                for i, length in enumerate(mask.sum(1).tolist()):
                    row.add("unpadded run", logits[i, :length], golden[f"unpadded_run/seq{i}/output"])
        yield row


def golden_files(folder: Path) -> list[Path]:
    """Return the golden files of RibonanzaNet in a folder, weights left out."""
    files = [*sorted(folder.glob("ribonanzanet_*.safetensors")), folder / "outer_product_mean.safetensors"]
    return [f for f in files if f.exists() and not f.stem.endswith("_weights")]


def markdown_table(rows: list[Comparison]) -> str:
    """Return the table, one row for each comparison."""
    quantities = [q for q in TOLERANCE if any(q in row.differences for row in rows)]
    head = ["file", "variant", "attention", *(f"{q} (≤ {TOLERANCE[q]:g})" for q in quantities), "within"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = [f"{row.differences[q]:.1e}" if q in row.differences else "" for q in quantities]
        verdict = "yes" if not row.failures else f"NO: {', '.join(row.failures)}"
        lines.append("| " + " | ".join([row.file, row.variant, row.implementation, *cells, verdict]) + " |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Print the table; the exit code is 1 if anything is over its tolerance."""
    parser = argparse.ArgumentParser(description="Parity with the original RibonanzaNet, golden file by golden file.")
    parser.add_argument("--golden", type=Path, default=DEFAULT_GOLDEN, metavar="DIR", help="folder of golden files")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write the table here, as markdown")
    arguments = parser.parse_args(argv)
    files = golden_files(arguments.golden)
    if not files:
        parser.error(f"no golden file of RibonanzaNet in {arguments.golden}")
    with tempfile.TemporaryDirectory() as folder:
        models = GoldenModels(Path(folder))
        rows = [row for path in files for row in compare_file(path, models)]
    table = markdown_table(rows)
    failed = sum(bool(row.failures) for row in rows)
    summary = f"{len(rows)} comparisons over {len(files)} files, {failed} over tolerance."
    print(f"{table}\n\n{summary}")
    if arguments.output:
        arguments.output.write_text(f"# Parity with the original RibonanzaNet\n\n{summary}\n\n{table}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
