"""The Triton kernels of the pair track against its modules in plain PyTorch, and when each of the two is taken.

Kernels run on a CPU under Triton's interpreter, which has to be chosen before Triton is imported. So this file runs
itself once more in a process of its own, with TRITON_INTERPRET=1; the classes marked `INTERPRETED` are tests there, the
others here.
"""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from rna_hf import RibonanzaNetConfig, RibonanzaNetForReactivity
from rna_hf.layers import pair_blocks
from rna_hf.layers.pair import PairTransition, TriangleUpdate
from rna_hf.layers.pair_blocks import Workspace, kernels_for, pair_bias, pair_transition, triangle_update

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
HAS_TRITON = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="needs the package triton: pip install 'rna-hf[triton]'")

BATCH, LENGTH = 2, 6  # 72 pairs: full tiles and one that isn't
SIZES = [16, 32, 48, 64]


@needs_triton
def test_under_the_interpreter():
    """Run the classes marked `INTERPRETED`."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert " passed" in run.stdout


test_under_the_interpreter.__test__ = not INTERPRETED


def _random(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype).requires_grad_()


def _fill(module, dtype=torch.float32):
    generator = torch.Generator().manual_seed(2)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return module.to(dtype)


def _dropout(axis, channels, dtype=torch.float32):
    shape = [BATCH, LENGTH, LENGTH, channels]
    shape[axis] = 1
    return torch.rand(shape, generator=torch.Generator().manual_seed(axis)).to(dtype)


def _states(channels, dtype=torch.float32):
    return _random(BATCH, LENGTH, LENGTH, channels, dtype=dtype)


def _gradients(output, inputs):
    weight = torch.rand(output.shape, generator=torch.Generator().manual_seed(9))
    return torch.autograd.grad((output.float() * weight).sum(), inputs)


def _check(output, expected, inputs, share):
    """Compare values and gradients; `share` of the norm of each may be off."""
    assert output.dtype == expected.dtype
    pairs = [(output, expected), *zip(_gradients(output, inputs), _gradients(expected, inputs))]
    for one, other in pairs:
        assert one.shape == other.shape
        assert (one - other).float().norm() <= share * other.float().norm() + 1e-12


@pytest.fixture
def launched(monkeypatch):
    """Names of the kernels that run."""
    from rna_hf.layers import pair_triton

    names, launch = [], pair_triton._launch
    monkeypatch.setattr(
        pair_triton, "_launch", lambda kernel, *args, **kwargs: names.append(kernel) or launch(kernel, *args, **kwargs)
    )
    return names


PRECISIONS = [
    # type of state and weights, autocast, share of the norm that may be off: of float32 sums in another order, of
    # rounding intermediates elsewhere
    (torch.float32, None, 3e-6),
    (torch.bfloat16, None, 0.03),
    (torch.float16, None, 0.003),
    (torch.float32, torch.bfloat16, 0.03),
]


def _autocast(dtype):
    return torch.autocast("cpu", dtype=dtype, enabled=dtype is not None)


class TestSteps:
    __test__ = INTERPRETED

    @pytest.mark.parametrize(
        ("size", "axis", "scaled"),
        [
            (16, None, False),
            (16, 1, False),
            (16, 2, True),
            (16, None, True),
            (32, 2, False),
            (48, 1, True),
            (64, 2, True),
        ],
    )
    @pytest.mark.parametrize("direction", ["outgoing", "ingoing"])
    def test_triangle_update(self, launched, direction, size, axis, scaled):
        module, pair_states = _fill(TriangleUpdate(size, direction)), _states(size)
        scale = _random(BATCH, LENGTH).detach() if scaled else None
        dropout = None if axis is None else _dropout(axis, size)
        update = module(pair_states, scale)
        expected = pair_states + (update if dropout is None else update * dropout)
        output = triangle_update(module, pair_states, scale, dropout, 30, kernels="triton")
        assert len(launched) == 2
        _check(output, expected, [pair_states, *module.parameters()], 3e-6)

    @pytest.mark.parametrize("size", [16, 64])
    @pytest.mark.parametrize(("dtype", "autocast", "share"), PRECISIONS[1:], ids=str)
    def test_triangle_update_in_half_precision(self, launched, size, dtype, autocast, share):
        module, pair_states = _fill(TriangleUpdate(size, "outgoing"), dtype), _states(size, dtype)
        scale, dropout = torch.ones(BATCH, LENGTH, dtype=dtype), _dropout(1, size, dtype)
        scale[1, 4:] = -1
        with _autocast(autocast):
            expected = pair_states + module(pair_states, scale) * dropout
            output = triangle_update(module, pair_states, scale, dropout, kernels="triton")
        assert len(launched) == 2
        _check(output, expected, [pair_states, *module.parameters()], share)

    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize(("dtype", "autocast", "share"), PRECISIONS, ids=str)
    def test_transition(self, launched, size, dtype, autocast, share):
        module, pair_states = _fill(PairTransition(size, expansion=3), dtype), _states(size, dtype)
        with _autocast(autocast):
            expected = pair_states + module(pair_states)
            output = pair_transition(module, pair_states, kernels="triton")
        assert len(launched) == 1
        _check(output, expected, [pair_states, *module.parameters()], share)

    @pytest.mark.parametrize(("size", "heads"), [(16, 8), (32, 1), (48, 20), (64, 8)])
    @pytest.mark.parametrize(("dtype", "autocast", "share"), PRECISIONS, ids=str)
    def test_bias(self, launched, heads, size, dtype, autocast, share):
        norm = _fill(nn.LayerNorm(size), dtype)
        projection, pair_states = _fill(nn.Linear(size, heads, bias=False), dtype), _states(size, dtype)
        with _autocast(autocast):
            expected = projection(norm(pair_states)).permute(0, 3, 1, 2)
            output = pair_bias(norm, projection, pair_states, kernels="triton")
        assert len(launched) == 1
        _check(output, expected, [pair_states, *norm.parameters(), *projection.parameters()], share)

    def test_in_place(self, launched):
        """A pass without gradients writes over the state."""
        triangle, transition = _fill(TriangleUpdate(16, "ingoing")), _fill(PairTransition(16))
        pair_states, workspace = _states(16).detach(), Workspace()
        with torch.no_grad():
            expected = pair_states + triangle(pair_states)
            expected = expected + transition(expected)
            triangle_update(triangle, pair_states, workspace=workspace, kernels="triton")
            pair_transition(transition, pair_states, workspace=workspace, kernels="triton")
        assert len(launched) == 3
        torch.testing.assert_close(pair_states, expected, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize(("kept", "launches"), [(0, 9), (1 << 20, 6)], ids=["factors again", "factors kept"])
    def test_states_with_gaps(self, monkeypatch, launched, kept, launches):
        monkeypatch.setattr(pair_blocks, "_KEPT_FACTORS_BYTES", kept)
        module, states = _fill(TriangleUpdate(16, "outgoing")), _random(BATCH, 16, LENGTH, LENGTH)
        for pair_states in (states.permute(0, 2, 3, 1), _states(40)[..., 3:19], _random(1, LENGTH, LENGTH, 16)):
            pair_states = pair_states.expand(BATCH, -1, -1, -1).detach().requires_grad_()
            output = triangle_update(module, pair_states, kernels="triton")
            _check(output, pair_states + module(pair_states), [pair_states], 3e-6)
        assert len(launched) == launches  # a third for each state where the backward computes the factors again

    def test_nan_stays(self):
        """A state that has diverged is not hidden by the rectifier."""
        pair_states = _states(16).detach()
        pair_states[0, 1, 2, 3] = torch.nan
        output = pair_transition(_fill(PairTransition(16)), pair_states, kernels="triton")
        assert torch.equal(output.isnan().any(-1), pair_states.isnan().any(-1))

    @pytest.mark.parametrize(("size", "dtype"), [(8, torch.float32), (24, torch.float32), (16, torch.float64)], ids=str)
    def test_what_kernels_cannot_do(self, launched, size, dtype):
        module, pair_states = _fill(PairTransition(size), dtype), _states(size, dtype)
        output = pair_transition(module, pair_states, kernels="triton")
        torch.testing.assert_close(output, pair_states + module(pair_states))
        assert launched == []


class TestWholeModel:
    """The kernels change no number beyond rounding: neither in inference nor in training."""

    __test__ = INTERPRETED

    def run(self, pair_kernels, **changes):
        torch.manual_seed(1)
        config = RibonanzaNetConfig(
            hidden_size=16,
            num_hidden_layers=3,
            num_attention_heads=4,
            pair_hidden_size=16,
            outer_product_size=4,
            pair_kernels=pair_kernels,
            **changes,
        )
        model = RibonanzaNetForReactivity(config)
        ids = torch.randint(0, 4, (3, 5))  # 75 pairs: a full tile and one that isn't
        ids[1, 4:] = ids[2, 2:] = 4
        batch = {"input_ids": ids, "attention_mask": ids != 4}
        with torch.no_grad():
            alone = model.eval()(**batch).logits
            output = model(**batch, output_pair_states=True)
        assert torch.equal(output.logits, alone)  # in place and not
        torch.manual_seed(2)
        model.train()(**batch, labels=torch.rand(3, 5, 2)).loss.backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        return output.logits, output.pair_states, gradients

    FIXED = {"fix_attention_mask": True, "fix_attention_residual": True, "fix_pairwise_dropout": True}

    @pytest.mark.parametrize("changes", [{}, {"padding_quirk": "bool"}, FIXED], ids=str)
    def test_float32(self, launched, changes):
        plain = self.run("torch", pair_block_size=0, **changes)
        assert launched == []
        found = self.run("triton", **changes)
        assert launched
        torch.testing.assert_close(found[:2], plain[:2], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found[2], plain[2], atol=1e-6, rtol=1e-4)

    def test_autocast(self, launched):
        """As in mixed-precision training: the state stays in float32, and rounding costs no more than in PyTorch."""
        exact_logits, _, exact = self.run("torch")
        errors = {}
        for kernels in ("torch", "triton"):
            with _autocast(torch.bfloat16):
                logits, pair_states, gradients = self.run(kernels)
            assert {state.dtype for state in pair_states} == {torch.float32}
            torch.testing.assert_close(logits.float(), exact_logits, atol=0.02, rtol=0)
            errors[kernels] = sum((gradients[name] - exact[name]).square().sum() for name in exact).sqrt()
        assert launched
        assert errors["triton"] <= 1.2 * errors["torch"]
        assert errors["triton"] <= 0.02 * sum(gradient.square().sum() for gradient in exact.values()).sqrt()

    def test_bfloat16(self, launched):
        model = RibonanzaNetForReactivity(
            RibonanzaNetConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, pair_hidden_size=16)
        ).eval()
        ids = torch.randint(0, 4, (2, 9))
        with torch.no_grad():
            expected = model(ids).logits
            model.config.pair_kernels = "triton"
            logits = model.to(torch.bfloat16)(ids).logits
        assert launched
        torch.testing.assert_close(logits.float(), expected, atol=0.05, rtol=0)

    def test_auto_is_torch_on_a_cpu(self, launched):
        self.run("auto")
        assert launched == []


class TestChoice:
    """Which of Triton and PyTorch is taken, and what is said where Triton can't be."""

    __test__ = not INTERPRETED

    def test_torch_on_a_cpu(self):
        assert kernels_for(_states(16), "auto") is None
        assert kernels_for(_states(16), "torch") is None

    @needs_triton
    def test_triton_on_a_cpu(self):
        with pytest.raises(ValueError, match=r"the pair state is on 'cpu': move the model .* TRITON_INTERPRET=1"):
            pair_transition(PairTransition(16), _states(16), kernels="triton")

    def test_missing_package(self, monkeypatch):
        monkeypatch.setattr(pair_blocks, "_has_triton", lambda: False)
        with pytest.raises(ImportError, match=r"pip install 'rna-hf\[triton\]'"):
            triangle_update(TriangleUpdate(16, "outgoing"), _states(16), kernels="triton")
        assert kernels_for(_states(16), "auto") is None

    def test_plain_modules_need_no_kernels(self):
        pair_transition(PairTransition(16), _states(16), block_size=0, kernels="triton")

    def test_configuration(self):
        assert RibonanzaNetConfig().pair_kernels == "torch"
        with pytest.raises(Exception, match="pair_kernels"):
            RibonanzaNetConfig(pair_kernels="cuda")

    def test_model_without_gpu(self):
        config = RibonanzaNetConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, pair_kernels="triton")
        with pytest.raises((ValueError, ImportError), match="pair_kernels is 'triton'"):
            RibonanzaNetForReactivity(config)(torch.zeros(1, 4, dtype=torch.long))


@needs_triton
class TestCompilation:
    """Kernels compile for CUDA devices, which needs none, and fit into what a device has."""

    __test__ = not INTERPRETED

    SHARED_BYTES = 99 << 10  # of a block on capability 8.6 and 8.9, the least of those that "auto" takes
    TYPES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}

    @pytest.fixture
    def compiled(self, monkeypatch, tmp_path):
        """Compile what would be launched."""
        monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource

        from rna_hf.layers import pair_triton

        kernels = []

        def compile_only(kernel, tensors, sizes, *, num_warps, num_stages, **constants):
            names = kernel.arg_names
            pointers = {
                name: "constexpr" if tensor is None else f"*{self.TYPES[tensor.dtype]}"
                for name, tensor in zip(names, tensors)
            }
            constants |= {name: None for name, kind in pointers.items() if kind == "constexpr"}
            signature = dict.fromkeys(names, "constexpr") | pointers
            signature |= dict.fromkeys(names[len(tensors) : len(tensors) + len(sizes)], "i32")
            source = ASTSource(kernel, signature, {(names.index(name),): value for name, value in constants.items()})
            options = {"num_warps": num_warps, "num_stages": num_stages}
            kernels.append(triton.compile(source, target=GPUTarget("cuda", self.capability, 32), options=options))

        monkeypatch.setattr(pair_triton, "_launch", compile_only)
        monkeypatch.setattr(pair_triton, "IS_INTERPRETED", True)
        return kernels

    @pytest.mark.parametrize(
        ("capability", "size", "dtype", "autocast"),
        [
            (80, 64, torch.float32, torch.bfloat16),
            (80, 64, torch.float32, None),
            pytest.param(80, 128, torch.bfloat16, None, marks=pytest.mark.slow),
            pytest.param(90, 64, torch.float32, torch.bfloat16, marks=pytest.mark.slow),
        ],
        ids=str,
    )
    def test_all_kernels(self, compiled, capability, size, dtype, autocast):
        self.capability = capability
        triangle, transition = TriangleUpdate(size, "outgoing").to(dtype), PairTransition(size).to(dtype)
        projection, pair_states = nn.Linear(size, 8, bias=False, dtype=dtype), _states(size, dtype)
        with torch.no_grad(), _autocast(autocast):
            scale, dropout = torch.ones(BATCH, LENGTH, dtype=dtype), _dropout(1, size, dtype)
            triangle_update(triangle, pair_states, scale, dropout, kernels="triton")
            pair_transition(transition, pair_states, kernels="triton")
            pair_bias(triangle.norm, projection, pair_states, kernels="triton")
        assert len(compiled) == 4
        for kernel in compiled:
            assert kernel.metadata.shared <= self.SHARED_BYTES
            assert kernel.asm["cubin"]
