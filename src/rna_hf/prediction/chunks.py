"""Chunks of a run, its units of writing, of resuming and of sharing."""

from collections.abc import Iterable, Iterator, Mapping

from ..data.records import SequenceRecord

# A chunk ends after this many sequences or before this many nucleotides.
CHUNK_SEQUENCES = 256
CHUNK_NUCLEOTIDES = 32_768


def make_chunks(records: Iterable[SequenceRecord]) -> Iterator[list[SequenceRecord]]:
    """Group records in input order; the limits depend on the records alone."""
    chunk: list[SequenceRecord] = []
    nucleotides = 0
    for record in records:
        if chunk and (len(chunk) == CHUNK_SEQUENCES or nucleotides + len(record.sequence) > CHUNK_NUCLEOTIDES):
            yield chunk
            chunk, nucleotides = [], 0
        chunk.append(record)
        nucleotides += len(record.sequence)
    if chunk:
        yield chunk


def share_out(
    records: Iterable[SequenceRecord], done: Mapping[int, int], num_processes: int
) -> Iterator[tuple[int, list[SequenceRecord], int | None]]:
    """Yield each chunk with its number and the process that has to do it; the same in all processes.

    Args:
        records: usable records.
        done: the number of sequences in each part that is there; one with another number than its chunk is done again.
        num_processes: that share the missing chunks, each in turn.

    Yields:
        The chunk's number, its records, and the process's index, or None where the chunk is done.
    """
    num_missing = 0
    for number, chunk in enumerate(make_chunks(records)):
        if done.get(number) == len(chunk):
            yield number, chunk, None
        else:
            yield number, chunk, num_missing % num_processes
            num_missing += 1
