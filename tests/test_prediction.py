"""`rna_hf.predict`: right numbers, the same file however a run went, and refusals that say why."""

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
import tiny_models
import torch
from common import make_overflow

from rna_hf import RibonanzaNetConfig, RibonanzaNetForReactivity, memory, plots
from rna_hf.data.batches import make_batches
from rna_hf.data.run_folder import RunFolder
from rna_hf.prediction import chunks, predict
from rna_hf.prediction import engine as run_module
from rna_hf.prediction.predictor import Predictor, batch_cost
from rna_hf.tasks import REACTIVITY_UNIT
from rna_hf.tokenization import RnaTokenizerFast

RNAS = [("a", "GGGAAACUCC"), ("b", "acgtacgtacgtacg"), ("c", "GGNNRYAAGCUUAGC"), ("d", "A")]


def save_tiny(folder, tokenizer_options=None, **options):
    """Save a small random model that was trained on RNAs of 40 nucleotides at most."""
    return tiny_models.save_tiny(folder, tokenizer_options, training_max_length=40, **options)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A checkpoint whose padding leaks, as the original's does."""
    return save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_fixed(tmp_path_factory):
    """A checkpoint with right masks."""
    return save_tiny(tmp_path_factory.mktemp("tiny_fixed"), fix_attention_mask=True)


def random_rnas(count, low=5, high=25):
    generator = np.random.default_rng(0)
    lengths = generator.integers(low, high, count)
    return [(f"r{index}", "".join(generator.choice(list("ACGU"), length))) for index, length in enumerate(lengths)]


def write_fasta(path, rnas):
    path.write_text("".join(f">{identifier}\n{sequence}\n" for identifier, sequence in rnas))
    return path


def expected(checkpoint, sequence):
    model = RibonanzaNetForReactivity.from_pretrained(checkpoint).eval()
    ids = RnaTokenizerFast()(sequence, return_tensors="pt").input_ids
    with torch.inference_mode():
        return model(input_ids=ids).logits[0].numpy()


@pytest.mark.parametrize("name", ["tiny", "tiny_fixed"])
def test_rows_are_the_models_own_numbers(name, request):
    checkpoint = request.getfixturevalue(name)
    rows = predict(RNAS, model=checkpoint)
    assert [(row["id"], row["sequence"]) for row in rows] == RNAS
    for row in rows:
        assert list(row) == ["id", "sequence", "reactivity_2A3", "reactivity_DMS", "warning"]
        values = expected(checkpoint, row["sequence"])
        # Float32 sums in another order: batches of other shapes.
        np.testing.assert_allclose(row["reactivity_2A3"], values[:, 0], atol=2e-5)
        np.testing.assert_allclose(row["reactivity_DMS"], values[:, 1], atol=2e-5)


def test_flip_average(tiny):
    sequence = "GGGAAACUCCA"
    (row,) = predict(sequence, model=tiny, flip_average=True)
    mean = (expected(tiny, sequence) + expected(tiny, sequence[::-1])[::-1]) / 2
    np.testing.assert_allclose(row["reactivity_2A3"], mean[:, 0], atol=2e-5)


def test_channels_and_special_tokens(tmp_path):
    folder = save_tiny(tmp_path, {"bos_token": True, "eos_token": True}, channels=["x"], fix_attention_mask=True)
    rows = predict(RNAS, model=folder)
    assert [len(row["reactivity_x"]) for row in rows] == [len(sequence) for _, sequence in RNAS]


@pytest.mark.parametrize("format", ["parquet", "csv", "jsonl"])
def test_formats_hold_the_same(format, tiny, tmp_path):
    path = predict(RNAS, tmp_path, model=tiny, format=format, wide=format == "csv")
    rows = predict(RNAS, model=tiny)
    assert path == tmp_path / f"predictions.{format}"
    if format == "parquet":
        table = pq.read_table(path)
        assert table.schema.field("reactivity_2A3").type == pa.list_(pa.float32())
        assert json.loads(table.schema.metadata[b"rna_hf"])["unit"] == REACTIVITY_UNIT
        found = table.to_pylist()
    elif format == "csv":
        with open(path, newline="") as file:
            found = [
                {name: json.loads(text) if name.startswith("reactivity") else text for name, text in row.items()}
                for row in csv.DictReader(file)
            ]
    else:
        found = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    for one, other in zip(found, rows):
        for name in ("reactivity_2A3", "reactivity_DMS"):
            # Not a digit is lost in text.
            assert np.array_equal(np.float32(one[name]), np.float32(other[name]))


def test_output_folder(tiny, tmp_path):
    predict(RNAS, tmp_path / "new" / "folder", model=tiny)
    folder = tmp_path / "new" / "folder"
    assert sorted(os.listdir(folder)) == ["predictions.parquet", "reactivity.png", "run.json"]
    assert (folder / "reactivity.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["num_sequences"], record["num_skipped"]) == ("finished", 4, 0)


def interrupt(monkeypatch, after):
    """Make the run stop, as Ctrl-C does, when it has written some parts."""
    write_part = RunFolder.write_part
    written = []

    def stop(self, number, table):
        if len(written) == after:
            raise KeyboardInterrupt
        write_part(self, number, table)
        written.append(number)

    monkeypatch.setattr(RunFolder, "write_part", stop)
    return written


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_interrupted_runs_end_as_undisturbed_ones(format, tiny_fixed, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(chunks, "CHUNK_SEQUENCES", 16)
    path = write_fasta(tmp_path / "in.fa", random_rnas(100))
    options = {"model": tiny_fixed, "format": format, "plot_rows": 0}
    undisturbed = predict(path, tmp_path / "undisturbed", **options).read_bytes()
    written = []
    for _ in range(3):
        with monkeypatch.context() as patch:
            written.append(interrupt(patch, after=2))
            with pytest.raises(KeyboardInterrupt):
                predict(path, tmp_path / "out", **options)
    with monkeypatch.context() as patch, caplog.at_level("INFO", logger="rna_hf"):
        written.append(interrupt(patch, after=99))
        assert predict(path, tmp_path / "out", **options).read_bytes() == undisturbed
    assert written == [[0, 1], [2, 3], [4, 5], [6]]
    assert "resuming: 96 of 100 sequences are done" in caplog.text
    assert not (tmp_path / "out" / ".rna-hf-parts").exists()


def stop_in_batch(monkeypatch, number, error=KeyboardInterrupt):
    """Make the run stop in a batch, counted from 0, as a signal or a failure does; return the batches predicted."""
    predict_batch = Predictor.predict_batch
    seen = []

    def stop(self, sequences, batch, names=None):
        if len(seen) == number:
            raise error
        seen.append([names[index] for index in batch])
        return predict_batch(self, sequences, batch, names)

    monkeypatch.setattr(Predictor, "predict_batch", stop)
    return seen


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_each_batch_that_is_finished_is_kept(error, format, tiny_fixed, tmp_path, monkeypatch, caplog):
    """Of one chunk, stopped in any of its batches again and again; a failure finds what was written before it."""
    path = write_fasta(tmp_path / "in.fa", random_rnas(30))
    options = {"model": tiny_fixed, "format": format, "plot_rows": 0, "batch_tokens": 100}
    with monkeypatch.context() as patch:
        batches = stop_in_batch(patch, None)
        undisturbed = predict(path, tmp_path / "undisturbed", **options).read_bytes()
    assert len(batches) > 5
    if error is RuntimeError:
        monkeypatch.setattr(run_module, "WRITE_SECONDS", 0)
    made = []
    for number in (1, 0, 2, 1):
        with monkeypatch.context() as patch:
            seen = stop_in_batch(patch, number, error)
            with pytest.raises(error):
                predict(path, tmp_path / "out", **options)
            made += seen
    with monkeypatch.context() as patch, caplog.at_level("INFO", logger="rna_hf"):
        seen = stop_in_batch(patch, None)
        assert predict(path, tmp_path / "out", **options).read_bytes() == undisturbed
        made += seen
    # The very batches, each one once.
    assert made == batches
    assert f"resuming: {sum(map(len, batches[:4]))} of 30 sequences are done" in caplog.text
    assert sorted(os.listdir(tmp_path / "out")) == [f"predictions.{format}", "run.json"]


def test_pieces_are_written_by_the_clock(tiny_fixed, tmp_path, monkeypatch):
    """Each batch takes 12 seconds here: what three have made is written, and what a kill takes is less."""
    clock = [0.0]
    monkeypatch.setattr(run_module.time, "monotonic", lambda: clock[0])
    predict_batch, write_piece, write_part = Predictor.predict_batch, RunFolder.write_piece, RunFolder.write_part
    written = []

    def take_long(self, *arguments):
        clock[0] += 12
        return predict_batch(self, *arguments)

    def note_piece(self, number, first, table):
        written.append((clock[0], first))
        write_piece(self, number, first, table)

    def note_part(self, number, table):
        written.append((clock[0], None))
        write_part(self, number, table)

    monkeypatch.setattr(Predictor, "predict_batch", take_long)
    monkeypatch.setattr(RunFolder, "write_piece", note_piece)
    monkeypatch.setattr(RunFolder, "write_part", note_part)
    predict([(f"r{index}", "ACGU" * 5) for index in range(7)], tmp_path, model=tiny_fixed, batch_tokens=20)
    assert written == [(36, 0), (72, 3), (84, None)]


def test_a_damaged_piece_is_made_again(tiny_fixed, tmp_path, monkeypatch):
    options = {"model": tiny_fixed, "batch_tokens": 60, "plot_rows": 0}
    path = write_fasta(tmp_path / "in.fa", random_rnas(20))
    undisturbed = predict(path, tmp_path / "undisturbed", **options).read_bytes()
    monkeypatch.setattr(run_module, "WRITE_SECONDS", 0)
    with monkeypatch.context() as patch:
        stop_in_batch(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            predict(path, tmp_path / "out", **options)
    pieces = sorted((tmp_path / "out" / ".rna-hf-parts").glob("part-*"))
    assert len(pieces) == 4
    pieces[1].write_bytes(pieces[1].read_bytes()[:-20])
    with monkeypatch.context() as patch:
        stop_in_batch(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            predict(path, tmp_path / "out", **options)
    assert predict(path, tmp_path / "out", **options).read_bytes() == undisturbed


def test_an_input_that_changes_is_noticed_before_it_is_written(tiny_fixed, tmp_path, monkeypatch):
    path = write_fasta(tmp_path / "in.fa", random_rnas(20))
    old = path.read_bytes()
    predict_batch = Predictor.predict_batch

    def change(content):
        def predict_and_change(self, *arguments):
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
            return predict_batch(self, *arguments)

        return predict_and_change

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "predict_batch", change(old[:-10] + b"AAAAAAAAA\n"))
        with pytest.raises(ValueError, match=r"in\.fa was changed after this run had begun; put the old file back"):
            predict(path, tmp_path / "out", model=tiny_fixed)
    path.write_bytes(old)
    # Written again, but the same; and removed, while it is open: neither matters.
    for name, content in (("same", old), ("gone", None)):
        with monkeypatch.context() as patch:
            patch.setattr(Predictor, "predict_batch", change(content))
            assert pq.read_table(predict(path, tmp_path / name, model=tiny_fixed)).num_rows == 20


def test_a_damaged_part_is_made_again(tiny_fixed, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_SEQUENCES", 16)
    path = write_fasta(tmp_path / "in.fa", random_rnas(50))
    undisturbed = predict(path, tmp_path / "undisturbed", model=tiny_fixed).read_bytes()
    with monkeypatch.context() as patch:
        interrupt(patch, after=2)
        with pytest.raises(KeyboardInterrupt):
            predict(path, tmp_path / "out", model=tiny_fixed)
    (tmp_path / "out" / ".rna-hf-parts" / "part-000001.parquet").write_bytes(b"PAR1 cut")
    assert predict(path, tmp_path / "out", model=tiny_fixed).read_bytes() == undisturbed


def test_killed_while_finishing(tiny_fixed, tmp_path, monkeypatch):
    undisturbed = predict(RNAS, tmp_path / "undisturbed", model=tiny_fixed).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "finish", interrupt(patch, after=99))  # not callable: fails there
        with pytest.raises(TypeError):
            predict(RNAS, tmp_path / "out", model=tiny_fixed)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "unfinished"
    assert predict(RNAS, tmp_path / "out", model=tiny_fixed).read_bytes() == undisturbed


def test_a_finished_run_is_not_repeated_and_not_overwritten(tiny, tiny_fixed, tmp_path, caplog):
    path = write_fasta(tmp_path / "in.fa", RNAS)
    file = predict(path, tmp_path / "out", model=tiny)
    before = file.stat().st_mtime_ns
    with caplog.at_level("INFO", logger="rna_hf"):
        assert predict(path, tmp_path / "out", model=tiny) == file
    assert "finished already" in caplog.text
    for change, message in [
        ({"model": tiny_fixed}, "another model"),
        ({"flip_average": True}, "flip_average False there, True here"),
        ({"format": "csv"}, "format parquet there, csv here"),
    ]:
        with pytest.raises(FileExistsError, match=f"finished run of something else .*{message}"):
            predict(path, tmp_path / "out", **{"model": tiny, **change})
    assert file.stat().st_mtime_ns == before
    write_fasta(path, RNAS[:2])
    with pytest.raises(FileExistsError, match="another input"):
        predict(path, tmp_path / "out", model=tiny)
    # Even then nothing is removed before the new input has been found good.
    with pytest.raises(ValueError, match="unknown letter"):
        predict("ACGX", tmp_path / "out", model=tiny, overwrite=True)
    assert file.exists()
    predict(path, tmp_path / "out", model=tiny, format="csv", overwrite=True)
    assert not file.exists()
    assert (tmp_path / "out" / "predictions.csv").exists()


def test_an_unfinished_run_of_something_else_is_kept(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_SEQUENCES", 2)
    with monkeypatch.context() as patch:
        interrupt(patch, after=1)
        with pytest.raises(KeyboardInterrupt):
            predict(RNAS, tmp_path, model=tiny)
    with pytest.raises(FileExistsError, match="an unfinished run of something else"):
        predict(RNAS[:3], tmp_path, model=tiny)
    assert (tmp_path / ".rna-hf-parts" / "part-000000.parquet").exists()
    predict(RNAS, tmp_path, model=tiny)


def test_what_cannot_be_resumed_starts_over(tiny_fixed, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_SEQUENCES", 2)
    with monkeypatch.context() as patch:
        interrupt(patch, after=1)
        with pytest.raises(KeyboardInterrupt):
            predict(iter(RNAS), tmp_path, model=tiny_fixed)
    assert pq.read_table(predict(iter(RNAS[:3]), tmp_path, model=tiny_fixed)).num_rows == 3


def test_a_run_that_never_began_leaves_nothing_in_the_way(tiny, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, after=0)
        with pytest.raises(KeyboardInterrupt):
            predict(RNAS, tmp_path, model=tiny)
    assert pq.read_table(predict(RNAS[:3], tmp_path, model=tiny)).num_rows == 3


def test_foreign_files_are_kept(tiny, tmp_path):
    (tmp_path / "predictions.csv").write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        predict(RNAS, tmp_path, model=tiny)
    assert os.listdir(tmp_path) == ["predictions.csv"]


def test_two_runs_do_not_share_a_folder(tiny, tmp_path):
    pytest.importorskip("fcntl")
    with (
        RunFolder(tmp_path, "parquet").open(),
        pytest.raises(FileExistsError, match="another run is writing"),
    ):
        predict(RNAS, tmp_path, model=tiny)


def test_unusable_sequences_stop_a_run_before_it_begins(tiny, tmp_path):
    bad = [*RNAS, ("e", ""), ("f", "AC GU"), ("a", "GGG"), ("g", "GGX")]
    with pytest.raises(ValueError, match=r"4 of 8 sequences are unusable: item 5 .*empty sequence.*; and 1 more"):
        predict(bad, tmp_path / "out", model=tiny)
    assert not (tmp_path / "out").exists()


def test_skip_invalid(tiny, tmp_path):
    bad = [("e", ""), *RNAS, ("f", "AC\tGU"), ("a", "GGG"), ("g", "GGX")]
    path = predict(bad, tmp_path, model=tiny, skip_invalid=True)
    assert pq.read_table(path)["id"].to_pylist() == ["a", "b", "c", "d"]
    lines = [line.split("\t") for line in (tmp_path / "skipped.tsv").read_text().splitlines()]
    assert lines[0] == ["id", "location", "reason"]
    assert [line[:2] for line in lines[1:]] == [["e", "item 1"], ["f", "item 6"], ["a", "item 7"], ["g", "item 8"]]
    with pytest.warns(UserWarning, match="skipped"):
        assert len(predict(bad, model=tiny, skip_invalid=True)) == 4
    with pytest.raises(ValueError, match="nothing is left"):
        predict([("e", "")], model=tiny, skip_invalid=True)


def test_memory_is_estimated_before_it_is_taken(tiny, tmp_path):
    long = [("short", "ACGU"), ("long", "A" * 100_000)]
    with pytest.raises(ValueError, match=r"'long'.*100,000 nt would need about [\d,]+ GB of memory, and [\d.]+ GB are"):
        predict(long, model=tiny)
    predict(long, tmp_path, model=tiny, skip_invalid=True)
    assert "100,000 nt would need" in (tmp_path / "skipped.tsv").read_text()


def test_a_batch_that_does_not_fit_is_refused(tiny, monkeypatch):
    monkeypatch.setattr(run_module, "available_memory", lambda device: 50_000_000)
    with pytest.raises(ValueError, match=r"a batch of 100,000 tokens would need .* choose a smaller --batch-tokens"):
        predict(random_rnas(500, 90, 100), model=tiny, batch_tokens=100_000)


def test_the_estimate_is_near_the_truth():
    """Against what was measured on the CPU for one sequence of 512 nt, pair width 64, float32; never below it."""
    config = RibonanzaNetConfig()
    assert 244e6 <= config.forward_cost(1, 512, 4) <= 1.3 * 244e6
    assert memory.available_memory(torch.device("cpu")) > 0


def test_long_sequences_get_one_warning(tiny):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = predict([("a", "A" * 81), ("b", "C" * 90), ("c", "G" * 80)], model=tiny)
    expected = "longer than 2 x 40 nt, the longest RNA that the model was trained on"
    assert [row["warning"] for row in rows] == [expected, expected, None]
    messages = [str(warning.message) for warning in caught if "trained on" in str(warning.message)]
    assert len(messages) == 1
    assert messages[0] == f"2 RNAs to take with care ({expected}): 'a', 'b'"


def test_other_checkpoints_are_refused(tiny, tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint 'nothing'"):
        predict("ACGU", model="nothing")
    with pytest.raises(FileNotFoundError, match=r"holds no config\.json"):
        predict("ACGU", model=tmp_path)

    def changed(name, **values):
        folder = tmp_path / name
        shutil.copytree(tiny, folder)
        config = json.loads((folder / "config.json").read_text()) | values
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    with pytest.raises(
        ValueError, match=r"another architecture \(model_type 'bert', saved from BertModel\).*ribonanzanet"
    ):
        predict("ACGU", model=changed("bert", model_type="bert", architectures=["BertModel"]))
    with pytest.raises(ValueError, match=r"saved from RibonanzaNetModel; .* needs RibonanzaNetForReactivity"):
        predict("ACGU", model=changed("base", architectures=["RibonanzaNetModel"]))
    headless = changed("headless", architectures=None)
    RibonanzaNetForReactivity.from_pretrained(tiny).model.save_pretrained(headless)
    changed_config = json.loads((headless / "config.json").read_text()) | {"architectures": None}
    (headless / "config.json").write_text(json.dumps(changed_config))
    with pytest.raises(ValueError, match=r"lacks weights of RibonanzaNetForReactivity \(reactivity_head"):
        predict("ACGU", model=headless)
    cut = changed("cut")
    weights = cut / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"'cut': model\.safetensors is no safetensors file"):
        predict("ACGU", model=cut)
    (tmp_path / "cut" / "config.json").write_text("{")
    with pytest.raises(ValueError, match="not readable JSON"):
        predict("ACGU", model=cut)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "colour"}, "task must be one of reactivity"),
        ({"format": "xlsx"}, "format must be one of parquet, csv, jsonl"),
        ({"dtype": "int8"}, "dtype must be one of"),
        ({"device": "tpu9"}, r"device 'tpu9' is not available here; there is cpu"),
        ({"device": "cuda:99"}, "is not available here"),
        ({"batch_tokens": 0}, "batch_tokens must be"),
        ({"num_samples": 3}, "num_samples is for `predict 3d`, not for `predict reactivity`"),
        ({"pdb": True}, "pdb is for `predict 3d`, not for `predict reactivity`"),
        ({"ct": True}, "ct is for `predict structure`, not for `predict reactivity`"),
        ({"plot_rows": -1}, "plot_rows must be"),
    ],
)
def test_wrong_options(options, message, tiny):
    with pytest.raises(ValueError, match=message):
        predict("ACGU", model=tiny, **options)


def test_predictions_that_are_not_finite_are_refused(tiny, tmp_path):
    model = RibonanzaNetForReactivity.from_pretrained(tiny)
    make_overflow(model)
    shutil.copytree(tiny, tmp_path / "huge")
    model.save_pretrained(tmp_path / "huge")
    with pytest.raises(FloatingPointError, match="'sequence' is not finite in float32"):
        predict("ACGU", model=tmp_path / "huge")


def test_bfloat16(tiny):
    (row,) = predict("GGGAAACUCC", model=tiny, dtype="bfloat16")
    (reference,) = predict("GGGAAACUCC", model=tiny)
    np.testing.assert_allclose(row["reactivity_2A3"], reference["reactivity_2A3"], atol=0.1)


def test_batches():
    lengths = [10, 300, 10, 20, 512, 10]
    cost = partial(batch_cost, config=RibonanzaNetConfig())
    assert make_batches(lengths, 2048, True, cost) == [[4, 1], [3, 0, 2, 5]]
    assert make_batches(lengths, 2048, False, cost) == [[4], [1], [3], [0, 2, 5]]
    assert make_batches([10] * 5, 20, True, cost) == [[0, 1], [2, 3], [4]]
    # 512 nt cost twice their tokens, and a sequence over the budget runs alone.
    assert make_batches([512] * 3, 2048, True, cost) == [[0, 1], [2]]
    assert make_batches([512] * 3, 1, True, cost) == [[0], [1], [2]]


def test_heat_map_of_long_and_odd_rnas(tmp_path):
    rows = [
        {"id": "x" * 300, "sequence": "ACGTN" * 150, "reactivity_2A3": [2.0] * 750},
        {"id": "a$x_$", "sequence": "A", "reactivity_2A3": [-1.0]},
    ]
    plots.plot_heat_map(rows, {"reactivity_2A3": "2A3"}, tmp_path / "map.png", "reactivity (unit)", limits=(0, 1))
    assert os.listdir(tmp_path) == ["map.png"]
