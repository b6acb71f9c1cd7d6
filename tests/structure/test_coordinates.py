"""Superposition against scipy, and scores against hand-computed values and brute force."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from rna_hf.structure.coordinates import (
    best_tm_score,
    check_trace,
    kabsch,
    lddt,
    mark_missing,
    rmsd,
    superpose,
    tm_d0,
    tm_score,
)
from rna_hf.structure.trace_files import Trace

MIRROR = np.array([1.0, 1.0, -1.0])


def random_chain(length: int, seed: int = 0) -> np.ndarray:
    """A compact random walk with steps of 5.6 angstrom, the usual distance of neighbouring C1' atoms."""
    generator = np.random.default_rng(seed)
    points = [np.zeros(3)]
    for _ in range(length - 1):
        step = generator.normal(size=3) - 0.02 * points[-1]
        points.append(points[-1] + 5.6 * step / np.linalg.norm(step))
    return np.array(points)


def moved(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """The same shape in another place."""
    shift = np.random.default_rng(seed).normal(size=3) * 50
    return points @ Rotation.random(rng=seed).as_matrix().T + shift


def degenerate_shapes() -> dict[str, np.ndarray]:
    """Traces on which a superposition may go wrong, none of them noisy."""
    chain = random_chain(12)
    line = np.linspace(-30, 30, 7)[:, None] * np.array([0.6, 0.0, 0.8])
    return {
        "generic": chain,
        "planar": chain * [1, 1, 0],
        "nearly planar": chain * [1, 1, 1e-9],
        "collinear": line,
        "nearly collinear": line + 1e-9 * random_chain(7),
        "three": chain[:3],
        "two": chain[:2],
        "one": chain[:1],
        "coincident": np.repeat(chain[3:4], 4, axis=0),
        "symmetric": np.vstack([np.eye(3), -np.eye(3)]) * 10,
        "small": chain * 1e-6,
    }


# --- superposition ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.5, 5.0])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("shape", degenerate_shapes())
def test_kabsch_is_as_good_as_scipy(shape: str, mirrored: bool, noise: float) -> None:
    points = degenerate_shapes()[shape]
    generator = np.random.default_rng(3)
    for seed in range(8):
        # A mirror image is what tempts a superposition to reflect.
        target = moved(points * MIRROR if mirrored else points, seed) + noise * generator.normal(size=points.shape)
        weights = generator.uniform(0.1, 2, len(points)) if seed % 2 else np.ones(len(points))
        rotation, translation = kabsch(points, target, weights)
        assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-12)
        found = (weights * ((points @ rotation.T + translation - target) ** 2).sum(1)).sum()
        centred = [values - np.average(values, axis=0, weights=weights) for values in (points, target)]
        if len(points) == 1:
            assert found == pytest.approx(0, abs=1e-18)
            continue
        with warnings.catch_warnings():  # scipy warns where the rotation is not unique
            warnings.simplefilter("ignore")
            expected, residual = Rotation.align_vectors(centred[1], centred[0], weights)
        assert np.sqrt(found) == pytest.approx(residual, abs=2e-6)
        if shape == "generic" and (noise < 1 or not mirrored):
            assert np.allclose(rotation, expected.as_matrix(), atol=1e-6)


def test_reflections_flip_the_weakest_axis() -> None:
    # Mirrored along any axis, the best rotation gives up the weakest one: two points of six are 2 angstrom off.
    points = np.vstack([np.diag([3.0, 2.0, 1.0]), -np.diag([3.0, 2.0, 1.0])])
    for axis in range(3):
        sign = np.ones(3)
        sign[axis] = -1
        assert rmsd(points, points * sign) == pytest.approx(np.sqrt(2 * 4 / 6))
        weakest = np.array([1.0, 1.0, -1.0])
        assert np.allclose(kabsch(points, points * sign)[0], np.diag(sign * weakest))


def test_superpose_recovers_a_rigid_motion() -> None:
    chain = random_chain(30)
    chain[[4, 17]] = np.nan
    target = moved(np.nan_to_num(chain), 5)
    target[9] = np.nan
    result = superpose(chain, target)
    assert np.isnan(result[[4, 17]]).all()
    rest = [i for i in range(30) if i not in (4, 9, 17)]
    assert np.allclose(result[rest], target[rest])
    assert np.isfinite(result[9]).all()
    # Nothing of the arguments is changed.
    assert np.isnan(chain).any(1).sum() == 2
    # Weights of zero take nucleotides out.
    bent = target.copy()
    bent[20:] += 40
    weights = (np.arange(30) < 20).astype(float)
    assert np.allclose(superpose(chain, bent, weights)[10:17], target[10:17])


def test_rmsd_by_hand() -> None:
    a = np.array([[0.0, 0, 0], [2, 0, 0], [4, 0, 0]])
    b = np.array([[0.0, 0, 0], [0, 2, 0], [0, 5, 0]])
    shift = np.array([3.0, 4, 0])
    assert rmsd(a, a + shift, superposed=False) == pytest.approx(5)
    assert rmsd(a, a + shift) == pytest.approx(0, abs=1e-9)
    # On a common line, about the means: -2, 0, 2 against -7/3, -1/3, 8/3.
    assert rmsd(a, b) == pytest.approx(np.sqrt((1 / 9 + 1 / 9 + 4 / 9) / 3))
    b[1] = np.nan
    with pytest.warns(UserWarning, match="2 resolved nucleotides in common say little"):
        assert rmsd(a, b) == pytest.approx(0.5)


@pytest.mark.parametrize("number", [1, 2])
def test_scores_of_one_or_two_nucleotides_are_doubtful(number: int) -> None:
    native = random_chain(8)
    native[number:] = np.nan
    for score in (tm_score, rmsd):
        with pytest.warns(UserWarning, match=f"{number} resolved nucleotides in common say little"):
            score(random_chain(8), native)


def test_a_trace_itself_is_refused() -> None:
    trace = Trace("A" * 8, random_chain(8), np.arange(8))
    for score in (tm_score, rmsd, lddt):
        with pytest.raises(ValueError, match="is no array of numbers, such as the `coordinates` of a `Trace`"):
            score(trace, random_chain(8))


def test_a_native_with_a_gap_by_arithmetic() -> None:
    # Of four resolved nucleotides on a line two lie 10 angstrom off wherever the others fit: the shift d that gains
    # most is found on a grid. d0 is 0.3 angstrom for four.
    model = np.array([[5.0 * index, 0, 0] for index in range(6)])
    native = np.array([[x, 0, 0] for x in (0, 5, np.nan, np.nan, 10, 15)])
    shifts = np.linspace(-0.05, 10.05, 1_010_001)
    expected = (2 / (1 + (shifts / 0.3) ** 2) + 2 / (1 + ((shifts - 10) / 0.3) ** 2)).max() / 4
    assert tm_score(model, native) == pytest.approx(expected, abs=1e-9)


# --- lDDT ------------------------------------------------------------------------------------------------------------


def test_lddt_by_hand() -> None:
    native = np.array([[0.0, 0, 0], [5, 0, 0], [12, 0, 0]])
    model = np.array([[0.0, 0, 0], [5.8, 0, 0], [12, 0, 0]])
    # The distances 5, 7 and 12 are off by 0.8, 0.8 and 0: three of four thresholds hold, three, four.
    result = lddt(model, native)
    assert result.score == pytest.approx((0.75 + 0.75 + 1) / 3)
    assert result.per_nucleotide == pytest.approx([0.875, 0.75, 0.875])
    # The cutoff applies to the native and is exclusive.
    assert lddt(model, native, cutoff=12).score == pytest.approx(0.75)
    assert lddt(model, native, cutoff=12.01).score == pytest.approx((0.75 + 0.75 + 1) / 3)
    result = lddt(model, native, cutoff=6)
    assert result.per_nucleotide == pytest.approx([0.75, 0.75, np.nan], nan_ok=True)
    # Each distance counts once, not each nucleotide: the mean per nucleotide would be 0.90625.
    steps = np.array([0.0, 5, 10, 15])[:, None] * [1, 0, 0]
    result = lddt(steps + np.array([[0.0], [0.8], [0.8], [0.8]]) * [1, 0, 0], steps, cutoff=6)
    assert result.score == pytest.approx((0.75 + 1 + 1) / 3)
    assert result.per_nucleotide == pytest.approx([0.75, 0.875, 1, 1])
    # An error equal to a threshold is not below it.
    assert lddt([[0, 0, 0], [6, 0, 0]], [[0, 0, 0], [5, 0, 0]]).score == pytest.approx(0.5)
    native[0] = np.nan
    result = lddt(model, native)
    assert result.score == pytest.approx(0.75)
    assert result.per_nucleotide == pytest.approx([np.nan, 0.75, 0.75], nan_ok=True)


def test_lddt_is_invariant_and_blind_to_mirrors() -> None:
    native = random_chain(60)
    model = native + np.random.default_rng(1).normal(size=native.shape)
    score = lddt(model, native).score
    assert 0 < score < 1
    assert lddt(moved(model), native).score == pytest.approx(score)
    assert lddt(native, moved(native)).score == 1
    assert lddt(native * MIRROR, native).score == 1
    assert lddt(np.zeros((60, 3)), native).score < 0.2
    with pytest.raises(ValueError, match=r"no two .* within 1"):
        lddt(native, native, cutoff=1)
    with pytest.raises(ValueError, match="cutoff is 0"):
        lddt(native, native, cutoff=0)


# --- TM-score --------------------------------------------------------------------------------------------------------


def test_d0_table() -> None:
    expected = {1: 0.3, 11: 0.3, 12: 0.4, 15: 0.4, 16: 0.5, 19: 0.5, 20: 0.6, 23: 0.6, 24: 0.7, 29: 0.7}
    assert {length: tm_d0(length) for length in expected} == expected
    assert tm_d0(30) == pytest.approx(0.6 * 29.5**0.5 - 2.5)
    assert tm_d0(101) == pytest.approx(0.6 * 100.5**0.5 - 2.5) == pytest.approx(3.51498, abs=1e-5)
    with pytest.raises(ValueError, match="length is 0"):
        tm_d0(0)


def test_tm_score_by_hand() -> None:
    # Two points, 5 and 5.2 angstrom apart, d0 0.3: both 0.1 off gives 2 / (1 + 1/9) = 1.8; one exact would give 1.69.
    native, model = np.array([[0.0, 0, 0], [5, 0, 0]]), np.array([[0.0, 0, 0], [0, 5.2, 0]])
    assert tm_score(model, native) == pytest.approx(0.9)
    assert tm_score(model, native, length=40) == pytest.approx(2 / (1 + (0.1 / tm_d0(40)) ** 2) / 40)
    # A square with one pair of opposite corners moved out by 0.1: by symmetry all four points are 0.05 off.
    square = np.array([[5.0, 0, 0], [0, 5, 0], [-5, 0, 0], [0, -5, 0]])
    assert tm_score(square * [1.02, 1, 1], square) == pytest.approx((2 / (1 + 1 / 9) + 2) / 4)
    assert tm_score(native[:1], native[1:]) == 1


def test_tm_score_finds_the_domain_that_fits() -> None:
    # 100 of 160 nucleotides agree and the rest lies 500 angstrom away, where a term is below 1e-4.
    native = random_chain(160)
    model = moved(native, 2)
    model[30:90] = random_chain(60, seed=9) + 500
    score = tm_score(model, native)
    assert 100 / 160 <= score < 100 / 160 + 1e-3


def test_missing_nucleotides_leave_the_sum() -> None:
    native = random_chain(50)
    model = native + np.random.default_rng(2).normal(size=native.shape)
    gap = native.copy()
    gap[10:18] = np.nan
    kept = ~np.isnan(gap[:, 0])
    assert tm_score(model, gap) == tm_score(model[kept], native[kept])
    # The whole length as L: the sum over the resolved part at that d0.
    assert tm_score(native, gap, length=50) == pytest.approx(42 / 50)
    assert tm_score(native, gap) == pytest.approx(1)
    with pytest.raises(ValueError, match="42 resolved"):
        tm_score(model, gap, length=41)


@pytest.mark.parametrize("length", [3, 8, 25, 31, 80])
def test_tm_score_is_invariant_and_sees_mirrors(length: int) -> None:
    native = random_chain(length, seed=length)
    model = native + np.random.default_rng(length).normal(size=native.shape)
    score = tm_score(model, native)
    assert 0 < score < 1
    assert tm_score(model, native) == score
    for seed in range(4):
        assert tm_score(moved(model, seed), moved(native, seed + 10)) == pytest.approx(score, abs=1e-6)
        assert tm_score(moved(native, seed), native) == pytest.approx(1, abs=1e-12)
    if length > 3:  # three points are their own mirror image
        assert tm_score(native * MIRROR, native) < 0.9


def brute_force(model: np.ndarray, native: np.ndarray) -> float:
    """Maximise the TM-score over rotation and shift: a dense grid, then a general optimiser from its best points."""
    d0 = tm_d0(len(native))

    def scores(rotations: np.ndarray, shifts: np.ndarray, width: float) -> np.ndarray:
        points = model @ np.swapaxes(rotations, -1, -2) + shifts[..., None, :]
        return (1 / (1 + ((points - native) ** 2).sum(-1) / width**2)).mean(-1)

    # Every rotation of the grid with each nucleotide in turn laid on its native place.
    rotations = Rotation.random(4000, rng=0).as_matrix()
    grid = [(rotations, native[i] - rotations @ model[i]) for i in range(len(native))]
    # And every three nucleotides (or many of them) superposed by scipy: far denser where it matters.
    triples = list(itertools.combinations(range(len(native)), 3))
    for triple in triples[:: max(1, len(triples) // 60)]:
        chosen = list(triple)
        centres = model[chosen].mean(0), native[chosen].mean(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            turn = Rotation.align_vectors(native[chosen] - centres[1], model[chosen] - centres[0])[0].as_matrix()
        grid.append((turn[None], (centres[1] - turn @ centres[0])[None]))
    rotations, shifts = (np.concatenate(parts) for parts in zip(*grid))
    best = 0.0
    for width in (d0, 3 * d0):  # a wider d0 has broader hills
        order = np.argsort(-scores(rotations, shifts, width))
        for index in order[:8]:
            start = np.concatenate([Rotation.from_matrix(rotations[index]).as_rotvec(), shifts[index]])
            for step in (width, d0):
                found = minimize(
                    lambda x, step: -scores(Rotation.from_rotvec(x[:3]).as_matrix(), x[3:], step),
                    start,
                    args=(step,),
                    method="BFGS",
                    options={"maxiter": 60},
                )
                start = found.x
            best = max(best, -float(found.fun))
    return best


@pytest.mark.parametrize(("length", "noise"), [(3, 1.0), (6, 1.0), (8, 0.5), (10, 3.0), (20, 2.0), (32, 3.0)])
def test_tm_score_reaches_the_maximum(length: int, noise: float) -> None:
    native = random_chain(length, seed=length)
    model = moved(native + noise * np.random.default_rng(length).normal(size=native.shape))
    expected = brute_force(model, native)
    assert tm_score(model, native) >= expected - 1e-5
    # And the brute force reaches it too, so that this test tells something.
    assert tm_score(model, native) <= expected + 1e-3


def test_best_of_models_and_natives() -> None:
    native = random_chain(40)
    noise = np.random.default_rng(4).normal(size=(3, 40, 3))
    models = native + noise * np.array([3.0, 0.5, 2.0])[:, None, None]
    natives = np.stack([random_chain(40, seed=8), np.full((40, 3), np.nan), moved(native)])
    best = best_tm_score(models, natives)
    assert (best.model, best.native) == (1, 2)
    assert best.score == tm_score(models[1], natives[2])
    assert best_tm_score(models[0], native) == (tm_score(models[0], native), 0, 0)
    with pytest.raises(ValueError, match="at least one model and one native"):
        best_tm_score(models, natives[1:2])
    with pytest.raises(ValueError, match="39"):
        best_tm_score(models, natives[:, 1:])


# --- checks ----------------------------------------------------------------------------------------------------------


def test_mark_missing() -> None:
    raw = np.zeros((2, 4, 3))
    raw[0, 1] = -1e18
    raw[0, 2, 1] = np.inf
    raw[1, 3, 0] = 1e6
    raw[1, 0, 2] = np.nan
    raw[1, 1] = 999_999
    marked = mark_missing(raw)
    missing = np.zeros((2, 4), dtype=bool)
    missing[0, 1] = missing[0, 2] = missing[1, 3] = missing[1, 0] = True
    assert np.array_equal(np.isnan(marked), np.repeat(missing[..., None], 3, axis=2))
    assert raw[0, 1, 0] == -1e18
    with pytest.raises(ValueError, match=r"\(3, 2\)"):
        mark_missing(np.zeros((3, 2)))


@pytest.mark.parametrize("score", [tm_score, lddt])
def test_models_must_be_complete(score) -> None:
    native = random_chain(10)
    model = native.copy()
    model[7, 1] = np.nan
    with pytest.raises(ValueError, match="model has no finite position for 1 of 10 nucleotides, the first at index 7"):
        score(model, native)
    model[7, 1] = np.inf
    with pytest.raises(ValueError, match="model has the position"):
        score(model, native)
    native[3] = -1e18
    with pytest.raises(ValueError, match=r"native .*index 3.*mark_missing"):
        score(random_chain(10), native)
    with pytest.raises(ValueError, match="no resolved nucleotide in common"):
        score(random_chain(10), np.full((10, 3), np.nan))


@pytest.mark.parametrize("function", [tm_score, lddt, rmsd, kabsch, superpose])
def test_shapes_must_fit(function) -> None:
    with pytest.raises(ValueError, match=r"9 nucleotides and .* has 10"):
        function(random_chain(9), random_chain(10))
    with pytest.raises(ValueError, match=r"\(2, 10, 3\); \(L, 3\) is needed"):
        function(np.zeros((2, 10, 3)), random_chain(10))
    with pytest.raises(ValueError, match="no resolved nucleotide"):
        function(np.zeros((0, 3)), np.zeros((0, 3)))


def test_weights_are_checked() -> None:
    chain = random_chain(5)
    for weights in (np.zeros(5), [1, 1, 1, 1, -1], [1, 1, np.nan, 1, 1]):
        with pytest.raises(ValueError, match="weights must be finite"):
            kabsch(chain, chain, weights)
    with pytest.raises(ValueError, match=r"weights have shape \(4,\); \(5,\)"):
        kabsch(chain, chain, np.ones(4))


def test_check_trace_makes_whole_rows_missing() -> None:
    trace = check_trace([[0, 1, 2], [3, float("nan"), 5]])
    assert trace.dtype == np.float64
    assert np.isnan(trace[1]).all()
