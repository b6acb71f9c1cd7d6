"""RibonanzaNet: equal to the original where asked, right where asked."""

import itertools
from pathlib import Path

import pytest
import torch
from common import ModelTests
from tiny_models import RIBONANZANET

from benchmarks.accuracy.parity import GoldenModels, compare_file, golden_files
from rna_hf import RibonanzaNetConfig, RibonanzaNetForReactivity, RibonanzaNetModel
from rna_hf.layers.attention import cancel_mixed_logits, mask_padded_keys
from rna_hf.layers.pair import OuterProductMean, RelativePosition, TriangleUpdate
from rna_hf.models.ribonanzanet import modeling_ribonanzanet as modeling

GOLDEN = Path(__file__).parent / "golden"
FLAGS = ("fix_attention_mask", "fix_attention_residual", "fix_pairwise_dropout")
TINY = RIBONANZANET | {"num_hidden_layers": 3}


class _RibonanzaNetTests(ModelTests):
    config_class = RibonanzaNetConfig
    model_classes = (RibonanzaNetModel, RibonanzaNetForReactivity)
    auto_classes = {
        "RibonanzaNetModel": ("transformers", "AutoModel"),
        "RibonanzaNetForReactivity": ("rna_hf", "AutoModelForReactivity"),
    }
    pad_token_id = 4


class TestFixed(_RibonanzaNetTests):
    tiny = TINY | dict.fromkeys(FLAGS, True)


class TestFixedTriangular(_RibonanzaNetTests):
    tiny = TINY | dict.fromkeys(FLAGS, True) | {"use_triangular_attention": True}


@pytest.fixture(scope="module")
def golden_models(tmp_path_factory):
    return GoldenModels(tmp_path_factory.mktemp("converted"))


@pytest.mark.parametrize("path", golden_files(GOLDEN), ids=lambda path: path.stem)
def test_golden(path, golden_models):
    """Every state of a converted checkpoint equals the original's, in eager and in sdpa."""
    rows = list(compare_file(path, golden_models))
    assert rows
    assert all(row.differences for row in rows)
    assert not [(row.variant, row.implementation, row.failures, row.differences) for row in rows if row.failures]


@pytest.mark.shared
def test_golden_files_of_the_shared_folder(shared_dir, golden_models):
    """The same over the complete files, which hold every layer's states."""
    files = golden_files(shared_dir / "golden")
    assert len(files) == len(golden_files(GOLDEN))
    rows = [row for path in files for row in compare_file(path, golden_models)]
    assert not [(row.file, row.variant, row.implementation, row.failures) for row in rows if row.failures]


def _model(model_class=RibonanzaNetForReactivity, implementation="sdpa", **changes):
    torch.manual_seed(1)
    config = RibonanzaNetConfig(**(TINY | changes))
    config._attn_implementation = implementation
    return model_class(config).eval()


def _batch(lengths=(12, 7, 4)):
    generator = torch.Generator().manual_seed(3)
    ids = torch.full((len(lengths), max(lengths)), 4)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(0, 4, (length,), generator=generator)
    return ids, (ids != 4).long()


@pytest.mark.parametrize("triangular", [False, True])
@pytest.mark.parametrize("quirk", ["float", "bool"])
@pytest.mark.parametrize("flags", itertools.product([False, True], repeat=2))
def test_every_flag_combination_is_equal_in_eager_and_sdpa(flags, quirk, triangular):
    options = dict(zip(FLAGS, flags)) | {"padding_quirk": quirk, "use_triangular_attention": triangular}
    ids, mask = _batch()
    with torch.no_grad():
        eager = _model(implementation="eager", **options)(ids, attention_mask=mask, output_pair_states=True)
        sdpa = _model(implementation="sdpa", **options)(ids, attention_mask=mask, output_pair_states=True)
    torch.testing.assert_close(eager.logits, sdpa.logits, atol=3e-6, rtol=0)
    for ours, theirs in zip(eager.pair_states, sdpa.pair_states):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)


def _deviation(lengths=(12, 7, 4), **changes):
    """Largest difference between a padded batch and each sequence alone, for the padded sequences."""
    model = _model(**changes)
    ids, mask = _batch(lengths)
    with torch.no_grad():
        together = model(ids, attention_mask=mask).logits
        return max(
            float((together[row, :length] - model(ids[row : row + 1, :length]).logits[0]).abs().max())
            for row, length in enumerate(lengths)
        )


@pytest.mark.parametrize("triangular", [False, True])
class TestEachDefectPutBack:
    """Padding must not matter with `fix_attention_mask`; each of the original's defects alone makes it matter."""

    def deviation(self, triangular):
        return _deviation(fix_attention_mask=True, use_triangular_attention=triangular)

    def put_back(self, monkeypatch, triangular, **fields):
        """Let `from_mask` return what the fixed mode returns, with some fields replaced."""
        fixed = modeling.RibonanzaNetPadding.from_mask.__func__

        def patched(cls, config, attention_mask, dtype):
            padding = fixed(cls, config, attention_mask, dtype)
            if attention_mask is None:
                return padding
            keep = (attention_mask != 0).to(dtype)
            return padding._replace(**{name: make(keep) for name, make in fields.items()})

        monkeypatch.setattr(modeling.RibonanzaNetPadding, "from_mask", classmethod(patched))
        return self.deviation(triangular)

    def test_nothing_put_back(self, triangular):
        assert self.deviation(triangular) < 1e-5

    def test_self_attention_filled_with_zero_logits(self, monkeypatch, triangular):
        def zeroed(bias, keep):
            return bias.masked_fill((keep[:, None, :, None] != keep[:, None, None, :]), 0.0)

        monkeypatch.setattr(modeling, "mask_padded_keys", zeroed)
        assert self.deviation(triangular) > 1e-3

    def test_self_attention_unmasked(self, monkeypatch, triangular):
        monkeypatch.setattr(modeling, "mask_padded_keys", lambda bias, keep: bias)
        assert self.deviation(triangular) > 1e-3

    def test_triangle_updates_with_signs(self, monkeypatch, triangular):
        assert self.put_back(monkeypatch, triangular, pair_scale=lambda keep: 2 * keep - 1) > 1e-4

    def test_triangle_updates_unmasked(self, monkeypatch, triangular):
        assert self.put_back(monkeypatch, triangular, pair_scale=lambda keep: None) > 1e-4

    def test_pads_change_sign(self, monkeypatch, triangular):
        assert self.put_back(monkeypatch, triangular, later_scale=lambda keep: 2 * keep - 1) > 1e-3

    def test_pads_not_zeroed(self, monkeypatch, triangular):
        assert self.put_back(monkeypatch, triangular, later_scale=lambda keep: None) > 1e-3

    def test_triangle_attention_filled_with_zero_logits(self, monkeypatch, triangular):
        def zeroed(bias, keep):
            return bias.masked_fill((keep[:, None, :, None] != keep[:, None, None, :]), 0.0)

        monkeypatch.setattr("rna_hf.layers.pair.mask_padded_keys", zeroed)
        deviation = self.deviation(triangular)
        assert deviation > 1e-4 if triangular else deviation < 1e-5

    def test_triangle_attention_unmasked(self, monkeypatch, triangular):
        monkeypatch.setattr("rna_hf.layers.pair.mask_padded_keys", lambda bias, keep: bias)
        deviation = self.deviation(triangular)
        assert deviation > 1e-4 if triangular else deviation < 1e-5


@pytest.mark.parametrize("quirk", ["float", "bool"])
def test_quirks_leak_padding_and_ignore_the_dtype_of_the_mask(quirk):
    """The config alone chooses: a bool mask with the float quirk gives the float behaviour, and the other way round."""
    assert _deviation(padding_quirk=quirk) > 1e-3
    model = _model(padding_quirk=quirk)
    ids, mask = _batch()
    with torch.no_grad():
        as_long, as_bool = model(ids, attention_mask=mask).logits, model(ids, attention_mask=mask.bool()).logits
    assert torch.equal(as_long, as_bool)
    other = _model(padding_quirk="bool" if quirk == "float" else "float")
    with torch.no_grad():
        assert (other(ids, attention_mask=mask).logits - as_long).abs().max() > 1e-3


def test_quirks_do_not_matter_without_padding():
    ids, _ = _batch((9, 9))
    mask = torch.ones_like(ids)
    with torch.no_grad():
        outputs = [
            _model(**changes)(ids, attention_mask=mask).logits
            for changes in ({}, {"padding_quirk": "bool"}, {"fix_attention_mask": True})
        ]
    assert all(torch.allclose(outputs[0], other, atol=1e-6) for other in outputs[1:])


def test_default_config_is_the_released_model():
    config = RibonanzaNetConfig()
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (9, 256, 8)
    assert (config.pair_hidden_size, config.kernel_size, config.hidden_dropout) == (64, 5, 0.05)
    assert (config.attention_dropout, config.intermediate_size, config.vocab_size) == (0.1, 1024, 9)
    assert not any(getattr(config, flag) for flag in FLAGS)
    assert config.padding_quirk == "float"
    assert config.channels == ["2A3", "DMS"]
    with torch.device("meta"):
        model = RibonanzaNetModel(config)
    assert 11_250_000 < model.num_parameters() < 11_350_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel_size": 4}, "odd"),
        ({"hidden_size": 30}, "multiple of num_attention_heads"),
        ({"pair_hidden_size": 18, "use_triangular_attention": True}, "multiple of num_triangle_attention_heads"),
        ({"pad_token_id": 9}, "outside of the vocabulary"),
        ({"channels": []}, "at least one"),
        ({"channels": ["DMS", "DMS"]}, "only once"),
        ({"hidden_dropout": 1.0}, "below 1"),
        ({"pair_weight": 0}, "pair_weight is 0: it must be above 0"),
        ({"num_hidden_layers": 0}, "at least 1"),
        ({"padding_quirk": "int"}, "padding_quirk"),
        ({"label_range": [1.0, 0.0]}, "label_range"),
    ],
)
def test_config_refuses(changes, message):
    with pytest.raises(Exception, match=message):
        RibonanzaNetConfig(**(TINY | changes))


@pytest.mark.parametrize("vocab_size", [5, 9, 24])
def test_any_vocabulary_size_and_number_of_channels(vocab_size):
    model = _model(vocab_size=vocab_size, channels=["only"])
    ids, mask = _batch()
    assert model(ids, attention_mask=mask).logits.shape == (*ids.shape, 1)
    assert model.get_input_embeddings().weight.shape == (vocab_size, 32)


def test_pair_states_on_request_only():
    model = _model()
    ids, mask = _batch()
    with torch.no_grad():
        plain = model(ids, attention_mask=mask)
        full = model(ids, attention_mask=mask, output_pair_states=True)
    assert plain.pair_states is None
    assert [tuple(p.shape) for p in full.pair_states] == [(3, 12, 12, 16)] * 4
    assert torch.equal(plain.logits, full.logits)
    assert not torch.equal(full.pair_states[-1], full.pair_states[-2])


def test_last_pair_update_is_not_computed_in_inference(monkeypatch):
    """Seen from outside of the module, since a hook on it would ask for it."""
    model = _model()
    calls = []
    update = type(model.model.layers[0].pair_update)
    forward = update.forward
    monkeypatch.setattr(update, "forward", lambda self, *args: calls.append(self) or forward(self, *args))
    ids, mask = _batch()
    with torch.no_grad():
        model(ids, attention_mask=mask)
    assert len(calls) == 2


def test_attentions_in_eager():
    model = _model(implementation="eager", fix_attention_mask=True)
    ids, mask = _batch()
    with torch.no_grad():
        out = model(ids, attention_mask=mask, output_attentions=True)
    assert len(out.attentions) == 3
    for weights in out.attentions:
        assert weights.shape == (3, 4, 12, 12)
        assert torch.allclose(weights.sum(-1), torch.ones(3, 4, 12), atol=1e-5)
        assert (weights[1, :, :7, 7:] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_all_padding_row_in_any_dtype(implementation, dtype):
    """Logits that are large and negative must not push the lowest finite value to minus infinity."""
    model = _model(implementation=implementation, fix_attention_mask=True).to(dtype)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.attention.q_proj.weight.copy_(4 * torch.eye(32))
            layer.attention.k_proj.weight.copy_(-4 * torch.eye(32))
    ids, mask = _batch()
    mask[-1] = 0
    logits = model(ids, attention_mask=mask).logits
    logits.float().sum().backward()
    assert torch.isfinite(logits).all()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_unsupported_attention_is_refused():
    for implementation in ("flash_attention_2", "flex_attention"):
        with pytest.raises((ValueError, ImportError)):
            RibonanzaNetModel._from_config(RibonanzaNetConfig(**TINY), attn_implementation=implementation)


def test_length_one():
    model = _model(fix_attention_mask=True, use_triangular_attention=True)
    with torch.no_grad():
        assert torch.isfinite(model(torch.tensor([[2]])).logits).all()


class TestBlocks:
    """The blocks against their equations, written out naively."""

    def test_outer_product(self):
        block = OuterProductMean(6, 3, 4)
        torch.nn.init.normal_(block.weight)
        torch.nn.init.normal_(block.bias)
        states = torch.randn(2, 5, 6)
        z = block.down_proj(states)
        weight = block.weight.view(3, 4, 4)
        expected = torch.einsum("pcd,bjc,bid->bijp", weight, z, z) + block.bias
        torch.testing.assert_close(block(states), expected, atol=1e-5, rtol=0)
        assert (expected - expected.transpose(1, 2)).abs().max() > 0.1

    @pytest.mark.parametrize(
        ("direction", "equation"), [("outgoing", "bikc,bjkc->bijc"), ("ingoing", "bkjc,bkic->bijc")]
    )
    def test_triangle_update(self, direction, equation):
        block = TriangleUpdate(4, direction)
        pairs, scale = torch.randn(2, 5, 5, 4), torch.tensor([[1.0, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
        left, right, left_gate, right_gate, out_gate = block.in_proj(block.norm(pairs)).chunk(5, dim=-1)
        pair_scale = (scale[:, :, None] * scale[:, None, :])[..., None]
        left, right = left * left_gate.sigmoid() * pair_scale, right * right_gate.sigmoid() * pair_scale
        update = torch.einsum(equation, left, right)
        expected = block.out_proj(block.out_norm(update) * out_gate.sigmoid())
        torch.testing.assert_close(block(pairs, scale), expected, atol=1e-5, rtol=0)

    def test_relative_position(self):
        block = RelativePosition(3, 2)
        found = block(7)[0]
        for i, j in itertools.product(range(7), repeat=2):
            one_hot = torch.zeros(5)
            one_hot[max(-2, min(2, i - j)) + 2] = 1
            torch.testing.assert_close(found[i, j], block.linear(one_hot))

    def test_mixed_logits_become_zero_and_others_stay(self):
        query, key, bias = torch.randn(2, 3, 6, 4), torch.randn(2, 3, 6, 4), torch.randn(2, 3, 6, 6)
        keep = torch.tensor([[1.0] * 6, [1.0, 1, 1, 1, 0, 0]])
        expected = query @ key.transpose(-1, -2) + bias
        mixed = (keep[:, None, :, None] != keep[:, None, None, :]).expand_as(expected)
        doubled_query, doubled_key, new_bias = cancel_mixed_logits(query, key, bias, keep)
        found = doubled_query @ doubled_key.transpose(-1, -2) + new_bias
        torch.testing.assert_close(found, expected.masked_fill(mixed, 0.0), atol=1e-6, rtol=0)
        assert (found[mixed] == 0).all()

    def test_padded_keys_get_no_attention(self):
        bias, keep = torch.randn(1, 2, 4, 4), torch.tensor([[1, 1, 0, 0]])
        weights = mask_padded_keys(bias, keep).softmax(-1)
        assert (weights[..., 2:] == 0).all()
