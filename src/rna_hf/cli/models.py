"""`rna-hf models`: the checkpoints that ship with the package, their sizes and scores."""

from collections.abc import Sequence

from ..checkpoints import CHECKPOINTS, FOLDER, list_checkpoints
from ..options import OneLineParser
from ..tasks import TASKS


def main(argv: Sequence[str]) -> int:
    """Run the command.

    Args:
        argv: arguments after `rna-hf models`.

    Returns:
        Exit code.
    """
    OneLineParser(prog="rna-hf models", description="List the checkpoints that ship with rna-hf.").parse_args(argv)
    checkpoints = list_checkpoints()
    for checkpoint in checkpoints:
        tasks = [task.name for task in TASKS.values() if task.default_checkpoint == checkpoint.name]
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
    for name, entry in CHECKPOINTS.items():
        if entry.hub_id is not None:
            print(f"{name}\n  on the Hugging Face Hub: {entry.hub_id} at {entry.revision}")
        elif name not in present:
            tasks = [task.name for task in TASKS.values() if task.default_checkpoint == name]
            used = f"  (default of: predict {', '.join(tasks)})" if tasks else ""
            print(f"{name}{used}\n  missing from this installation (looked in {FOLDER})")
    return 0
