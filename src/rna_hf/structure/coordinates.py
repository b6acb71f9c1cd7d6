"""C1' traces of RNA: superposition, RMSD, lDDT and TM-score.

A trace is (L, 3) in angstrom, one point a nucleotide: the atom C1'. A row with NaN is a nucleotide without a known
position. All arithmetic is in float64.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .superposition import best_rotations

# No molecule is this large, in angstrom; Kaggle writes -1e18 for a missing coordinate.
MAX_COORDINATE = 1e6
# Thresholds of lDDT in angstrom (Mariani et al. 2013).
_LDDT_THRESHOLDS = (0.5, 1.0, 2.0, 4.0)
# d0 in angstrom by the first length for which it no longer holds, below 30 nucleotides.
_SHORT_D0 = ((12, 0.3), (16, 0.4), (20, 0.5), (24, 0.6), (30, 0.7))
# The search for the TM-score: shortest fragment and number of fragments of each length; number of triples and the
# weights in one; rounds that rank all starts; starts that go on, and the most rounds and the least gain of these.
_SHORTEST_FRAGMENT = 4
_FRAGMENTS_PER_LENGTH = 200
_NUM_TRIPLES = 1000
_TRIPLE_WEIGHTS = (1.0, 0.1, 0.01)
_RANKING_ROUNDS = 5
_NUM_FINALISTS = 48
_FINAL_ROUNDS = 500
_LEAST_GAIN = 1e-8


class Lddt(NamedTuple):
    """Local distance difference test.

    Attributes:
        score: share of the native's distances that the model keeps, 0 to 1.
        per_nucleotide: (L,), the same over the distances of one nucleotide; NaN where it has none in the native.
    """

    score: float
    per_nucleotide: np.ndarray


class BestTmScore(NamedTuple):
    """The best of several models against the best of several natives.

    Attributes:
        score: TM-score, 0 to 1.
        model: index of the model.
        native: index of the native.
    """

    score: float
    model: int
    native: int


def mark_missing(coordinates: ArrayLike) -> np.ndarray:
    """Write NaN for positions that only stand for "missing", such as Kaggle's -1e18.

    Args:
        coordinates: (..., 3), angstrom.

    Returns:
        A copy in float64; rows with a value that is not finite or at least 1e6 in size are NaN throughout.
    """
    marked = np.array(coordinates, dtype=np.float64)
    if marked.ndim < 1 or marked.shape[-1] != 3:
        raise ValueError(f"coordinates have shape {marked.shape}; (..., 3) is needed, in angstrom")
    # NaN compares as false, so this catches it too.
    marked[~(np.abs(marked) < MAX_COORDINATE).all(-1)] = np.nan
    return marked


def check_trace(coordinates: ArrayLike, name: str = "coordinates") -> np.ndarray:
    """Return a trace in float64 if it is one.

    Args:
        coordinates: (L, 3), angstrom; NaN where missing.
        name: what to call it in a message.

    Returns:
        (L, 3), a copy; rows with any NaN are NaN throughout.

    Raises:
        ValueError: the shape is another, or a value is infinite or at least 1e6 in size.
    """
    try:
        trace = np.array(coordinates, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is no array of numbers, such as the `coordinates` of a `Trace`") from error
    if trace.ndim != 2 or trace.shape[1] != 3:
        raise ValueError(f"{name} has shape {trace.shape}; (L, 3) is needed: one C1' position for each nucleotide")
    absurd = np.abs(trace) >= MAX_COORDINATE
    if absurd.any():
        row = int(absurd.any(1).argmax())
        raise ValueError(
            f"{name} has the position {trace[row].tolist()} at index {row}; values must be below {MAX_COORDINATE:g} "
            "angstrom. If they stand for missing nucleotides, call `mark_missing` first"
        )
    trace[np.isnan(trace).any(1)] = np.nan
    return trace


def _check_pair(a: ArrayLike, b: ArrayLike, names: tuple[str, str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return two traces and (L,) where both are resolved, which must be somewhere."""
    first, second = check_trace(a, names[0]), check_trace(b, names[1])
    if first.shape != second.shape:
        raise ValueError(
            f"{names[0]} has {len(first)} nucleotides and {names[1]} has {len(second)}: they are compared residue by "
            "residue and need one row for each nucleotide of the sequence, NaN where it is missing"
        )
    resolved = ~np.isnan(first[:, 0]) & ~np.isnan(second[:, 0])
    if not resolved.any():
        raise ValueError(f"{names[0]} and {names[1]} have no resolved nucleotide in common")
    return first, second, resolved


def _check_model(model: ArrayLike, native: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a complete model, the native, and (L,) where the native is resolved."""
    predicted, reference, resolved = _check_pair(model, native, ("model", "native"))
    missing = np.isnan(predicted[:, 0])
    if missing.any():
        raise ValueError(
            f"model has no finite position for {int(missing.sum())} of {len(missing)} nucleotides, the first at index "
            f"{int(missing.argmax())}; a model must place every nucleotide"
        )
    return predicted, reference, resolved


def _tell_few(resolved: np.ndarray) -> None:
    """Warn if any model would fit."""
    number = int(resolved.sum())
    if number < 3:
        warnings.warn(f"{number} resolved nucleotides in common say little: superposed, most models fit", stacklevel=3)


def kabsch(mobile: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Find the rotation and translation that bring one trace onto another with the least squared distance.

    See `rna_hf.structure.superposition.best_rotations`; never a reflection.

    Args:
        mobile: (L, 3), angstrom; NaN where missing.
        target: (L, 3), angstrom; NaN where missing. Only rows that both resolve count.
        weights: (L,), at least 0; all 1 if omitted.

    Returns:
        Rotation (3, 3) with determinant 1, and translation (3,) in angstrom: `mobile @ rotation.T + translation` lies
        on `target`.
    """
    first, second, used = _check_pair(mobile, target, ("mobile", "target"))
    share = np.ones(len(first)) if weights is None else np.asarray(weights, dtype=np.float64)
    if share.shape != used.shape:
        raise ValueError(f"weights have shape {share.shape}; {used.shape} is needed: one for each nucleotide")
    share, first, second = share[used], first[used], second[used]
    if not (np.isfinite(share).all() and (share >= 0).all() and share.any()):
        raise ValueError("weights must be finite, at least 0, and above 0 for a nucleotide that both traces resolve")
    share = share / share.max()
    share /= share.sum()
    first_centre, second_centre = share @ first, share @ second
    rotation = best_rotations((first - first_centre).T @ (share[:, None] * (second - second_centre)))
    return rotation, second_centre - rotation @ first_centre


def superpose(mobile: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None) -> np.ndarray:
    """Move one trace onto another; see `kabsch`.

    Returns:
        (L, 3), the moved trace in angstrom; rows missing in `mobile` stay NaN.
    """
    rotation, translation = kabsch(mobile, target, weights)
    return check_trace(mobile, "mobile") @ rotation.T + translation


def rmsd(a: ArrayLike, b: ArrayLike, superposed: bool = True) -> float:
    """Root mean square distance over the nucleotides that both traces resolve.

    Args:
        a: (L, 3), angstrom; NaN where missing.
        b: (L, 3), angstrom; NaN where missing.
        superposed: bring `a` onto `b` first; otherwise compare the traces where they lie.

    Returns:
        Angstrom.
    """
    first, second, resolved = _check_pair(a, b, ("a", "b"))
    if superposed:
        _tell_few(resolved)
        first = superpose(first, second)
    return float(np.sqrt(((first - second)[resolved] ** 2).sum(1).mean()))


def lddt(model: ArrayLike, native: ArrayLike, cutoff: float = 15.0) -> Lddt:
    """Local distance difference test on C1' atoms, without superposition.

    Mariani et al., Bioinformatics 29:2722 (2013): of all distances in the native below the cutoff, the share that the
    model keeps within 0.5, 1, 2 and 4 angstrom, averaged over the four. Like the original's, the default cutoff is 15
    angstrom (AlphaFold 3 takes 30 for nucleotides), and a distance between neighbours counts like any other. Mirror
    images have the same lDDT.

    Args:
        model: (L, 3), angstrom; complete.
        native: (L, 3), angstrom; NaN where missing, which takes the nucleotide out.
        cutoff: angstrom.

    Returns:
        Score over all distances, and per nucleotide.
    """
    predicted, reference, resolved = _check_model(model, native)
    if not cutoff > 0:
        raise ValueError(f"cutoff is {cutoff}; it must be above 0 angstrom")
    rows = np.flatnonzero(resolved)
    predicted, reference = predicted[rows], reference[rows]
    kept, total = np.zeros(len(rows)), np.zeros(len(rows))
    for index in range(len(rows)):  # row by row: the memory stays in proportion to the length
        distances = np.linalg.norm(reference - reference[index], axis=1)
        near = distances < cutoff
        near[index] = False
        errors = np.abs(np.linalg.norm(predicted[near] - predicted[index], axis=1) - distances[near])
        total[index] = near.sum()
        kept[index] = np.mean([(errors < threshold).sum() for threshold in _LDDT_THRESHOLDS])
    if not total.any():
        raise ValueError(f"native has no two resolved nucleotides within {cutoff} angstrom: lDDT is not defined")
    per_nucleotide = np.full(len(resolved), np.nan)
    per_nucleotide[rows[total > 0]] = kept[total > 0] / total[total > 0]
    return Lddt(float(kept.sum() / total.sum()), per_nucleotide)


def tm_d0(length: int) -> float:
    """Distance at which a nucleotide counts one half in the TM-score of RNA.

    Gong et al., Bioinformatics 35:4459 (2019), the scale of RNA-align, US-align and the Kaggle competitions.

    Args:
        length: nucleotides of the native.

    Returns:
        d0 in angstrom.
    """
    if length < 1:
        raise ValueError(f"length is {length}; it must be at least 1 nucleotide")
    for limit, d0 in _SHORT_D0:
        if length < limit:
            return d0
    return float(0.6 * np.sqrt(length - 0.5) - 2.5)


def tm_score(model: ArrayLike, native: ArrayLike, length: int | None = None) -> float:
    """TM-score of RNA, residue by residue: 1/L sum 1 / (1 + (d_i / d0)^2), at the best superposition.

    There is no score by sequence-independent alignment here: the Python libraries that align structures wrap TM-align
    with the d0 of proteins, which is wrong for RNA (use US-align itself).

    As in the TM-score program (Zhang and Skolnick, Proteins 57:702, 2004) the search starts from superposed fragments.
    Each start then climbs to a maximum of the score itself, where the program superposes pairs within a cutoff again
    and again, so a value here may lie slightly above the program's.

    Args:
        model: (L, 3), angstrom; complete.
        native: (L, 3), angstrom; NaN where missing, which takes the nucleotide out of the sum.
        length: L in the formula and in d0; the number of resolved nucleotides if omitted.

    Returns:
        0 to 1, 1 for the same shape.
    """
    predicted, reference, resolved = _check_model(model, native)
    _tell_few(resolved)
    number = int(resolved.sum())
    if length is None:
        length = number
    elif length < number:
        raise ValueError(f"length is {length}; the native has {number} resolved nucleotides, so it is at least that")
    return _best_sum(predicted[resolved], reference[resolved], tm_d0(length)) / length


def best_tm_score(models: ArrayLike, natives: ArrayLike) -> BestTmScore:
    """Score several models of one RNA against alternative natives, as competitions do: the best of all counts.

    Args:
        models: (S, L, 3) or (L, 3), angstrom; complete.
        natives: (C, L, 3) or (L, 3), angstrom, NaN where missing. A native without resolved nucleotides is left out.

    Returns:
        The best `tm_score`, and the first pair that has it.
    """
    predicted, references = (np.asarray(values, dtype=np.float64) for values in (models, natives))
    predicted = predicted[None] if predicted.ndim == 2 else predicted
    references = references[None] if references.ndim == 2 else references
    best = BestTmScore(-1.0, -1, -1)
    for native_index, native in enumerate(references):
        if np.isnan(native).any(-1).all():
            continue
        for model_index, model in enumerate(predicted):
            score = tm_score(model, native)
            if score > best.score:
                best = BestTmScore(score, model_index, native_index)
    if best.model < 0:
        raise ValueError(
            f"models of shape {predicted.shape} and natives of shape {references.shape}: at least one model and one "
            "native with resolved nucleotides are needed"
        )
    return best


def _best_sum(mobile: np.ndarray, target: np.ndarray, d0: float) -> float:
    """Maximise the sum of 1 / (1 + (d_i / d0)^2) over superpositions of complete (N, 3) traces."""
    mobile, target = mobile - mobile.mean(0), target - target.mean(0)
    moments = _moments(mobile, target)
    scores, weights = np.zeros(0), np.zeros((0, len(mobile)))
    for starts in _starts(len(mobile)):
        for _ in range(_RANKING_ROUNDS):
            terms = _terms(*_superpositions(starts, moments), moments, d0)
            starts = terms**2
        scores, weights = np.append(scores, terms.sum(1)), np.concatenate([weights, starts])
        # Many starts end in the same place: one of each is enough.
        _, first = np.unique(-scores.round(6), return_index=True)
        scores, weights = scores[first[:_NUM_FINALISTS]], weights[first[:_NUM_FINALISTS]]
    return _climb(weights, mobile, target, moments, d0)


def _starts(size: int) -> Iterator[np.ndarray]:
    """Yield (S, N) weights of the superpositions to start from: fragments first, then triples of nucleotides."""
    columns = np.arange(size)[None]
    length = size
    while True:
        number = size - length + 1
        first = np.arange(0, number, -(-number // _FRAGMENTS_PER_LENGTH))[:, None]
        yield ((columns >= first) & (columns < first + length)).astype(np.float64)
        if length <= _SHORTEST_FRAGMENT:
            break
        length = max(length // 2, _SHORTEST_FRAGMENT)
    # Where d0 is far smaller than the errors, the best superposition may lay few nucleotides on each other, from
    # anywhere: one exactly, the second as well as it can then, the third to fix the turn about both.
    if size <= 10:  # 720 triples at most
        triples = np.array(list(permutations(range(size), min(size, 3))))
    else:
        triples = np.random.default_rng(0).integers(size, size=(_NUM_TRIPLES, 3))  # the same in every run
    weights = np.zeros((len(triples), size))
    for column, weight in zip(triples.T, _TRIPLE_WEIGHTS):
        weights[np.arange(len(triples)), column] += weight
    yield weights


def _moments(mobile: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Collect 1, p, q, p q^T and |p|^2 + |q|^2 for each nucleotide, (N, 17): all that superpositions need."""
    products = (mobile[:, :, None] * target[:, None, :]).reshape(-1, 9)
    squares = (mobile**2 + target**2).sum(1, keepdims=True)
    return np.concatenate([np.ones((len(mobile), 1)), mobile, target, products, squares], axis=1)


def _superpositions(weights: np.ndarray, moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Superpose once for each row of weights, (S, N): rotations (S, 3, 3) and translations (S, 3)."""
    means = weights @ moments
    means /= means[:, :1]
    mobile, target = means[:, 1:4], means[:, 4:7]
    rotations = best_rotations(means[:, 7:16].reshape(-1, 3, 3) - mobile[:, :, None] * target[:, None, :])
    return rotations, target - np.einsum("sij,sj->si", rotations, mobile)


def _terms(rotations: np.ndarray, translations: np.ndarray, moments: np.ndarray, d0: float) -> np.ndarray:
    """Terms of the score, (S, N), for each superposition."""
    # |R p + t - q|^2 = |t|^2 + 2 (R^T t) p - 2 t q - 2 sum_ij p_i R_ji q_j + |p|^2 + |q|^2, as one matrix product.
    coefficients = np.concatenate(
        [
            (translations**2).sum(1, keepdims=True),
            2 * np.einsum("sji,sj->si", rotations, translations),
            -2 * translations,
            -2 * np.swapaxes(rotations, 1, 2).reshape(-1, 9),
            np.ones((len(rotations), 1)),
        ],
        axis=1,
    )
    return 1 / (1 + np.maximum(coefficients @ moments.T, 0) / d0**2)


def _climb(weights: np.ndarray, mobile: np.ndarray, target: np.ndarray, moments: np.ndarray, d0: float) -> float:
    """Follow each start to a local maximum of the sum of terms, and return the highest.

    As a function of the squared distance a term is convex and lies above its tangent, whose slope goes with the square
    of the term. So superposing with squared terms as weights, which is best for the tangents, never lowers the sum.
    """
    best, last = 0.0, np.zeros(len(weights))
    for _ in range(_FINAL_ROUNDS):
        rotations, translations = _superpositions(weights, moments)
        terms = _terms(rotations, translations, moments, d0)
        sums = terms.sum(1)
        highest = int(sums.argmax())
        # The matrix product loses digits where its parts cancel: the value that counts is computed directly.
        moved = mobile @ rotations[highest].T + translations[highest]
        best = max(best, float((1 / (1 + ((moved - target) ** 2).sum(1) / d0**2)).sum()))
        climbing = sums - last > _LEAST_GAIN
        if not climbing.any():
            break
        weights, last = terms[climbing] ** 2, sums[climbing]
    return best
