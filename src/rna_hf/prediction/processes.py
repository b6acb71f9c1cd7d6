"""The processes of `accelerate launch` that share one run: who they are, what they agree on, how an end is noticed.

All of them are given the same call. The main one (index 0) checks the input, tells the others what to do, and puts the
results together; the others are its helpers. They talk through a process group of their own on the CPU (gloo), whatever
device the model runs on. A process that ends closes its connections, so no other one waits for it for ever.
"""

import contextlib
import datetime
import os
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Names under which launchers tell how many processes there are and which one this is: those of torchrun, which
# `accelerate launch` uses too, and those of MPI, which it uses for CPUs. In accelerate's order.
_COUNT_VARIABLES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_INDEX_VARIABLES = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")

# A share may take days; what ends a waiting is the end of a process, not a clock.
_PATIENCE = datetime.timedelta(days=365)
_POLL_SECONDS = 0.2


class MainProcessStopped(ConnectionError):
    """Raised in a helper when the main process has stopped; that one tells the reason."""


class Processes:
    """This process and those that it shares a run with; use it as a context. Without arguments: this one alone.

    Args:
        index: of this process among all, 0 for the main one.
        count: of all processes.
        local_index: of this process among those of this machine.
        local_count: of the processes of this machine.
        group: the process group that they talk through; None if there is one process.
    """

    def __init__(self, index: int = 0, count: int = 1, local_index: int = 0, local_count: int = 1, group: Any = None):
        self.index = index
        self.count = count
        self.local_index = local_index
        self.local_count = local_count
        self._group = group
        self._is_agreement_due = True

    @classmethod
    def join(cls) -> "Processes":
        """Meet the other processes of the launcher that started this one, if there are any.

        Raises:
            ConnectionError: they cannot be reached.
        """
        if find_process()[1] == 1:
            return cls()
        import torch
        from accelerate import PartialState

        try:
            # cpu: only words are exchanged, and no process takes memory on a GPU that is not its own.
            state = PartialState(cpu=True)
            group = torch.distributed.new_group(backend="gloo", timeout=_PATIENCE)
        except (RuntimeError, ValueError, OSError) as error:
            reason = " ".join(str(error).split())
            raise ConnectionError(f"the processes cannot reach each other: {reason[:300]}") from error
        local_count = int(os.environ.get("LOCAL_WORLD_SIZE", state.num_processes))
        return cls(state.process_index, state.num_processes, state.local_process_index, local_count, group)

    @property
    def is_main(self) -> bool:
        """Whether this process leads the run."""
        return self.index == 0

    def agree(self, plan: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the main process gives, in all processes.

        Args:
            plan: of plain values, ignored in a helper.

        Raises:
            MainProcessStopped: in a helper; the main process has nothing to give, for it has failed.
            ConnectionError: in the main process; a helper has stopped.
        """
        if self._group is None:
            return plan or {}
        self._is_agreement_due = False
        found = self._broadcast(plan or {})
        if found is None:
            raise MainProcessStopped("the main process has stopped; it tells the reason")
        return found

    def wait(self, poll: Callable[[], Any]) -> None:
        """Wait until all processes have come to this point; an agreement must follow.

        Args:
            poll: called again and again meanwhile.

        Raises:
            MainProcessStopped: in a helper; the main process has stopped before.
            ConnectionError: in the main process; a helper has stopped before.
        """
        if self._group is None:
            return
        import torch

        with self._explain_ends():
            work = torch.distributed.barrier(group=self._group, async_op=True)
            while not work.is_completed():
                poll()
                time.sleep(_POLL_SECONDS)
            work.wait()
        self._is_agreement_due = True

    def __enter__(self) -> "Processes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._group is None:
            return
        import torch

        try:
            if isinstance(error, Exception) and self._is_agreement_due:
                if self.is_main:
                    with contextlib.suppress(ConnectionError):
                        self._broadcast(None)
                else:
                    # Where the main process fails too, most likely for the same reason, its message is enough.
                    self.agree()
        finally:
            torch.distributed.destroy_process_group(self._group)

    def _broadcast(self, plan: dict[str, Any] | None) -> dict[str, Any] | None:
        import torch

        plans = [plan]
        with self._explain_ends():
            torch.distributed.broadcast_object_list(plans, src=0, group=self._group)
        return plans[0]

    @contextlib.contextmanager
    def _explain_ends(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if self.is_main:
                raise ConnectionError(
                    "another process has stopped before its share was done; run the same command again to go on"
                ) from error
            raise MainProcessStopped("the main process has stopped before the end") from error


def find_process() -> tuple[int, int]:
    """Return the index of this process among those of its launcher, and their number: (0, 1) without a launcher."""
    count = _read_number(_COUNT_VARIABLES, 1)
    return (_read_number(_INDEX_VARIABLES, 0), count) if count > 1 else (0, 1)


def stand_alone() -> Processes:
    """Return this process alone, with what its launcher says of the others on this machine, which share its devices."""
    return Processes(local_index=_read_number(("LOCAL_RANK",), 0), local_count=_read_number(("LOCAL_WORLD_SIZE",), 1))


def choose_device(name: str, processes: Processes) -> tuple["torch.device", int]:
    """Return this process's device, and the number of processes that use the same one.

    Args:
        name: as for `resolve_device`; of several processes, `auto` and `cuda` give each a GPU of its own.
        processes: those of the run.

    Raises:
        ValueError: there is no such device, or there are fewer GPUs than processes.
    """
    import torch

    from ..memory import resolve_device

    if max(processes.count, processes.local_count) > 1 and name in ("auto", "cuda") and torch.cuda.is_available():
        num_gpus = torch.cuda.device_count()
        if processes.local_count > num_gpus:
            raise ValueError(
                f"{processes.local_count} processes for {num_gpus} GPU{'s' if num_gpus > 1 else ''}; "
                "start one for each GPU, or name the --device that they shall share"
            )
        device = resolve_device(f"cuda:{processes.local_index}")
        torch.cuda.set_device(device)  # or memory would be taken on the first GPU as well
        return device, 1
    return resolve_device(name), processes.local_count


def _read_number(names: tuple[str, ...], default: int) -> int:
    for name in names:
        if os.environ.get(name, "").isdecimal():
            return int(os.environ[name])
    return default
