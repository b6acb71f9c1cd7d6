"""The benchmark of base pairs: its scores by hand, what it leaves out, and a whole run with a tiny model."""

import csv
import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

pytest.importorskip("RNA", reason="the baselines fold with ViennaRNA: pip install 'rna-hf[structure]'")

from benchmarks.accuracy import structure as benchmark
from benchmarks.accuracy.structure import Decoding
from benchmarks.common.bootstrap import mean_interval
from benchmarks.common.structure_sets import WATSON_CRICK_OR_WOBBLE, KnownRna, canonical, read_pdb
from benchmarks.common.vienna import ViennaStructures
from recipes.ribonanzanet_mini.structure_families import abstract_shape, closest_families, find_alike, near_shapes
from recipes.ribonanzanet_mini.task_tables import without_hidden_families
from rna_hf import RibonanzaNetConfig, RibonanzaNetForSecondaryStructure, RnaTokenizerFast
from rna_hf.structure import parse_dotbracket

HAIRPIN = "GGGGGCUUCGGCCCCC"
KNOT = "((((..[[[[..))))..]]]]"


def random_rna(seed, length):
    return "".join(np.random.default_rng(seed).choice(list("ACGU"), length))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained model that finds pairs at a low threshold."""
    folder = tmp_path_factory.mktemp("models") / "untrained"
    torch.manual_seed(0)
    config = RibonanzaNetConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, pair_hidden_size=8, fix_attention_mask=True
    )
    RibonanzaNetForSecondaryStructure(config).save_pretrained(folder)
    RnaTokenizerFast(alphabet="ribonanzanet").save_pretrained(folder)
    return folder


def test_interval_of_a_mean():
    values = np.random.default_rng(0).normal(0.6, 0.2, 400)
    interval = mean_interval(values)
    assert interval["value"] == pytest.approx(values.mean(), abs=1e-5)
    width = 2 * 1.96 * values.std() / np.sqrt(400)
    assert interval["high"] - interval["low"] == pytest.approx(width, rel=0.1)
    # Paired: a constant difference has no width, however much both sides vary.
    assert mean_interval((values + 0.1) - values) == pytest.approx({"value": 0.1, "low": 0.1, "high": 0.1})
    with pytest.raises(ValueError, match="at least one RNA"):
        mean_interval([])


def test_crossing_pairs():
    pairs = parse_dotbracket(KNOT)
    assert benchmark.crossing_pairs(pairs) == pairs
    assert benchmark.crossing_pairs(parse_dotbracket("((..))((..))")) == []
    assert benchmark.crossing_pairs(parse_dotbracket("(..)" + KNOT)) == [(i + 4, j + 4) for i, j in pairs]
    assert benchmark.crossing_pairs([]) == []


def test_pooled_counts_pairs_and_the_mean_counts_rnas():
    rnas = [KnownRna("A" * 20, parse_dotbracket("((((((((....))))))))")), KnownRna("A" * 6, [(0, 5)])]
    predicted = [rnas[0].pairs, [(0, 4)]]
    result = benchmark.compare({"mfe": predicted}, rnas)["metrics"]["mfe"]
    assert result["mean"]["f1"] == result["f1"]["value"] == 0.5
    assert result["mean_shifted"]["f1"] == 1
    assert result["pooled"]["precision"] == result["pooled"]["recall"] == 8 / 9
    assert result["pooled_shifted"]["f1"] == 1


def test_differences_and_pseudoknots():
    rnas = [KnownRna("A" * len(KNOT), parse_dotbracket(KNOT)), KnownRna("A" * 8, parse_dotbracket("((....))"))] * 10
    nested = [[pair for pair in rna.pairs if pair[0] < 6] for rna in rnas]
    report = benchmark.compare({"model": [rna.pairs for rna in rnas], "mfe": nested}, rnas)
    assert report["pseudoknots"] == {"rnas": 10, "pairs": 80, "found": {"model": 1.0, "mfe": 0.5}}
    difference = report["differences"]["mfe"]
    assert list(report["differences"]) == ["mfe"]
    # The nested half of a pseudoknot has precision 1 and recall 1/2.
    assert difference["value"] == pytest.approx((1 - 2 / 3) / 2, abs=1e-5)
    assert 0 < difference["low"] < difference["value"] < difference["high"] < 1 / 3
    assert "pseudoknots" not in benchmark.compare({"mfe": [[]]}, [KnownRna("AAAA", [])])


def test_what_is_too_long_or_seen_is_left_out():
    seen = random_rna(0, 60)
    rnas = [KnownRna(s, []) for s in (random_rna(1, 501), seen, "AC" + seen[:50], random_rna(2, 60), random_rna(3, 60))]
    kept, counts = benchmark.choose_rnas(rnas, [seen])
    assert kept == rnas[3:]
    assert counts == {"too_long": 1, "similar_to_training": 2}
    assert benchmark.choose_rnas(rnas, [seen], limit=1)[0] == rnas[3:4]


def test_vienna_folds_once(tmp_path):
    folded = ViennaStructures(tmp_path)([HAIRPIN, "AAAAAAAA", HAIRPIN])
    assert folded == {method: ["((((((....))))))", "........", "((((((....))))))"] for method in ("mfe", "mea")}
    (file,) = tmp_path.iterdir()
    file.write_text(json.dumps({HAIRPIN: ["(....)", "(..)"]}))
    assert ViennaStructures(tmp_path)([HAIRPIN]) == {"mfe": ["(....)"], "mea": ["(..)"]}


def test_families_go_by_shared_words():
    first, second = random_rna(4, 120), random_rna(5, 120)
    mutant = first[:50] + "ACGUACGU" + first[58:]
    unknown = [random_rna(6, 120), "ACGU", "N" * 30]
    families = closest_families([mutant, second[10:], *unknown], [first, second], ["tRNA", "5s"])
    assert families == ["tRNA", "5s", "", "", ""]


def test_shapes_are_the_nesting_of_helices():
    cloverleaf = "(((((((..((((........)))).((((.......))))....(((((.......)))))))))))).."
    assert abstract_shape(parse_dotbracket(cloverleaf)) == "[[][][]]"
    assert abstract_shape(parse_dotbracket("((..((.(...)))..)).(((...)))")) == "[][]"
    assert abstract_shape(parse_dotbracket("..((..[[..))..]]")) == "[]"
    assert abstract_shape([]) == ""


def test_relatives_in_shape_have_the_length_of_a_family():
    family = [
        ("A" * len(text), parse_dotbracket(text)) for text in ("((....))((....))....", "(......)((.....))", "....")
    ]
    others = ["((....))(.......)..", "(...)(...)", "((................))"]
    rnas = [("A" * len(text), parse_dotbracket(text)) for text in others]
    assert find_alike(rnas, family[:2]).tolist() == [True, False, False]  # of "[][]", 17 to 20 nt
    assert not find_alike(rnas, family[1:2]).any()
    assert find_alike([*rnas, *family], family).sum() == 1
    assert find_alike([], family).tolist() == []


def test_alike_loosely_is_a_hairpin_more_or_less():
    assert near_shapes("[[][]]") == {"[[][]]", "[[][][]]", "[][[][]]", "[[][]][]"}  # but no lone hairpin
    assert near_shapes("[]") == {"[]", "[][]"}
    family = [("A" * 20, parse_dotbracket("((..(...)..(...).)).".ljust(20, ".")))]
    others = ["((..(...)(..)(...))).", "(..(...)(..)(..))..........", "(..................)", "((..(...)..(...)..))"]
    rnas = [("A" * len(text), parse_dotbracket(text)) for text in others]
    assert find_alike(rnas, family).tolist() == [False, False, False, True]
    assert find_alike(rnas, family, loosely=True).tolist() == [True, False, False, True]  # the second is too long


def test_hidden_families_are_left_out():
    clover, arms = "((..(...)..(...)..(...).)).", "((.....(......).....(......)....))"
    archive = {"sequence": ["A" * len(clover), "A" * len(arms)], "structure": [clover, arms], "family": ["tRNA", "5s"]}
    structures = [clover, arms, "((..(...)..(...)..(...)..(.).)).", "(((((((((....)))))))))....", "(...)(...)........."]
    rows = [{"sequence": "G" * len(text), "pairs": parse_dotbracket(text)} for text in structures]
    assert without_hidden_families(rows, archive) == rows[3:]


def test_pairs_come_in_order_and_do_not_depend_on_the_batch(checkpoint):
    sequences = [random_rna(seed, length) for seed, length in enumerate((30, 12, 45, 30, 20))]
    decodings = [Decoding(0.0, 1), Decoding(0.0, 1, canonical_only=True)]
    together = benchmark.predict_pairs(checkpoint, sequences, decodings)
    for row, sequence in enumerate(sequences):
        alone = benchmark.predict_pairs(checkpoint, [sequence], decodings)
        assert [pairs[row] for pairs in together] == [pairs[0] for pairs in alone]
        assert together[0][row]
        kinds = [{sequence[i], sequence[j]} for i, j in together[1][row]]
        assert all(kind in WATSON_CRICK_OR_WOBBLE for kind in kinds)


@pytest.fixture
def made_data(tmp_path, monkeypatch):
    """Test sets of a few RNAs in the layout of the shared data folder, and tables beside them."""
    monkeypatch.setattr(benchmark, "ViennaStructures", lambda: ViennaStructures(tmp_path / "vienna"))
    structure = "((((((....))))))"
    loop = random_rna(7, 40)
    archive = {
        "family": ["5s", "5s", "tRNA", "tRNA", "srp"],
        "sequence": [HAIRPIN, random_rna(8, 22).lower(), loop, random_rna(9, 510), "GGGGAAAACCCC"],
        "structure": [structure, KNOT.replace("[", "<").replace("]", ">"), "." * 40, "." * 510, "((((....))))"],
    }
    (tmp_path / "ss_archiveii").mkdir()
    pq.write_table(pa.table(archive), tmp_path / "ss_archiveii" / "archiveii.parquet")
    (tmp_path / "ss_pdb").mkdir()
    with gzip.open(tmp_path / "ss_pdb" / "pdb_rna.csv.gz", "wt", newline="") as file:
        writer = csv.DictWriter(file, ["sequence", "base_pairs"])
        writer.writeheader()
        writer.writerow({"sequence": "GGCAAGCT", "base_pairs": "[[1, 7], [1, 8], [2, 6]]"})
    tables = {"train": [random_rna(10, 50), loop[:36] + "ACGU"], "test": [HAIRPIN]}
    for name, sequences in tables.items():
        table = {"sequence": sequences, "pairs": [[[0, 15], [1, 14]] for _ in sequences]}
        pq.write_table(pa.table(table), tmp_path / f"structure_{name}.parquet")
    return tmp_path


def test_a_whole_run(made_data, checkpoint, tmp_path, capsys):
    output = tmp_path / "results" / "structure.json"
    arguments = ["--model", str(checkpoint), "--data", str(made_data), "--tables", str(made_data)]
    assert benchmark.main([*arguments, "--held-out", f"5s={checkpoint}", "--output", str(output)]) == 0
    report = json.loads(output.read_text())
    tests = report["tests"]
    assert list(tests) == [
        "bprna",
        "pdb",
        "pdb, AU, GC and GU pairs",
        "archiveii",
        "archiveii, families not in fine-tuning",
        "archiveii, 5s",
        "archiveii, tRNA",
        "archiveii, srp",
    ]
    assert report["model"] == "untrained"
    assert [one["dataset"] for one in report["headlines"]] == [
        "bprna",
        "archiveii, families not in fine-tuning",
        "pdb",
    ]
    best = max(tests["bprna"]["metrics"][method]["f1"]["value"] for method in ("mfe", "mea"))
    assert report["headlines"][0]["baseline_value"] == best
    assert report["headlines"][0]["value"] == tests["bprna"]["metrics"]["model"]["f1"]["value"]
    assert report["settings"]["decoding"] == {
        "threshold": 0.5,
        "min_helix_length": 2,
        "canonical_only": False,
        "pair_weight": 1.0,
    }
    assert tests["bprna"]["metrics"]["mfe"]["mean"]["recall"] == 1
    assert tests["bprna"]["metrics"]["mfe"]["mean"]["precision"] == pytest.approx(2 / 6)
    assert tests["archiveii, 5s"]["held_out"] == "untrained"
    assert tests["archiveii, 5s"]["pseudoknots"]["pairs"] == 8
    # One is too long, the other is nearly in the training table, which thus holds a relative.
    trna = {"too_long": 1, "similar_to_training": 1, "training_relatives": 1, "training_alike": 0, "rnas": 0}
    assert tests["archiveii, tRNA"] == trna
    # Another checkpoint's family is in the whole set, and not among those that the headline is of.
    assert tests["archiveii"]["rnas"] == 3
    assert tests["archiveii"]["held_out_families"] == ["5s"]
    assert tests["archiveii, families not in fine-tuning"]["rnas"] == tests["archiveii, srp"]["rnas"] == 1
    assert report["headlines"][1]["value"] == tests["archiveii, srp"]["metrics"]["model"]["f1"]["value"]
    shown = capsys.readouterr().out
    assert output.with_suffix(".md").read_text().strip() == shown.strip()
    assert "untrained minus ViennaRNA, minimum free energy" in shown


def test_pairs_of_the_pdb(made_data):
    (rna,) = read_pdb(made_data)
    assert rna == KnownRna("GGCAAGCU", [(0, 6), (0, 7), (1, 5)])
    assert canonical(rna).pairs == [(0, 6), (0, 7)]


def test_ways_of_decoding_are_compared(made_data, checkpoint, capsys):
    table = str(made_data / "structure_test.parquet")
    assert benchmark.main(["--model", str(checkpoint), "--validation", table]) == 0
    rows = capsys.readouterr().out.splitlines()[4:]
    assert len(rows) == 90
    scores = [float(row.split("|")[1]) for row in rows]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--held-out", "5s"], "is not FAMILY=MODEL"),
        (["--held-out", "5s=folder"], "need --model"),
        (["--limit", "0"], "1 or more"),
        (["--model", "CHECKPOINT", "--held-out", "rRNA=CHECKPOINT"], "has no family rRNA; it has 5s, tRNA, srp"),
    ],
)
def test_wrong_arguments(made_data, checkpoint, extra, message, capsys):
    extra = [argument.replace("CHECKPOINT", str(checkpoint)) for argument in extra]
    with pytest.raises(SystemExit):
        benchmark.main([*extra, "--data", str(made_data), "--tables", str(made_data)])
    assert message in capsys.readouterr().err
