"""Copy the part of the shared golden vectors that the tests need into `golden/`.

::

    python tests/models/ribonanzanet/copy_golden.py ../shared/golden

Left out: outputs of submodules inside a layer, the `outer` readings (which the package does not offer), pair states of
all layers but the last, and layout files of tensors. Everything else is copied bit by bit.
"""

import json
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

LAST_LAYER = 2


def is_needed(name: str) -> bool:
    """Whether the tests compare a tensor."""
    if "/sub/" in name or "attn_mask_product" in name or "residual_outer" in name:
        return False
    if name in ("pair/outer_product", "pair/relpos") or name.endswith("pair_final"):
        return False
    return "pair_out" not in name or f"layer{LAST_LAYER}/" in name


def main(source: Path) -> None:
    """Write the copies."""
    target = Path(__file__).parent / "golden"
    target.mkdir(exist_ok=True)
    for path in [*sorted(source.glob("ribonanzanet_*.safetensors")), source / "outer_product_mean.safetensors"]:
        tensors = {name: tensor for name, tensor in load_file(path).items() if is_needed(name)}
        save_file(tensors, target / path.name)
        about = json.loads(path.with_suffix(".json").read_text())
        for verbose in ("tensors", "masks_seen_by_each_module_for_shortest_sequence", "masks_note"):
            about.pop(verbose, None)
        (target / path.with_suffix(".json").name).write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
