"""The benchmarks of localisation: scores by hand, data without leaks, baselines and models on made-up transcripts."""

import gzip
import json

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn", reason="the baselines need scikit-learn")

from sklearn.metrics import roc_auc_score

from benchmarks.accuracy import localisation as accuracy
from benchmarks.accuracy import localisation_baselines as baselines
from benchmarks.speed import rnatracker as speed
from recipes.rnatracker_mini import localisation_tables as tables
from rna_hf import RnaTokenizerFast, RnaTrackerConfig, RnaTrackerForLocalisation, convert_rnatracker

SIGNAL = "GAUUACA"


def random_rna(generator, length):
    return "".join(generator.choice(list("ACGU"), length))


def made_up_transcripts(count, seed=0):
    """Return records of `count` RNAs; those in the nucleus are rich in `SIGNAL`, and longer by it."""
    generator = np.random.default_rng(seed)
    records = []
    for number in range(count):
        letters = random_rna(generator, int(generator.integers(150, 200)))
        if number % 2 == 0:
            letters = "".join(letters[start : start + 20] + SIGNAL for start in range(0, len(letters), 20))
        records.append((f"rna{seed}_{number}", letters, ["Nucleus" if number % 2 == 0 else "Cytoplasm"]))
    return records


def write_gzip(path, header, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join([header, *lines, ""]).encode()))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with RNAlight's files; one training lncRNA is a mutant of a test lncRNA, one is a test mRNA."""
    folder = tmp_path_factory.mktemp("data")
    train, test, mrna = made_up_transcripts(30), made_up_transcripts(12, seed=1), made_up_transcripts(10, seed=2)
    train.append(("mutant", "A" + test[0][1][1:-1] + "C", ["Nucleus"]))
    train.append(("copy", mrna[1][1].replace("U", "T"), ["Cytoplasm"]))
    lines = [
        f"{name},gene,lncRNA,{places[0].lower()},{part},{letters}"
        for part, records in (("train", train), ("test", test))
        for name, letters, places in records
    ]
    write_gzip(folder / tables.LNCRNA_FILE, "id,gene,rna,location,split,sequence", lines)
    lines = [f"{name},gene,mRNA,{places[0].lower()},{letters}" for name, letters, places in mrna]
    write_gzip(folder / tables.MRNA_FILE, "id,gene,rna,location,sequence", lines)
    return folder


def save_model(folder, mask_padding=True, compartments=("Cytosol", "Nuclear")):
    torch.manual_seed(0)
    config = RnaTrackerConfig(
        hidden_size=4, gru_hidden_size=4, attention_size=4, mask_padding=mask_padding, compartments=list(compartments)
    )
    RnaTrackerForLocalisation(config).save_pretrained(folder)
    RnaTokenizerFast(alphabet="rnatracker", model_max_length=160).save_pretrained(folder)
    return folder


def test_shares_of_words():
    shares = baselines.word_shares(["ACGU", "acgt", "ACNAC", "A"], 2)
    assert shares.shape == (4, 16)
    expected = np.zeros(16)
    expected[[1, 6, 11]] = 1 / 3  # AC, CG, GU
    assert shares[0] == pytest.approx(expected)
    assert (shares[1] == shares[0]).all()
    assert shares[2, 1] == 1  # no word goes over the N
    assert not shares[3].any()


def test_weighted_classes_give_the_cross_entropy_of_distributions():
    labels = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    predicted = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
    rows, classes, weights = baselines.one_row_a_label(labels)
    by_class = -(weights * np.log(predicted[rows, classes])).sum() / len(labels)
    assert by_class == pytest.approx(-(labels * np.log(predicted)).sum() / len(labels))


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_baselines_find_what_is_there(name):
    train = tables.make_rows(made_up_transcripts(60), ("Nucleus", "Cytoplasm"))
    test = tables.make_rows(made_up_transcripts(20, seed=1), ("Nucleus", "Cytoplasm"))
    labels = np.array([row["labels"] for row in train])
    texts = [[row["sequence"] for row in rows] for rows in (train, test)]
    shares = baselines.BASELINES[name](texts[0], labels, np.arange(60), texts[1])
    assert shares.sum(1) == pytest.approx(np.ones(20))
    assert roc_auc_score([row["labels"][0] for row in test], shares[:, 0]) > 0.9


def test_the_penalty_is_chosen_by_correlation(monkeypatch):
    labels = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    assert baselines.mean_correlation(labels * 0.2 + 0.4, labels) == pytest.approx(1)
    assert baselines.mean_correlation(labels[::-1], labels) == pytest.approx(-1)
    assert baselines.mean_correlation(np.stack([labels[:, 0], np.ones(3)], axis=1), labels) == pytest.approx(1)
    generator = np.random.default_rng(0)
    features = generator.normal(size=(80, 40)).astype(np.float32)
    known = np.eye(2)[(features[:, 0] > 0).astype(int)]
    clusters = np.arange(80)
    monkeypatch.setattr(baselines, "mean_correlation", lambda shares, labels: -np.abs(shares - 0.5).max())
    _, strength = baselines.predict_logistic(features, known, clusters, features)
    assert strength == baselines.STRENGTHS[0]  # whose shares are closest to one half
    monkeypatch.setattr(baselines, "mean_correlation", lambda shares, labels: np.abs(shares - 0.5).max())
    _, strength = baselines.predict_logistic(features, known, clusters, features)
    assert strength == baselines.STRENGTHS[-1]


def test_area_under_the_curve():
    generator = np.random.default_rng(0)
    scores, is_positive = generator.integers(0, 8, 50) / 8, generator.random(50) < 0.4  # with ties
    areas = accuracy.area_under_curve(scores, is_positive)
    assert areas[0] == pytest.approx(roc_auc_score(is_positive, scores))
    draw = np.random.default_rng(0).multinomial(50, np.full(50, 1 / 50), 1)[0]
    rows = np.repeat(np.arange(50), draw)
    assert areas[1] == pytest.approx(roc_auc_score(is_positive[rows], scores[rows]))
    assert (accuracy.area_under_curve(2 * scores + 1, is_positive) == areas).all()  # so differences are paired
    found = accuracy.interval(areas)
    assert found["low"] < found["value"] < found["high"]


def test_pearson_of_folds():
    labels = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    found = accuracy.pearson_of_fold(labels * 0.5 + 0.1, labels, ["Nucleus", "Cytoplasm"])
    assert found == pytest.approx({"Nucleus": 1, "Cytoplasm": 1, "overall": 1})
    missing = accuracy.pearson_of_fold(np.array([[0.5, np.nan]] * 3), labels, ["Nucleus", "Cytoplasm"])
    assert np.isnan(list(missing.values())).all()
    spread = accuracy.spread([{"a": 0.1, "b": 0.5}, {"a": 0.3, "b": float("nan")}])
    assert spread == {"a": {"mean": 0.2, "sd": pytest.approx(0.14142)}}


def test_a_sequence_that_comes_again_adds_its_places():
    records = [("a", "ACGT", ["Nucleus"]), ("b", "acgu", ["Cytoplasm"]), ("c", "GGGG", ["Cytoplasm"])]
    rows = tables.make_rows(records, ("Nucleus", "Cytoplasm"))
    assert [(row["id"], row["sequence"], row["labels"]) for row in rows] == [
        ("a", "ACGU", [0.5, 0.5]),
        ("c", "GGGG", [0.0, 1.0]),
    ]


def test_training_has_no_relative_of_a_test(data):
    found, dropped = tables.training_tables(data)
    assert dropped == {"in test": 0, "similar to test": 1, "in mrna": 1, "similar to mrna": 0}
    assert {name: len(rows) for name, rows in found.items()} == {"train": 27, "validation": 3, "test": 12, "mrna": 10}
    ids = {row["id"] for row in found["train"] + found["validation"]}
    assert len(ids) == 30
    assert not ids & {"mutant", "copy"}


def test_clusters_are_never_cut():
    clusters = np.repeat(np.arange(20), 5)
    is_held_out = tables.hold_out(clusters, 0.1, seed=0)
    assert is_held_out.sum() == 10
    assert len(np.unique(clusters[is_held_out])) == 2
    generator = np.random.default_rng(0)
    families = [random_rna(generator, 200) for _ in range(12)]
    rows = [{"sequence": family[shift:]} for family in families for shift in (0, 5)]
    folds = tables.with_folds(rows)
    assert [len({row["fold"] for row in folds[first : first + 2]}) for first in range(0, 24, 2)] == [1] * 12
    assert {row["fold"] for row in folds} == set(range(tables.FOLDS))


def test_a_missing_data_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="--data"):
        tables.training_tables(tmp_path)


def test_predictions_of_a_batch_are_those_of_each_alone(tmp_path):
    folder = save_model(tmp_path / "model")
    generator = np.random.default_rng(0)
    sequences = [random_rna(generator, length) for length in (300, 45, 120)]
    names = ("Nucleus", "Chromatin", "Cytoplasm")
    together = accuracy.predict(folder, sequences, names)
    alone = np.concatenate([accuracy.predict(folder, [sequence], names) for sequence in sequences])
    assert np.isnan(together[:, 1]).all()
    assert together[:, [0, 2]] == pytest.approx(alone[:, [0, 2]], abs=1e-6)
    assert together[:, [0, 2]].sum(1) == pytest.approx(np.ones(3))


@pytest.mark.filterwarnings("ignore:.*unknown:UserWarning")
def test_a_model_that_reads_padding_gets_its_fixed_length(tmp_path):
    folder = save_model(tmp_path / "model", mask_padding=False)
    sequence = random_rna(np.random.default_rng(0), 200)
    names = ("Nucleus", "Cytoplasm")
    long, cut, padded = (
        accuracy.predict(folder, [letters], names) for letters in (sequence, sequence[:160], "N" * 40 + sequence[:120])
    )
    assert long == pytest.approx(cut, abs=1e-6)
    assert accuracy.predict(folder, [sequence[:120]], names) == pytest.approx(padded, abs=1e-6)


def test_a_whole_run(data, tmp_path):
    folders = [save_model(tmp_path / name) for name in ("a", "b")]
    output = tmp_path / "report.json"
    model = "+".join(str(folder) for folder in folders)
    accuracy.main(["--model", str(folders[0]), model, "--data", str(data), "--parts", "test", "--output", str(output)])
    report = json.loads(output.read_text())
    assert report["reference"] == "a"
    assert set(report["weights_sha256"]) == {"a", "b"}
    for name, size in (("rnalight_lncrna", 12), ("rnalight_mrna", 10)):
        test = report["test"][name]
        assert (test["rnas"], test["nuclear"]) == (size, size // 2)
        assert list(test["auc"]) == ["a", "a + b", *baselines.BASELINES]
        assert test["auc"]["a"] == test["auc"]["a + b"]  # two models with the same weights
        assert test["differences"]["a"]["value"] == pytest.approx(
            test["auc"]["a"]["value"] - test["auc"][baselines.REFERENCE]["value"], abs=2e-5
        )
    assert [entry["dataset"] for entry in report["headlines"]] == ["rnalight_lncrna", "rnalight_mrna"]
    assert report["headlines"][0]["value"] == report["test"]["rnalight_lncrna"]["auc"]["a"]["value"]
    assert report["headlines"][0]["baseline"] in baselines.BASELINES
    assert "6 nuclear and 6 cytoplasmic" in output.with_suffix(".md").read_text()


def test_folds_of_a_whole_set(tmp_path, monkeypatch):
    records = made_up_transcripts(40)
    lines = [f"{name},{';'.join([*places, 'Chromatin'])},{letters}" for name, letters, places in records]
    write_gzip(tmp_path / tables.MULTILABEL_FILE, "gene_id,locations,sequence", lines)
    recipe = tmp_path / "recipe.yaml"
    sizes = "{hidden_size: 4, gru_hidden_size: 4, attention_size: 4}"
    recipe.write_text(
        f"task: localisation\nmodel: rnatracker\nfrom_scratch: true\nconfig: {sizes}\nmax_steps: 2\nuse_cpu: true\n"
        "disable_tqdm: true\n"
    )
    # Fewer folds and a single baseline make it quick.
    for module in (accuracy, tables):
        monkeypatch.setattr(module, "FOLDS", 2)
    name = "logistic regression on length"
    monkeypatch.setattr(accuracy, "BASELINES", {name: baselines.BASELINES[name]})
    output = tmp_path / "report.json"
    output.write_text(json.dumps({"headlines": ["kept"]}))
    options = ["--data", tmp_path, "--parts", "multilabel", "--recipe", recipe, "--work", tmp_path / "work"]
    accuracy.main([str(option) for option in [*options, "--output", output]])
    report = json.loads(output.read_text())
    assert report["headlines"] == ["kept"]
    found = report["multilabel"]["pearson"]
    assert report["multilabel"]["rnas"] == 40
    assert list(found) == [accuracy.TRAINED, name]
    assert set(found[accuracy.TRAINED]) == {"Nucleus", "Cytoplasm", "overall"}  # the others are the same in all RNAs
    assert found[name]["Nucleus"]["mean"] > 0.5
    config = json.loads((tmp_path / "work" / "multilabel" / "fold_0" / "config.json").read_text())
    assert config["compartments"] == list(tables.COMPARTMENTS["multilabel"])
    assert "lncRNAs with one or more of four places, 40 RNAs" in output.with_suffix(".md").read_text()


@pytest.fixture
def transcripts():
    return speed.make_transcripts(6)


def test_the_original_made_anew_converts_into_our_network(tmp_path):
    original = speed.original_model().eval()
    torch.save({"epoch": 1, "model": original.state_dict()}, tmp_path / "original.pt")
    folder = convert_rnatracker(tmp_path / "original.pt", tmp_path / "converted")
    sequence = random_rna(np.random.default_rng(0), 600).replace("U", "T")
    one_hot = torch.tensor([speed.original_inputs(sequence)], dtype=torch.float32).transpose(1, 2)
    assert one_hot.shape == (1, 4, speed.FIXED_LENGTH)
    assert one_hot.sum() == 600
    names = RnaTrackerConfig().compartments
    ours = accuracy.predict(folder, [sequence], [accuracy.SAME_PLACE.get(name, name) for name in names])
    with torch.no_grad():
        assert original(one_hot).numpy() == pytest.approx(ours, abs=1e-6)


@pytest.mark.parametrize("side", speed.SIDES)
def test_each_side_reads_every_transcript(side, transcripts):
    letters, labels = transcripts
    assert {len(text) for text in letters} == set(np.linspace(*speed.LENGTHS, 6).astype(int).tolist())
    found = [
        (text, tuple(row))
        for texts, rows in speed.make_batches(side, letters, labels)
        for text, row in zip(texts, rows)
    ]
    assert sorted(found) == sorted(zip(letters, map(tuple, labels)))


@pytest.mark.parametrize("make", [speed.our_side, speed.original_side])
def test_a_training_step_changes_the_weights(make, transcripts):
    model, train, infer = make()
    batch = ([text[:600] for text in transcripts[0][:2]], transcripts[1][:2])
    before = [parameter.clone() for parameter in model.parameters()]
    train(batch)
    assert not any(torch.equal(old, new) for old, new in zip(before, model.parameters()))
    assert infer(batch).sum(-1).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_the_table_of_speeds():
    found = {side: {"sequences_per_s": 30.0 / number, "growth": 5e6} for number, side in enumerate(speed.SIDES, 1)}
    report = {"machine": "m", "torch": "t", "threads": 1, "rounds": 1, "count": 4, "tasks": {"training": found}}
    assert "| training, original's loop, batch of 1 | 15.0 | 2.0 | 5 MB |" in speed.markdown(report)
