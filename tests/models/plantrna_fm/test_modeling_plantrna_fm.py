"""PlantRNA-FM: equal to transformers' ESM, right where asked, and the same with and without padding between."""

import json

import pytest
import torch
from common import ModelTests
from safetensors.torch import load_file
from tiny_models import PLANTRNA_FM
from transformers import EsmConfig, EsmForMaskedLM

from rna_hf import PlantRnaFmConfig, PlantRnaFmForMaskedLM, PlantRnaFmModel, RnaTokenizerFast
from rna_hf.models.plantrna_fm.modeling_plantrna_fm import PlantRnaFmForSecondaryStructure
from rna_hf.models.plantrna_fm.published_plantrna_fm import VOCABULARY_FILE, key_table
from rna_hf.tokenization import get_alphabet

ALPHABET = get_alphabet("plantrna_fm")
PAD, MASK, PUBLISHED_MASK = 1, 23, 9


class _PlantRnaFmTests(ModelTests):
    config_class = PlantRnaFmConfig
    model_classes = (PlantRnaFmModel, PlantRnaFmForMaskedLM)
    auto_classes = {
        "PlantRnaFmModel": ("transformers", "AutoModel"),
        "PlantRnaFmForMaskedLM": ("transformers", "AutoModelForMaskedLM"),
    }
    pad_token_id = PAD

    def batch(self, lengths=None):
        ids, mask = super().batch(lengths)
        return torch.where(mask != 0, ids + 4, ids), mask

    def test_hidden_states_and_tuple_output(self, model_class):
        model = self.make(model_class)
        ids, mask = self.batch()
        with torch.no_grad():
            full = model(ids, attention_mask=mask, output_hidden_states=True)
            plain = model(ids, attention_mask=mask, return_dict=False)
        assert len(full.hidden_states) == model.config.num_hidden_layers + 1
        keep = mask != 0
        # Asked for the states between, it runs on the padded batch: the same but for rounding.
        torch.testing.assert_close(plain[0][keep], full[0][keep], atol=1e-5, rtol=0)

    def test_eager_equals_sdpa(self, model_class):
        ids, mask = self.batch()
        with torch.no_grad():
            eager = self.make(model_class, "eager")(ids, attention_mask=mask)[0]
            sdpa = self.make(model_class, "sdpa")(ids, attention_mask=mask)[0]
        torch.testing.assert_close(eager[mask != 0], sdpa[mask != 0], atol=3e-6, rtol=0)


class TestRotary(_PlantRnaFmTests):
    tiny = PLANTRNA_FM


class TestAbsoluteWithNorm(_PlantRnaFmTests):
    tiny = PLANTRNA_FM | {"position_embedding": "absolute", "embedding_norm": True, "token_dropout": False}


def esm(**options):
    """A transformers' ESM with random weights that are not small."""
    torch.manual_seed(0)
    config = EsmConfig(
        vocab_size=24,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        pad_token_id=PAD,
        mask_token_id=PUBLISHED_MASK,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.3,
        layer_norm_eps=1e-5,
        attn_implementation="eager",
        **{"position_embedding_type": "rotary", "token_dropout": True, "max_position_embeddings": 64} | options,
    )
    return EsmForMaskedLM(config).eval()


def save_published(model, folder):
    """Save as published: ESM's names and its vocabulary."""
    model.save_pretrained(folder)
    (folder / VOCABULARY_FILE).write_text("".join(f"{token}\n" for token in ALPHABET.tokens))
    return folder


def batch(seed=0, masked=True):
    """Ids with the tokens at both ends, some nucleotides masked, and padding."""
    generator = torch.Generator().manual_seed(seed)
    lengths = (20, 15, 9)
    ids, mask = torch.full((3, 20), PAD), torch.zeros(3, 20, dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, 1 : length - 1] = torch.randint(4, 10, (length - 2,), generator=generator)
        ids[row, 0], ids[row, length - 1] = 0, 2
        mask[row, :length] = 1
    if masked:
        ids[0, 3] = ids[1, 5] = ids[0, 7] = MASK
    return ids, mask


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("fix_mask_token", [True, False])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("dropout", [True, False])
@pytest.mark.parametrize("positions", ["rotary", "absolute"])
def test_equal_to_esm(positions, dropout, norm, fix_mask_token, implementation, tmp_path):
    theirs = esm(position_embedding_type=positions, token_dropout=dropout, emb_layer_norm_before=norm)
    theirs.esm.embeddings.mask_token_id = MASK if fix_mask_token else PUBLISHED_MASK
    ours = PlantRnaFmForMaskedLM.from_pretrained(save_published(theirs, tmp_path), attn_implementation=implementation)
    assert (ours.config.mask_token_id, ours.config.published_mask_token_id) == (MASK, PUBLISHED_MASK)
    assert ours.config.fix_mask_token
    ours.config.fix_mask_token = fix_mask_token
    ids, mask = batch()
    with torch.no_grad():
        expected = theirs(ids, attention_mask=mask).logits
        found = ours(ids, attention_mask=mask).logits
        padded = ours(ids, attention_mask=mask, output_hidden_states=True).logits
    keep = mask != 0
    torch.testing.assert_close(found[keep], expected[keep], atol=1e-5, rtol=0)
    torch.testing.assert_close(padded[keep], expected[keep], atol=1e-5, rtol=0)


def test_gradients_are_esms(tmp_path):
    theirs = esm().train()
    theirs.esm.embeddings.mask_token_id = MASK
    ours = PlantRnaFmForMaskedLM.from_pretrained(save_published(theirs, tmp_path)).train()
    ids, mask = batch()
    weights = torch.randn(3, 20, 24) * (mask != 0)[..., None]
    for model in (theirs, ours):
        (model(ids, attention_mask=mask).logits * weights).sum().backward()
    names = key_table(2)
    known = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, known[names[name]].grad, atol=2e-3, rtol=1e-4)


def test_contacts_are_esms(tmp_path):
    theirs = esm()
    theirs.esm.embeddings.mask_token_id = MASK
    ours = PlantRnaFmModel.from_pretrained(save_published(theirs, tmp_path), attn_implementation="eager")
    ids, mask = batch(masked=False)
    with torch.no_grad():
        torch.testing.assert_close(
            ours.predict_contacts(ids, mask), theirs.esm.predict_contacts(ids, mask), atol=1e-5, rtol=0
        )
    with pytest.raises(ValueError, match="has no contact head"):
        PlantRnaFmModel(PlantRnaFmConfig(**PLANTRNA_FM)).predict_contacts(ids)


@pytest.mark.shared
@pytest.mark.parametrize("dropout", ["tokendropout", "notokendropout"])
@pytest.mark.parametrize("norm", ["ln", "noln"])
def test_golden_files_of_the_shared_folder(norm, dropout, shared_dir, tmp_path):
    place = shared_dir / "golden"
    golden = load_file(place / f"plantrnafm_esm_{norm}_{dropout}.safetensors")
    config = json.loads((place / f"plantrnafm_esm_{norm}_{dropout}.json").read_text())["config"]
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "esm"}))
    (tmp_path / "model.safetensors").write_bytes((place / f"plantrnafm_esm_{norm}_weights.safetensors").read_bytes())
    (tmp_path / VOCABULARY_FILE).write_text("\n".join(ALPHABET.tokens))
    keep = golden["attention_mask"] != 0
    for implementation in ("eager", "sdpa"):
        model = PlantRnaFmForMaskedLM.from_pretrained(tmp_path, attn_implementation=implementation)
        for kind, ids in (("masked", golden["input_ids"]), ("plain", golden["input_ids_without_mask_tokens"])):
            with torch.no_grad():
                found = model(ids, attention_mask=golden["attention_mask"], output_hidden_states=True)
                packed = model(ids, attention_mask=golden["attention_mask"])
            for output in (found, packed):
                torch.testing.assert_close(output.logits[keep], golden[f"{kind}/logits"][keep], atol=1e-4, rtol=0)
            torch.testing.assert_close(found.hidden_states[0][keep], golden[f"{kind}/embeddings"][keep])


def test_absolute_positions_end(tmp_path):
    model = PlantRnaFmModel(PlantRnaFmConfig(**PLANTRNA_FM, position_embedding="absolute", max_position_embeddings=12))
    model(torch.full((1, 10), 4))
    with pytest.raises(ValueError, match="has 11 tokens, and this model has positions for 10"):
        model(torch.full((1, 11), 4))


def test_pairs_are_the_same_alone_and_padded():
    torch.manual_seed(0)
    model = PlantRnaFmForSecondaryStructure(PlantRnaFmConfig(**PLANTRNA_FM)).eval()
    ids, mask = batch(masked=False)
    with torch.no_grad():
        together = model(ids, attention_mask=mask).logits
        alone = model(ids[1:2, :15]).logits
    torch.testing.assert_close(together[1:2, :15, :15], alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(alone, alone.transpose(1, 2), atol=1e-6, rtol=0)


def test_the_tokenizer_reads_rna():
    tokenizer = RnaTokenizerFast(alphabet="plantrna_fm")
    assert tokenizer("ACGUN").input_ids == [0, 4, 5, 6, 9, 8, 2]
    assert tokenizer("acgt").input_ids == tokenizer("ACGU").input_ids
    assert tokenizer("A<mask>G").input_ids == [0, 4, 23, 6, 2]
    published = RnaTokenizerFast(alphabet="plantrna_fm", t_as_u=False, ignore_case=False)
    assert published("ACGTacgtu").input_ids == [0, 4, 5, 6, 7, 10, 11, 12, 13, 15, 2]
    for text in ("AC(", "AC.", "A1", "A*C"):
        with pytest.raises(ValueError, match="position"):
            tokenizer(text)
        with pytest.raises(Exception, match="WordPiece error"):
            tokenizer.backend_tokenizer.encode(text)
