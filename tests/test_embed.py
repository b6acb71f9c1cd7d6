"""`rna-hf embed` and `rna_hf.embed`: the base model's states, of any checkpoint, however a run went."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny_models
import torch
from datasets import load_dataset

import rna_hf
from rna_hf import AutoModelForReactivity, RnaTrackerConfig, RnaTrackerForLocalisation, embed
from rna_hf.cli.main import run
from rna_hf.data.run_folder import RunFolder
from rna_hf.models.registry import ARCHITECTURES
from rna_hf.prediction import chunks
from rna_hf.tokenization import RnaTokenizerFast

RNAS = [("a", "GGGAAACUCC"), ("b", "acgtacgtacgtacg"), ("c", "GGCAUUCGUGCC"), ("d", "A")]
LONG = [(f"r{length}", "ACGGU" * (length // 5)) for length in (120, 60, 200)]
pytestmark = pytest.mark.filterwarnings("ignore:.*to take with care.*:UserWarning")


@pytest.fixture(scope="module", params=["padding leaks", "padding is masked", "special tokens"])
def tiny(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    special = request.param == "special tokens"
    ids = {"bos_token_id": 6, "eos_token_id": 7} if special else {}
    options = {"bos_token": True, "eos_token": True} if special else None
    return tiny_models.save_tiny(folder, options, fix_attention_mask=request.param != "padding leaks", **ids)


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    return tiny_models.save_tiny(tmp_path_factory.mktemp("masked"), fix_attention_mask=True)


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracker")
    torch.manual_seed(0)
    RnaTrackerForLocalisation(RnaTrackerConfig(**tiny_models.RNATRACKER)).save_pretrained(folder)
    RnaTokenizerFast(alphabet="rnatracker").save_pretrained(folder)
    return folder


def states_of(folder, sequence, layer=-1):
    """The states of an RNA's own nucleotides, (L, H), from a plain call of the base model, and all its states."""
    model, tokenizer = (
        AutoModelForReactivity.from_pretrained(folder).model.eval(),
        RnaTokenizerFast.from_pretrained(folder),
    )
    encoded = tokenizer(sequence, return_tensors="pt", return_special_tokens_mask=True)
    with torch.inference_mode():
        states = model(encoded.input_ids, output_hidden_states=True).hidden_states[layer][0]
    return states[encoded.special_tokens_mask[0] == 0].numpy(), states.numpy()


@pytest.mark.parametrize("layer", [-1, 0, 1, 2])
def test_vectors_are_the_models_own_states(layer, tiny):
    means, alls = (embed(RNAS, model=tiny, pooling=pooling, layer=layer) for pooling in ("mean", "none"))
    for (identifier, sequence), mean, every in zip(RNAS, means, alls, strict=True):
        expected, _ = states_of(tiny, sequence, layer)
        assert (mean["id"], list(mean)) == (identifier, ["id", "embedding"])
        np.testing.assert_allclose(mean["embedding"], expected.mean(0), atol=2e-5)
        assert np.shape(every["embedding"]) == (len(sequence), 32)
        np.testing.assert_allclose(every["embedding"], expected, atol=2e-5)


def test_the_token_at_the_start(tmp_path):
    options = {"bos_token": True, "eos_token": True}
    folder = tiny_models.save_tiny(tmp_path, options, fix_attention_mask=True, bos_token_id=6, eos_token_id=7)
    for row, (_, sequence) in zip(embed(RNAS, model=folder, pooling="cls"), RNAS, strict=True):
        np.testing.assert_allclose(row["embedding"], states_of(folder, sequence)[1][0], atol=2e-5)


def test_a_model_with_positions_of_its_own(tracker):
    model = RnaTrackerForLocalisation.from_pretrained(tracker).model.eval()
    for row, (_, sequence) in zip(embed(LONG, model=tracker), LONG, strict=True):
        ids = RnaTokenizerFast.from_pretrained(tracker)(sequence, return_tensors="pt").input_ids
        with torch.inference_mode():
            states = model(ids).last_hidden_state[0]
        np.testing.assert_allclose(row["embedding"], states.mean(0).numpy(), atol=2e-5)


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_any_head_will_do(name, tmp_path):
    architecture = ARCHITECTURES[name]
    for head in architecture.heads:
        torch.manual_seed(0)
        model = architecture.find_class(f"For{head}")(architecture.find_class("Config")(**tiny_models.SIZES[name]))
        model.save_pretrained(tmp_path / head)
        RnaTokenizerFast(alphabet=architecture.alphabet).save_pretrained(tmp_path / head)
        found = embed(LONG[:1], model=tmp_path / head)[0]["embedding"]
        model.eval().model.save_pretrained(tmp_path / "base")
        RnaTokenizerFast(alphabet=architecture.alphabet).save_pretrained(tmp_path / "base")
        assert found == embed(LONG[:1], model=tmp_path / "base")[0]["embedding"]


@pytest.mark.parametrize("pooling", ["mean", "none"])
def test_formats_hold_the_same(pooling, masked, tmp_path):
    rows = embed(RNAS, model=masked, pooling=pooling)
    vectors = [np.float32(row["embedding"]) for row in rows]
    path = embed(RNAS, tmp_path / "parquet", model=masked, pooling=pooling)
    assert path.name == "embeddings.parquet"
    table = pq.read_table(path)
    assert table.column_names == ["id", "embedding"]
    for found, expected in zip(table["embedding"].to_pylist(), vectors, strict=True):
        assert np.array_equal(np.float32(found), expected)
    arrays = np.load(embed(RNAS, tmp_path / "npz", model=masked, pooling=pooling, format="npz"))
    assert arrays["ids"].tolist() == [identifier for identifier, _ in RNAS]
    assert np.array_equal(arrays["embeddings"], np.concatenate([np.atleast_2d(one) for one in vectors]))
    if pooling == "none":
        assert arrays["lengths"].tolist() == [len(sequence) for _, sequence in RNAS]
    h5py = pytest.importorskip("h5py")
    with h5py.File(embed(RNAS, tmp_path / "h5", model=masked, pooling=pooling, format="h5")) as file:
        assert np.array_equal(file["embeddings"][:], arrays["embeddings"])
        assert [identifier.decode() for identifier in file["ids"][:]] == arrays["ids"].tolist()


@pytest.mark.parametrize("format", ["parquet", "npz", "h5"])
def test_a_run_that_was_interrupted_gives_the_same_file(format, masked, tmp_path, monkeypatch):
    if format == "h5":
        pytest.importorskip("h5py")
    monkeypatch.setattr(chunks, "CHUNK_SEQUENCES", 1)
    whole = embed(RNAS, tmp_path / "whole", model=masked, pooling="none", format=format)
    write, count = RunFolder.write_part, [0]

    def stop(self, *arguments):
        count[0] += 1
        if count[0] > 2:
            raise KeyboardInterrupt
        write(self, *arguments)

    monkeypatch.setattr(RunFolder, "write_part", stop)
    with pytest.raises(KeyboardInterrupt):
        embed(RNAS, tmp_path / "again", model=masked, pooling="none", format=format)
    monkeypatch.setattr(RunFolder, "write_part", write)
    again = embed(RNAS, tmp_path / "again", model=masked, pooling="none", format=format)
    assert again.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "cls"}, "pooling cls needs a token at the start, which this checkpoint has not; use mean"),
        ({"pooling": "sum"}, "pooling must be one of mean, none, cls, got 'sum'"),
        ({"layer": 3}, "layer is 3, and this model has layers 0 to 2; -1 is the last one"),
        ({"layer": -2}, "layer is -2, and this model has layers 0 to 2"),
        ({"part": "3/2"}, "part is '3/2': give K/N, the K-th of N parts"),
        ({"part": "1/2"}, "part is for files; name an output folder"),
        ({"window": -1}, "window must be a number of nucleotides, got -1"),
        ({"overlap": 5}, "overlap is 5, and has to have a window: give one"),
        ({"window": 10, "overlap": 10}, "overlap is 10, and has to be smaller than the window, 10"),
        ({"window": 10, "pooling": "cls"}, "pooling cls is the state of one token"),
        ({"format": "csv"}, "format must be one of parquet, npz, h5, got 'csv'"),
    ],
)
def test_what_is_refused(options, message, masked):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        embed(RNAS, model=masked, **options)


def test_what_a_model_with_positions_has_not(tracker):
    with pytest.raises(ValueError, match="pooling none is not for this model, which has states for stretches"):
        embed(LONG, model=tracker, pooling="none")
    with pytest.raises(ValueError, match="layer is not for this model, whose layers have positions of their own"):
        embed(LONG, model=tracker, layer=1)
    with pytest.raises(ValueError, match="window is not for this model, which reads RNAs of any length whole"):
        embed(LONG, model=tracker, window=60)
    with pytest.raises(TypeError, match=r"embed\(\) has no option 'wide'"):
        embed(LONG, model=tracker, wide=True)


def test_the_command(masked, tmp_path, capsys):
    (tmp_path / "in.fa").write_text("".join(f">{identifier}\n{sequence}\n" for identifier, sequence in RNAS))
    command = ["embed", str(tmp_path / "in.fa"), "-o", str(tmp_path / "out"), "--model", str(masked)]
    assert run([*command, "--pooling", "none", "--layer", "1"]) == 0
    found = pq.read_table(tmp_path / "out" / "embeddings.parquet")["embedding"].to_pylist()
    expected = embed(tmp_path / "in.fa", model=masked, pooling="none", layer=1)
    assert found == [row["embedding"] for row in expected]
    capsys.readouterr()
    assert run([*command, "--pooling", "mean"]) == 2
    assert "pooling none there, mean here" in capsys.readouterr().err
    assert run([*command, "--keep-columns"]) == 2
    assert "'--keep-columns' is no option of `rna-hf embed`" in capsys.readouterr().err
    assert run(["embed", "--help"]) == 0
    assert "--pooling" in capsys.readouterr().out


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_every_base_model_has_a_pooled_state(name):
    architecture = ARCHITECTURES[name]
    sizes = tiny_models.SIZES[name] | ({"fix_attention_mask": True} if name == "ribonanzanet" else {})
    model = architecture.find_class("Model")(architecture.find_class("Config")(**sizes)).eval()
    ids = torch.randint(4, (2, 90))
    mask = torch.ones_like(ids)
    mask[1, 80:] = 0
    pooled = model(ids, attention_mask=mask).pooler_output
    assert pooled.shape == (2, model.config.state_size)
    torch.testing.assert_close(pooled[1:], model(ids[1:, :80]).pooler_output, atol=1e-5, rtol=1e-5)
    assert rna_hf.embed is embed


WINDOWED = [("short", "GGGAAACUCC"), ("long", "ACGGUUCGAC" * 7), ("exact", "ACGUU" * 6), ("longer", "GGCAU" * 25)]


def joined(folder, sequence, window, overlap):
    """States of an RNA from plain calls, a nucleotide's from the window whose ends are farthest."""
    starts = [*range(0, len(sequence) - window, window - overlap), len(sequence) - window]
    states = [states_of(folder, sequence[start : start + window])[0] for start in starts]
    found = []
    for place in range(len(sequence)):
        inside = [index for index, start in enumerate(starts) if start <= place < start + window]
        # To the nearest cut; the ends of the RNA itself are none.
        depth = {
            index: min(
                place - starts[index] if starts[index] else len(sequence),
                starts[index] + window - 1 - place if index + 1 < len(starts) else len(sequence),
            )
            for index in inside
        }
        deepest = max(inside, key=lambda index: (depth[index], index))
        found.append(states[deepest][place - starts[deepest]])
    return np.stack(found)


@pytest.mark.parametrize(("window", "overlap"), [(30, 0), (30, 10), (31, 8), (40, 39)])
@pytest.mark.parametrize("pooling", ["mean", "none"])
def test_longer_rnas_are_read_in_windows(window, overlap, pooling, tiny):
    rows = embed(WINDOWED, model=tiny, pooling=pooling, window=window, overlap=overlap, batch_tokens=64)
    whole = embed(WINDOWED, model=tiny, pooling=pooling, batch_tokens=64)
    for (_, sequence), row, one in zip(WINDOWED, rows, whole, strict=True):
        if len(sequence) <= window:
            np.testing.assert_allclose(row["embedding"], one["embedding"], atol=2e-5)
            continue
        expected = joined(tiny, sequence, window, overlap)
        expected = expected.mean(0) if pooling == "mean" else expected
        np.testing.assert_allclose(row["embedding"], expected, atol=2e-5)


def test_windows_take_the_memory_of_one(masked, monkeypatch, tmp_path):
    from rna_hf.tasks.embedding import EmbeddingPrediction

    shapes = []
    forward = EmbeddingPrediction.forward

    def record(self, model, input_ids, attention_mask):
        shapes.append(tuple(input_ids.shape))
        return forward(self, model, input_ids, attention_mask)

    monkeypatch.setattr(EmbeddingPrediction, "forward", record)
    path = embed(
        ["ACGGU" * 400, "ACGGU" * 401, "ACGGC" * 400], tmp_path, model=masked, window=100, overlap=20, batch_tokens=200
    )
    assert max(rows * length for rows, length in shapes) == 200
    assert len(pq.read_table(path)) == 3
    record_file = (tmp_path / "run.json").read_text()
    assert '"window": 100' in record_file
    assert '"overlap": 20' in record_file


@pytest.mark.parametrize("by_launcher", [False, True])
def test_machines_that_share_the_folder_alone(by_launcher, masked, tmp_path):
    """Two processes that know nothing of each other do a part each; together they give what one gives."""
    rnas = [(f"r{length}", "ACGGU" * length) for length in range(3, 14)]
    (tmp_path / "in.fa").write_text("".join(f">{identifier}\n{sequence}\n" for identifier, sequence in rnas))
    command = [sys.executable, "-m", "rna_hf.cli.main", "embed", str(tmp_path / "in.fa"), "-o", str(tmp_path / "out")]
    command += ["--model", str(masked), "--pooling", "none"]
    environment = os.environ | {"PYTHONPATH": str(Path(rna_hf.__file__).parents[1])}
    started = [
        subprocess.Popen(
            [*command, "--part", "auto" if by_launcher else f"{rank + 1}/2"],
            env=environment | ({"RANK": str(rank), "WORLD_SIZE": "2"} if by_launcher else {}),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in started:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
        assert "embeddings.parquet" in errors
    whole = {row["id"]: row["embedding"] for row in embed(rnas, model=masked, pooling="none")}
    files = sorted((tmp_path / "out").glob("*/embeddings.parquet"))
    assert [path.parent.name for path in files] == ["part-00001-of-00002", "part-00002-of-00002"]
    found = load_dataset("parquet", data_files=[*map(str, files)], cache_dir=str(tmp_path / "cache"), split="train")
    assert len(found) == len(rnas)
    for row in found:
        np.testing.assert_allclose(row["embedding"], whole[row["id"]], atol=1e-5)


def test_a_part_that_was_interrupted_goes_on(masked, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_SEQUENCES", 1)
    whole = embed(RNAS, tmp_path / "whole", model=masked, part="2/2")
    write = RunFolder.write_part

    def stop(self, *arguments):
        write(self, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "write_part", stop)
    with pytest.raises(KeyboardInterrupt):
        embed(RNAS, tmp_path / "again", model=masked, part="2/2")
    monkeypatch.setattr(RunFolder, "write_part", write)
    assert embed(RNAS, tmp_path / "again", model=masked, part="2/2").read_bytes() == whole.read_bytes()
    assert pq.read_table(whole)["id"].to_pylist() == ["b", "d"]
    with pytest.raises(FileExistsError, match="another input"):
        embed([*RNAS, ("e", "GGGAAACCC")], tmp_path / "again", model=masked, part="2/2")


def test_the_worker_of_the_ray_recipe(masked, repository_root):
    path = repository_root / "examples" / "embed_with_ray.py"
    spec = importlib.util.spec_from_file_location("embed_with_ray", path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    worker = recipe.RnaEmbedder(str(masked), pooling="mean")
    ids, sequences = (np.array(part) for part in zip(*RNAS))
    found = worker({"id": ids, "sequence": sequences})
    assert found["id"].tolist() == ids.tolist()
    np.testing.assert_allclose(found["embedding"], [row["embedding"] for row in embed(RNAS, model=masked)], atol=1e-6)
