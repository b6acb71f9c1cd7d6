"""Splits by similarity: a random split of families leaks, ours doesn't."""

import numpy as np
import pytest
from datasets import Dataset

from rna_hf.data.cluster_split import cluster_by_similarity, report_leakage, split_by_similarity
from rna_hf.data.splits import CONSTANT_ENDS, CONSTANT_STARTS, cluster_sequences

LETTERS = np.array(list("ACGU"))


def make_families(count, size, length, mutations=3, seed=0):
    """Families of mutants, members of a family apart from each other in the list."""
    generator = np.random.default_rng(seed)
    founders = [generator.choice(LETTERS, length) for _ in range(count)]
    sequences = []
    for member in range(size):
        for founder in founders:
            mutant = founder.copy()
            if member:
                mutant[generator.choice(length, mutations, replace=False)] = generator.choice(LETTERS, mutations)
            sequences.append("".join(mutant))
    return sequences


def test_a_random_split_leaks_where_this_one_does_not():
    sequences = make_families(count=40, size=10, length=80)
    sequences = [CONSTANT_STARTS[0] + sequence + CONSTANT_ENDS[0] for sequence in sequences]

    shuffled = np.random.default_rng(1).permutation(len(sequences))
    random_train, random_test = shuffled[:320], shuffled[320:]
    random_report = report_leakage([sequences[i] for i in random_train], [sequences[i] for i in random_test])
    assert len(random_report.exact) + len(random_report.near) > 0.9 * random_report.num_test
    assert not random_report.is_clean
    assert random_report.max_share.max() > 0.4

    split = split_by_similarity(sequences, {"train": 0.8, "test": 0.2})
    report = report_leakage([sequences[i] for i in split["train"]], [sequences[i] for i in split["test"]])
    assert report.is_clean
    assert report.max_share.max() < 0.1
    assert (report.num_train, report.num_test) == (320, 80)


def test_every_row_is_in_one_set_and_sizes_come_near():
    sizes = [150, 45, 30, 15, 15, 10, 5, 5, 2] + [1] * 223
    generator = np.random.default_rng(0)
    families = [["".join(generator.choice(LETTERS, 60))] * size for size in sizes]
    sequences = [sequence for family in families for sequence in family]
    split = split_by_similarity(sequences)
    assert list(split) == ["train", "validation", "test"]
    rows = np.concatenate(list(split.values()))
    assert sorted(rows.tolist()) == list(range(500))
    assert [len(rows) for rows in split.values()] == pytest.approx([400, 50, 50], abs=5)
    assert all((np.diff(rows) > 0).all() for rows in split.values())
    names = {sequences[row]: name for name, rows in split.items() for row in rows}
    assert all(names[sequences[row]] == name for name, rows in split.items() for row in rows)


def test_seeds_make_different_splits_and_the_same_seed_the_same():
    sequences = make_families(count=100, size=2, length=60)
    first, again, other = (split_by_similarity(sequences, seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["test"], other["test"])


def test_a_dataset_is_taken_by_its_sequences():
    sequences = make_families(count=20, size=3, length=60)
    dataset = Dataset.from_dict({"sequence": sequences, "row": list(range(60))})
    split = split_by_similarity(dataset, {"train": 0.7, "test": 0.3})
    same = split_by_similarity(sequences, {"train": 0.7, "test": 0.3})
    assert all(np.array_equal(split[name], same[name]) for name in same)
    train, test = dataset.select(split["train"]), dataset.select(split["test"])
    assert report_leakage(train, test).is_clean
    with pytest.raises(ValueError, match="no column 'sequence'; its columns are row"):
        split_by_similarity(dataset.remove_columns("sequence"))


def test_short_rnas_are_similar_by_half_of_their_kmers():
    # 22 nucleotides have 11 12-mers: eight in common are too many to ask for.
    [short], [other], [long] = (make_families(1, 1, length, seed=seed) for length, seed in ((22, 1), (22, 2), (60, 3)))
    shifted = short[5:] + other[:5]  # 6 shared
    less = short[6:] + other[:6]  # 5 shared
    inside = long[:20] + short + long[20:]
    assert cluster_by_similarity([short, shifted]).tolist() == [0, 0]
    assert cluster_by_similarity([short, less]).tolist() == [0, 1]
    assert cluster_by_similarity([inside, other, short]).tolist() == [0, 1, 0]
    assert cluster_by_similarity([short, other, inside]).tolist() == [0, 1, 0]
    assert cluster_sequences([short, shifted]).tolist() == [0, 1]  # the rule for long RNAs misses them
    # Shorter than a k-mer: exact copies only, or a smaller k.
    assert cluster_by_similarity(["GGGAAACC", "gggaaacc", "GGGAAACU"]).tolist() == [0, 0, 1]
    assert cluster_by_similarity(["GGGAAACC", "GGGAAACU"], k=4).tolist() == [0, 0]
    assert cluster_by_similarity([]).tolist() == []


def test_long_rnas_are_clustered_as_by_cluster_sequences():
    sequences = make_families(count=12, size=6, length=100, mutations=5)
    [genome] = make_families(1, 1, 300, seed=9)
    sequences += [genome[start : start + 60] for start in (90, 0, 240, 150, 30, 210, 60, 180, 120)]
    assert cluster_by_similarity(sequences).tolist() == cluster_sequences(sequences).tolist()


def test_the_report_counts_test_sequences():
    [a, b, c, d] = make_families(4, 1, 60)
    near = a[:30] + c[30:]
    train = [a, a.lower().replace("u", "t"), b]
    report = report_leakage(train, [a, near, d, a], "ours", "theirs")
    assert report.exact.tolist() == [0, 3]
    assert report.near.tolist() == [1]
    assert report.max_share.tolist() == pytest.approx([1, 19 / 49, 0, 1])
    assert str(report) == (
        "theirs (4 sequences) against ours (3): 2 (50.0 %) with an exact copy, 1 (25.0 %) with a near copy; "
        "largest share of 12-mers in common 1.00"
    )
    nothing = report_leakage([], [])
    assert nothing.is_clean
    assert "0 (0.0 %)" in str(nothing)


def test_sets_that_come_out_small_are_told():
    sequences = make_families(count=1, size=95, length=60) + make_families(count=5, size=1, length=60, seed=7)
    with pytest.warns(UserWarning, match=r"'test': 5} sequences, far from the fractions: .* of 6 clusters has 95"):
        split_by_similarity(sequences, {"train": 0.7, "test": 0.3})


def test_what_cannot_be_split():
    sequences = make_families(count=2, size=5, length=60)
    with pytest.raises(
        ValueError, match=r"10 sequences form 2 clusters \(largest 5\), too few to fill validation, test"
    ):
        split_by_similarity(sequences)
    for fractions in ({}, {"train": 0.5, "test": 0.6}, {"train": 1.0, "test": 0.0}):
        with pytest.raises(ValueError, match="each must be positive and together they must be 1"):
            split_by_similarity(sequences, fractions)
    with pytest.raises(ValueError, match="min_share 2"):
        split_by_similarity(sequences, min_share=2)
