"""Files that are at each moment either the old or the whole new one, and what to do where one cannot be written."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

_REMEDIES = {
    errno.ENOSPC: "free some and run the same command again",
    errno.EDQUOT: "free some and run the same command again",
    errno.EROFS: "choose a folder that you may write to",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "choose a folder whose parents are folders",
    errno.EEXIST: "move what has its name, or that of its .rna-hf-parts, away and run the same command again",
    errno.EISDIR: "move that folder away and run the same command again",
    errno.ENOENT: "see whether the folder that you are in, and its disk, are still there",
    errno.ELOOP: "name a folder; this is a link that leads to itself",
    errno.EFBIG: "allow larger files (ulimit -f), or choose a folder on another disk",
    errno.ENFILE: "close other programs and run the same command again",
    errno.EMFILE: "allow more open files (ulimit -n) and run the same command again",
}


class WriteError(OSError):
    """Something cannot be written; `filename` is its path and `strerror` says why and what to do."""


@contextlib.contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Give an error of the system while `path` is written the path, which many of them lack, and the remedy.

    Raises:
        WriteError: instead of another OSError.
    """
    try:
        yield
    except (WriteError, BrokenPipeError):
        raise
    except OSError as error:
        if error.errno is None:  # not of the system
            raise
        number, folder = error.errno, path.parent
        if number == errno.ENOENT and not folder.exists():
            reason = (
                f"its folder {folder} is gone; see that it stays (is its disk there?) and run the same command again"
            )
        else:
            reason = f"{os.strerror(number)}; {find_remedy(error)}"
            reason = reason[:1].lower() + reason[1:]
        raise WriteError(number, reason, str(path)) from error


def find_remedy(error: OSError) -> str:
    """Say what to do where the system refuses to write."""
    return _REMEDIES.get(error.errno or 0, "see whether its disk is well and run the same command again")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; afterwards make it durable and rename it.

    If writing fails, the temporary file goes and `path` stays as it was.

    Raises:
        WriteError: the system refuses to write it.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with explaining(path):
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # not every system can open a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def replace_text(path: Path, text: str) -> None:
    """Write a text file, in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
