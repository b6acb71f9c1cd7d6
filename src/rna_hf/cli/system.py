"""What the system may do to a command: end it by a signal, or take its standard streams away."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, TextIO


class Stopped(KeyboardInterrupt):
    """A signal has asked this process to end; as after Ctrl-C, what is finished is written first.

    Args:
        number: the signal's.

    Attributes:
        name: the signal's.
        code: exit code, as a shell gives it.
    """

    def __init__(self, number: int):
        super().__init__()
        self.name = signal.Signals(number).name
        self.code = 128 + number


@contextlib.contextmanager
def stop_by_exception() -> Iterator[None]:
    """Raise `Stopped` once where a signal would end the process at once; a second signal does end it.

    A signal that is ignored, as SIGHUP is under `nohup`, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Stopped(number)

    names = ("SIGTERM", "SIGHUP", "SIGXCPU")  # a batch system's, a closed terminal's, a limit of time's
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    ours = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def prepare_streams() -> Iterator[None]:
    """Make standard streams that are closed, or that break while a command runs, harmless.

    The next file that is opened gets the number of a closed stream, and whatever a library prints would end in it: the
    numbers are taken by the null device. What is printed on a closed standard output is refused; messages that nobody
    can read any more do not stop a command.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)  # takes the lowest number that is free
    sys.stdout = _Output(sys.stdout) if sys.stdout else _ClosedOutput()  # type: ignore[assignment]
    sys.stderr = _Messages(sys.stderr or open(os.devnull, "w", encoding="utf-8"))  # type: ignore[assignment] # noqa: SIM115
    yield


def one_line(text: str) -> str:
    """Return a message as a line that any stream takes: a path in it may have line breaks, or bytes of no text."""
    text = text.replace("\n", "\\n").replace("\r", "\\r")
    return text.encode("utf-8", "backslashreplace").decode()


def discard_output() -> None:
    """Send what standard output still has to write, now and at the interpreter's end, nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _ClosedOutput:
    """Stands for a standard output that was closed before the command began."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        raise OSError("standard output is closed, and this command prints there; open it or name a file for it")

    def flush(self) -> None:
        """Do nothing: nothing can have been written."""

    def isatty(self) -> bool:
        return False


class _Stream:
    """Stands for another stream.

    Args:
        stream: that one.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Output(_Stream):
    """Standard output whose errors say that it is this."""

    def write(self, text: str) -> int:
        with self._explaining():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._explaining():
            self._stream.flush()

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            discard_output()
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise OSError(f"standard output cannot be written to: {reason}; name another file for it") from error


class _Messages(_Stream):
    """Standard error that may break (its reader has left, its disk is full, its terminal is closed) without notice."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def hide_bars_of_files() -> None:
    """Hide transformers' progress of reading and writing weights, which takes a moment; that of training stays."""
    from transformers.utils import logging

    logging.disable_progress_bar()
