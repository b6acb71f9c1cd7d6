"""`predict localisation` and `pipeline("rna-localisation")`: the model's own numbers, and the files beside them."""

import csv
import json
import os
import shutil
import warnings
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from common import make_overflow
from test_prediction import interrupt, write_fasta
from test_prediction_tasks import raise_interrupt, read_all
from transformers import pipeline

from rna_hf import RnaTrackerConfig, RnaTrackerForLocalisation, plots
from rna_hf.data.batches import make_batches
from rna_hf.interpretation.windows import strongest_windows, windows_elsewhere
from rna_hf.pipelines import LocalisationPipeline
from rna_hf.prediction import chunks, predict
from rna_hf.prediction.predictor import batch_cost
from rna_hf.tasks.localisation import LocalisationPrediction
from rna_hf.tokenization import RnaTokenizerFast

COMPARTMENTS = ["Cytosol", "Insoluble", "Membrane", "Nuclear"]
MOTIF, OTHER_MOTIF = "UGUAAAUA", "GGACUCGG"


def random_rnas(lengths, letters="ACGU"):
    generator = np.random.default_rng(0)
    return [(f"r{index}", "".join(generator.choice(list(letters), length))) for index, length in enumerate(lengths)]


RNAS = random_rnas([60, 45, 300, 60, 151, 700], "ACGUacgtN")


def save_tiny(folder, tokenizer=None, **options):
    """Save a small random model whose shares and attention differ from one sequence to the next."""
    torch.manual_seed(0)
    model = RnaTrackerForLocalisation(RnaTrackerConfig(hidden_size=8, gru_hidden_size=4, attention_size=4, **options))
    model.localisation_head.weight.data *= 20
    model.model.attention.score.weight.data *= 50
    model.save_pretrained(folder)
    RnaTokenizerFast(alphabet="rnatracker", **(tokenizer or {})).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """One that masks its padding, and one that reads it, as the original does."""
    root = tmp_path_factory.mktemp("localisation")
    return {mask: save_tiny(root / str(mask), mask_padding=mask) for mask in (True, False)}


@pytest.fixture(scope="session")
def tiny(checkpoints):
    return checkpoints[True]


def run_model(checkpoint, sequence):
    """The shares and the attention of one sequence alone."""
    model = RnaTrackerForLocalisation.from_pretrained(checkpoint).eval()
    encoded = RnaTokenizerFast.from_pretrained(checkpoint)(sequence, return_tensors="pt")
    with torch.inference_mode():
        outputs = model(input_ids=encoded.input_ids, output_attentions=True)
    return outputs.logits[0].softmax(-1).numpy(), outputs.attentions[0].numpy()


def read_table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def run_at_length(checkpoint, sequence, length):
    """The shares, and each attention weight by its window on the sequence as given, where it holds nucleotides."""
    model = RnaTrackerForLocalisation.from_pretrained(checkpoint).eval()
    tokenizer = RnaTokenizerFast.from_pretrained(checkpoint)
    batch = tokenizer([sequence], padding="max_length", truncation=True, max_length=length, return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**batch, output_attentions=True)
    # The nucleotide at each position of the input, -1 for padding.
    first = len(sequence) - length if len(sequence) > length and tokenizer.truncation_side == "left" else 0
    places = np.full(length, -1)
    places[batch.attention_mask[0].bool().numpy()] = first + np.arange(min(len(sequence), length))
    if model.config.mask_padding:
        places = places[places >= 0]
    weights = {}
    for index, weight in enumerate(outputs.attentions[0].tolist()):
        seen = places[index * 9 : index * 9 + 45]
        if (seen >= 0).any():
            weights[int(seen[seen >= 0].min()), int(seen.max()) + 1] = weight
    return outputs.logits[0].softmax(-1).numpy(), weights


pytestmark = pytest.mark.filterwarnings("ignore:.*unknown nucleotides:UserWarning")


@pytest.mark.parametrize("batch_tokens", [1, 2000])
@pytest.mark.parametrize("mask", [True, False])
def test_rows_are_the_models_own_numbers(mask, batch_tokens, checkpoints, tmp_path):
    path = predict(RNAS, tmp_path, task="localisation", model=checkpoints[mask], batch_tokens=batch_tokens, plot_rows=0)
    rows = pq.read_table(path).to_pylist()
    assert [(row["id"], row["sequence"]) for row in rows] == RNAS
    assert json.loads(pq.read_schema(path).metadata[b"rna_hf"])["task"] == "localisation"
    windows = read_table(tmp_path / "attention_windows.csv")
    spread = []
    for row in rows:
        assert list(row) == ["id", "sequence", *COMPARTMENTS, "warning"]
        shares, attention = run_model(checkpoints[mask], row["sequence"])
        found = [row[name] for name in COMPARTMENTS]
        spread.append(found)
        np.testing.assert_allclose(found, shares, atol=2e-5)
        assert sum(found) == pytest.approx(1, abs=1e-5)
        own = [window for window in windows if window["id"] == row["id"]]
        assert [int(window["rank"]) for window in own] == list(range(1, len(own) + 1))
        assert 1 <= len(own) <= 5
        for window in own:
            start, end = int(window["start"]), int(window["end"])
            assert end - start == 45
            assert window["sequence"] == row["sequence"][start:end]
            assert float(window["weight"]) == pytest.approx(attention[start // 9], abs=2e-5)
            assert float(window["relative_weight"]) == pytest.approx(attention[start // 9] * len(attention), rel=1e-3)
        assert float(own[0]["weight"]) == pytest.approx(attention.max(), abs=2e-5)
    assert np.std(spread, axis=0).max() > 0.01  # equal rows would hide a mix-up


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("truncation", ["left", "right"])
@pytest.mark.parametrize("mask", [True, False])
def test_fixed_length_is_the_tokenizers(mask, truncation, padding, tmp_path):
    sides = {"padding_side": padding, "truncation_side": truncation}
    checkpoint = save_tiny(tmp_path / "model", tokenizer=sides, mask_padding=mask)
    length = 160
    options = {"task": "localisation", "model": checkpoint, "fixed_length": length}
    path = predict(RNAS, tmp_path / "out", num_windows=100, **options)
    windows = read_table(tmp_path / "out" / "attention_windows.csv")
    call = pipeline("rna-localisation", model=str(checkpoint), device="cpu")
    piped = call([sequence for _, sequence in RNAS], batch_size=4, fixed_length=length)
    for row, one in zip(pq.read_table(path).to_pylist(), piped, strict=True):
        sequence = row["sequence"]
        shares, weights = run_at_length(checkpoint, sequence, length)
        np.testing.assert_allclose([row[name] for name in COMPARTMENTS], shares, atol=2e-5)
        np.testing.assert_allclose(list(one["localisation"].values()), shares, atol=2e-5)
        mean = np.mean(list(weights.values()))
        own = [window for window in windows if window["id"] == row["id"]]
        assert [(window["start"], window["end"]) for window in one["windows"]] == [
            (int(window["start"]), int(window["end"])) for window in own[:5]
        ]
        for window in own:
            start, end = int(window["start"]), int(window["end"])
            assert window["sequence"] == sequence[start:end]
            assert float(window["weight"]) == pytest.approx(weights[start, end], abs=2e-5)
            assert float(window["relative_weight"]) == pytest.approx(weights[start, end] / mean, rel=1e-3)
        assert float(own[0]["weight"]) == pytest.approx(max(weights.values()), abs=2e-5)
    # The end that is kept, and only that, is looked at.
    long = [(int(window["start"]), int(window["end"])) for window in windows if window["id"] == "r5"]
    kept = (700 - length, 700) if truncation == "left" else (0, length)
    assert all(kept[0] <= start < end <= kept[1] for start, end in long)
    if mask:
        cut = [(name, sequence[-length:] if truncation == "left" else sequence[:length]) for name, sequence in RNAS]
        alone = predict(cut, task="localisation", model=checkpoint)
        found = [[row[name] for name in COMPARTMENTS] for row in pq.read_table(path).to_pylist()]
        np.testing.assert_allclose(found, [[row[name] for name in COMPARTMENTS] for row in alone], atol=2e-5)


def test_padding_that_is_read_makes_short_rnas_long_enough(checkpoints, tmp_path):
    options = {"task": "localisation", "model": checkpoints[False], "fixed_length": 100}
    # Seven windows of 45, 9 apart, end at 99: of 100 nt the last one is never seen.
    path = predict([("one", "A"), ("two", "AC"), ("ten", "ACGUACGUAC")], tmp_path, skip_invalid=True, **options)
    rows = pq.read_table(path).to_pylist()
    assert [row["id"] for row in rows] == ["two", "ten"]
    assert "1 nt are too short for this model, which reads 2 nt or more" in (tmp_path / "skipped.tsv").read_text()
    np.testing.assert_allclose(
        [rows[1][name] for name in COMPARTMENTS], run_at_length(checkpoints[False], "ACGUACGUAC", 100)[0], atol=2e-5
    )
    windows = [row for row in read_table(tmp_path / "attention_windows.csv") if row["id"] == "ten"]
    assert [(row["start"], row["sequence"]) for row in windows] == [("0", "ACGUACGUA")]
    with pytest.raises(ValueError, match="10 nt are too short for this model, which reads 45 nt or more"):
        predict([("ten", "ACGUACGUAC")], **(options | {"model": checkpoints[True]}))


def test_fixed_length_is_part_of_a_run(tiny, tmp_path):
    predict(RNAS, tmp_path, task="localisation", model=tiny, fixed_length=60)
    with pytest.raises(FileExistsError, match="fixed_length 60 there, None here"):
        predict(RNAS, tmp_path, task="localisation", model=tiny)


@pytest.mark.filterwarnings("default:.*unknown nucleotides:UserWarning")
def test_transcripts_with_many_n_are_named_once(tiny, tmp_path):
    sequence = "ACGUU" * 40
    unknown = [(f"n{number}", "NNn" + sequence) for number in range(5)]
    rnas = [("fine", "N" + sequence), *unknown, ("end", sequence + "NRY")]
    options = {"task": "localisation", "model": tiny}
    message = r"^6 RNAs to take with care .more than 1% unknown .*: 'n0', 'n1', 'n2' and 3 more$"
    with pytest.warns(UserWarning, match=message) as caught:
        predict(rnas, **options)
    assert len(caught) == 1
    with pytest.warns(
        UserWarning, match=r"^5 RNAs to take with care .more than 1% .*: 'n0', 'n1', 'n2' and 2 more$"
    ) as caught:
        predict(rnas, fixed_length=150, **options)  # which leaves out the letters at the end
    assert len(caught) == 1
    with pytest.warns(UserWarning, match=r"^1 RNA to take with care .more than 1% .*: 'end'$"):
        predict(rnas[-1:], tmp_path, **options)


def test_lengths_beyond_training_are_warned_about(tmp_path):
    tiny = save_tiny(tmp_path / "model", training_max_length=100)
    rnas = random_rnas([60, 200, 201, 300])
    with pytest.warns(UserWarning, match=r"^2 RNAs to take with care .longer than 2 x 100 nt, .*: 'r2', 'r3'$"):
        predict(rnas, task="localisation", model=tiny)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predict(rnas, task="localisation", model=tiny, fixed_length=200)


def test_output_folder(tiny, tmp_path):
    predict(RNAS, tmp_path / "many", task="localisation", model=tiny)
    names = ["attention_windows.csv", "localisation.png", "motifs.csv", "predictions.parquet", "run.json"]
    assert sorted(os.listdir(tmp_path / "many")) == names
    assert (tmp_path / "many" / "localisation.png").read_bytes().startswith(b"\x89PNG")
    predict(RNAS[0][1], tmp_path / "one", task="localisation", model=tiny, plot_rows=0, num_windows=1)
    assert sorted(os.listdir(tmp_path / "one")) == ["attention_windows.csv", "predictions.parquet", "run.json"]
    assert len(read_table(tmp_path / "one" / "attention_windows.csv")) == 1


def test_too_short_for_the_model(tiny, tmp_path):
    rnas = [("short", "A" * 44), *RNAS[:2]]
    with pytest.raises(ValueError, match=r"\(id 'short'\): 44 nt are too short for this model, which reads 45 nt or m"):
        predict(rnas, task="localisation", model=tiny)
    path = predict(rnas, tmp_path, task="localisation", model=tiny, skip_invalid=True, plot_rows=0)
    assert pq.read_table(path)["id"].to_pylist() == ["r0", "r1"]
    assert "44 nt are too short" in (tmp_path / "skipped.tsv").read_text()


def test_long_transcripts_are_predicted_whole(tiny, tmp_path):
    ((_, sequence),) = rnas = random_rnas([205_000])
    predict(rnas, tmp_path, task="localisation", model=tiny, format="jsonl", plot_rows=1)
    row = json.loads((tmp_path / "predictions.jsonl").read_text())
    np.testing.assert_allclose([row[name] for name in COMPARTMENTS], run_model(tiny, sequence)[0], atol=2e-5)


def test_memory_grows_with_the_length():
    config = RnaTrackerConfig()
    # Against what was measured on the CPU for 200,000 nt in float32; not far above it, never below.
    assert 57e6 <= config.forward_cost(1, 200_000, 4) <= 2 * 57e6
    assert make_batches([4000] * 4, 8000, True, partial(batch_cost, config=config)) == [[0, 1], [2, 3]]


def test_interrupted_runs_end_as_undisturbed_ones(tiny, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(chunks, "CHUNK_SEQUENCES", 2)
    path = write_fasta(tmp_path / "in.fa", RNAS)
    options = {"task": "localisation", "model": tiny}
    predict(path, tmp_path / "undisturbed", **options)
    with monkeypatch.context() as patch:
        interrupt(patch, after=2)
        with pytest.raises(KeyboardInterrupt):
            predict(path, tmp_path / "out", **options)
    with monkeypatch.context() as patch:  # and once more, when the motifs are about to be written
        patch.setattr("rna_hf.tasks.localisation.rank_motifs", raise_interrupt)
        with pytest.raises(KeyboardInterrupt):
            predict(path, tmp_path / "out", **options)
    with caplog.at_level("INFO", logger="rna_hf"):
        predict(path, tmp_path / "out", **options)
    assert "resuming: 6 of 6 sequences are done" in caplog.text
    assert read_all(tmp_path / "out") == read_all(tmp_path / "undisturbed")
    with pytest.raises(FileExistsError, match="num_windows 5 there, 3 here"):
        predict(path, tmp_path / "out", num_windows=3, **options)


def test_motifs_are_what_gets_the_attention(tmp_path):
    """Two motifs in all RNAs; attention is paid to the windows that hold one of them."""
    generator = np.random.default_rng(1)
    config = RnaTrackerConfig()
    columns = {"id": [], "sequence": [], "attention": []}
    for identifier, sequence in random_rnas([450] * 60):
        for place, start in enumerate(generator.choice(np.arange(5, 430, 50), 6, replace=False)):
            motif = MOTIF if place < 3 else OTHER_MOTIF
            sequence = sequence[:start] + motif + sequence[start + len(motif) :]
        holds = [MOTIF in sequence[start:end] for start, end in config.attention_windows(450).tolist()]
        weights = 1 + 9 * np.array(holds, dtype=np.float32)
        for column, value in zip(columns.values(), (identifier, sequence, weights / weights.sum())):
            column.append(value)
    tables = [pa.table(columns).slice(0, 25), pa.table(columns).slice(25)]
    LocalisationPrediction(num_windows=3).write_files(lambda: iter(tables), config, tmp_path)
    windows = read_table(tmp_path / "attention_windows.csv")
    assert all(MOTIF in row["sequence"] for row in windows)
    ranked = read_table(tmp_path / "motifs.csv")
    assert {row["motif"] for row in ranked[:3]} == {MOTIF[:6], MOTIF[1:7], MOTIF[2:]}
    for background in ("shuffled", "elsewhere"):
        assert float(ranked[0][f"q_value_{background}"]) < 1e-10
        assert float(ranked[0][f"log2_odds_{background}"]) > 3
    # The other one is no less frequent in these RNAs.
    (other,) = (row for row in ranked if row["motif"] == OTHER_MOTIF[:6])
    assert float(other["fraction_elsewhere"]) > 0.1
    assert float(other["p_value_elsewhere"]) > 0.01


def test_strongest_windows():
    windows = np.array([[start, start + 45] for start in range(0, 180, 9)])
    weights = np.full(20, 0.01)
    weights[[4, 6, 15]] = 0.2, 0.3, 0.1
    assert strongest_windows(weights, windows, 5) == [6, 15]  # 4 overlaps 6, the others are below the mean
    assert strongest_windows(weights, windows, 1) == [6]
    assert strongest_windows(np.full(20, 0.05), windows, 9) == [0, 5, 10, 15]
    assert strongest_windows(np.ones(1), windows[:1], 5) == [0]
    # 6 is nucleotides 54 to 99, 15 is 135 to 180: what is left is before the first, and nothing in between.
    assert windows_elsewhere(windows, [(54, 99), (135, 180)]).tolist() == [[0, 45]]
    assert windows_elsewhere(windows, [(0, 45)]).tolist() == [[45, 90], [90, 135], [135, 180]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_windows": 0}, "num_windows must be a whole number from 1 to 100, got 0"),
        ({"num_windows": 101}, "num_windows must be a whole number from 1 to 100, got 101"),
        ({"num_windows": 3}, "num_windows is for files; name an output folder"),
        ({"fixed_length": 0}, "fixed_length must be a whole number of nucleotides, 1 or more, got 0"),
        ({"fixed_length": -5}, "fixed_length must be a whole number of nucleotides, 1 or more, got -5"),
        ({"fixed_length": 44}, "fixed_length is 44, too short for this model, which reads 45 nt or more"),
        ({"task": "structure", "fixed_length": 90}, "fixed_length is for `predict localisation`"),
        ({"flip_average": True}, "flip_average is not for `predict localisation`"),
        ({"num_samples": 3}, "num_samples is for `predict 3d`, not for `predict localisation`"),
        ({"task": "structure", "num_windows": 3}, "num_windows is for `predict localisation`"),
    ],
)
def test_wrong_options(options, message, tiny):
    with pytest.raises(ValueError, match=message):
        predict(RNAS, **{"task": "localisation", "model": tiny, **options})


def test_predictions_that_are_not_finite_are_refused(tiny, tmp_path):
    model = RnaTrackerForLocalisation.from_pretrained(tiny)
    make_overflow(model)
    shutil.copytree(tiny, tmp_path / "huge")
    model.save_pretrained(tmp_path / "huge")
    with pytest.raises(FloatingPointError, match="'sequence' is not finite in float32"):
        predict("ACGU" * 12, task="localisation", model=tmp_path / "huge")


@pytest.mark.parametrize("mask", [True, False])
def test_pipeline(mask, checkpoints):
    predictor = pipeline("rna-localisation", model=str(checkpoints[mask]), device="cpu")
    assert type(predictor) is LocalisationPipeline
    sequences = [sequence for _, sequence in RNAS]
    for found in (predictor(sequences, batch_size=3), list(map(predictor, sequences))):
        for sequence, one in zip(sequences, found, strict=True):
            assert list(one) == ["sequence", "localisation", "windows", "attention", "unit", "warning"]
            shares, attention = run_model(checkpoints[mask], sequence)
            assert one["sequence"] == sequence
            assert list(one["localisation"]) == COMPARTMENTS
            np.testing.assert_allclose(list(one["localisation"].values()), shares, atol=2e-5)
            np.testing.assert_allclose(one["attention"], attention, atol=2e-5)
            first = one["windows"][0]
            assert first["sequence"] == sequence[first["start"] : first["end"]]
            assert first["weight"] == max(one["attention"])
    with pytest.raises(ValueError, match="the sequence cannot be predicted: 44 nt are too short for this model"):
        predictor("A" * 44)


def picture_rows(weight=0.7):
    rows = [
        {"id": "long", "sequence": "ACGU" * 6000, "attention": np.full(2662, 1e-4), "strongest": [1330]},
        {"id": "a$x_$" * 30, "sequence": "A" * 45, "attention": [1.0], "strongest": [0]},
    ]
    rows[0]["attention"][1330] = weight
    for row in rows:
        starts = np.arange(len(row["attention"])) * 9
        row |= {"windows": np.stack([starts, starts + 45], axis=1), "Nucleus": 0.75, "Elsewhere in the cell": 0.25}
    return rows


def test_picture(tmp_path):
    from matplotlib.image import imread

    compartments = ["Nucleus", "Elsewhere in the cell"]
    plots.plot_localisation(picture_rows(), compartments, tmp_path / "one.png", "title")
    rows = picture_rows()
    rows[0]["Nucleus"] = 0.1
    plots.plot_localisation(rows, compartments, tmp_path / "bars.png", "title")
    # One peak among 2,662 windows is narrower than a pixel, and is drawn all the same.
    plots.plot_localisation(picture_rows(1e-4), compartments, tmp_path / "flat.png", "title")
    one, bars, flat = (imread(tmp_path / f"{name}.png") for name in ("one", "bars", "flat"))
    assert sorted(os.listdir(tmp_path)) == ["bars.png", "flat.png", "one.png"]
    middle = one.shape[1] // 3
    changed = (one != bars).any(axis=2)
    assert changed[:, :middle].any()
    assert not changed[:, middle:].any()
    changed = (one != flat).any(axis=2)
    assert changed[:, middle:].any()
    assert not changed[:, :middle].any()
