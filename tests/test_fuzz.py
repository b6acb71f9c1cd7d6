"""Broken and foreign inputs to every reader are read or refused in one line, at once."""

import json
import random

import pytest

from benchmarks.robustness import fuzz as fuzzing
from benchmarks.robustness.mutations import mutate
from benchmarks.robustness.seeds import make_seeds


def check(tallies):
    assert {name: tally.examples for name, tally in tallies.items() if tally.faults} == {}
    assert all(tally.read and tally.refused for tally in tallies.values())  # else it would say little of the reader


def test_broken_inputs():
    tallies = fuzzing.fuzz(count=2000, seed=3, limit_s=30)
    check(tallies)
    assert sum(tally.inputs for tally in tallies.values()) == 2000


@pytest.mark.slow
def test_many_broken_inputs():
    check(fuzzing.fuzz(count=60_000, seed=4, limit_s=30))


WHOLE = ("prediction", "trace", "fasta", "cefra", "openvaccine", "rna3d", "rna3d labels", "ribonanza", "ribonanza_test")


def test_the_seeds_themselves_are_read(tmp_path):
    for seed in make_seeds(tmp_path):
        if seed.reader not in WHOLE or b"Cytosol" in seed.data:  # others are partly refused by name
            continue
        path, beside = tmp_path / f"whole{seed.suffix}", tmp_path / "beside.fasta"
        path.write_bytes(seed.data)
        beside.write_bytes(seed.beside)
        assert fuzzing.READS[seed.reader](path, beside)


def test_the_same_seed_gives_the_same_inputs():
    data = b"id,sequence\na,GACU\n" * 3
    first, second = ([mutate(data, random.Random(f"5/{number}")) for number in range(200)] for _ in range(2))
    assert first == second
    assert len(set(first)) > 150


def hang(path, beside):
    while True:
        pass


def misread(path, beside):
    raise fuzzing.Misread("protein")


def crash(path, beside):
    raise KeyError("sequence")


def refuse_badly(path, beside):
    raise ValueError("one line\nand another")


@pytest.mark.parametrize(
    ("reader", "fault"),
    [(hang, "takes longer than"), (misread, "misread: protein"), (crash, "KeyError"), (refuse_badly, "not raised by")],
)
def test_faults_are_found(monkeypatch, tmp_path, capsys, reader, fault):
    monkeypatch.setitem(fuzzing.READS, "fasta", reader)
    monkeypatch.setattr(fuzzing.resource, "setrlimit", lambda *limits: None)
    output = tmp_path / "fuzz.json"
    assert fuzzing.main(["--count", "6", "--limit", "0.2", "--output", str(output)]) == 1
    (run,) = json.loads(output.read_text())
    tally = run["readers"]["fasta"]
    assert tally["faults"] == tally["inputs"] == 1
    assert fault in tally["examples"][0]
    assert fault in capsys.readouterr().out
