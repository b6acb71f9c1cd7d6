"""RibonanzaNet in training: loss, gradients, accumulation, dropout, initialisation, and the ways of running it."""

import itertools
import math

import pytest
import torch
from fresh_process import run_each
from safetensors.torch import load_file, save_file
from tiny_models import RIBONANZANET_TO_TRAIN
from torch import nn
from transformers import Trainer, TrainingArguments

from rna_hf import RibonanzaNetConfig, RibonanzaNetForReactivity, RibonanzaNetModel
from rna_hf.data.collators import DataCollatorForReactivity
from rna_hf.layers.pair import OuterProductMean, TriangleProjection, shared_axis_dropout
from rna_hf.layers.pair_blocks import triangle_update
from rna_hf.models.ribonanzanet import modeling_ribonanzanet as modeling
from rna_hf.tokenization import RnaTokenizerFast

FLAGS = ("fix_attention_mask", "fix_attention_residual", "fix_pairwise_dropout", "use_triangular_attention")
FIXED = dict.fromkeys(FLAGS[:3], True)
NO_DROPOUT = {"hidden_dropout": 0.0, "attention_dropout": 0.0}
TINY = RIBONANZANET_TO_TRAIN | {"num_hidden_layers": 3, "num_attention_heads": 4}
NAN = float("nan")


def _model(model_class=RibonanzaNetForReactivity, implementation="sdpa", **changes):
    """A model with fixed random weights, in training mode."""
    torch.manual_seed(1)
    config = RibonanzaNetConfig(**(TINY | changes))
    config._attn_implementation = implementation
    return model_class(config).train()


def _batch(lengths=(9, 6, 3)):
    """Ids, mask and labels; the labels are all measured, padding included."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.full((len(lengths), max(lengths)), 4)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(0, 4, (length,), generator=generator)
    return {
        "input_ids": ids,
        "attention_mask": (ids != 4).long(),
        "labels": torch.rand(*ids.shape, 2, generator=generator),
    }


def _gradients(model, seed=0, **batch):
    """The loss and all gradients of one training step."""
    model.zero_grad()
    torch.manual_seed(seed)
    loss = model(**batch).loss
    loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


class TestGradientAccumulation:
    """One batch of 8 is 2 x 4 is 4 x 2, however unequally measured values are spread."""

    def examples(self, lengths):
        """Profiles with 0 to all values measured; the Trainer's order puts very unequal ones together."""
        generator = torch.Generator().manual_seed(5)
        examples = []
        for length, measured in zip(lengths, (0, 1, 24, 2, 3, 20, 0, 1)):
            labels = torch.rand(length, 2, generator=generator)
            order = torch.randperm(2 * length, generator=generator)
            labels.view(-1)[order[min(measured, 2 * length) :]] = NAN
            sequence = "".join("ACGU"[i] for i in torch.randint(0, 4, (length,), generator=generator))
            examples.append({"sequence": sequence, "labels": labels.tolist(), "signal_to_noise": [2.0, 2.0]})
        # Measured, but with too much noise to count.
        examples[5]["signal_to_noise"] = [0.5, 3.0]
        return examples

    def weights_after_one_step(self, folder, examples, batch_size, **changes):
        model = _model(**NO_DROPOUT, **changes)
        arguments = TrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=len(examples) // batch_size,
            num_train_epochs=1,
            max_grad_norm=0.0,
            remove_unused_columns=False,
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        # At a rate of 1, weights differ by as much as gradients.
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        trainer = Trainer(
            model,
            arguments,
            train_dataset=examples,
            data_collator=DataCollatorForReactivity(RnaTokenizerFast(alphabet="ribonanzanet")),
            optimizers=(optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)),
        )
        trainer.train()
        assert trainer.state.global_step == 1
        return {name: parameter.detach() for name, parameter in model.named_parameters()}

    @pytest.mark.parametrize(
        ("lengths", "changes"),
        [((12,) * 8, {}), ((12, 5, 12, 7, 3, 10, 12, 1), {"fix_attention_mask": True})],
        ids=["equal-lengths", "different-lengths"],
    )
    def test_weights_do_not_depend_on_the_split(self, tmp_path, lengths, changes):
        examples = self.examples(lengths)
        expected = self.weights_after_one_step(tmp_path, examples, 8, **changes)
        start = dict(_model(**NO_DROPOUT, **changes).named_parameters())
        assert max((expected[name] - start[name]).abs().max() for name in start) > 1e-2
        for batch_size in (4, 2):
            found = self.weights_after_one_step(tmp_path, examples, batch_size, **changes)
            for name, weight in expected.items():
                torch.testing.assert_close(found[name], weight, atol=1e-6, rtol=0, msg=name)

    def test_the_step_is_that_of_the_mean_over_measured_values(self, tmp_path):
        examples = self.examples((12,) * 8)
        found = self.weights_after_one_step(tmp_path, examples, 2)
        model = _model(**NO_DROPOUT)
        labels = torch.tensor([example["labels"] for example in examples])
        ratios = torch.tensor([example["signal_to_noise"] for example in examples])
        measured = ~labels.isnan() & (ratios >= 1)[:, None]
        ids = RnaTokenizerFast(alphabet="ribonanzanet")([example["sequence"] for example in examples])["input_ids"]
        logits = model(torch.tensor(ids)).logits
        # A mask of ones changes nothing; the Trainer's batches have one.
        ((logits - labels)[measured].abs().sum() / measured.sum()).backward()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(found[name], parameter.detach() - parameter.grad, atol=1e-6, rtol=0, msg=name)


class TestLoss:
    def loss(self, labels, model=None, **inputs):
        model = (model or _model()).eval()
        batch = _batch() | {"labels": labels} | inputs
        return model(**batch).loss

    def by_hand(self, counted, labels):
        """The mean absolute error over the values that count."""
        batch = _batch()
        with torch.no_grad():
            logits = _model().eval()(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        return (logits - labels)[counted].abs().mean()

    def counted(self):
        """Where there are nucleotides, (B, L, channels)."""
        return (_batch()["attention_mask"] == 1)[..., None].repeat(1, 1, 2)

    def test_padding_never_counts(self):
        labels = _batch()["labels"]
        torch.testing.assert_close(self.loss(labels), self.by_hand(self.counted(), labels))

    @pytest.mark.parametrize("value", [NAN, -100.0])
    def test_unmeasured_values_do_not_count(self, value):
        labels, counted = _batch()["labels"], self.counted()
        unmeasured = torch.zeros_like(counted)
        unmeasured[0, 2:5] = unmeasured[1, :, 1] = True
        expected = self.by_hand(counted & ~unmeasured, labels)
        torch.testing.assert_close(self.loss(labels.masked_fill(unmeasured, value)), expected)

    def test_noisy_profiles_do_not_count(self):
        labels, counted = _batch()["labels"], self.counted()
        per_channel = torch.tensor([[1.0, 0.99], [NAN, 5.0], [0.0, -1.0]])
        counted_channels = torch.tensor([[True, False], [False, True], [False, False]])[:, None]
        expected = self.by_hand(counted & counted_channels, labels)
        torch.testing.assert_close(self.loss(labels, signal_to_noise=per_channel), expected)
        per_profile = torch.tensor([1.0, 0.5, NAN])
        expected = self.by_hand(counted & (per_profile >= 1)[:, None, None], labels)
        torch.testing.assert_close(self.loss(labels, signal_to_noise=per_profile), expected)
        strict = _model(min_signal_to_noise=6.0)
        assert self.loss(labels, strict, signal_to_noise=per_channel) == 0

    @pytest.mark.parametrize("how", ["labels", "signal_to_noise", "attention_mask", "minus_hundred"])
    def test_nothing_measured(self, how):
        """Zero with a gradient path, so that a distributed step with such a batch still goes through."""
        batch = _batch()
        batch |= {
            "labels": {"labels": torch.full_like(batch["labels"], NAN)},
            "minus_hundred": {"labels": torch.full_like(batch["labels"], -100.0)},
            "signal_to_noise": {"signal_to_noise": torch.zeros(3, 2)},
            "attention_mask": {"attention_mask": torch.zeros_like(batch["attention_mask"])},
        }[how]
        loss, gradients = _gradients(_model(), **batch)
        assert loss == 0
        assert all(gradient is not None and not gradient.any() for gradient in gradients.values())

    def test_unmeasured_labels_give_the_same_finite_gradients_however_they_are_written(self):
        batch, unmeasured = _batch(), torch.rand(3, 9, 2) < 0.5
        model = _model(**NO_DROPOUT)
        found = []
        for value in (NAN, -100.0):
            loss, gradients = _gradients(model, **batch | {"labels": batch["labels"].masked_fill(unmeasured, value)})
            assert loss > 0
            assert all(gradient.isfinite().all() for gradient in gradients.values())
            found.append({name: gradient.clone() for name, gradient in gradients.items()} | {"loss": loss})
        assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])

    @pytest.mark.parametrize("label_range", [[0.0, 1.0], [-0.5, 2.0], None])
    def test_labels_are_clipped(self, label_range):
        labels = 6 * _batch()["labels"] - 3
        expected = labels if label_range is None else labels.clamp(*label_range)
        assert label_range is None or not torch.equal(labels, expected)
        torch.testing.assert_close(
            self.loss(labels, _model(label_range=label_range)), self.by_hand(self.counted(), expected)
        )

    def test_num_items_in_batch_replaces_the_count(self):
        labels = _batch()["labels"]
        own = self.loss(labels)
        count = int(self.counted().sum())
        for items in (torch.tensor(2 * count), 2 * count):
            torch.testing.assert_close(self.loss(labels, num_items_in_batch=items), own / 2)


class TestActivationCheckpointing:
    """Recomputing the layers in the backward pass changes nothing, to the bit."""

    @pytest.mark.parametrize("dropout", [False, True], ids=["no-dropout", "dropout"])
    @pytest.mark.parametrize("changes", [{}, FIXED | {"use_triangular_attention": True}], ids=["default", "triangular"])
    def test_same_loss_and_gradients(self, changes, dropout):
        changes = changes | ({"hidden_dropout": 0.3, "attention_dropout": 0.3} if dropout else NO_DROPOUT)
        plain_loss, plain = _gradients(_model(**changes), **_batch())
        model = _model(**changes)
        model.gradient_checkpointing_enable()
        runs = []
        for layer in model.model.layers:
            layer.conv.register_forward_hook(lambda *_: runs.append(1))
        loss, gradients = _gradients(model, **_batch())
        assert len(runs) == 2 * len(model.model.layers)
        assert torch.equal(loss, plain_loss)
        assert all(torch.equal(gradients[name], plain[name]) for name in plain)
        if dropout:
            assert not torch.equal(_gradients(model, seed=1, **_batch())[0], loss)


class TestEveryParameterIsTrained:
    @pytest.mark.parametrize("output_pair_states", [False, True], ids=["", "pair_states"])
    @pytest.mark.parametrize(
        "flags", list(itertools.product([False, True], repeat=4)), ids=lambda f: "".join("01"[i] for i in f)
    )
    def test_gradients(self, flags, output_pair_states):
        """None is missing; only what cannot matter to the loss has a gradient of 0."""
        changes = dict(zip(FLAGS, flags))
        _, gradients = _gradients(_model(**NO_DROPOUT, **changes), **_batch(), output_pair_states=output_pair_states)
        assert not [name for name, gradient in gradients.items() if gradient is None]
        assert all(gradient.isfinite().all() for gradient in gradients.values())
        zero = {name for name, gradient in gradients.items() if not gradient.any()}
        expected = {name for name in gradients if name.startswith("model.layers.2.pair_update.")}
        if changes["fix_attention_residual"]:
            expected |= {name for name in gradients if ".attention_norm." in name}
        assert zero == expected
        assert not gradients["model.embed_tokens.weight"][4].any()

    def test_pair_states_of_the_last_layer_can_be_trained_on(self):
        model = _model(RibonanzaNetModel, **NO_DROPOUT)
        batch = _batch()
        model(batch["input_ids"], output_pair_states=True).pair_states[-1].square().sum().backward()
        assert all(parameter.grad.any() for parameter in model.layers[-1].pair_update.parameters())

    def test_frozen_parameters_stay_out(self):
        model = _model()
        model.model.requires_grad_(False)
        _, gradients = _gradients(model, **_batch())
        reached = {name for name, gradient in gradients.items() if gradient is not None}
        assert reached == {"reactivity_head.weight", "reactivity_head.bias"}


# Rank and folder are the arguments. A parameter without gradient makes the second step fail, not the first.
_DISTRIBUTED = """
import sys, torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from rna_hf import RibonanzaNetConfig, RibonanzaNetForReactivity

rank, folder = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
saved = torch.load(f"{folder}/input.pt")
results = []
for options, extra in saved["cases"]:
    torch.manual_seed(1)
    model = DistributedDataParallel(RibonanzaNetForReactivity(RibonanzaNetConfig(**options)).train())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    weights = []
    for _ in range(2):
        optimizer.zero_grad()
        model(**saved["batches"][rank], **extra).loss.backward()
        optimizer.step()
        weights.append({name: value.clone() for name, value in model.module.state_dict().items()})
    results.append(weights)
torch.save(results, f"{folder}/rank{rank}.pt")
distributed.destroy_process_group()
"""


def test_two_processes_train_together(tmp_path):
    """Distributed data parallel without `find_unused_parameters`: both ranks hold what the mean gradient gives."""
    cases = [
        (TINY | NO_DROPOUT, {}),
        (TINY | NO_DROPOUT | FIXED | {"use_triangular_attention": True}, {}),
        (TINY | NO_DROPOUT, {"output_pair_states": True}),
    ]
    batches = [_batch((9, 6, 3)), _batch((8, 8))]
    torch.save({"cases": cases, "batches": batches}, tmp_path / "input.pt")
    ranks = [[str(rank), str(tmp_path)] for rank in range(2)]
    for done in run_each(_DISTRIBUTED, *ranks, GLOO_SOCKET_IFNAME="lo"):
        assert done.returncode == 0, done.stderr
    results = [torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2)]
    for case, (options, _) in enumerate(cases):
        for step in range(2):
            first, second = (results[rank][case][step] for rank in range(2))
            assert all(torch.equal(first[name], second[name]) for name in first)
        torch.manual_seed(1)
        model = RibonanzaNetForReactivity(RibonanzaNetConfig(**options)).train()
        (sum(model(**batch).loss for batch in batches) / 2).backward()
        for name, parameter in model.named_parameters():
            expected = parameter.detach() - 0.1 * parameter.grad
            torch.testing.assert_close(results[0][case][0][name], expected, atol=1e-6, rtol=0, msg=name)


class TestCompile:
    """The forward is one graph, and compiled it gives the same numbers."""

    @pytest.fixture(autouse=True)
    def _fresh_dynamo(self):
        torch.compiler.reset()
        yield
        torch.compiler.reset()

    def check(self, model, backend="eager", atol=2e-6, **inputs):
        compiled = torch.compile(model, fullgraph=True, backend=backend)
        with torch.no_grad():
            torch.testing.assert_close(compiled(**inputs)[0], model(**inputs)[0], atol=atol, rtol=0)

    @pytest.mark.parametrize("masked", [True, False], ids=["mask", "no-mask"])
    @pytest.mark.parametrize("implementation", ["eager", "sdpa"])
    @pytest.mark.parametrize("changes", [{}, FIXED], ids=["quirk", "fixed"])
    @pytest.mark.parametrize("model_class", [RibonanzaNetModel, RibonanzaNetForReactivity])
    def test_inference(self, model_class, changes, implementation, masked):
        model = _model(model_class, implementation, num_hidden_layers=2, **changes).eval()
        batch = _batch()
        inputs = {"input_ids": batch["input_ids"]} | ({"attention_mask": batch["attention_mask"]} if masked else {})
        self.check(model, **inputs)

    def test_triangular_attention_and_pair_states(self):
        model = _model(num_hidden_layers=2, use_triangular_attention=True, **FIXED).eval()
        batch = _batch()
        self.check(model, **batch)
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        with torch.no_grad():
            states = compiled(**batch, output_pair_states=True).pair_states
            expected = model(**batch, output_pair_states=True).pair_states
        assert len(states) == 3
        torch.testing.assert_close(states, expected, atol=5e-6, rtol=0)

    @pytest.mark.parametrize("changes", [{}, FIXED], ids=["quirk", "fixed"])
    def test_training(self, changes):
        """Forward and backward, with dropout from the same seed."""
        model = _model(num_hidden_layers=2, **changes)
        loss, gradients = _gradients(model, **_batch())
        gradients = {name: gradient.clone() for name, gradient in gradients.items()}
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        compiled_loss, found = _gradients(compiled, **_batch())
        torch.testing.assert_close(compiled_loss, loss, atol=1e-6, rtol=0)
        for name, gradient in gradients.items():
            torch.testing.assert_close(found[f"_orig_mod.{name}"], gradient, atol=1e-6, rtol=1e-5)

    def test_one_graph_for_all_lengths(self):
        """With dynamic shapes a new length or batch size needs no new compilation."""
        model = _model(num_hidden_layers=2, **FIXED).eval()
        compilations = []

        def backend(graph, inputs):
            compilations.append(1)
            return graph

        compiled = torch.compile(model, fullgraph=True, backend=backend, dynamic=True)
        for lengths in ((9, 6, 3), (11, 2), (5, 5, 4, 4)):
            batch = _batch(lengths)
            with torch.no_grad():
                torch.testing.assert_close(compiled(**batch).logits, model(**batch).logits, atol=2e-6, rtol=0)
        assert len(compilations) == 1

    @pytest.mark.slow
    @pytest.mark.parametrize("changes", [{}, FIXED], ids=["quirk", "fixed"])
    def test_inductor(self, changes):
        batch = _batch()
        self.check(_model(num_hidden_layers=2, **changes).eval(), backend="inductor", atol=1e-5, **batch)


class TestBfloat16:
    @pytest.mark.parametrize("implementation", ["eager", "sdpa"])
    @pytest.mark.parametrize("changes", [{}, FIXED, FIXED | {"use_triangular_attention": True}])
    def test_autocast_of_float32_weights(self, changes, implementation):
        model = _model(implementation=implementation, **NO_DROPOUT, **changes)
        expected, _ = _gradients(model, **_batch())
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = model(**_batch())
        output.loss.backward()
        assert output.loss.dtype == torch.float32
        assert output.logits.isfinite().all()
        torch.testing.assert_close(output.loss.detach(), expected, atol=0.02, rtol=0)
        for parameter in model.parameters():
            assert parameter.grad.dtype == torch.float32
            assert parameter.grad.isfinite().all()

    @pytest.mark.parametrize("implementation", ["eager", "sdpa"])
    @pytest.mark.parametrize("changes", [{}, FIXED, FIXED | {"use_triangular_attention": True}])
    def test_loaded_as_bfloat16(self, tmp_path, changes, implementation):
        model = _model(**NO_DROPOUT, **changes)
        model.save_pretrained(tmp_path)
        loaded = RibonanzaNetForReactivity.from_pretrained(
            tmp_path, dtype=torch.bfloat16, attn_implementation=implementation
        ).train()
        assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}
        batch = _batch()
        batch["labels"][0, 0] = NAN
        batch["attention_mask"][-1] = 0
        expected, _ = _gradients(model, **batch)
        loss, gradients = _gradients(loaded, **batch)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected, atol=0.02, rtol=0)
        assert all(gradient.isfinite().all() for gradient in gradients.values())
        with torch.no_grad():
            output = loaded.eval()(**batch, output_pair_states=True)
        assert output.logits.dtype == torch.bfloat16
        assert all(tensor.isfinite().all() for tensor in (output.logits, *output.pair_states))


class TestDropout:
    def factors(self, monkeypatch, **changes):
        """What the first layer's pair updates were multiplied by in a training step, by the block's name."""
        model = _model(hidden_dropout=0.5, attention_dropout=0.0, num_hidden_layers=2, **changes)
        drawn, used = [], {}

        def draw(*arguments):
            drawn.append(shared_axis_dropout(*arguments))
            return drawn[-1]

        def update(module, pair_states, scale, dropout, *rest):
            used[names[module]] = dropout
            updated = triangle_update(module, pair_states, scale, dropout, *rest)
            torch.testing.assert_close(updated - pair_states, module(pair_states, scale) * dropout)
            return updated

        names = {child: name for name, child in model.model.layers[0].pair_update.named_children()}
        monkeypatch.setattr(modeling, "shared_axis_dropout", draw)
        monkeypatch.setattr(modeling, "triangle_update", update)
        model(**_batch((9, 9, 9)))
        used |= dict(zip(("triangle_row_attention", "triangle_column_attention"), drawn[2:]))
        assert [factor is one for factor, one in zip(drawn, used.values())] == [True] * len(used)
        return used

    @pytest.mark.parametrize("fixed", [False, True])
    def test_axis_of_each_pair_update(self, monkeypatch, fixed):
        factors = self.factors(monkeypatch, fix_pairwise_dropout=fixed, use_triangular_attention=True)
        shared_axis = {
            "triangle_outgoing": 1,
            "triangle_ingoing": 2 if fixed else 1,
            "triangle_row_attention": 1,
            "triangle_column_attention": 2,
        }
        for name, axis in shared_axis.items():
            shape = [3, 9, 9, TINY["pair_hidden_size"]]
            shape[axis] = 1
            assert list(factors[name].shape) == shape
            assert set(factors[name].unique().tolist()) == {0.0, 2.0}
        assert not torch.equal(factors["triangle_outgoing"], factors["triangle_row_attention"])

    def test_shared_axis_dropout(self):
        ones = torch.ones(2, 30, 30, 8)
        for axis in (1, 2):
            factors = shared_axis_dropout(ones, 0.2, axis, training=True)
            assert set(factors.unique().tolist()) == {0.0, 1.25}
            assert factors.shape[axis] == 1
            assert factors.expand_as(ones).shape == ones.shape
            assert factors.mean() == pytest.approx(1, abs=0.1)
        assert shared_axis_dropout(ones, 0.2, 1, training=False) is None
        assert shared_axis_dropout(ones, 0.0, 1, training=True) is None

    def test_the_transition_and_the_outer_product_are_not_dropped(self, monkeypatch):
        assert self.factors(monkeypatch).keys() == {"triangle_outgoing", "triangle_ingoing"}

    @pytest.mark.parametrize("implementation", ["eager", "sdpa"])
    def test_attention_dropout_acts_without_hidden_dropout(self, implementation):
        batch = _batch()
        with torch.no_grad():
            for rate, differs in ((0.5, True), (0.0, False)):
                model = _model(implementation=implementation, hidden_dropout=0.0, attention_dropout=rate)
                assert torch.equal(model(**batch).logits, model(**batch).logits) != differs
                assert torch.equal(model.eval()(**batch).logits, model(**batch).logits)

    def test_hidden_dropout_acts_without_attention_dropout(self):
        batch = _batch()
        with torch.no_grad():
            model = _model(hidden_dropout=0.5, attention_dropout=0.0)
            assert not torch.equal(model(**batch).logits, model(**batch).logits)
            assert torch.equal(model.eval()(**batch).logits, model(**batch).logits)


class TestInitialisation:
    """Fresh weights follow torch's own defaults, wherever they come from."""

    def check_uniform(self, tensor, bound, what):
        """Uniform in plus and minus `bound`; wide enough ones are looked at closely."""
        assert tensor.abs().max() <= bound, what
        assert tensor.unique().numel() > tensor.numel() / 2, what
        if tensor.numel() >= 200:
            assert tensor.abs().max() > 0.9 * bound, what
            assert tensor.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15), what
            assert abs(tensor.mean()) < 0.2 * bound, what

    def check(self, model):
        kinds = set()
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear | nn.Conv1d | OuterProductMean):
                kinds.add(type(module))
                weight, bias = module.weight, module.bias
                bound = 1 / math.sqrt(weight[0].numel())
                if isinstance(module, TriangleProjection):
                    gates = 2 * weight.shape[1]
                    assert not weight[gates:].any(), name
                    assert (bias[gates:] == 1).all(), name
                    weight, bias = weight[:gates], bias[:gates]
                self.check_uniform(weight, bound, name)
                if bias is not None:
                    self.check_uniform(bias, bound, name)
            elif isinstance(module, nn.LayerNorm):
                kinds.add(type(module))
                assert (module.weight == 1).all(), name
                assert not module.bias.any(), name
            elif isinstance(module, nn.Embedding):
                kinds.add(type(module))
                assert not module.weight[4].any()
                rest = module.weight[torch.arange(len(module.weight)) != 4]
                assert rest.std().item() == pytest.approx(1, abs=0.15)
                assert abs(rest.mean()) < 0.15
            else:
                assert not list(module.parameters(recurse=False)), name
        assert kinds == {nn.Linear, nn.Conv1d, OuterProductMean, TriangleProjection, nn.LayerNorm, nn.Embedding}

    @pytest.fixture
    def nan_as_uninitialised_memory(self):
        """Fill every tensor made by `torch.empty` with NaN."""
        torch.use_deterministic_algorithms(True)
        assert torch.empty(3).isnan().all()
        yield
        torch.use_deterministic_algorithms(False)

    def model(self):
        return _model(hidden_size=64, pair_hidden_size=16, num_hidden_layers=2, use_triangular_attention=True)

    @torch.no_grad()
    def test_fresh_model(self, nan_as_uninitialised_memory):
        self.check(self.model())

    @torch.no_grad()
    def test_every_weight_missing_from_a_checkpoint(self, tmp_path, nan_as_uninitialised_memory):
        model = self.model()
        model.save_pretrained(tmp_path)
        save_file({}, tmp_path / "model.safetensors", metadata={"format": "pt"})
        loaded, info = RibonanzaNetForReactivity.from_pretrained(tmp_path, output_loading_info=True)
        assert len(info["missing_keys"]) == len(model.state_dict())
        self.check(loaded)

    @torch.no_grad()
    def test_some_weights_missing_from_a_checkpoint(self, tmp_path, nan_as_uninitialised_memory):
        """Loaded weights stay, even those in one module with a missing one."""
        model = self.model()
        # No weight of the checkpoint could come from an initialisation.
        for parameter in model.parameters():
            parameter.fill_(7.0)
        model.save_pretrained(tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        missing = {
            "reactivity_head.weight",
            "reactivity_head.bias",
            "model.layers.0.up_proj.bias",
            "model.layers.0.conv.weight",
            "model.layers.1.feed_forward_norm.weight",
            "model.layers.1.pair_update.outer_product.weight",
            "model.outer_product.bias",
            "model.layers.0.pair_update.triangle_ingoing.in_proj.bias",
            "model.layers.1.pair_update.triangle_outgoing.in_proj.weight",
        }
        save_file(
            {name: weight for name, weight in weights.items() if name not in missing},
            tmp_path / "model.safetensors",
            metadata={"format": "pt"},
        )
        loaded, info = RibonanzaNetForReactivity.from_pretrained(tmp_path, output_loading_info=True)
        assert set(info["missing_keys"]) == missing
        state = loaded.state_dict()
        assert all((state[name] == 7).all() for name in state.keys() - missing)
        self.check_uniform(state["reactivity_head.weight"], 1 / 8, "reactivity_head.weight")
        self.check_uniform(state["reactivity_head.bias"], 1 / 8, "reactivity_head.bias")
        self.check_uniform(state["model.layers.0.up_proj.bias"], 1 / 8, "up_proj.bias")
        self.check_uniform(state["model.layers.0.conv.weight"], 1 / math.sqrt(5 * 64), "conv.weight")
        assert (state["model.layers.1.feed_forward_norm.weight"] == 1).all()
        outer_bound = 1 / model.config.outer_product_size
        self.check_uniform(
            state["model.layers.1.pair_update.outer_product.weight"], outer_bound, "outer_product.weight"
        )
        self.check_uniform(state["model.outer_product.bias"], outer_bound, "outer_product.bias")
        gate_bias = state["model.layers.0.pair_update.triangle_ingoing.in_proj.bias"]
        self.check_uniform(gate_bias[:32], 1 / 4, "in_proj.bias")
        assert (gate_bias[32:] == 1).all()
        gate_weight = state["model.layers.1.pair_update.triangle_outgoing.in_proj.weight"]
        self.check_uniform(gate_weight[:32], 1 / 4, "in_proj.weight")
        assert not gate_weight[32:].any()
