"""The benchmark of C1' traces: A-form geometry, the baselines, the scores, the tables, and a whole run."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

pytest.importorskip("RNA", reason="a baseline folds with ViennaRNA: pip install 'rna-hf[structure]'")

from benchmarks.accuracy import helix_constants
from benchmarks.accuracy import tertiary as benchmark
from benchmarks.accuracy import tertiary_baselines as baselines
from recipes.ribonanzanet_mini import task_tables
from rna_hf import RibonanzaNetConfig, RibonanzaNetForTertiaryStructure, RnaTokenizerFast
from rna_hf.data.cluster_split import report_leakage
from rna_hf.structure import helices, parse_dotbracket, rmsd, tm_score

HAIRPIN = "GGGACGCACUUCGGUGCGUCCC"
PAIRS = [(i, 21 - i) for i in range(9)]


def distances(a, b):
    return np.linalg.norm(a - b, axis=-1)


def is_right_handed(strand):
    """Tell whether each four neighbours turn as a right-handed helix does."""
    steps = np.diff(strand, axis=0)
    return bool((np.einsum("ij,ij->i", np.cross(steps[:-2], steps[1:-1]), steps[2:]) > 0).all())


def test_a_form_geometry():
    strand, partners = helices.a_form_helix(np.arange(12))
    assert np.allclose(distances(strand[1:], strand[:-1]), 5.48, atol=0.02)
    assert np.allclose(distances(partners[1:], partners[:-1]), 5.48, atol=0.02)
    assert np.allclose(distances(strand, partners), 10.65, atol=0.05)
    assert np.allclose(distances(strand[1:], partners[:-1]), 8.0, atol=0.1)  # across the minor groove
    assert np.allclose(distances(strand[:-1], partners[1:]), 13.7, atol=0.1)
    assert is_right_handed(strand)
    assert is_right_handed(partners[::-1])
    assert not is_right_handed(strand * (1, 1, -1))
    # Eleven pairs make a turn: the axis is parallel to what leads to the pair eleven steps on.
    assert strand[11] - strand[0] == pytest.approx([0, 0, 11 * 2.81], abs=0.1)
    # The two strands are each other's images about a dyad, so exchanging them changes nothing.
    assert rmsd(np.concatenate([strand, partners]), np.concatenate([partners[::-1], strand[::-1]])) < 1e-6


@pytest.mark.shared
def test_a_form_geometry_is_that_of_known_helices(shared_dir):
    strand, partners = helices.a_form_helix(np.arange(5))
    expected = np.stack([distances(strand[0], strand), distances(strand[0], partners), distances(strand, partners[0])])
    chains, structures = [], []
    for row in task_tables.read_chains(shared_dir / "data", "rna3d_kaggle", "train"):
        if 25 <= len(row["sequence"]) <= 60 and row["temporal_cutoff"] < task_tables.CASP15_DATE:
            chains.append(row["conformations"][0])
            structures.append(parse_dotbracket(baselines.fold_samples(row["sequence"], 1)[0]))
    medians, number = helix_constants.helix_distances(chains, structures)
    assert number > 300
    # The constants come from more chains than these; the wrong hand or dyad is off by several angstrom.
    assert np.abs(medians - expected).max() < 0.3


def test_constants_of_a_helix_are_found_again():
    strand, partners = helices.a_form_helix(np.arange(9))
    chain = 500 + 10.0 * np.arange(22)[:, None].repeat(3, axis=1)
    chain[:9], chain[13:] = strand, partners[::-1]
    medians, number = helix_constants.helix_distances([chain], [PAIRS])
    assert number == 5
    fitted, left = helix_constants.fit_helix(medians)
    expected = [helices.RADIUS, np.degrees(helices.DYAD_ANGLE), helices.DYAD_OFFSET]
    assert fitted == pytest.approx(expected, abs=1e-3)
    assert left < 1e-6
    apart = chain.copy()
    apart[13:] += 5  # no longer pairs
    assert helix_constants.helix_distances([chain, apart], [PAIRS, PAIRS])[1] == 5
    # All pairs of nucleotides of the helix, and neighbours in the loop.
    errors = helix_constants.fixed_errors([2 * chain], [PAIRS])
    assert np.median(errors) == pytest.approx(np.log(2))
    assert len(errors) == 18 * 17 // 2 + 5
    assert helix_constants.fixed_errors([chain[:9]], [[]]) == pytest.approx(np.log(helices.BOND / 5.48), abs=1e-2)


def test_helices_go_on_across_small_loops():
    # A bulge of one, an internal loop of 1 x 2, and a hairpin; then a helix of its own, and a lone pair.
    pairs = [(0, 22), (1, 21), (3, 20), (5, 17), (6, 16), (30, 45), (31, 44), (50, 60)]
    long_helix, other = helices.find_helices(pairs)
    assert long_helix[0].tolist() == [0, 1, 3, 5, 6]
    assert long_helix[1].tolist() == [22, 21, 20, 17, 16]
    assert long_helix[2].tolist() == [0, 1, 2, 4, 5]
    assert other[0].tolist() == [30, 31]
    assert helices.find_helices([(0, 20), (1, 19), (6, 14), (7, 13)])[1][2].tolist() == [0, 1]
    assert helices.find_helices([]) == []


def test_graph_distances_go_through_helices():
    bodies = helices.rigid_helices(parse_dotbracket("((((((....))))))"))
    ways = helices.graph_distances(16, bodies)
    assert ways[0, 15] == pytest.approx(10.65, abs=0.05)
    assert ways[5, 8] == pytest.approx(2 * 5.6 + 5.6)
    assert ways[0, 5] < 5 * 5.6
    expected = helices.expected_distances(ways, bodies, (3.0, 0.6))
    assert np.allclose(np.diagonal(expected, 1)[5:10], 5.6)
    assert expected[0, 15] == ways[0, 15]
    assert expected[5, 8] == pytest.approx(3.0 * ways[5, 8] ** 0.6)


def test_assembled_helices_are_rigid_and_right_handed():
    rng = np.random.default_rng(0)
    chains = [rng.normal(0, 8, (30, 3)) for _ in range(3)]
    sequences = ["".join(rng.choice(list("ACGU"), 30)) for _ in range(3)]
    sample = baselines.fit_helix_assembly(sequences, chains, num_samples=3)
    traces = sample(HAIRPIN)
    assert traces.shape == (3, 22, 3)
    assert np.array_equal(traces, sample(HAIRPIN))
    assert not np.allclose(traces[0], traces[1])
    helix = [i for pair in PAIRS for i in pair]
    shape = np.stack(helices.a_form_helix(np.arange(9)), axis=1).reshape(-1, 3)
    assert rmsd(traces[0][helix], shape) < 1e-6
    assert tm_score(traces[0][helix] * (1, 1, -1), shape) < 0.5
    assert distances(traces[0][1:], traces[0][:-1]).max() < 9


def test_structures_are_drawn_by_seed():
    sequence = "GGGACGCACUUCGGUGUGUCAGCAUCGACUAGCAUCAGCUACGAC"
    drawn = baselines.fold_samples(sequence, 20)
    assert len(drawn) == 20
    assert len(set(drawn)) > 1
    assert drawn == baselines.fold_samples(sequence, 20)
    assert drawn != baselines.fold_samples(sequence, 20, seed=1)
    assert baselines.fold_samples(HAIRPIN, 1) == ["(((((((((....)))))))))"]


@pytest.mark.parametrize("scale", [2.0, 3.6])  # denser than a chain of free joints, and stiffer
def test_random_chains_are_as_large_as_those_they_learnt_from(scale):
    rng = np.random.default_rng(0)
    chains = [rng.normal(0, scale * length**0.44 / np.sqrt(3), (length, 3)) for length in range(20, 200, 2)]
    sample = baselines.fit_random_chain(chains, num_samples=200)
    traces = sample("A" * 100)
    assert np.allclose(distances(traces[:, 1:], traces[:, :-1]), 5.6)
    assert np.sqrt(traces.var(1).sum(-1)).mean() == pytest.approx(scale * 100**0.44, rel=0.1)
    assert np.array_equal(traces, sample("C" * 100))


def test_the_best_sample_and_reference_count():
    rng = np.random.default_rng(0)
    native = rng.normal(0, 12, (2, 40, 3))
    native[0, :4] = np.nan
    samples = np.stack([rng.normal(0, 12, (40, 3)), native[1] + (5, 0, 0)])
    scores = benchmark.score(samples, native)
    assert scores["tm_score"]["best"] == pytest.approx(1)
    assert scores["lddt"]["best"] == pytest.approx(1)
    assert scores["rmsd"]["best"] == pytest.approx(0, abs=1e-9)
    assert scores["tm_score"]["first"] == max(tm_score(samples[0], reference) for reference in native)
    assert scores["rmsd"]["first"] == min(rmsd(samples[0], reference) for reference in native)


def test_differences_are_paired():
    rng = np.random.default_rng(0)
    scores = []
    for base in rng.uniform(0.2, 0.8, 30):
        values = {name: {m: dict.fromkeys(("first", "best"), base + gain) for m in benchmark.METRICS}
                  for name, gain in (("ours", 0.1), ("other", 0.0))}  # fmt: skip
        scores.append(values)
    report = benchmark.summarise(scores, "ours")
    assert report["rnas"] == 30
    difference = report["differences"]["other"]["tm_score"]["best"]
    assert difference == pytest.approx({"value": 0.1, "low": 0.1, "high": 0.1})
    interval = report["metrics"]["ours"]["tm_score"]["best"]
    assert interval["high"] - interval["low"] > 0.05
    assert "differences" not in benchmark.summarise(scores, None)


def _chains(rng, lengths):
    """Made-up chains as `task_tables.py 3d` writes them."""
    return [
        {
            "id": f"chain{number}",
            "sequence": "".join(rng.choice(list("ACGU"), length)),
            "coordinates": rng.normal(0, 2 * length**0.4, (length, 3)).astype(np.float32),
        }
        for number, length in enumerate(lengths)
    ]


def test_a_whole_run(tmp_path, capsys):
    torch.manual_seed(0)
    config = RibonanzaNetConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, pair_hidden_size=8, fix_attention_mask=True
    )
    RibonanzaNetForTertiaryStructure(config).save_pretrained(tmp_path / "untrained")
    RnaTokenizerFast(alphabet="ribonanzanet").save_pretrained(tmp_path / "untrained")
    rng = np.random.default_rng(0)
    test = _chains(rng, (24, 61))
    for row in test:
        row["id"] = f"target_{row['id']}"
        row["conformations"] = np.stack([row["coordinates"], row["coordinates"] + 1])
    test[0]["conformations"][0, :3] = np.nan
    tables = {"train": _chains(rng, range(20, 40, 2)), "validation": _chains(rng, (19, 22, 26)), "test": test}
    for name, rows in tables.items():
        task_tables.write_table(tmp_path / f"3d_{name}.parquet", rows)
    # The longer test RNA, but for its ends, is among those of known secondary structure.
    known = [{"sequence": test[1]["sequence"][4:56], "pairs": [[0, 40]]}]
    task_tables.write_table(tmp_path / "structure_train.parquet", known)
    output = tmp_path / "results" / "tertiary.json"
    arguments = ["--model", str(tmp_path / "untrained"), "--samples", "2", "--tables", str(tmp_path)]
    assert benchmark.main([*arguments, "--output", str(output)]) == 0
    report = json.loads(output.read_text())
    assert {name: entry["rnas"] for name, entry in report["tests"].items()} == {
        "casp15": 2,
        "casp15, 60 nt and more": 1,
        "validation, 20 nt and more": 2,
    }
    assert [entry["known_structure"] for entry in report["tests"].values()] == [1, 1, 0]
    assert "| target_chain1* | 61 |" in output.with_suffix(".md").read_text()
    [one] = report["headlines"]
    long_ones = report["tests"]["casp15, 60 nt and more"]["metrics"]
    assert one["dataset"] == "casp15, 60 nt and more"
    assert one["value"] == long_ones["untrained"]["tm_score"]["best"]["value"]
    assert one["baseline_value"] == long_ones[one["baseline"]]["tm_score"]["best"]["value"]
    entry = report["tests"]["casp15"]
    assert len(entry["metrics"]) == 4
    assert list(entry["metrics"]) == ["untrained", *entry["differences"]]
    for scores in entry["metrics"].values():
        assert 0 < scores["tm_score"]["first"]["value"] <= scores["tm_score"]["best"]["value"] < 1
    assert output.with_suffix(".md").read_text().strip() == capsys.readouterr().out.strip()


def test_what_is_missing_is_named(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="task_tables 3d"):
        benchmark.main(["--tables", str(tmp_path)])
    with pytest.raises(SystemExit):
        benchmark.main(["--samples", "0"])
    assert "1 or more" in capsys.readouterr().err


def _write_source(folder, name, chains):
    """Write chains as the shared data folder has them; each is a row of the csv."""
    folder.mkdir(exist_ok=True)
    with open(folder / f"{name}_sequences.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, chains[0])
        writer.writeheader()
        writer.writerows(chains)
    atoms = [
        {"target_id": chain["target_id"], "resid": i + 1, "x": float(i), "y": float(number), "z": 0.0}
        for number, chain in enumerate(chains)
        for i in range(len(chain["sequence"]))
    ]
    if name == "valid":  # a second conformation, without the first nucleotide
        atoms = [a | {"conf": 1} for a in atoms] + [a | {"conf": 2} for a in atoms if a["resid"] > 1]
    pq.write_table(pa.Table.from_pylist(atoms), folder / f"{name}_labels.parquet")


def test_chains_of_the_3d_tables(tmp_path):
    rng = np.random.default_rng(0)
    rna = ["".join(rng.choice(list("ACGU"), 50)) for _ in range(60)]
    old, new = "2020-01-01", "2022-05-27"
    competition = [("kept", rna[0], old), ("new", rna[1], new), ("near_casp", "ACGU" + rna[2][5:40], old)]
    competition += [("near_puzzle", rna[3][:30], old), ("short", rna[4][:9], old)]
    competition += [(f"more{number}", sequence, old) for number, sequence in enumerate(rna[10:])]
    extra = [("twice", rna[0], old, 0, "", ""), ("gaps", rna[5], old, 3, "", ""), ("undated", rna[6], "", 0, "", "")]
    extra += [("two_gaps", rna[7].lower(), old, 2, "", ""), ("casp", rna[8], old, 0, "R1", "")]
    extra += [("puzzle", rna[3], old, 0, "", "rp01_A")]
    names = ["target_id", "sequence", "temporal_cutoff", "n_breaks", "near_casp15", "near_rna_puzzles"]
    _write_source(tmp_path / "rna3d_kaggle", "train", [dict(zip(names, row)) for row in competition])
    _write_source(tmp_path / "rna3d_kaggle", "valid", [dict(zip(names, ("R1", rna[2], new)))])
    _write_source(tmp_path / "rna3d_extra", "extra", [dict(zip(names, row)) for row in extra])
    tables = task_tables.tertiary_tables(tmp_path)
    kept = tables["train"] + tables["validation"]
    assert {row["id"] for row in kept} == {"kept", "two_gaps", *(f"more{number}" for number in range(50))}
    assert len(tables["validation"]) == round(0.12 * 52)
    assert all(row["sequence"].isupper() and row["coordinates"].shape == (50, 3) for row in kept)
    assert all(np.array_equal(row["coordinates"][:, 0], np.arange(50)) for row in kept)
    (target,) = tables["test"]
    assert target["conformations"].shape == (2, 50, 3)
    assert np.isnan(target["conformations"][1, 0]).all()
    assert np.isnan(target["conformations"]).sum() == 3
    assert np.array_equal(target["coordinates"], target["conformations"][0])


@pytest.mark.shared
def test_3d_tables_do_not_leak(shared_dir):
    tables = task_tables.tertiary_tables(shared_dir / "data")
    train, validation, test = ([row["sequence"] for row in tables[n]] for n in ("train", "validation", "test"))
    assert len(test) == 9
    assert len(train) > 600
    assert sum(len(sequence) >= 40 for sequence in validation) > 20
    assert len({*train, *validation}) == len(train) + len(validation)
    for others in (validation, test):
        assert report_leakage(train, others, k=10).is_clean
    clusters = [{row["cluster"] for row in tables[name]} for name in ("train", "validation")]
    assert not clusters[0] & clusters[1]
    assert not any(np.isnan(row["coordinates"]).any() for row in tables["train"])
