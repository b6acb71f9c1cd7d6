"""The command line as a user meets it: exit codes, one line for each error, and runs that are really killed."""

import errno
import gzip
import os
import shutil
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
from rna_hf.data.sources import open_sequences
from rna_hf.prediction.predictor import Predictor

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
    monkeypatch.setattr(logging, "lastResort", logging.lastResort)
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


def test_a_named_pipe(capsys, tiny, tmp_path):
    """Also as a shell's <(command) is one, or /dev/stdin: what a check reads of it is gone."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = subprocess.Popen(["sh", "-c", f"echo ACGUACGU > {path}"])
    code, _, err = call(capsys, "predict", "reactivity", path, "--output", tmp_path / "out", "--model", tiny)
    assert code == 0, err
    assert writer.wait(timeout=60) == 0
    assert f"{path} cannot be read twice" in err
    assert pq.read_table(tmp_path / "out" / "predictions.parquet").column("sequence").to_pylist() == ["ACGUACGU"]


def test_a_current_folder_that_is_gone(capsys, tiny, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    code, _, err = call(capsys, "predict", "reactivity", "ACGUACGU", "--output", "out", "--model", tiny)
    assert code == 1
    assert "the output folder out cannot be written to: No such file or directory; see whether the folder that" in err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("could not create a primitive"), "lower --batch-tokens"),
        (
            OSError(errno.EMFILE, "Too many open files", "x"),
            "x: Too many open files; allow more open files (ulimit -n)",
        ),
    ],
)
def test_limits_of_the_system_have_a_remedy(capsys, tiny, tmp_path, monkeypatch, error, message):
    def forward(*arguments, **options):
        raise error

    monkeypatch.setattr(RibonanzaNetForReactivity, "forward", forward)
    code, _, err = call(capsys, "predict", "reactivity", "ACGUACGU", "--output", tmp_path / "out", "--model", tiny)
    assert code == 1
    assert message in err
    assert "unexpected" not in err


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
    (folder / "parts_is_a_file").mkdir()
    (folder / "parts_is_a_file" / ".rna-hf-parts").touch()
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
        (["/dev/zero"], "/dev/zero is a device; give a file"),
        (
            ["good.fa", "--output", "parts_is_a_file"],
            "File exists; move what has its name, or that of its .rna-hf-parts",
        ),
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


def run_shell(line, folder, **environment):
    """Run a line of shell in which `rna-hf` is this package's command, as a user's own."""
    program = folder / "rna-hf"
    program.write_text(f"#!{sys.executable}\n{PROGRAM}\n")
    program.chmod(0o755)
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    environment = {"PATH": path, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(
        ["sh", "-c", line], cwd=folder, env=os.environ | environment, capture_output=True, timeout=300, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def messages(err):
    """Return the lines of standard error that are not of the progress bar."""
    lines = err.replace("\r", "\n").splitlines()
    return [line for line in lines if line and "seq/s" not in line and "s/seq" not in line]


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux a name is any bytes")
@pytest.mark.parametrize(("task", "options"), [("reactivity", ["--format", "jsonl"]), ("3d", ["--samples", 1])])
def test_a_path_may_be_any_bytes(capsys, tmp_path, task, options):
    model = save_tiny(tmp_path / "model", "3d") if task == "3d" else tiny_models.save_tiny(tmp_path / "model")
    source = tmp_path / os.fsdecode(b"l\xe4nge.parquet")
    with open(source, "wb") as file:
        pq.write_table(pa.table({"id": ["x"], "sequence": ["GGGAAACUCC"]}), file)
    output = tmp_path / os.fsdecode(b"\xe9t\xe9\n")
    arguments = ["predict", task, source, "--output", output, "--model", model, *options]
    code, _, err = call(capsys, *arguments)
    assert code == 0, err
    assert len(messages(err)) <= 2
    assert (output / ("x_1.cif" if task == "3d" else "predictions.jsonl")).exists()
    code, _, err = call(capsys, *arguments)
    assert code == 0
    assert "finished already" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in.fa", "--output", "x" * 300], "cannot be written to: File name too long; choose a shorter name"),
        (["in.fa", "--output", "in.fa/a/b"], "in.fa/a/b cannot be written to: Not a directory; choose a folder whose"),
    ],
)
def test_folders_that_cannot_be(capsys, tiny, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.fa").write_text(">a\nACGU\n")
    code, _, err = call(capsys, "predict", "reactivity", *arguments, "--model", tiny)
    assert code == 1
    assert err.count("\n") == 1
    assert message in err
    assert os.listdir(tmp_path) == ["in.fa"]


def test_a_folder_that_vanishes(capsys, tiny, tmp_path, monkeypatch):
    output = tmp_path / "out"
    predict_batch = Predictor.predict_batch

    def vanish(self, *arguments):
        shutil.rmtree(output)
        return predict_batch(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "predict_batch", vanish)
        code, _, err = call(capsys, "predict", "reactivity", "ACGU", "--output", output, "--model", tiny)
    assert code == 1
    assert f"/part-000000.parquet: its folder {output}/.rna-hf-parts is gone; see that it stays" in messages(err)[-1]
    assert call(capsys, "predict", "reactivity", "ACGU", "--output", output, "--model", tiny)[0] == 0


def test_a_full_disk(capsys, tiny, tmp_path):
    """The line names path and remedy, and the same command goes on when there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", disk], capture_output=True, check=False
    ).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        lines = "".join(f">r{number}\n{'GGGAAACUCC' * 8}\n" for number in range(9))
        (tmp_path / "in.fa").write_text(lines)
        arguments = ["predict", "reactivity", tmp_path / "in.fa", "--output", disk / "out", "--model", tiny]
        arguments += ["--format", "csv", "--plot", 0]
        code, _, err = call(capsys, *arguments)
        assert code == 1
        (line,) = messages(err)
        assert line.startswith(f"rna-hf: error: {disk}/out/")
        assert line.endswith(": no space left on device; free some and run the same command again")
        subprocess.run(["mount", "-o", "remount,size=2m", disk], check=True)
        code, _, err = call(capsys, *arguments)
        assert code == 0, err
        assert len((disk / "out" / "predictions.csv").read_text().splitlines()) == 1 + 9 * 80
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        code, _, err = call(capsys, "predict", "reactivity", "ACGU", "--output", disk / "new", "--model", tiny)
        assert (code, err.count("\n")) == (1, 1)
        assert f"{disk}/new cannot be written to: Read-only file system; choose a folder that you may write to" in err
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_streams_that_are_closed_or_full(tmp_path):
    closed = "rna-hf: error: standard output is closed, and this command prints there; open it or name a file for it\n"
    full = "rna-hf: error: standard output cannot be written to: No space left on device; name another file for it\n"
    no_input = "rna-hf: error: standard input is closed; give a file, or pipe the sequences into the command\n"
    assert run_shell("rna-hf --help >&-", tmp_path) == (1, "", closed)
    assert run_shell("rna-hf --help >/dev/full", tmp_path) == (1, "", full)
    assert run_shell("rna-hf predict reactivity - -o out <&-", tmp_path) == (2, "", no_input)
    assert run_shell("rna-hf predict reactivity --help | true", tmp_path) == (0, "", "")


def test_a_run_needs_no_stream_and_no_home(tiny, tmp_path):
    """All streams closed; and messages that nobody reads, where no cache can be written."""
    command = f"rna-hf predict reactivity ACGUACGU --model {tiny} -o"
    assert run_shell(f"{command} closed <&- >&- 2>&-", tmp_path)[0] == 0
    code, _, _ = run_shell(f"({command} left 2>&1; echo $? > code) | true", tmp_path)
    assert (tmp_path / "code").read_text() == "0\n"
    code, _, err = run_shell(
        f"{command} homeless", tmp_path, HOME="/dev/null", MPLCONFIGDIR="/dev/null/a", HF_HOME="/dev/null/b"
    )
    assert code == 0, err
    assert messages(err) == ["rna-hf: 1 sequence: homeless/predictions.parquet"]
    for name in ("closed", "left", "homeless"):
        assert sorted(os.listdir(tmp_path / name)) == ["predictions.parquet", "reactivity.png", "run.json"]


def test_a_stopped_run_keeps_its_batches(capsys, tiny, tmp_path, monkeypatch):
    """SIGTERM in the third batch of a chunk."""
    (tmp_path / "in.fa").write_text("".join(f">r{number}\n{'ACGU' * 5}\n" for number in range(6)))
    arguments = ["predict", "reactivity", tmp_path / "in.fa", "--model", tiny, "--batch-tokens", 20, "--plot", 0]
    predict_batch, seen = Predictor.predict_batch, []

    def stop(self, *given):
        seen.append(given)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return predict_batch(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "predict_batch", stop)
        code, _, err = call(capsys, *arguments, "--output", tmp_path / "out")
    assert code == 143
    stopped = "rna-hf: error: stopped by SIGTERM; run the same command again to go on where it stopped"
    assert messages(err) == [stopped]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    code, _, err = call(capsys, *arguments, "--output", tmp_path / "out")
    assert "rna-hf: resuming: 2 of 6 sequences are done" in err


def test_a_temporary_folder_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(OSError, match=r"no such file or directory; a copy of the input is kept there; .* TMPDIR"):
        open_sequences(iter(["ACGU"]))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: [str(tmp_path / "gone")])
    with pytest.raises(OSError, match=r"no temporary folder can be written to; name one in the variable TMPDIR"):
        open_sequences(iter(["ACGU"]))
