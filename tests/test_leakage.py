"""Near-duplicate detection on made sequences, and the shipped checkpoint's training data against every test set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from recipes.ribonanzanet_mini import measured_data, shared_data, task_tables
from recipes.rnatracker_mini import localisation_tables
from rna_hf.data import splits
from rna_hf.data.splits import (
    CONSTANT_ENDS,
    CONSTANT_STARTS,
    ManifestSource,
    check_leakage,
    cluster_sequences,
    is_exact_duplicate,
    is_near_duplicate,
    max_shared_kmers,
    read_manifest,
    sequences_digest,
    strip_constant_parts,
    write_manifest,
)

REPOSITORY = Path(__file__).resolve().parents[1]
CHECKPOINTS = REPOSITORY / "src" / "rna_hf" / "checkpoints"
MANIFEST = CHECKPOINTS / "ribonanzanet-mini" / "training_data.json"
START, END = CONSTANT_STARTS[0], CONSTANT_ENDS[0]


def _random(number: int, length: int = 90, seed: int = 0) -> list[str]:
    generator = np.random.default_rng(seed)
    return ["".join(generator.choice(list("ACGU"), length)) for _ in range(number)]


def _mutate(sequence: str, positions: list[int]) -> str:
    letters = list(sequence)
    for position in positions:
        letters[position] = "ACGU"[("ACGU".index(letters[position]) + 1) % 4]
    return "".join(letters)


def _shared(a: str, b: str, k: int = 12) -> int:
    """Shared different k-mers, the slow way."""
    a, b = strip_constant_parts(a), strip_constant_parts(b)
    return len({a[i : i + k] for i in range(len(a) - k + 1)} & {b[i : i + k] for i in range(len(b) - k + 1)})


def test_mutated_copies_are_found_and_unrelated_are_not() -> None:
    tests = _random(50)
    copies = [_mutate(tests[7], [20]), _mutate(tests[8], [10, 45, 80]), "GG" + tests[9][20:], tests[10]]
    unrelated = _random(50, seed=1)
    report = check_leakage(copies + unrelated, tests, "made", "tests")
    assert report.exact == (3,)
    assert report.near == (0, 1, 2)
    assert not report.is_clean
    assert "1 exact, 3 near" in str(report)
    best, closest = max_shared_kmers(copies, tests)
    assert closest.tolist() == [7, 8, 9, 10]
    assert best.tolist() == [_shared(c, tests[i]) for c, i in zip(copies, closest)]
    assert check_leakage(unrelated, tests).is_clean


def test_threshold_is_eight_shared_12mers_with_one_sequence() -> None:
    # 19 nt in common are eight 12-mers, 18 nt are seven. The nucleotide after the copy is made to differ.
    [test], [other] = _random(1), _random(1, seed=3)
    for length, is_near in ((19, True), (18, False)):
        blocked = _mutate(test[30 : 30 + length + 1], [length])
        query = _mutate(test[29], [0]) + blocked + other[:40]
        assert _shared(query, test) == length - 11
        assert is_near_duplicate([query], [test]).tolist() == [is_near]
    # A few with one and a few with another sequence, eight together, are not eight with one.
    a, b = _random(2, seed=5)
    query = _random(1, 20, seed=6)[0] + a[10:26] + _random(1, 20, seed=7)[0] + b[40:56]
    assert max(_shared(query, a), _shared(query, b)) < 8 <= _shared(query, a) + _shared(query, b)
    assert not is_near_duplicate([query], [a, b])[0]


def test_constant_flanks_do_not_count() -> None:
    tests = [START + s + END for s in _random(20, 60)]
    queries = [START + s + END for s in _random(20, 60, seed=2)] + ["GGAAA" + s + END for s in _random(5, 60, seed=4)]
    assert not is_near_duplicate(queries, tests).any()
    # The same flanks do match where they are not at the ends.
    assert is_near_duplicate(["ACGUACGU" + START + "CC"], ["UU" + START + "GG"])[0]
    assert strip_constant_parts(START.lower() + "acgt" + END.replace("U", "T")) == "ACGU"
    assert strip_constant_parts("GGAAACC") == "CC"


def test_case_and_thymine_do_not_hide_a_copy() -> None:
    [sequence] = _random(1)
    hidden = sequence.replace("U", "T").lower()
    assert is_exact_duplicate([hidden], [sequence])[0]
    assert check_leakage([hidden], [sequence]).exact == (0,)
    assert sequences_digest([hidden, sequence]) == sequences_digest([sequence])


def test_short_empty_and_ambiguous_sequences() -> None:
    assert is_near_duplicate([], []).tolist() == []
    assert is_near_duplicate(["ACGU", "", START + END], ["ACGU", "GGGG"]).tolist() == [True, False, False]
    [sequence] = _random(1, 60)
    unknown = "".join("N" if i % 6 == 0 else c for i, c in enumerate(sequence))
    assert not is_near_duplicate([unknown], [unknown.replace("N", "A")])[0]
    with pytest.raises(ValueError, match="25"):
        max_shared_kmers(["A"], ["A"], k=25)


def test_blocks_give_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    base = _random(5, seed=8)
    family = [_mutate(base[i % 5], [3 * i % 90]) for i in range(60)]
    best, closest = max_shared_kmers(family, base)
    clusters = cluster_sequences(family)
    monkeypatch.setattr(splits, "_MAX_PAIRS", 100)
    blocked = max_shared_kmers(family, base)
    assert np.array_equal(best, blocked[0])
    assert np.array_equal(closest, blocked[1])
    assert np.array_equal(clusters, cluster_sequences(family))


def test_clusters_join_families_through_chains() -> None:
    base = _random(6, seed=9)
    family = [_mutate(base[i % 6], [(7 * i) % 90]) for i in range(48)]
    clusters = cluster_sequences([*family, family[0]])
    assert clusters[:48].tolist() == [i % 6 for i in range(48)]
    assert clusters[48] == 0
    # Windows 60 nt long, 30 apart: the first and the last share nothing and belong together all the same.
    [genome] = _random(1, 300, seed=10)
    windows = [genome[i : i + 60] for i in range(0, 241, 30)]
    assert _shared(windows[0], windows[-1]) == 0
    assert cluster_sequences([windows[i] for i in (3, 0, 8, 5, 1, 7, 2, 6, 4)]).tolist() == [0] * 9


def test_manifest_round_trip_and_its_refusal(tmp_path: Path) -> None:
    sequences = _random(4)
    source = ManifestSource.from_sequences("made", ["made/file.parquet"], "all rows", [*sequences, sequences[0]])
    assert (source.rows, source.sequences) == (5, 4)
    write_manifest(tmp_path / "training_data.json", [source], split="final")
    [read], facts = read_manifest(tmp_path / "training_data.json")
    assert read == source
    assert facts == {"split": "final"}
    read.check([*sequences, sequences[0]][::-1])
    with pytest.raises(ValueError, match=r"'made'.*train again"):
        read.check([*sequences, _mutate(sequences[0], [1])])


def test_every_checkpoint_has_a_manifest() -> None:
    for weights in CHECKPOINTS.glob("*/model.safetensors"):
        manifest = weights.parent / "training_data.json"
        assert manifest.is_file(), f"{weights.parent.name} has no training_data.json"
        sources, _ = read_manifest(manifest)
        assert sources, f"{manifest} names no source"
        assert all(s.rows > 0 and len(s.sha256) == 64 for s in sources)


@pytest.fixture(scope="module")
def data(shared_dir):
    return shared_dir / "data"


@pytest.fixture(scope="module")
def measured(data):
    return measured_data.load_measured(data)


@pytest.mark.shared
@pytest.mark.parametrize("test_name", ["pk90", "test60", "natural", "openvaccine_public"])
def test_selected_profiles_hold_no_test_sequence(data, measured, test_name: str) -> None:
    tests = shared_data.load_test_sequences(data, [test_name])[test_name]
    assert len(tests) >= 50
    report = check_leakage([p.sequence for p in measured], tests, "measured profiles", test_name)
    assert report.is_clean, str(report)


@pytest.mark.shared
def test_the_check_finds_what_the_selection_drops(data) -> None:
    # Were the check blind, the two tests around this one would pass on anything.
    tests = shared_data.load_test_sequences(data, ["pk90"])["pk90"]
    profile = shared_data.read_columns(data, shared_data.FILES["pk50"][0], ["sequence", "near_pk90"])
    marked = [s for s, near in zip(profile["sequence"], profile["near_pk90"]) if near]
    report = check_leakage([*marked, _mutate(tests[5], [60]), tests[6]], tests)
    assert len(report.near) > 0.5 * len(marked)  # pk90 here is half of the library that the marks refer to
    assert len(marked) in report.near
    assert report.exact == (len(marked) + 1,)


@pytest.mark.shared
def test_development_split_is_apart(measured) -> None:
    train, validation = measured_data.split(measured, "development")
    counts = {s: sum(p.source == s for p in validation) for s in ("lib15k", "pk50")}
    assert counts["lib15k"] == 400
    assert 200 <= counts["pk50"] < 330
    assert check_leakage([p.sequence for p in train], [p.sequence for p in validation]).is_clean
    assert not {p.cluster for p in validation} & {p.cluster for p in train}
    assert measured_data.split(measured, "final") == (measured, [])
    again = measured_data.split(measured, "development")[1]
    assert [p.id for p in again] == [p.id for p in validation]


@pytest.mark.shared
def test_shipped_manifest_holds_no_test_sequence(data) -> None:
    if not MANIFEST.is_file():
        pytest.skip(f"{MANIFEST.relative_to(REPOSITORY)} is written by the training")
    sources, facts = read_manifest(MANIFEST)
    rebuilt = measured_data.rebuild_sequences([s.name for s in sources], data, facts.get("structure_max_length", 200))
    for source in sources:
        source.check(rebuilt[source.name])  # the digest ties this check to the very set that was trained on
        names = shared_data.STRUCTURE_TESTS if source.name in ("bprna", "rnastralign") else shared_data.REACTIVITY_TESTS
        for name, tests in shared_data.load_test_sequences(data, names).items():
            report = check_leakage(rebuilt[source.name], tests, source.name, name)
            assert report.is_clean, str(report)


FINE_TUNES = [path.parent.name.removeprefix("ribonanzanet-mini-") for path in CHECKPOINTS.glob("*-mini-*/config.json")]


@pytest.mark.shared
@pytest.mark.parametrize("task", FINE_TUNES)
def test_fine_tunes_hold_no_sequence_of_their_test(data, task: str) -> None:
    tables = task_tables.TABLES[task](data)
    sources, facts = read_manifest(CHECKPOINTS / f"ribonanzanet-mini-{task}" / "training_data.json")
    rows = [row for row in tables["train"] if len(row["sequence"]) <= (facts["max_length"] or np.inf)]
    for source in sources:
        source.check([row["sequence"] for row in rows if row["source"] == source.name])
    for name in (name for name in tables if not name.startswith("train")):
        report = check_leakage([row["sequence"] for row in rows], [row["sequence"] for row in tables[name]], task, name)
        assert report.is_clean, str(report)


@pytest.mark.shared
def test_manifest_has_no_machine_path() -> None:
    if not MANIFEST.is_file():
        pytest.skip(f"{MANIFEST.relative_to(REPOSITORY)} is written by the training")
    for source in json.loads(MANIFEST.read_text(encoding="utf-8"))["sources"]:
        assert not any(Path(f).is_absolute() or ".." in f for f in source["files"])


@pytest.mark.shared
def test_rnatracker_mini_has_read_no_test_rna(data) -> None:
    rows, _ = localisation_tables.training_tables(data)
    (source,), _ = read_manifest(CHECKPOINTS / "rnatracker-mini" / "training_data.json")
    train = [row["sequence"] for row in rows["train"]]
    source.check(train)
    for name in ("validation", "test", "mrna"):
        others = [row["sequence"] for row in rows[name]]
        report = check_leakage(train, others, "train", name, **localisation_tables.SIMILAR)
        assert report.is_clean, str(report)
