"""The command line as a user meets it: exit codes, one line for each error, and runs that are really killed."""

import gzip
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny_models
from fresh_process import run_python
from test_prediction_tasks import PAIRED, save_tiny

import rna_hf.checkpoints
from rna_hf import RibonanzaNetForReactivity, __version__
from rna_hf.cli.main import COMMANDS, run

PROGRAM = "import sys; from rna_hf.cli.main import run; sys.exit(run())"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return str(tiny_models.save_tiny(tmp_path_factory.mktemp("tiny_cli"), fix_attention_mask=True))


@pytest.fixture(autouse=True)
def _keep_logging(monkeypatch):
    """Undo what the command does to the process's logging and warnings."""
    import logging
    import warnings

    logger = logging.getLogger("rna_hf")
    monkeypatch.setattr(logger, "handlers", logger.handlers)
    monkeypatch.setattr(logger, "propagate", logger.propagate)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    level = logger.level
    yield
    logger.setLevel(level)


def call(capsys, *arguments):
    code = run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def start(*arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def test_predict(capsys, tiny, tmp_path):
    code, out, err = call(capsys, "predict", "reactivity", "GGGAAACUCC", "--output", tmp_path, "--model", tiny)
    assert (code, out) == (0, "")
    assert "1/1" in err
    assert f"rna-hf: 1 sequence: {tmp_path}/predictions.parquet" in err
    (row,) = pq.read_table(tmp_path / "predictions.parquet").to_pylist()
    assert (row["id"], row["sequence"], len(row["reactivity_DMS"])) == ("sequence", "GGGAAACUCC", 10)
    code, _, err = call(capsys, "predict", "reactivity", "GGGAAACUCC", "--output", tmp_path, "--model", tiny)
    assert code == 0
    assert "finished already" in err
    assert (tmp_path / "reactivity.png").exists()


def test_quiet_and_options(capsys, tiny, tmp_path):
    options = ["--flip-average", "--format", "csv", "--dtype", "bfloat16", "--device", "cpu", "--batch-tokens", "64"]
    options += ["--plot", "0", "--quiet", "--model", tiny, "--output", tmp_path]
    code, out, err = call(capsys, "predict", "reactivity", "GGGAAACUCC", *options)
    assert (code, out, err) == (0, "", "")
    assert sorted(os.listdir(tmp_path)) == ["predictions.csv", "run.json"]


def make_inputs(folder):
    contents = {
        "empty.fa": b"",
        "empty_sequence.fa": b">a\n>b\nACGU\n",
        "blank.fa": b">a\nAC GU\n",
        "letter.fa": b">a\nACGU\n>b\nACGX\n",
        "twice.fa": b">a\nACGU\n>a\nACGG\n",
        "long.fa": b">a\nACGU\n>giant\n" + b"A" * 100_000 + b"\n",
        "broken.fa.gz": gzip.compress(b">a\nACGU\n" * 1000)[:50],
        "column.csv": b"id,seq\na,ACGU\n",
        "good.fa": b">a\nACGU\n",
        "a_file": b"",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    bert = folder / "bert"
    bert.mkdir()
    (bert / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["empty.fa"], "empty.fa is empty"),
        (["empty_sequence.fa"], "line 1 (id 'a'): empty sequence"),
        (["blank.fa"], "blank at position 3"),
        (["letter.fa"], "1 of 2 sequences is unusable: line 3 (id 'b'): unknown letter 'X' at position 4"),
        (["twice.fa"], "line 3 (id 'a'): duplicate id, first seen at line 1"),
        (["long.fa"], "(id 'giant'): 100,000 nt would need about 2,2"),
        (["broken.fa.gz"], "broken.fa.gz is a broken gzip"),
        (["column.csv"], "column.csv has no column 'sequence'; its columns are 'id', 'seq'"),
        (["good.fa", "--output", "a_file"], "the output a_file is a file; name a folder"),
        (["good.fa", "--output", "a_file/out"], "the output folder a_file/out cannot be written to: Not a directory"),
        (["good.fa", "--model", "bert"], "checkpoint 'bert' is of another architecture (model_type 'bert'"),
        (["good.fa", "--model", "nothing"], "no checkpoint 'nothing'"),
        (["good.fa", "--device", "gpu"], "device 'gpu' is not available here"),
        (["missing.fa"], "no such file: missing.fa"),
        (["ACGUX"], "the given sequence (no file has this name): item 1"),
        (["good.fa", "--format", "xlsx"], "argument --format: invalid choice: 'xlsx'"),
    ],
)
def test_errors_are_one_line(capsys, tiny, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    make_inputs(tmp_path)
    if "--output" not in arguments:
        arguments = [*arguments, "--output", "out"]
    if "--model" not in arguments:
        arguments = [*arguments, "--model", tiny]
    code, out, err = call(capsys, "predict", "reactivity", *arguments)
    assert code in (1, 2)
    assert out == ""
    assert err.startswith("rna-hf: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not (tmp_path / "out").exists()


def test_predict_3d(capsys, tmp_path):
    folder = save_tiny(tmp_path / "model", "3d", fix_attention_mask=True)
    arguments = ["predict", "3d", "GGGAAACUCC", "--output", tmp_path / "out", "--model", folder, "--quiet"]
    assert call(capsys, *arguments, "--samples", 2, "--pdb") == (0, "", "")
    names = ["sequence.html", "sequence_1.cif", "sequence_1.pdb", "sequence_2.cif", "sequence_2.pdb"]
    assert sorted(os.listdir(tmp_path / "out")) == ["predictions.parquet", "run.json", *names]
    for options, message in [
        (["--samples", 0], "num_samples must be a whole number from 1 to 100, got 0"),
        (["--flip-average"], "'--flip-average' is no option of `rna-hf predict 3d` (see rna-hf predict 3d --help)"),
        (["--ct"], "'--ct' is no option of `rna-hf predict 3d`, but of structure (see rna-hf predict 3d --help)"),
    ]:
        assert call(capsys, *arguments, *options) == (2, "", f"rna-hf: error: {message}\n")


def test_predict_structure(capsys, tmp_path):
    folder = save_tiny(tmp_path / "model", "structure", fix_attention_mask=True)
    arguments = ["predict", "structure", PAIRED, "--output", tmp_path / "out", "--model", folder, "--ct", "--plot", 0]
    code, _, err = call(capsys, *arguments)
    assert code == 0, err
    assert sorted(os.listdir(tmp_path / "out")) == [
        "predictions.parquet",
        "run.json",
        "structures.ct",
        "structures.dbn",
    ]


def test_predict_dropout_needs_a_model(capsys, tmp_path):
    code, _, err = call(capsys, "predict", "dropout", "ACGU", "--output", tmp_path / "out")
    assert (code, err) == (
        2,
        "rna-hf: error: no checkpoint for `predict dropout` comes with rna-hf; name one with --model\n",
    )
    assert not (tmp_path / "out").exists()


def test_skip_invalid(capsys, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_inputs(tmp_path)
    arguments = ["long.fa", "--output", "out", "--model", tiny, "--skip-invalid"]
    code, _, err = call(capsys, "predict", "reactivity", *arguments)
    assert code == 0
    assert "rna-hf: warning: 1 sequence skipped, listed in out/skipped.tsv" in err
    assert pq.read_table("out/predictions.parquet")["id"].to_pylist() == ["a"]


def test_unwritable_folder(capsys, tiny, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    code, _, err = call(capsys, "predict", "reactivity", "ACGU", "--output", tmp_path / "out", "--model", tiny)
    assert code == 1
    assert "cannot be written to: Permission denied" in err


def test_unexpected_errors_are_one_line(capsys, monkeypatch):
    def fail(argv):
        raise KeyError("two\nlines")

    monkeypatch.setattr("rna_hf.cli.models.main", fail)
    code, _, err = call(capsys, "models")
    assert code == 1
    assert err.startswith("rna-hf: error: unexpected KeyError")
    assert err.count("\n") == 1
    code, _, err = call(capsys, "models", "--debug")
    assert "Traceback" in err


def test_ctrl_c(capsys, monkeypatch, tmp_path):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("rna_hf.cli.predict.predict", interrupt)
    code, _, err = call(capsys, "predict", "reactivity", "ACGU", "--output", tmp_path / "out")
    assert code == 130
    assert err == "rna-hf: error: interrupted; run the same command again to go on where it stopped\n"


def test_help_and_version(capsys):
    assert call(capsys, "--version")[:2] == (0, f"rna-hf {__version__}\n")
    code, out, _ = call(capsys, "--help")
    assert code == 0
    assert all(name in out for name in COMMANDS)
    code, out, _ = call(capsys, "predict", "--help")
    assert code == 0
    assert "--skip-invalid" in out
    assert "examples:" in out
    code, _, err = call(capsys, "destroy")
    assert (code, err.count("\n")) == (2, 1)
    assert "there is no command 'destroy'" in err
    assert call(capsys)[0] == 2


def test_models(capsys, tiny, tmp_path, monkeypatch):
    folder = tmp_path / "ribonanzanet-mini"
    os.symlink(tiny, folder)
    card = (
        "---\nmodel-index:\n- name: mini\n  results:\n  - dataset: {name: Some test}\n"
        "    metrics: [{type: mae, name: MAE 2A3, value: 0.21234}]\n---\ntext\n"
    )
    (folder / "README.md").write_text(card)
    found = rna_hf.checkpoints.list_checkpoints(tmp_path)
    monkeypatch.setattr("rna_hf.cli.models.list_checkpoints", lambda: found)
    monkeypatch.setattr("rna_hf.cli.models.CHECKPOINTS", {"ribonanzanet-mini": rna_hf.checkpoints.CheckpointEntry()})
    code, out, _ = call(capsys, "models")
    assert code == 0
    (checkpoint,) = found
    model = RibonanzaNetForReactivity.from_pretrained(tiny)
    assert checkpoint.num_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert f"{checkpoint.num_parameters:,} parameters" in out
    assert "Some test, MAE 2A3: 0.2123" in out
    assert "default of: predict reactivity" in out
    assert "missing" not in out
    (folder / "README.md").unlink()
    assert rna_hf.checkpoints.list_checkpoints(tmp_path)[0].scores == []


def test_missing_checkpoints_are_said_to_be_missing(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("rna_hf.cli.models.list_checkpoints", list)
    monkeypatch.setattr("rna_hf.checkpoints.FOLDER", tmp_path)
    code, out, _ = call(capsys, "models")
    assert code == 0
    assert out.count("missing from this installation") == len(rna_hf.checkpoints.CHECKPOINTS)
    code, _, err = call(capsys, "predict", "reactivity", "ACGU", "--output", tmp_path / "out")
    assert code == 2
    assert "the bundled checkpoint 'ribonanzanet-mini' is missing" in err


def test_killed_runs_end_as_an_undisturbed_one(capsys, tiny, tmp_path):
    """SIGKILL once the first part is there; then the rest. The file must equal that of one go, byte for byte."""
    generator = np.random.default_rng(0)
    sequences = ["".join(generator.choice(list("ACGU"), 20)) for _ in range(800)]
    pq.write_table(pa.table({"sequence": sequences}), tmp_path / "in.parquet")
    # Small batches, so that the second part takes long enough to be killed in it.
    arguments = ["predict", "reactivity", tmp_path / "in.parquet", "--model", tiny, "--batch-tokens", 60, "--plot", 0]
    parts = tmp_path / "out" / ".rna-hf-parts"
    process = start(*arguments, "--output", tmp_path / "out")
    deadline = time.monotonic() + 300
    while not list(parts.glob("part-*.parquet")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert 1 <= len(list(parts.glob("part-*.parquet"))) < 4
    code, _, err = call(capsys, *arguments, "--output", tmp_path / "out")
    assert code == 0, err
    assert "rna-hf: resuming: " in err
    code, _, err = call(capsys, *arguments, "--output", tmp_path / "undisturbed", "--quiet")
    assert (code, err) == (0, "")
    resumed = (tmp_path / "out" / "predictions.parquet").read_bytes()
    assert resumed == (tmp_path / "undisturbed" / "predictions.parquet").read_bytes()
    assert pq.read_table(tmp_path / "out" / "predictions.parquet")["sequence"].to_pylist() == sequences
    assert sorted(os.listdir(tmp_path / "out")) == ["predictions.parquet", "run.json"]


def test_standard_input(tiny, tmp_path):
    arguments = ["predict", "reactivity", "-", "--model", tiny, "--output", tmp_path, "--format", "jsonl", "--plot", 0]
    done = run_python(PROGRAM, *map(str, arguments), input=">a\nACGU\n>b\nGGG\n")
    assert done.returncode == 0, done.stderr
    assert "cannot be resumed" in done.stderr
    assert len((tmp_path / "predictions.jsonl").read_text().splitlines()) == 2
