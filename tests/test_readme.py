"""The README's python snippets run, in order, as one reader would run them; its links and commands exist."""

import re
import textwrap

import pytest

from rna_hf.checkpoints import find_bundled

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def readme(repository_root):
    return (repository_root / "README.md").read_text(encoding="utf-8")


def test_there_is_something_to_run(readme):
    assert len(BLOCK.findall(readme)) == 3


@pytest.mark.skipif(
    not (find_bundled("ribonanzanet-mini") / "config.json").exists(),
    reason="the bundled checkpoint is not in this checkout",
)
def test_snippets_run(readme, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "readme"}
    for number, block in enumerate(BLOCK.findall(readme), start=1):
        exec(compile(textwrap.dedent(block), f"<README.md, python block {number}>", "exec"), namespace)
    assert len(namespace["rows"][0]["reactivity_2A3"]) == 23
    assert namespace["reactivity"].shape == (2, 23, len(namespace["model"].config.channels))
    assert len(namespace["result"]["reactivity"]["DMS"]) == 23
    assert (tmp_path / "my_model" / "model.safetensors").is_file()


def test_links_lead_somewhere(readme, repository_root):
    targets = [target for target in re.findall(r"\]\(([^)#]+)", readme) if not target.startswith("http")]
    assert targets
    assert [target for target in targets if not (repository_root / target).exists()] == []


def test_make_targets_exist(readme, repository_root):
    makefile = (repository_root / "Makefile").read_text(encoding="utf-8")
    wanted = set(re.findall(r"\bmake ([a-z][a-z-]+)`", readme)) | set(
        re.findall(r"^make ([a-z-]+)", readme, re.MULTILINE)
    )
    assert wanted
    assert [target for target in sorted(wanted) if f"\n{target}:" not in makefile] == []
