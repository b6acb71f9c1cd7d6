"""Fast paths read the weights of submodules; they step aside for whatever a call does beside what the weights say."""

import copy

import pytest
import torch
from accelerate import cpu_offload, disk_offload, dispatch_model
from peft import LoraConfig, get_peft_model
from tiny_models import RIBONANZANET, RNATRACKER
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.ao.quantization import quantize_dynamic
from torch.nn.utils import parametrizations, parametrize, prune, weight_norm

from rna_hf import (
    RibonanzaNetConfig,
    RibonanzaNetForReactivity,
    RnaTrackerConfig,
    RnaTrackerForLocalisation,
)
from rna_hf.layers import plain

ARCHITECTURES = {
    "ribonanzanet": (RibonanzaNetForReactivity, RibonanzaNetConfig(**RIBONANZANET)),
    "triangle attention": (
        RibonanzaNetForReactivity,
        RibonanzaNetConfig(**RIBONANZANET, use_triangular_attention=True),
    ),
    "rnatracker": (RnaTrackerForLocalisation, RnaTrackerConfig(**RNATRACKER)),
}


@pytest.fixture(params=ARCHITECTURES)
def model(request):
    model_class, config = ARCHITECTURES[request.param]
    torch.manual_seed(5)
    model = model_class(copy.deepcopy(config)).eval()
    with torch.no_grad():  # gates begin at 0, and norms at 1 and 0
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


@pytest.fixture
def inputs(model):
    is_tracker = isinstance(model, RnaTrackerForLocalisation)
    lengths = torch.tensor([97, 61] if is_tracker else [17, 11])
    ids = torch.randint(0, 4, (2, int(lengths[0])), generator=torch.Generator().manual_seed(6))
    return {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}


@pytest.fixture
def expected(model, inputs):
    return run(model, inputs)


def run(model, inputs):
    with torch.no_grad():
        return model(**inputs).logits


def linear_layers(model):
    return [part for part in model.modules() if isinstance(part, nn.Linear)]


def assert_same(model, inputs, expected, atol=1e-5):
    torch.testing.assert_close(run(model, inputs), expected, atol=atol, rtol=0)


class TestOffloading:
    def test_to_the_memory(self, model, inputs, expected):
        assert_same(cpu_offload(model, "cpu"), inputs, expected)

    def test_to_the_disk(self, model, inputs, expected, tmp_path):
        assert_same(disk_offload(model, str(tmp_path), "cpu"), inputs, expected)

    def test_of_some_parts(self, model, inputs, expected, tmp_path):
        parts = [f"model.{name}" for name, _ in model.model.named_children()]
        parts += [name for name, _ in model.named_children() if name != "model"]
        for first in ("cpu", "disk"):
            places = {part: first if number % 2 else "disk" for number, part in enumerate(parts)}
            dispatched = dispatch_model(
                copy.deepcopy(model), places, main_device="cpu", offload_dir=str(tmp_path / first)
            )
            assert_same(dispatched, inputs, expected)

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
    def test_at_loading(self, model, inputs, expected, tmp_path, share):
        model.save_pretrained(tmp_path)
        size = sum(parameter.nbytes for parameter in model.parameters())
        loaded = type(model).from_pretrained(
            tmp_path, device_map="auto", max_memory={"cpu": int(share * size)}, offload_folder=tmp_path / "offloaded"
        )
        assert any(parameter.is_meta for parameter in loaded.parameters())
        assert_same(loaded, inputs, expected)

    def test_training_mode(self, model, inputs):
        """Parameters that no layer calls are away when a zero gradient is given to them."""
        assert torch.isfinite(run(cpu_offload(model, "cpu").train(), inputs)).all()

    def test_meta_device(self, model, inputs):
        found = model.to("meta")(inputs["input_ids"].to("meta")).logits
        assert found.is_meta


class TestReplacedLayers:
    def test_dynamic_quantisation(self, model, inputs, expected):
        """To whole numbers of 8 bits: near, not equal; the layers themselves, without blocks, give the same."""
        found = run(quantize_dynamic(model, {nn.Linear, nn.GRU}, dtype=torch.qint8), inputs)
        torch.testing.assert_close(found, expected, atol=0.05, rtol=0)
        assert not torch.equal(found, expected)

    def test_subclass(self, model, inputs):
        class Doubling(nn.Linear):
            def forward(self, states):
                return 2 * super().forward(states)

        doubled, scaled = copy.deepcopy(model), copy.deepcopy(model)
        for part in linear_layers(doubled):
            if type(part) is nn.Linear:
                part.__class__ = Doubling
        with torch.no_grad():
            for part in linear_layers(scaled):
                if type(part) is nn.Linear:
                    part.weight *= 2
                    if part.bias is not None:
                        part.bias *= 2
        assert_same(doubled, inputs, run(scaled, inputs), atol=1e-4)

    def test_layer_norm_with_another_eps(self, model, inputs):
        norms = [part for part in model.modules() if isinstance(part, nn.LayerNorm)]
        if not norms:
            pytest.skip("has no layer norm")
        for part in norms:
            part.eps = 0.1
        found = run(model, inputs)
        model.config.pair_block_size = 0
        assert_same(model, inputs, found)

    def test_lora(self, model, inputs, expected):
        names = {name.rsplit(".")[-1] for name, part in model.named_modules() if isinstance(part, nn.Linear)}
        adapted = get_peft_model(model, LoraConfig(target_modules=sorted(names), init_lora_weights=False)).eval()
        unmerged = run(adapted, inputs)
        assert not torch.allclose(unmerged, expected, atol=1e-3)
        adapted.merge_adapter()
        assert_same(adapted, inputs, unmerged)
        assert_same(adapted.merge_and_unload(), inputs, unmerged)

    def test_lora_of_a_parameter_that_is_no_layers(self, model, inputs, expected):
        if isinstance(model, RnaTrackerForLocalisation):
            pytest.skip("has none")
        config = LoraConfig(target_modules=[], target_parameters=["outer_product.weight"], init_lora_weights=False)
        adapted = get_peft_model(model, config).eval()
        found = run(adapted, inputs)
        assert not torch.allclose(found, expected, atol=1e-3)
        assert_same(adapted.merge_and_unload(), inputs, found)

    def test_modules_to_save(self, model, inputs, expected):
        is_tracker = isinstance(model, RnaTrackerForLocalisation)
        saved = ["forward_gru"] if is_tracker else ["outer_product", "triangle_ingoing", "relative_position"]
        target = "proj" if is_tracker else "up_proj"
        assert_same(
            get_peft_model(model, LoraConfig(target_modules=[target], modules_to_save=saved)).eval(), inputs, expected
        )


class TestReparametrisedWeights:
    @pytest.mark.parametrize("normalise", [weight_norm, parametrizations.weight_norm])
    def test_weight_norm(self, model, inputs, expected, normalise):
        for part in linear_layers(model):
            normalise(part)
        assert_same(model, inputs, expected)

    def test_every_weight(self, model, inputs):
        class Negative(nn.Module):
            def forward(self, weight):
                return -weight

        negative = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in negative.parameters():
                parameter.neg_()
        for part in list(model.modules()):
            for name in list(part._parameters):
                if part._parameters[name] is not None:
                    parametrize.register_parametrization(part, name, Negative())
        assert_same(model, inputs, run(negative, inputs))

    def test_pruning(self, model, inputs):
        for part in linear_layers(model):
            prune.l1_unstructured(part, "weight", 0.5)
        found = run(model, inputs)
        for part in linear_layers(model):
            prune.remove(part, "weight")
        assert_same(model, inputs, found)

    def test_functional_call(self, model, inputs, expected):
        weights = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
            found = torch.func.functional_call(model, weights, (), inputs).logits
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)

    def test_functional_gradient(self, model, inputs):
        weights = {name: weight.detach() for name, weight in model.named_parameters()}
        found = torch.func.grad(lambda own: torch.func.functional_call(model, own, (), inputs).logits.sum())(weights)
        model(**inputs).logits.sum().backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                scale = float(parameter.grad.abs().max())
                torch.testing.assert_close(found[name], parameter.grad, atol=1e-5 * max(1.0, scale), rtol=1e-4)


class TestHooks:
    def modules(self, model):
        return {name: part for name, part in model.named_modules() if not isinstance(part, nn.ModuleList)}

    @pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
    def test_each_alone_is_called(self, model, inputs, kind):
        for name, part in self.modules(model).items():
            seen = []
            handle = getattr(part, kind)(lambda *arguments, seen=seen: seen.append(1))
            run(model, inputs)
            handle.remove()
            assert seen, name

    def test_what_they_return_counts(self, model, inputs, expected):
        for part in linear_layers(model):
            part.register_forward_hook(lambda module, arguments, output: 1.1 * output)
        found = run(model, inputs)
        for part in linear_layers(model):
            part._forward_hooks.clear()
            with torch.no_grad():
                for parameter in part.parameters():
                    parameter *= 1.1
        assert not torch.allclose(found, expected, atol=1e-3)
        assert_same(model, inputs, found)

    def test_what_they_keep_is_not_written_over(self, model, inputs):
        kept = []

        def keep(module, arguments, output):
            outputs = output if isinstance(output, tuple) else (output,)
            kept.extend((part, part.clone()) for part in (*arguments, *outputs) if isinstance(part, torch.Tensor))

        for part in self.modules(model).values():
            part.register_forward_hook(keep)
        run(model, inputs)
        assert all(torch.equal(part, copied) for part, copied in kept)

    def test_of_all_modules(self, model, inputs):
        seen = set()
        handle = nn.modules.module.register_module_forward_hook(lambda module, *arguments: seen.add(id(module)))
        run(model, inputs)
        handle.remove()
        used = [part for name, part in self.modules(model).items() if ".layers.1.pair_update" not in name]
        assert all(id(part) in seen for part in used)

    def test_backward(self, model, inputs):
        def gradients(model):
            model.zero_grad()
            model(**inputs).logits.square().sum().backward()
            return [parameter.grad for parameter in model.parameters()]

        wanted = gradients(model)
        seen = set()
        layers = {part for part in model.modules() if isinstance(part, (nn.LayerNorm, nn.Linear, nn.GRU))}
        unused = set(model.model.layers[-1].pair_update.modules()) if hasattr(model.model, "layers") else set()
        for part in layers:
            part.register_full_backward_hook(lambda module, *arguments: seen.add(module))
        found = gradients(model)
        assert seen == layers - unused
        for one, other in zip(found, wanted):
            if other is not None:
                torch.testing.assert_close(one, other, atol=1e-5 * max(1.0, float(other.abs().max())), rtol=1e-4)

    def test_trainable_addition_to_a_frozen_model(self, model, inputs):
        model.requires_grad_(False)
        addition = torch.zeros((), requires_grad=True)
        part = model.model.layers[0].conv if hasattr(model.model, "layers") else model.model.blocks[0]
        part.register_forward_hook(lambda module, arguments, output: output + addition)
        model(**inputs).logits.sum().backward()
        assert addition.grad is not None

    def test_recorded_states_leave_the_fast_path(self, model, inputs):
        """transformers' own hooks, which stay once hidden states were asked for, watch no pair state."""
        with torch.no_grad():
            model(**inputs, output_hidden_states=True)
        assert not plain.is_watched(model.model)


@pytest.mark.parametrize("kind", [nn.Linear, nn.LayerNorm, nn.GRU])
def test_forward_of_a_class_that_is_replaced_counts(model, inputs, monkeypatch, kind):
    """As by those who trace, count or quantise: whatever is called then, is called for every module."""
    called = []
    own = kind.forward

    def forward(self, *arguments, **options):
        called.append(self)
        return own(self, *arguments, **options)

    monkeypatch.setattr(kind, "forward", forward)
    run(model, inputs)
    needed = {module for name, module in model.named_modules() if type(module) is kind and ".pair_update" not in name}
    assert needed <= set(called)


class TestWithoutValues:
    """Where there are shapes alone, no value of the mask or the ids decides what is computed."""

    def test_fake_tensors(self, model, inputs, expected):
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            found = run(model, {name: mode.from_tensor(value) for name, value in inputs.items()})
        assert found.shape == expected.shape

    def test_meta_device(self, model, inputs, expected):
        found = run(copy.deepcopy(model).to("meta"), {name: value.to("meta") for name, value in inputs.items()})
        assert found.shape == expected.shape

    def test_export(self, model, inputs, expected):
        program = torch.export.export(model, (), inputs).module()
        torch.testing.assert_close(run(program, inputs), expected, atol=1e-5, rtol=0)


def test_compilation_is_one_graph():
    model_class, config = ARCHITECTURES["ribonanzanet"]
    model = model_class(config).eval()
    ids = torch.randint(0, 4, (1, 9))
    with torch.no_grad():
        found = torch.compile(model, fullgraph=True, backend="eager")(ids).logits
        torch.testing.assert_close(found, model(ids).logits, atol=1e-5, rtol=0)


class TestPlain:
    def test_cases(self):
        states = torch.zeros(2, 4)

        def is_plain(layer=None, states=states, **options):
            return plain.is_plain(layer or nn.Linear(4, 4), states, (nn.Linear, nn.LayerNorm), **options)

        assert is_plain()
        assert is_plain(nn.LayerNorm(4))
        assert is_plain(nn.Linear(4, 4, bias=False), has_bias=False)
        assert not is_plain(nn.Linear(4, 4, bias=False))
        assert not is_plain(has_bias=False)
        assert not is_plain(nn.LayerNorm(4, eps=1e-6))
        assert not is_plain(nn.LayerNorm(4, elementwise_affine=False))
        assert not is_plain(nn.Conv1d(4, 4, 1))
        assert not is_plain(nn.Linear(4, 4, device="meta"))
        assert not is_plain(nn.Linear(4, 4).double())
        assert not is_plain(states=states.to("meta"))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert is_plain(states=states.bfloat16())
        compiled = nn.Linear(4, 4)
        compiled.compile()
        assert not is_plain(compiled)
