"""Motif enrichment: a planted motif is found, nothing is found where nothing is, and shuffles keep what they should."""

import random
from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest

from rna_hf.interpretation.motifs import KmerCounts, compare_counts, rank_motifs, shuffle_dinucleotides

MOTIF = "UGUAAA"  # what Pumilio proteins bind begins so


def random_windows(count, generator, motif=None, share=1.0, length=45):
    """Random sequences, a share of them with a motif at a random place."""
    windows = []
    for _ in range(count):
        window = "".join(generator.choices("ACGU", k=length))
        if motif is not None and generator.random() < share:
            start = generator.randrange(length - len(motif) + 1)
            window = window[:start] + motif + window[start + len(motif) :]
        windows.append(window)
    return windows


def count(sequences, k=6):
    counts = KmerCounts(k)
    counts.add(sequences)
    return counts


def test_a_sequence_counts_once_for_a_kmer():
    counts = count(["AAAAA", "aatuN", "NAAN", "A", "CANA"], k=2)
    found = {kmer: number for kmer, number in zip(counts.kmers, counts.counts.tolist()) if number}
    assert found == {"AA": 3, "AU": 1, "UU": 1, "CA": 1}
    assert counts.num_sequences == 5
    assert len(counts.kmers) == len(set(counts.kmers)) == 16


@pytest.mark.parametrize("k", [0, 11])
def test_lengths_of_kmers(k):
    with pytest.raises(ValueError, match=f"k must be a whole number from 1 to 10, got {k}"):
        KmerCounts(k)


def test_a_planted_motif_is_found_and_nothing_else():
    generator = random.Random(1)
    planted = count(random_windows(300, generator, MOTIF, share=0.3))
    shuffled = count([shuffle_dinucleotides(one, generator) for one in random_windows(300, generator)])
    enrichment = compare_counts(planted, shuffled)
    significant = [kmer for kmer, q_value in zip(planted.kmers, enrichment.q_values) if q_value < 0.01]
    assert planted.kmers[enrichment.p_values.argmin()] == MOTIF
    # What the motif makes more frequent beside it shares most of its letters.
    assert all(MOTIF[:4] in kmer or MOTIF[1:5] in kmer or MOTIF[2:] in kmer for kmer in significant)
    assert enrichment.log2_odds[planted.kmers.index(MOTIF)] > 4


def test_chance_alone_gives_no_motif():
    generator = random.Random(2)
    enrichment = compare_counts(*(count(random_windows(500, generator)) for _ in range(2)))
    assert enrichment.q_values.min() > 0.05
    assert enrichment.p_values.max() <= 1


def test_numbers_by_hand():
    """Of 3 windows 2 hold A, of 5 others 1 does: (C(3,2) C(5,1) + C(3,3) C(5,0)) / C(8,3) = 16 / 56."""
    enrichment = compare_counts(count(["A", "AC", "C"], 1), count(["A", "C", "C", "C", "G"], 1))
    assert enrichment.p_values[0] == pytest.approx((3 * 5 + 0) / 56 + 1 / 56)
    assert enrichment.log2_odds[0] == pytest.approx(np.log2((2.5 / 1.5) / (1.5 / 4.5)))
    assert enrichment.p_values[3] == 1  # U is nowhere
    assert (enrichment.q_values >= enrichment.p_values).all()


def test_sets_that_cannot_be_compared():
    with pytest.raises(ValueError, match="k-mers of 6 and of 5 nt cannot be compared"):
        compare_counts(count(["A"]), count(["A"], k=5))
    with pytest.raises(ValueError, match="one of the two sets has no sequence"):
        compare_counts(count(["A"]), count([]))


def test_a_motif_stands_out_against_each_background():
    """What the background holds as well comes after what it does not, however often it is there."""
    generator = random.Random(3)
    common = "GGACUC"
    planted = random_windows(200, generator, MOTIF, share=0.4) + random_windows(200, generator, common, share=0.9)
    backgrounds = {
        "shuffled": count([shuffle_dinucleotides(one, generator) for one in planted]),
        "elsewhere": count(random_windows(400, generator, common, share=0.45)),
    }
    ranked = rank_motifs(count(planted), backgrounds)
    row = dict(zip(ranked["motif"], zip(ranked["p_value_shuffled"], ranked["p_value_elsewhere"], ranked["windows"])))
    assert ranked["motif"][0] == MOTIF
    assert row[common][0] < 1e-20
    assert row[common][1] > 0.01
    assert row[common][2] > row[MOTIF][2]
    worst = [max(pair) for pair in zip(ranked["p_value_shuffled"], ranked["p_value_elsewhere"])]
    assert worst == sorted(worst)
    assert list(ranked) == [
        "motif",
        "windows",
        "fraction",
        *(f"{value}_shuffled" for value in ("fraction", "log2_odds", "p_value", "q_value")),
        *(f"{value}_elsewhere" for value in ("fraction", "log2_odds", "p_value", "q_value")),
    ]


def test_a_background_without_sequences_tells_nothing():
    ranked = rank_motifs(count(["ACGUAC", "ACGUAA"]), {"elsewhere": count([])})
    assert sorted(ranked["motif"]) == ["ACGUAA", "ACGUAC"]
    assert ranked["fraction"] == [0.5, 0.5]
    assert ranked["p_value_elsewhere"] == [None, None]
    assert rank_motifs(count([]), {"elsewhere": count([])})["motif"] == []


@pytest.mark.parametrize("sequence", ["", "A", "ACG", "AAAAAA", "ACACACAC", "GAUUACANNGAUC" * 5])
def test_shuffles_keep_pairs_of_neighbours(sequence):
    generator = random.Random(4)
    shuffled = [shuffle_dinucleotides(sequence, generator) for _ in range(20)]
    for one in shuffled:
        assert Counter(pairwise(one)) == Counter(pairwise(sequence))
        assert (one[:1], one[-1:]) == (sequence[:1], sequence[-1:])
    assert len(sequence) < 20 or len(set(shuffled)) > 15


def test_all_shuffles_are_equally_probable():
    sequence = "ACABACBA"
    pairs = Counter(pairwise(sequence))
    possible = {one for one in map("".join, set(permutations(sequence))) if Counter(pairwise(one)) == pairs}
    generator = random.Random(5)
    found = Counter(shuffle_dinucleotides(sequence, generator) for _ in range(6000))
    possible = {one for one in possible if one[0] == sequence[0]}
    assert set(found) == possible
    assert max(found.values()) < 1.2 * 6000 / len(possible)


def test_a_seed_gives_the_same_shuffles():
    one, other = (
        [shuffle_dinucleotides("GAUUACA" * 6, generator) for _ in range(5)] for generator in map(random.Random, (6, 6))
    )
    assert one == other
