"""sentence-transformers over our checkpoints gives the vectors of `rna_hf.embed`."""

import numpy as np
import pytest
import tiny_models
import torch

import rna_hf
from rna_hf import Embedder, RnaTrackerConfig, RnaTrackerForLocalisation, embed
from rna_hf.checkpoints import find_bundled
from rna_hf.tokenization import RnaTokenizerFast

pytest.importorskip("sentence_transformers", reason="the extra `sentence-transformers` is missing")
from sentence_transformers import SentenceTransformer

from rna_hf.hub.sentence_embedding import RnaEmbedding, write_sentence_transformer

RNAS = ["GGGAAACUCC", "acgtacgtacgtacgGGCA", "GGCAUUCGUGCC", "AC", "GGGAAACGCUUCGGCGUAAACCC"]
pytestmark = pytest.mark.filterwarnings("ignore:.*to take with care.*:UserWarning")


def save_tracker(folder):
    torch.manual_seed(0)
    RnaTrackerForLocalisation(RnaTrackerConfig(**tiny_models.RNATRACKER)).save_pretrained(folder)
    RnaTokenizerFast(alphabet="rnatracker").save_pretrained(folder)
    return folder


@pytest.fixture(params=["masked", "padding leaks", "special tokens", "positions"])
def folder(request, tmp_path):
    if request.param == "positions":
        return save_tracker(tmp_path / "model")
    special = request.param == "special tokens"
    return tiny_models.save_tiny(
        tmp_path / "model",
        {"bos_token": True, "eos_token": True} if special else None,
        fix_attention_mask=request.param != "padding leaks",
        **({"bos_token_id": 6, "eos_token_id": 7} if special else {}),
    )


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_same_vectors(batch_size, folder):
    is_tracker = "rnatracker" in (folder / "config.json").read_text()
    rnas = [rna * 30 for rna in RNAS] if is_tracker else RNAS
    expected = [row["embedding"] for row in embed(rnas, model=folder)]
    write_sentence_transformer(folder)
    model = SentenceTransformer(str(folder), device="cpu", trust_remote_code=True)
    assert model.get_embedding_dimension() == len(expected[0])
    np.testing.assert_allclose(model.encode(rnas, batch_size=batch_size), expected, atol=2e-5)
    np.testing.assert_allclose(np.stack(Embedder(folder)(rnas)), expected, atol=2e-5)


def test_a_shipped_checkpoint_opens_as_it_is():
    folder = find_bundled("ribonanzanet-mini")
    vectors = SentenceTransformer(str(folder), device="cpu").encode(RNAS)
    np.testing.assert_allclose(vectors, [row["embedding"] for row in embed(RNAS, model=folder)], atol=1e-5)


def test_one_that_it_would_read_wrongly_asks_for_our_module():
    folder = find_bundled("rnatracker-mini")
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        SentenceTransformer(str(folder), device="cpu")
    rnas = [rna * 30 for rna in RNAS]
    vectors = SentenceTransformer(str(folder), device="cpu", trust_remote_code=True).encode(rnas)
    np.testing.assert_allclose(vectors, [row["embedding"] for row in embed(rnas, model=folder)], atol=1e-5)


def test_saved_and_opened_again(tmp_path):
    folder = tiny_models.save_tiny(tmp_path / "model", fix_attention_mask=True)
    model = SentenceTransformer(modules=[RnaEmbedding(str(folder))], device="cpu")
    model.save(str(tmp_path / "saved"))
    again = SentenceTransformer(str(tmp_path / "saved"), device="cpu", trust_remote_code=True)
    np.testing.assert_array_equal(again.encode(RNAS), model.encode(RNAS))
    assert isinstance(rna_hf.load(tmp_path / "model").model, rna_hf.RibonanzaNetForReactivity)


def test_gradients_reach_the_model(tmp_path):
    folder = tiny_models.save_tiny(tmp_path / "model", fix_attention_mask=True)
    module = RnaEmbedding(str(folder)).train()
    module(module.preprocess(RNAS))["sentence_embedding"].sum().backward()
    assert any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in module.parameters())


def test_what_is_no_rna_is_refused(tmp_path):
    folder = tiny_models.save_tiny(tmp_path / "model", fix_attention_mask=True)
    model = SentenceTransformer(modules=[RnaEmbedding(str(folder))], device="cpu")
    with pytest.raises(ValueError, match="'a sentence'"):
        model.encode(["GGGAAACC", "a sentence"], batch_size=8)
    with pytest.raises(ValueError, match="skip_invalid is not for an Embedder"):
        Embedder(folder, skip_invalid=True)
    assert Embedder(folder)([]) == []
    with pytest.raises(FileNotFoundError):
        write_sentence_transformer(tmp_path / "nothing")


def test_a_loaded_model_is_kept(tmp_path, monkeypatch):
    from rna_hf.prediction import engine

    folder = tiny_models.save_tiny(tmp_path / "model", fix_attention_mask=True)
    embedder = Embedder(folder, pooling="none", layer=1)
    first = embedder(RNAS)
    monkeypatch.setattr(engine, "load_model", None)
    for one, again, rna in zip(first, embedder(RNAS), RNAS):
        assert one.shape == (len(rna), embedder.size)
        np.testing.assert_array_equal(one, again)
