"""The blocked pair track against its modules in plain PyTorch: values, gradients, and when each of the two is taken."""

import itertools

import pytest
import torch
from torch import nn

from rna_hf import RibonanzaNetConfig, RibonanzaNetForReactivity
from rna_hf.layers import pair_blocks, products
from rna_hf.layers.pair import PairTransition, TriangleUpdate
from rna_hf.layers.pair_blocks import Workspace, pair_bias, pair_transition, triangle_update

SIZES = [
    # batch, length, channels, pairs per block: blocks of a few rows, of one row, of several batch entries, of all
    (2, 7, 8, 15),
    (2, 5, 8, 1),
    (5, 4, 4, 40),
    (3, 6, 8, 10_000),
    (1, 1, 4, 1),
]


def _random(*shape, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_()


def _fill(module):
    generator = torch.Generator().manual_seed(2)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return module.double()


def _dropout(axis, batch, length, channels):
    shape = [batch, length, length, channels]
    shape[axis] = 1
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(axis))


def _check_gradients(output, expected, inputs):
    torch.testing.assert_close(output, expected, atol=1e-12, rtol=1e-10)
    grad = torch.rand(output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(9))
    found = torch.autograd.grad(output, inputs, grad)
    torch.testing.assert_close(found, torch.autograd.grad(expected, inputs, grad), atol=1e-11, rtol=1e-9)


@pytest.fixture(params=["blocks", "kept whole"])
def block_size_of(request):
    """Take the path that is asked for whatever the size: with blocks, or with everything kept for the backward."""
    if request.param == "kept whole":
        return lambda block_size: None
    return lambda block_size: block_size


class TestTriangleUpdate:
    @pytest.mark.parametrize("size", SIZES, ids=str)
    @pytest.mark.parametrize("direction", ["outgoing", "ingoing"])
    @pytest.mark.parametrize("axis", [None, 1, 2])
    @pytest.mark.parametrize("scaled", [False, True])
    @pytest.mark.parametrize("kept", [0, 1 << 20])
    def test_equals_the_module(self, monkeypatch, block_size_of, direction, size, axis, scaled, kept):
        monkeypatch.setattr(pair_blocks, "_KEPT_FACTORS_BYTES", kept)
        batch, length, channels, block_size = size
        module = _fill(TriangleUpdate(channels, direction))
        pair_states = _random(batch, length, length, channels)
        scale = _random(batch, length).detach().sign() if scaled else None
        dropout = None if axis is None else _dropout(axis, batch, length, channels)
        update = module(pair_states, scale)
        expected = pair_states + (update if dropout is None else update * dropout)
        output = triangle_update(module, pair_states, scale, dropout, block_size_of(block_size))
        _check_gradients(output, expected, [pair_states, *module.parameters()])

    @pytest.mark.parametrize("length", [5, 100])
    @pytest.mark.parametrize("direction", ["outgoing", "ingoing"])
    def test_float32(self, monkeypatch, direction, length):
        """At length 100 the float32 products go to oneDNN matrix by matrix."""
        monkeypatch.setattr(pair_blocks, "_LARGE_LENGTH", 64)
        module = _fill(TriangleUpdate(8, direction)).float()
        pair_states = _random(2, length, length, 8, dtype=torch.float32)
        output = triangle_update(module, pair_states, block_size=300)
        expected = pair_states + module(pair_states)
        torch.testing.assert_close(output, expected, atol=2e-5, rtol=1e-5)
        inputs = [pair_states, *module.parameters()]
        found = torch.autograd.grad(output.square().sum(), inputs)
        for one, other in zip(found, torch.autograd.grad(expected.square().sum(), inputs)):
            torch.testing.assert_close(one, other, atol=1e-5 * float(other.abs().max()), rtol=1e-4)

    def test_in_place(self):
        module = _fill(TriangleUpdate(8, "ingoing"))
        pair_states = _random(2, 6, 6, 8).detach()
        with torch.no_grad():
            expected = pair_states + module(pair_states)
            output = triangle_update(module, pair_states, block_size=20, workspace=Workspace())
        torch.testing.assert_close(output, expected)
        torch.testing.assert_close(pair_states, expected)

    def test_frozen_weights_and_a_non_contiguous_state(self):
        module = _fill(TriangleUpdate(8, "outgoing")).requires_grad_(False)
        states = _random(2, 8, 6, 6)
        for block_size in (20, None):
            pair_states = states.permute(0, 2, 3, 1)
            _check_gradients(
                triangle_update(module, pair_states, block_size=block_size), pair_states + module(pair_states), [states]
            )


class TestStepsOnEachPair:
    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_transition(self, block_size_of, size):
        batch, length, channels, block_size = size
        module = _fill(PairTransition(channels))
        pair_states = _random(batch, length, length, channels)
        output = pair_transition(module, pair_states, block_size_of(block_size))
        _check_gradients(output, pair_states + module(pair_states), [pair_states, *module.parameters()])
        with torch.no_grad():
            expected = pair_states + module(pair_states)
            pair_transition(module, pair_states, block_size, workspace=Workspace())
            torch.testing.assert_close(pair_states, expected)

    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_bias(self, block_size_of, size):
        batch, length, channels, block_size = size
        norm, projection = _fill(nn.LayerNorm(channels)), _fill(nn.Linear(channels, 3, bias=False))
        pair_states = _random(batch, length, length, channels)
        output = pair_bias(norm, projection, pair_states, block_size_of(block_size))
        expected = projection(norm(pair_states)).permute(0, 3, 1, 2)
        _check_gradients(output, expected, [pair_states, *norm.parameters(), *projection.parameters()])


class TestWholeModel:
    """The block size changes no number: neither in inference nor in training, in any quirk mode."""

    FLAGS = ("fix_attention_mask", "fix_attention_residual", "fix_pairwise_dropout", "use_triangular_attention")

    def run(self, **changes):
        torch.manual_seed(1)
        config = RibonanzaNetConfig(
            hidden_size=16,
            num_hidden_layers=3,
            num_attention_heads=4,
            pair_hidden_size=8,
            outer_product_size=4,
            **changes,
        )
        model = RibonanzaNetForReactivity(config)
        ids = torch.randint(0, 4, (3, 11))
        ids[1, 7:] = ids[2, 3:] = 4
        batch = {"input_ids": ids, "attention_mask": ids != 4}
        with torch.no_grad():
            alone = model.eval()(**batch).logits
            output = model(**batch, output_pair_states=True)
        torch.testing.assert_close(output.logits, alone, atol=1e-6, rtol=0)
        torch.manual_seed(2)
        model.train()(**batch, labels=torch.rand(3, 11, 2)).loss.backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        return output.logits, output.pair_states, gradients

    @pytest.mark.parametrize("flags", itertools.product([False, True], repeat=4), ids=str)
    @pytest.mark.parametrize("quirk", ["float", "bool"])
    def test_block_size(self, flags, quirk):
        changes = dict(zip(self.FLAGS, flags)) | {"padding_quirk": quirk}
        plain = self.run(pair_block_size=0, **changes)
        for block_size in (None, 30):
            found = self.run(pair_block_size=block_size, **changes)
            torch.testing.assert_close(found[:2], plain[:2], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(found[2], plain[2], atol=1e-6, rtol=1e-4)

    def test_autocast(self):
        """Under autocast the state stays in float32, and training works with and without blocks."""
        results = []
        for block_size in (0, 30, None):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits, pair_states, gradients = self.run(pair_block_size=block_size)
            assert {state.dtype for state in pair_states} == {torch.float32}
            assert all(gradient.dtype == torch.float32 for gradient in gradients.values())
            results.append((logits.float(), gradients))
        for logits, gradients in results[1:]:
            torch.testing.assert_close(logits, results[0][0], atol=0.02, rtol=0)
            for name, gradient in gradients.items():
                expected = results[0][1][name]
                assert (gradient - expected).norm() <= 0.05 * expected.norm() + 1e-4, name


class TestWhatRunsInBlocks:
    """A part that is replaced or watched is called as a module."""

    def calls(self, monkeypatch, module, block_size=30):
        called = []
        call = nn.Module.__call__

        def counting(self, *arguments, **options):
            if self is module:
                called.append(1)
            return call(self, *arguments, **options)

        monkeypatch.setattr(nn.Module, "__call__", counting)
        triangle_update(module, _random(1, 5, 5, 4).detach(), block_size=block_size)
        return len(called)

    def test_weights_alone(self, monkeypatch):
        assert self.calls(monkeypatch, _fill(TriangleUpdate(4, "outgoing"))) == 0

    def test_no_blocks_wanted(self, monkeypatch):
        assert self.calls(monkeypatch, _fill(TriangleUpdate(4, "outgoing")), block_size=0) == 1

    def test_hook(self, monkeypatch):
        module = _fill(TriangleUpdate(4, "outgoing"))
        seen = []
        module.out_norm.register_forward_hook(lambda *arguments: seen.append(1))
        assert self.calls(monkeypatch, module) == 1
        assert seen == [1]

    def test_a_replaced_forward_of_the_class(self, monkeypatch):
        module, forward = _fill(TriangleUpdate(4, "outgoing")), TriangleUpdate.forward
        assert self.calls(monkeypatch, module) == 0
        monkeypatch.setattr(TriangleUpdate, "forward", lambda self, *arguments: forward(self, *arguments))
        assert self.calls(monkeypatch, module) == 1

    def test_adapter(self, monkeypatch):
        class Adapter(nn.Module):
            def __init__(self, base):
                super().__init__()
                self.base = base
                self.weight, self.bias = base.weight, base.bias

            def forward(self, states):
                return 2 * self.base(states)

        module = _fill(TriangleUpdate(4, "outgoing"))
        module.out_proj = Adapter(module.out_proj)
        assert self.calls(monkeypatch, module) == 1


class TestProducts:
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
    @pytest.mark.parametrize("transposed", itertools.product([False, True], repeat=2), ids=str)
    def test_product(self, dtype, transposed):
        rows, weight = (
            _random(*((6, count) if flip else (count, 6)), dtype=dtype) for count, flip in zip((5, 3), transposed)
        )
        bias = _random(3, dtype=dtype)
        one, other = (matrix.t() if flip else matrix for matrix, flip in zip((rows, weight), transposed))
        output, expected = products.product(one, other, bias), nn.functional.linear(one, other, bias)
        tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 5e-2}[dtype]
        torch.testing.assert_close(output, expected, atol=tolerance, rtol=tolerance)
        grad = torch.ones_like(output)
        found = torch.autograd.grad(output, (rows, weight, bias), grad)
        wanted = torch.autograd.grad(expected, (rows, weight, bias), grad)
        torch.testing.assert_close(found, wanted, atol=tolerance, rtol=tolerance)
        with torch.no_grad():
            torch.testing.assert_close(products.product(one, other, bias), expected, atol=tolerance, rtol=tolerance)

    def test_gate(self):
        values, gates = _random(4, 3), _random(3, 4).t()
        _check_gradients(products.gate(values, gates), values * gates.sigmoid(), (values, gates))

    def test_without_onednn(self, monkeypatch):
        monkeypatch.setattr(products, "_has_onednn", lambda: False)
        rows, weight = _random(5, 4, dtype=torch.float32), _random(3, 4, dtype=torch.float32)
        assert not products.uses_onednn(rows)
        assert torch.equal(products.product(rows, weight), nn.functional.linear(rows, weight))
        assert torch.equal(products.matmul(rows, weight.t()), rows @ weight.t())


def test_block_sizes_cover_all_pairs_once():
    for batch, length, _, block_size in SIZES:
        blocks = list(pair_blocks._blocks(batch, length, block_size))
        pairs = [pair for block in blocks for pair in range(batch * length * length)[block.pairs]]
        assert pairs == list(range(batch * length * length))
        for block in blocks:
            shape = (block.batch.stop - block.batch.start) * (block.rows.stop - block.rows.start) * length
            assert shape == block.pairs.stop - block.pairs.start <= max(block_size, length)
