"""`rna_hf.predict` for degradation, dropout, structure and 3d: right numbers, and the files beside the predictions."""

import csv
import json
import os
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from common import make_overflow
from test_prediction import RNAS, interrupt, random_rnas, write_fasta
from test_prediction import save_tiny as save_tiny_reactivity
from tiny_models import tiny_model

from rna_hf import (
    RibonanzaNetConfig,
    RibonanzaNetForDegradation,
    RibonanzaNetForSecondaryStructure,
    RibonanzaNetForSequenceDropout,
    RibonanzaNetForTertiaryStructure,
    plots,
)
from rna_hf.prediction import chunks, predict
from rna_hf.prediction.predictor import Predictor, load_config
from rna_hf.structure import (
    decode_pairs,
    parse_dotbracket,
    read_structures,
    read_trace,
    rmsd,
    structure_confidence,
    write_dotbracket,
)
from rna_hf.tasks import TASKS
from rna_hf.tasks.tertiary_structure import TertiaryStructurePrediction, file_stem
from rna_hf.tokenization import RnaTokenizerFast

CLASSES = {
    "degradation": RibonanzaNetForDegradation,
    "dropout": RibonanzaNetForSequenceDropout,
    "structure": RibonanzaNetForSecondaryStructure,
    "3d": RibonanzaNetForTertiaryStructure,
}
PAIRED = "GGGAAACUCCAGGCUAUACGGAUCUCUGAUUCGGACUAGG"


def save_tiny(folder, task, special_tokens=False, **options):
    """Save a small random model of a task; that of structures is made to pair some nucleotides of `PAIRED`."""
    tokenizer = RnaTokenizerFast(bos_token=special_tokens, eos_token=special_tokens)
    if special_tokens:
        options |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = tiny_model(CLASSES[task], training_max_length=40, **options)
    if task == "structure":
        with torch.inference_mode():
            logits = model(input_ids=RnaTokenizerFast()(PAIRED, return_tensors="pt").input_ids).logits
        model.pair_head.weight.data /= logits.std()
        model.pair_head.bias.data = (model.pair_head.bias.data - logits.mean()) / logits.std()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Of each task one whose padding leaks, as the original's, one with right masks, and one with special tokens."""
    kinds = {
        "padding leaks": {},
        "padding is masked": {"fix_attention_mask": True},
        "special tokens": {"fix_attention_mask": True, "special_tokens": True},
    }
    root = tmp_path_factory.mktemp("checkpoints")
    return {
        (task, kind): save_tiny(root / f"{task}-{kind}".replace(" ", "-"), task, **options)
        for task in CLASSES
        for kind, options in kinds.items()
    }


@pytest.fixture(scope="session")
def masked(checkpoints):
    return {task: folder for (task, kind), folder in checkpoints.items() if kind == "padding is masked"}


def run_model(checkpoint, task, sequence):
    """The model's own output for one sequence: logits, read counts or coordinates, without special tokens."""
    model = CLASSES[task].from_pretrained(checkpoint).eval()
    encoded = RnaTokenizerFast.from_pretrained(checkpoint)(
        sequence, return_tensors="pt", return_special_tokens_mask=True
    )
    keep = encoded.special_tokens_mask[0] == 0
    with torch.inference_mode():
        outputs = model(input_ids=encoded.input_ids)
    if task == "dropout":
        return outputs.read_counts[0].numpy()
    if task == "structure":
        return outputs.logits[0][keep][:, keep].numpy()
    return (outputs.coordinates if task == "3d" else outputs.logits)[0][keep].numpy()


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def read_all(folder):
    """Each file of a run but its record, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "run.json"}


@pytest.mark.parametrize("kind", ["padding leaks", "padding is masked", "special tokens"])
class TestRowsAreTheModelsOwnNumbers:
    def rows(self, checkpoints, task, kind, **options):
        rnas = [*RNAS, ("e", PAIRED), ("f", PAIRED[:23])]
        rows = predict(rnas, task=task, model=checkpoints[task, kind], **options)
        num_rows = TASKS[task].prediction.with_options(**options).rows_per_sequence
        assert [(row["id"], row["sequence"]) for row in rows] == [rna for rna in rnas for _ in range(num_rows)]
        return [(row, run_model(checkpoints[task, kind], task, row["sequence"])) for row in rows]

    def test_degradation(self, checkpoints, kind):
        targets = ["reactivity", "deg_Mg_pH10", "deg_pH10", "deg_Mg_50C", "deg_50C"]
        for row, values in self.rows(checkpoints, "degradation", kind):
            assert list(row) == ["id", "sequence", *targets, "warning"]
            for index, target in enumerate(targets):
                # Float32 sums in another order: batches of other shapes. The same below.
                np.testing.assert_allclose(row[target], values[:, index], atol=2e-5)

    def test_dropout(self, checkpoints, kind):
        for row, values in self.rows(checkpoints, "dropout", kind):
            assert list(row) == ["id", "sequence", "reads_2A3", "reads_DMS", "warning"]
            np.testing.assert_allclose([row["reads_2A3"], row["reads_DMS"]], values, rtol=2e-5)

    def test_structure(self, checkpoints, kind):
        num_pairs = 0
        for row, values in self.rows(checkpoints, "structure", kind):
            assert list(row) == ["id", "sequence", "structure", "confidence", "warning"]
            pairs = decode_pairs(sigmoid(values))
            num_pairs += len(pairs)
            assert row["structure"] == write_dotbracket(pairs, len(row["sequence"]))
            assert row["confidence"] == pytest.approx(structure_confidence(sigmoid(values), pairs), abs=1e-5)
        assert num_pairs > 0

    def test_3d(self, checkpoints, kind):
        found = self.rows(checkpoints, "3d", kind, num_samples=2)
        assert [row["sample"] for row, _ in found] == [1, 2] * (len(found) // 2)
        for row, values in found:
            assert list(row) == ["id", "sequence", "sample", "x", "y", "z", "warning"]
            coordinates = np.array([row["x"], row["y"], row["z"]]).T
            if row["sample"] == 1:
                np.testing.assert_allclose(coordinates, values, atol=2e-5)
            elif len(values) > 1:
                assert np.abs(coordinates - values).max() > 1e-4


def test_3d_from_distances(tmp_path):
    """The head that predicts distances: a trace is found for each RNA, in a frame of no meaning."""
    folder = save_tiny(tmp_path, "3d", fix_attention_mask=True, coordinate_head="pair")
    rows = predict(PAIRED[:10], task="3d", model=folder, num_samples=2)
    first, second = (np.array([row["x"], row["y"], row["z"]]).T for row in rows)
    assert rmsd(first, run_model(folder, "3d", PAIRED[:10])) < 1e-3
    assert rmsd(second, first) > 0.1


def test_flip_average(masked):
    one, other = (run_model(masked["dropout"], "dropout", sequence) for sequence in (PAIRED, PAIRED[::-1]))
    (row,) = predict(PAIRED, task="dropout", model=masked["dropout"], flip_average=True)
    np.testing.assert_allclose([row["reads_2A3"], row["reads_DMS"]], (one + other) / 2, rtol=2e-5)

    one, other = (run_model(masked["structure"], "structure", sequence) for sequence in (PAIRED, PAIRED[::-1]))
    mean = sigmoid((one + other[::-1, ::-1]) / 2)
    (row,) = predict(PAIRED, task="structure", model=masked["structure"], flip_average=True)
    assert row["structure"] == write_dotbracket(decode_pairs(mean), len(PAIRED))
    assert row["confidence"] == pytest.approx(structure_confidence(mean, decode_pairs(mean)), abs=1e-5)
    (plain,) = predict(PAIRED, task="structure", model=masked["structure"])
    assert row["confidence"] != pytest.approx(plain["confidence"], abs=1e-4)

    with pytest.raises(ValueError, match="flip_average is not for `predict 3d`"):
        predict(PAIRED, task="3d", model=masked["3d"], flip_average=True)


@pytest.mark.parametrize("format", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("task", list(CLASSES))
def test_formats_hold_the_same(task, format, masked, tmp_path):
    rows = predict(RNAS, task=task, model=masked[task])
    wide = format == "csv" and TASKS[task].prediction.per_nucleotide
    path = predict(RNAS, tmp_path, task=task, model=masked[task], format=format, wide=wide)
    columns = TASKS[task].prediction.columns(load_config(masked[task], TASKS[task]))
    if format == "parquet":
        table = pq.read_table(path)
        kinds = {"numbers": pa.list_(pa.float32()), "number": pa.float32(), "index": pa.int32(), "text": pa.string()}
        assert table.schema.types[2:] == [*(kinds[kind] for kind in columns.values()), pa.string()]
        assert json.loads(table.schema.metadata[b"rna_hf"])["unit"] == TASKS[task].prediction.unit
        found = table.to_pylist()
    elif format == "csv":
        with open(path, newline="") as file:
            found = [
                {name: text if columns.get(name, "text") == "text" else json.loads(text) for name, text in row.items()}
                for row in csv.DictReader(file)
            ]
    else:
        found = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(found) == len(rows)
    for one, other in zip(found, rows):
        assert list(one) == list(other) == ["id", "sequence", *columns, "warning"]
        assert (one["warning"] or None) == other["warning"]
        for name, kind in {"id": "text", "sequence": "text", **columns}.items():
            if kind in ("text", "index"):
                assert one[name] == other[name]
            else:  # not a digit is lost in text
                assert np.array_equal(np.float32(one[name]), np.float32(other[name]))


@pytest.mark.parametrize(
    ("task", "options", "names"),
    [
        ("degradation", {}, ["degradation.png", "half_life_ranking.csv"]),
        ("dropout", {}, []),
        ("structure", {"ct": True}, ["structure.png", "structures.ct", "structures.dbn"]),
        ("3d", {"num_samples": 2, "pdb": True}, None),
    ],
)
def test_interrupted_runs_end_as_undisturbed_ones(task, options, names, masked, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(chunks, "CHUNK_SEQUENCES", 5)
    rnas = [*random_rnas(12), ("paired", PAIRED)]
    path = write_fasta(tmp_path / "in.fa", rnas)
    options |= {"task": task, "model": masked[task]}
    predict(path, tmp_path / "undisturbed", **options)
    undisturbed = read_all(tmp_path / "undisturbed")
    if names is None:
        ends = ("_1.cif", "_1.pdb", "_2.cif", "_2.pdb", ".html")
        names = [f"{identifier}{end}" for identifier, _ in rnas for end in ends]
    assert sorted(undisturbed) == sorted([*names, "predictions.parquet"])
    with monkeypatch.context() as patch:
        interrupt(patch, after=2)
        with pytest.raises(KeyboardInterrupt):
            predict(path, tmp_path / "out", **options)
    with monkeypatch.context() as patch:  # and once more, when the last file is about to be written
        last = {"degradation": "plots.plot_heat_map", "structure": "plots.plot_arc_diagrams"}
        where = last.get(task, "tasks.tertiary_structure.write_viewer" if task == "3d" else None)
        if where is not None:
            patch.setattr(f"rna_hf.{where}", raise_interrupt)
            with pytest.raises(KeyboardInterrupt):
                predict(path, tmp_path / "out", **options)
            assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "unfinished"
    with caplog.at_level("INFO", logger="rna_hf"):
        predict(path, tmp_path / "out", **options)
    assert f"resuming: {10 if where is None else 13} of 13 sequences are done" in caplog.text
    assert read_all(tmp_path / "out") == undisturbed


def raise_interrupt(*arguments, **options):
    raise KeyboardInterrupt


def test_overwriting_removes_our_own_files_only(masked, tmp_path):
    out = tmp_path / "out"
    predict(RNAS, out, task="3d", model=masked["3d"], num_samples=2, pdb=True)
    (out / "a_3.cif").write_text("mine")
    with pytest.raises(FileExistsError, match="num_samples 2 there, 5 here"):
        predict(RNAS, out, task="3d", model=masked["3d"], pdb=True)
    predict(RNAS, out, task="dropout", model=masked["dropout"], overwrite=True)
    assert sorted(os.listdir(out)) == ["a_3.cif", "predictions.parquet", "run.json"]


@pytest.mark.parametrize(("task", "name"), [("3d", "b_2.cif"), ("structure", "structures.dbn"), ("3d", "b.html")])
def test_foreign_files_are_found_before_anything_is_predicted(masked, tmp_path, monkeypatch, task, name):
    (tmp_path / name).symlink_to("nowhere")
    monkeypatch.setattr(Predictor, "predict_batch", lambda *arguments: pytest.fail("predicted"))
    with pytest.raises(FileExistsError, match=re.escape(name)):
        predict(RNAS, tmp_path, task=task, model=masked[task])
    assert os.listdir(tmp_path) == [name]


def test_foreign_files_are_not_replaced(masked, tmp_path):
    options = {"task": "3d", "model": masked["3d"], "num_samples": 1}
    (tmp_path / "b.html").write_text("mine")
    with pytest.raises(FileExistsError, match=r"b\.html exists already and is not of this run; move it away"):
        predict(RNAS, tmp_path, **options)
    assert not list(tmp_path.glob("*.cif"))
    (tmp_path / "b.html").rename(tmp_path / "mine.html")
    predict(RNAS, tmp_path, **options)
    assert (tmp_path / "mine.html").read_text() == "mine"
    assert len(list(tmp_path.glob("*.html"))) == len(RNAS) + 1


def test_a_record_cannot_point_out_of_its_folder(masked, tmp_path):
    (tmp_path / "mine.cif").write_text("mine")
    predict(RNAS, tmp_path / "out", task="dropout", model=masked["dropout"])
    record = json.loads((tmp_path / "out" / "run.json").read_text()) | {"files": ["../mine.cif"]}
    (tmp_path / "out" / "run.json").write_text(json.dumps(record))
    predict(RNAS[:2], tmp_path / "out", task="dropout", model=masked["dropout"], overwrite=True)
    assert (tmp_path / "mine.cif").exists()


def test_structure_files(masked, tmp_path):
    rnas = [("a\nb", PAIRED), ("t", PAIRED.lower().replace("u", "t")), ("n", "A")]
    path = predict(rnas, tmp_path, task="structure", model=masked["structure"], ct=True)
    rows = pq.read_table(path).to_pylist()
    assert rows[0]["structure"] != "." * len(PAIRED)
    for name in ("structures.dbn", "structures.ct"):
        found = read_structures(tmp_path / name)
        assert [structure.id for structure in found] == ["a b", "t", "n"]
        assert [(structure.sequence, structure.dotbracket) for structure in found] == [
            (row["sequence"], row["structure"]) for row in rows
        ]
    assert (tmp_path / "structure.png").read_bytes().startswith(b"\x89PNG")


def test_ct_on_request_only(masked, tmp_path):
    predict(RNAS, tmp_path, task="structure", model=masked["structure"], plot_rows=0)
    assert sorted(os.listdir(tmp_path)) == ["predictions.parquet", "run.json", "structures.dbn"]


def test_3d_files(masked, tmp_path):
    sequence = PAIRED[:-1] + "t"
    path = predict([("x", sequence)], tmp_path, task="3d", model=masked["3d"], num_samples=3, pdb=True)
    samples = [np.array([row["x"], row["y"], row["z"]]).T for row in pq.read_table(path).to_pylist()]
    for number, sample in enumerate(samples, start=1):
        for suffix in (".cif", ".pdb"):
            trace = read_trace(tmp_path / f"x_{number}{suffix}")
            assert trace.sequence == PAIRED[:-1] + "U"
            np.testing.assert_allclose(trace.coordinates, sample, atol=6e-4)
    page = (tmp_path / "x.html").read_text()
    data, _ = json.JSONDecoder().raw_decode(page, page.index('{"sequence":'))
    shown = [np.array(sample) for sample in data["samples"]]
    assert len(shown) == 3
    np.testing.assert_allclose(shown[0], samples[0], atol=6e-3)
    for one, other in zip(shown, samples):
        # Superposed: moving them further brings them no closer to the first, and they keep their shape.
        assert rmsd(one, shown[0], superposed=False) == pytest.approx(rmsd(other, samples[0]), abs=0.01)


def test_ids_that_are_no_file_names(masked, tmp_path):
    ids = ["a/b", "a:b", "a_b", "..", ".hidden", "é", "x" * 400, "x" * 399 + "y", "1ABC_A", "a b"]
    stems = [file_stem(identifier) for identifier in ids]
    assert [stem for stem, identifier in zip(stems, ids) if stem == identifier] == ["a_b", "1ABC_A"]
    assert len(set(stems)) == len(ids)
    assert all(stem.isascii() and not stem.startswith(".") and len(stem) < 200 for stem in stems)
    predict([(identifier, "ACGU") for identifier in ids], tmp_path, task="3d", model=masked["3d"], num_samples=1)
    assert {path.stem for path in tmp_path.glob("*.html")} == set(stems)
    assert {path.stem for path in tmp_path.glob("*.cif")} == {f"{stem}_1" for stem in stems}


@pytest.mark.parametrize("num_samples", [0, 101, -1, 2.0, True])
def test_number_of_samples(num_samples, masked):
    with pytest.raises(ValueError, match="num_samples must be a whole number from 1 to 100, got"):
        predict("ACGU", task="3d", model=masked["3d"], num_samples=num_samples)


def test_options_that_do_not_fit(masked, monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="no checkpoint for `predict dropout` comes with rna-hf; name one"):
        predict("ACGU", task="dropout")
    with pytest.raises(ValueError, match="pdb is for files; name an output folder"):
        predict("ACGU", task="3d", model=masked["3d"], pdb=True)
    with pytest.raises(ValueError, match="needs RibonanzaNetForTertiaryStructure"):
        predict("ACGU", task="3d", model=masked["structure"])
    config = RibonanzaNetConfig()
    assert TertiaryStructurePrediction(pdb=True).explain_length(9999, config) is None
    assert TertiaryStructurePrediction().explain_length(10_000, config) is None
    # A model that could take such an RNA would need much memory, so a smaller limit stands in for the format's.
    monkeypatch.setattr("rna_hf.tasks.tertiary_structure.PDB_MAX_RESIDUES", 12)
    with pytest.raises(ValueError, match=r"'b'\): 15 nt do not fit into a PDB file, which holds 12; leave out --pdb"):
        predict(RNAS, tmp_path / "out", task="3d", model=masked["3d"], pdb=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("task", ["dropout", "structure", "3d"])
def test_predictions_that_are_not_finite_are_refused(task, masked, tmp_path):
    model = CLASSES[task].from_pretrained(masked[task])
    make_overflow(model)
    shutil.copytree(masked[task], tmp_path / "huge")
    model.save_pretrained(tmp_path / "huge")
    with pytest.raises(FloatingPointError, match="'sequence' is not finite in float32"):
        predict("ACGU", task=task, model=tmp_path / "huge")


def read_ranking(folder):
    with open(folder / "half_life_ranking.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_half_life_ranking(masked, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_SEQUENCES", 3)
    rnas = random_rnas(10)
    rows = predict(rnas, task="degradation", model=masked["degradation"])
    predict(rnas, tmp_path, task="degradation", model=masked["degradation"])
    ranking = read_ranking(tmp_path)
    targets = ["deg_Mg_pH10", "deg_pH10", "deg_Mg_50C", "deg_50C"]
    sums = [f"{target}_sum" for target in targets]
    assert list(ranking[0]) == ["rank", "id", "length", *sums, "relative_half_life_deg_Mg_pH10"]
    expected = {row["id"]: [sum(max(value, 0) for value in row[target]) for target in targets] for row in rows}
    assert min(value for row in rows for value in row["deg_Mg_pH10"]) < 0  # so that counting them as 0 matters
    best = min(values[0] for values in expected.values())
    assert [row["rank"] for row in ranking] == [str(number) for number in range(1, 11)]
    assert [row["id"] for row in ranking] == sorted(expected, key=lambda identifier: expected[identifier][0])
    for row in ranking:
        assert int(row["length"]) == len(dict(rnas)[row["id"]])
        np.testing.assert_allclose([float(row[name]) for name in sums], expected[row["id"]], rtol=1e-5)
        assert float(row["relative_half_life_deg_Mg_pH10"]) == pytest.approx(best / expected[row["id"]][0], rel=1e-5)


def test_ranking_of_rnas_that_never_decay(masked, tmp_path):
    model = RibonanzaNetForDegradation.from_pretrained(masked["degradation"])
    model.degradation_head.weight.data[1] = 0
    model.degradation_head.bias.data[1] = -1
    shutil.copytree(masked["degradation"], tmp_path / "model")
    model.save_pretrained(tmp_path / "model")
    predict(RNAS, tmp_path / "out", task="degradation", model=tmp_path / "model")
    found = [(row["id"], row["deg_Mg_pH10_sum"]) for row in read_ranking(tmp_path / "out")]
    assert found == [(identifier, "0") for identifier, _ in RNAS]
    assert {row["relative_half_life_deg_Mg_pH10"] for row in read_ranking(tmp_path / "out")} == {"1"}


@pytest.mark.parametrize(
    ("targets", "rnas", "column"),
    [
        (["reactivity", "deg_50C", "deg_pH10"], RNAS, "relative_half_life_deg_50C"),
        (["reactivity"], RNAS, None),
        (["reactivity", "deg_Mg_pH10"], RNAS[:1], None),
    ],
)
def test_what_is_ranked_by(targets, rnas, column, tmp_path):
    folder = save_tiny(tmp_path / "model", "degradation", degradation_targets=targets, fix_attention_mask=True)
    predict(rnas, tmp_path / "out", task="degradation", model=folder, plot_rows=0)
    if column is None:
        assert sorted(os.listdir(tmp_path / "out")) == ["predictions.parquet", "run.json"]
    else:
        assert list(read_ranking(tmp_path / "out")[0])[-1] == column


def test_a_finished_run_of_another_task_is_kept(masked, tmp_path):
    predict(RNAS, tmp_path / "out", task="dropout", model=masked["dropout"])
    reactivity = save_tiny_reactivity(tmp_path / "reactivity")
    with pytest.raises(FileExistsError, match="task dropout there, reactivity here"):
        predict(RNAS, tmp_path / "out", model=reactivity)


def arc_rows(probability):
    rows = [
        {"id": "knot", "sequence": "ACGU" * 8, "structure": "(((...[[[..)))...]]]............"},
        {"id": "long", "sequence": "ACGU" * 500, "structure": "((((" + "." * 1992 + "))))"},
        {"id": "a$x_$" * 30, "sequence": "A", "structure": "."},
    ]
    for row in rows:
        row["confidence"] = 0.5
        row["pair_probabilities"] = [probability] * len(parse_dotbracket(row["structure"]))
    return rows


def test_arc_diagrams(tmp_path):
    for probability in (0.6, 0.9):
        plots.plot_arc_diagrams(arc_rows(probability), tmp_path / f"{probability}.png", "title")
    assert sorted(os.listdir(tmp_path)) == ["0.6.png", "0.9.png"]
    from matplotlib.image import imread

    sure, unsure = imread(tmp_path / "0.9.png"), imread(tmp_path / "0.6.png")
    assert sure.shape == unsure.shape
    changed = (sure != unsure).any(axis=2)
    # Only arcs differ: not the colour bar, nor the RNA without pairs above it.
    assert 0.001 < changed.mean() < 0.1
    assert not changed[-250:].any()


def test_the_scale_of_a_heat_map_follows_the_values(tmp_path):
    rows = [{"id": "a", "sequence": "ACGU" * 5, "deg": np.linspace(-1, 1, 20).tolist()}]
    larger = [{"id": "a", "sequence": "ACGU" * 5, "deg": np.linspace(-1, 3, 20).tolist()}]
    for name, values, limits in (("own", rows, None), ("larger", larger, None), ("fixed", rows, (0, 0.9))):
        plots.plot_heat_map(values, {"deg": "a long name of a target"}, tmp_path / f"{name}.png", "rate", limits=limits)
    own, larger, fixed = ((tmp_path / f"{name}.png").read_bytes() for name in ("own", "larger", "fixed"))
    assert own == fixed  # 0.9 is the 95th percentile
    assert own != larger
