"""Copies of what can be read only once, in the temporary folder."""

import contextlib
import os
import tempfile
from collections.abc import Iterator

from ..atomic_files import WriteError


def spool(blocks: Iterator[bytes], if_empty: str) -> str:
    """Copy blocks to a new temporary file and return its path.

    Raises:
        WriteError: the temporary folder cannot be written to.
        ValueError: there are none.
    """
    with _explaining_spool():
        copy = tempfile.NamedTemporaryFile(prefix="rna-hf-input-", delete=False)  # noqa: SIM115 (closed below)
    try:
        is_empty = True
        for block in blocks:
            is_empty = False
            with _explaining_spool():
                copy.write(block)
        with _explaining_spool():
            copy.close()
        if is_empty:
            raise ValueError(if_empty)
    except BaseException:
        with contextlib.suppress(OSError):
            copy.close()
        with contextlib.suppress(OSError):
            os.unlink(copy.name)
        raise
    return copy.name


@contextlib.contextmanager
def _explaining_spool() -> Iterator[None]:
    """Name the temporary folder in an error of the system, or those that were tried."""
    try:
        yield
    except OSError as error:
        remedy = "a copy of the input is kept there; name another folder in the variable TMPDIR"
        folder = tempfile.tempdir
        if folder is None:
            reason = "no temporary folder can be written to"
            raise WriteError(error.errno, f"{reason}; name one in the variable TMPDIR") from error
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise WriteError(error.errno, f"{reason[:1].lower()}{reason[1:]}; {remedy}", str(folder)) from error
