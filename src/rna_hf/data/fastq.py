"""FASTQ: reads with a quality for each letter, which is not used."""

from collections.abc import Iterable, Iterator


def parse_fastq(lines: Iterable[str], name: str) -> Iterator[tuple[str, str, int]]:
    """Yield the reads of a FASTQ file, whose sequences and qualities may go over several lines.

    A quality may begin with `@` or `+` and look like a sequence, so it is told by its length alone.

    Args:
        lines: of the file.
        name: what to call it in messages.

    Yields:
        The header without its `@`, the sequence, and the header's line (1-based).

    Raises:
        ValueError: the file is not FASTQ or ends within a read.
    """
    numbered = enumerate(map(str.strip, lines), start=1)
    for start, header in numbered:
        if not header:
            continue
        if not header.startswith("@"):
            raise ValueError(f"{name} is not FASTQ: line {start} should be a header, which begins with '@'")
        parts: list[str] = []
        for _, line in numbered:
            if line.startswith("+"):
                break
            parts.append(line)
        else:
            raise ValueError(f"{name} is broken FASTQ: the read of line {start} has no line '+' and no quality")
        sequence = "".join(parts)
        count = 0
        while count < len(sequence):
            last, line = next(numbered, (0, ""))
            if not last:
                raise ValueError(f"{name} is broken FASTQ: it ends within the quality of the read of line {start}")
            count += len(line)
        if count > len(sequence):
            raise ValueError(
                f"{name} is broken FASTQ: the read of line {start} has {len(sequence)} letters and {count} qualities"
            )
        yield header[1:], sequence, start
