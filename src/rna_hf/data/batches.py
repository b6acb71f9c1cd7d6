"""Which sequences share a batch in prediction."""

from collections.abc import Callable, Sequence


def make_batches(
    lengths: Sequence[int], limit: float, pads: bool, cost: Callable[[int, int], float]
) -> list[list[int]]:
    """Group sequences of similar length; the result depends on the arguments alone.

    Args:
        lengths: of the sequences, in nucleotides.
        limit: that the cost of a batch stays within; one sequence always fits.
        pads: whether sequences of different length may share a batch. Not for a model whose padding changes the
            predictions: there each sequence comes out as if it were alone.
        cost: of a batch of so many sequences, the longest of which has so many nucleotides; in the unit of `limit`.

    Returns:
        Indices of the sequences of each batch, longest batch first, so that a lack of memory shows at once.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    batches: list[list[int]] = []
    for index in order:
        if batches:
            longest = lengths[batches[-1][0]]
            is_affordable = cost(len(batches[-1]) + 1, longest) <= limit
            if is_affordable and (pads or lengths[index] == longest):
                batches[-1].append(index)
                continue
        batches.append([index])
    return batches
