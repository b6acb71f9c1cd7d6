"""Runs shared by the processes of `accelerate launch`: the rows of one process, once each, and no end unnoticed."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pyarrow.parquet as pq
import pytest
import torch
from fresh_process import run_python
from test_prediction import interrupt, random_rnas, save_tiny, stop_in_batch, write_fasta
from test_prediction_tasks import read_all
from test_prediction_tasks import save_tiny as save_tiny_of_task

from rna_hf.cli import predict as command
from rna_hf.data.records import SequenceRecord
from rna_hf.data.run_folder import RunFolder
from rna_hf.prediction import chunks, predict, processes
from rna_hf.prediction.processes import MainProcessStopped, Processes, choose_device, find_process

LAUNCH = ["--num_machines", "1", "--main_process_port", "0", "--mixed_precision", "no", "--dynamo_backend", "no"]
# accelerate's word for several processes of one machine; --cpu would start only one, or need MPI.
TWO = ["--multi_gpu", "--num_processes", "2", "-m", "rna_hf.cli.main", "predict"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("tiny_processes"), fix_attention_mask=True)


@pytest.fixture(scope="module")
def rnas(tmp_path_factory):
    """A FASTA of four chunks."""
    return write_fasta(tmp_path_factory.mktemp("rnas") / "in.fa", random_rnas(1000, 5, 12))


@pytest.fixture
def _one_thread():
    """As the launched processes, so that equal means each bit."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(count)


def make_command(*arguments, task="reactivity"):
    """What stands after `accelerate launch`."""
    without_picture = ["--plot", "0"] if task == "reactivity" else []
    return [*LAUNCH, *TWO, task, *map(str, arguments), "--device", "cpu", *without_picture]


def start(*arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "accelerate.commands.launch", *make_command(*arguments)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def launch(*arguments, task="reactivity"):
    code = "import runpy; runpy.run_module('accelerate.commands.launch', run_name='__main__', alter_sys=True)"
    done = run_python(code, *make_command(*arguments, task=task), PYTHONPATH=os.pathsep.join(sys.path))
    return done.returncode, done.stderr


@pytest.mark.usefixtures("_one_thread")
def test_two_processes_write_what_one_writes(tiny, rnas, tmp_path):
    path = tmp_path / "in.fa"
    path.write_text(">bad\nACGX\n" + rnas.read_text() + ">r7\nACGU\n>empty\n")
    code, err = launch(path, "--output", tmp_path / "two", "--model", tiny, "--skip-invalid")
    assert code == 0, err
    # Only one of the two speaks, and its progress is that of both.
    assert [line for line in err.splitlines() if line.startswith("rna-hf: ")] == [
        f"rna-hf: 1,000 sequences: {tmp_path}/two/predictions.parquet",
        f"rna-hf: warning: 3 sequences skipped, listed in {tmp_path}/two/skipped.tsv",
    ]
    assert "1000/1000" in err
    predict(path, tmp_path / "one", model=tiny, skip_invalid=True, plot_rows=0, device="cpu")
    assert sorted(os.listdir(tmp_path / "two")) == sorted(os.listdir(tmp_path / "one"))
    for name in ("predictions.parquet", "skipped.tsv"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert pq.read_table(tmp_path / "two" / "predictions.parquet")["id"].to_pylist() == [f"r{i}" for i in range(1000)]
    assert json.loads((tmp_path / "two" / "run.json").read_text())["num_skipped"] == 3


@pytest.mark.usefixtures("_one_thread")
def test_two_processes_write_the_samples_and_files_of_one(tmp_path):
    folder = save_tiny_of_task(tmp_path / "model", "3d", fix_attention_mask=True)
    path = write_fasta(tmp_path / "in.fa", random_rnas(300, 5, 12))
    options = {"model": folder, "device": "cpu", "num_samples": 2}
    predict(path, tmp_path / "one", task="3d", **options)
    code, err = launch(path, "--output", tmp_path / "two", "--model", folder, "--samples", 2, task="3d")
    assert code == 0, err
    assert "300/300" in err
    assert read_all(tmp_path / "two") == read_all(tmp_path / "one")
    assert len(list((tmp_path / "two").glob("*.cif"))) == 600


@pytest.mark.usefixtures("_one_thread")
def test_an_interrupted_run_goes_on_with_two_processes(tiny, rnas, tmp_path, monkeypatch):
    options = {"model": tiny, "plot_rows": 0, "device": "cpu", "format": "csv"}
    undisturbed = predict(rnas, tmp_path / "undisturbed", **options).read_bytes()
    with monkeypatch.context() as patch:
        interrupt(patch, after=3)
        with pytest.raises(KeyboardInterrupt):
            predict(rnas, tmp_path / "out", **options)
    # As if another process had not come to it, and had been cut off in another one.
    (tmp_path / "out" / ".rna-hf-parts" / "part-000001.parquet").unlink()
    (tmp_path / "out" / ".rna-hf-parts" / "part-000002.parquet").write_bytes(b"PAR1 cut")
    code, err = launch(rnas, "--output", tmp_path / "out", "--model", tiny, "--format", "csv")
    assert code == 0, err
    assert "rna-hf: resuming: 256 of 1,000 sequences are done" in err
    assert (tmp_path / "out" / "predictions.csv").read_bytes() == undisturbed
    assert sorted(os.listdir(tmp_path / "out")) == ["predictions.csv", "run.json"]


@pytest.mark.usefixtures("_one_thread")
def test_two_processes_finish_chunks_that_one_has_begun(tiny, rnas, tmp_path, monkeypatch):
    options = {"model": tiny, "plot_rows": 0, "device": "cpu", "format": "csv", "batch_tokens": 400}
    undisturbed = predict(rnas, tmp_path / "undisturbed", **options).read_bytes()
    with monkeypatch.context() as patch:
        batches = stop_in_batch(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            predict(rnas, tmp_path / "out", **options)
    (piece,) = RunFolder(tmp_path / "out", "csv").read_pieces(0)
    done = sum(map(len, batches))
    assert piece.num_rows == done < 256
    arguments = ["--model", tiny, "--format", "csv", "--batch-tokens", "400"]
    code, err = launch(rnas, "--output", tmp_path / "out", *arguments)
    assert code == 0, err
    assert f"rna-hf: resuming: {done} of 1,000 sequences are done" in err
    assert "1000/1000" in err
    assert (tmp_path / "out" / "predictions.csv").read_bytes() == undisturbed
    assert sorted(os.listdir(tmp_path / "out")) == ["predictions.csv", "run.json"]


@pytest.mark.slow
@pytest.mark.usefixtures("_one_thread")
def test_two_processes_that_are_stopped_lose_no_batch(tiny, tmp_path):
    """SIGTERM to both, as from a batch system, in their first chunks; then one process goes on."""
    path = write_fasta(tmp_path / "in.fa", random_rnas(1000, 60, 100))
    options = {"model": tiny, "plot_rows": 0, "device": "cpu", "batch_tokens": 100}
    process = start(path, "--output", tmp_path / "out", "--model", tiny, "--batch-tokens", "100")
    deadline = time.monotonic() + 300
    while not (tmp_path / "out" / "run.json").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(2)
    for worker in psutil.Process(process.pid).children(recursive=True):
        if "RANK" in worker.environ():
            worker.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=100)
    assert process.returncode != 0
    assert "unexpected" not in err
    pieces = RunFolder(tmp_path / "out", "parquet").piece_counts()
    assert pieces, err
    resumed = predict(path, tmp_path / "out", **options).read_bytes()
    assert resumed == predict(path, tmp_path / "undisturbed", **options).read_bytes()


def test_bad_input_is_reported_once(tiny, tmp_path):
    path = write_fasta(tmp_path / "in.fa", [("a", "ACGU"), ("b", "ACGX")])
    code, err = launch(path, "--output", tmp_path / "out", "--model", tiny)
    assert code != 0
    (line,) = [line for line in err.splitlines() if line.startswith("rna-hf: ")]
    assert line.startswith(f"rna-hf: error: {path}: 1 of 2 sequences is unusable: line 3 (id 'b'): unknown letter 'X'")
    assert "unexpected" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("victim", ["0", "1"])
def test_a_killed_process_ends_the_others_and_one_process_goes_on(victim, tiny, rnas, tmp_path):
    options = {"model": tiny, "plot_rows": 0, "device": "cpu", "batch_tokens": 24}
    process = start(rnas, "--output", tmp_path / "out", "--model", tiny, "--batch-tokens", "24")
    parts = tmp_path / "out" / ".rna-hf-parts"
    deadline = time.monotonic() + 300
    while not list(parts.glob("part-*.parquet")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    workers = psutil.Process(process.pid).children(recursive=True)
    (worker,) = [worker for worker in workers if worker.environ().get("RANK") == victim]
    worker.send_signal(signal.SIGKILL)
    _, err = process.communicate(timeout=100)
    assert process.returncode != 0
    assert "unexpected" not in err
    assert not any(worker.is_running() for worker in workers)
    assert 1 <= len(list(parts.glob("part-*.parquet"))) < 4
    resumed = predict(rnas, tmp_path / "out", **options).read_bytes()
    assert resumed == predict(rnas, tmp_path / "undisturbed", **options).read_bytes()


@pytest.mark.parametrize("done", [{}, {0: 16}, {1: 16, 2: 16, 3: 15}])
def test_each_missing_chunk_has_one_owner(done, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_SEQUENCES", 16)
    records = [SequenceRecord(identifier, sequence, "") for identifier, sequence in random_rnas(100)]
    shared = list(chunks.share_out(records, done, 3))
    assert [number for number, _, _ in shared] == list(range(7))
    assert [record for _, chunk, _ in shared for record in chunk] == records
    missing = [number for number in range(7) if done.get(number) != 16]
    assert [(number, owner) for number, _, owner in shared if owner is not None] == [
        (number, index % 3) for index, number in enumerate(missing)
    ]


def test_launchers_are_recognised(monkeypatch):
    for name in (*processes._COUNT_VARIABLES, *processes._INDEX_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    assert find_process() == (0, 1)
    assert Processes.join().count == 1
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert find_process() == (0, 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert find_process() == (3, 4)
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.delenv("RANK")
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", "1")
    assert find_process() == (1, 2)


def test_each_process_has_its_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr("rna_hf.memory.resolve_device", torch.device)
    second = Processes(index=5, count=8, local_index=1, local_count=2)
    for name in ("auto", "cuda"):
        assert choose_device(name, second) == (torch.device("cuda:1"), 1)
    # A device that is named is shared, and so is its memory.
    assert choose_device("cuda:0", second) == (torch.device("cuda:0"), 2)
    assert choose_device("cpu", second) == (torch.device("cpu"), 2)
    assert choose_device("cuda", Processes()) == (torch.device("cuda"), 1)
    with pytest.raises(ValueError, match="4 processes for 2 GPUs; start one for each GPU"):
        choose_device("auto", Processes(index=3, count=4, local_index=3, local_count=4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("-", "out"), "standard input cannot be read by 2 processes"), (("ACGU",), "through its output folder")],
)
def test_what_cannot_be_shared_is_refused(arguments, message, tiny, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Processes, "join", lambda: Processes(count=2, local_count=2))
    with pytest.raises(ValueError, match=message):
        predict(*arguments, model=tiny, distributed=True)
    assert os.listdir(tmp_path) == []


def test_helpers_leave_the_talking_to_the_main_process(capsys, monkeypatch, tiny, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(command, "_speak_plainly", lambda *arguments: None)

    errors = [MainProcessStopped("gone"), KeyboardInterrupt(), MemoryError("mine")]

    def stop(*arguments, **options):
        assert options["distributed"]
        assert not options["progress"]
        raise errors.pop(0)

    monkeypatch.setattr("rna_hf.cli.predict.predict", stop)
    arguments = ["reactivity", "ACGU", "--output", str(tmp_path / "out")]
    assert command.main(arguments) == 0
    assert command.main(arguments) == 130
    with pytest.raises(MemoryError):
        command.main(arguments)
    assert command.main([*arguments, "--format", "xlsx"]) == 0
    assert capsys.readouterr().err == ""
