"""`rna-hf models`: the checkpoints that ship with the package, their sizes and scores."""

import argparse
from collections.abc import Sequence

from rna_hf.checkpoints import DEFAULT_CHECKPOINTS, FOLDER, list_checkpoints


def main(argv: Sequence[str]) -> int:
    """Run the command.

    Args:
        argv: arguments after `rna-hf models`.

    Returns:
        Exit code.
    """
    parser = argparse.ArgumentParser(prog="rna-hf models", description="List the checkpoints that ship with rna-hf.")
    try:
        parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    checkpoints = list_checkpoints()
    for checkpoint in checkpoints:
        tasks = [task for task, name in DEFAULT_CHECKPOINTS.items() if name == checkpoint.name]
        print(checkpoint.name + (f"  (default of: predict {', '.join(tasks)})" if tasks else ""))
        print(f"  {checkpoint.model_class or checkpoint.model_type}")
        size = f"{checkpoint.num_parameters:,} parameters, {checkpoint.num_bytes / 1e6:,.1f} MB on disk"
        if checkpoint.training_max_length:
            size += f", trained on up to {checkpoint.training_max_length:,} nt"
        print(f"  {size}")
        for score in checkpoint.scores or ["no scores in its card"]:
            print(f"  {score}")
        print(f"  {checkpoint.path}")
    present = {checkpoint.name for checkpoint in checkpoints}
    for task, name in DEFAULT_CHECKPOINTS.items():
        if name not in present:
            print(f"{name}  (default of: predict {task})\n  missing from this installation (looked in {FOLDER})")
    return 0
