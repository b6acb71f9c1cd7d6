"""The heads of RibonanzaNet: independent of padding, neutral under accumulation, harmless with unknown labels."""

import numpy as np
import pytest
import torch
import transformers
from common import heads_of
from huggingface_hub.errors import StrictDataclassError
from tiny_models import RIBONANZANET

import rna_hf
from rna_hf import RibonanzaNetConfig
from rna_hf.layers import distance_geometry
from rna_hf.layers.distance_geometry import pair_distances
from rna_hf.models import coordinate_heads
from rna_hf.structure import rmsd
from rna_hf.structure.helices import a_form_helix, expected_distances, graph_distances, rigid_helices

TINY = RIBONANZANET | {"fix_attention_mask": True, "hidden_dropout": 0.0, "attention_dropout": 0.0}
LENGTHS = (11, 7, 4, 1)
# Head -> options of the configuration, name of the output, its axes of length, and values per entry.
HEADS = {
    "Reactivity": ({}, "logits", 1, 2),
    "Degradation": ({}, "logits", 1, 5),
    "SequenceDropout": ({}, "logits", 0, 2),
    "SecondaryStructure": ({"predict_reactivity": True}, "logits", 2, None),
    "TertiaryStructure": ({}, "coordinates", 1, 3),
    # Its coordinates follow from these, see `TestTertiaryStructureFromPairs`.
    "TertiaryStructure-pair": ({"coordinate_head": "pair"}, "distances", 2, None),
    "ContactPrediction": ({"num_labels": 3, "problem_type": "regression"}, "logits", 2, 3),
    "ContactPrediction-classes": ({"num_labels": 3}, "logits", 2, "class"),
    "SequenceClassification": ({"num_labels": 3}, "logits", 0, "class"),
    "SequenceClassification-many": (
        {"num_labels": 3, "problem_type": "multi_label_classification"},
        "logits",
        0,
        3,
    ),
    "SequenceClassification-number": ({"num_labels": 1}, "logits", 0, 1),
    "TokenClassification": ({"num_labels": 3}, "logits", 1, "class"),
    "TokenClassification-many": ({"num_labels": 2, "problem_type": "multi_label_classification"}, "logits", 1, 2),
    "MaskedLM": ({}, "logits", 1, "class"),
}
# Axes of length and values per entry of the labels, where they differ from those of the output.
LABELS = {"TertiaryStructure-pair": (1, 3)}


@pytest.fixture(autouse=True)
def _short_search(request, monkeypatch):
    """Outside of the classes only the distances of the 3D head that reads pairs are compared, not its coordinates."""
    if request.cls is None:
        monkeypatch.setattr(distance_geometry, "_ROUNDS", 10)


def make(name, implementation="sdpa", **changes):
    torch.manual_seed(1)
    config = RibonanzaNetConfig(**(TINY | HEADS[name][0] | changes))
    config._attn_implementation = implementation
    model = getattr(rna_hf, f"RibonanzaNetFor{name.split('-')[0]}")(config).eval()
    if name == "TertiaryStructure-pair":
        # These begin at zero, and what they read would not matter.
        for layer in (model.distance_head.distances, model.distance_head.turns):
            torch.nn.init.normal_(layer.weight, std=0.3)
    return model


def batch(lengths=LENGTHS, width=None):
    ids = torch.full((len(lengths), width or max(lengths)), 4)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(0, 4, (length,), generator=torch.Generator().manual_seed(length))
    return ids, (ids != 4).long()


def labels_for(name, lengths=LENGTHS, width=None, unknown=0.25):
    """Labels of every RNA, drawn for its length alone, some of them unknown; -100 at padding."""
    axes, values = LABELS.get(name, HEADS[name][2:])
    length = width or max(lengths)
    rows = []
    for number in lengths:
        generator = torch.Generator().manual_seed(100 + number)
        own = (number,) * axes
        if values == "class":
            row = torch.randint(0, 3, own, generator=generator)
            missing = torch.rand(own, generator=generator) < unknown
            row = row.masked_fill(missing, -100) if axes else row
            shape, fill = (length,) * axes, -100
        else:
            last = () if values is None else (values,)
            row = torch.rand((*own, *last), generator=generator)
            if axes:
                row[torch.rand(own, generator=generator) < unknown] = torch.nan
            shape, fill = ((length,) * axes + last), torch.nan
        full = torch.full(shape, fill, dtype=row.dtype)
        full[tuple(slice(0, number) for _ in range(axes))] = row
        rows.append(full)
    return torch.stack(rows)


def output(model, name, *arguments, **options):
    return getattr(model(*arguments, **options), HEADS[name][1])


def own_part(name, values, row, length):
    return values[(row, *(slice(0, length) for _ in range(HEADS[name][2])))]


def count(labels, name):
    """Items as the Trainer counts them, where unknown labels were written as -100."""
    return int((torch.nan_to_num(labels.float(), nan=-100.0) != -100).sum())


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_alone_padded_and_in_any_batch(name, implementation):
    model = make(name, implementation)
    with torch.no_grad():
        together = output(model, name, *batch())
        wider = output(model, name, *batch(width=17))
        for row, length in enumerate(LENGTHS):
            alone = own_part(name, output(model, name, batch((length,))[0]), 0, length)
            for other in (together, wider):
                # Distances are tens of angstroms.
                rtol = 1e-5 if name == "TertiaryStructure-pair" else 0
                torch.testing.assert_close(own_part(name, other, row, length), alone, atol=1e-5, rtol=rtol)


@pytest.mark.parametrize("name", HEADS)
def test_accumulation_and_padding_leave_the_loss_alone(name):
    """The loss of a batch is the sum over its RNAs alone, each divided by the items of all."""
    model = make(name)
    labels = labels_for(name)
    items = count(labels, name)
    whole = model(*batch(), labels=labels, num_items_in_batch=items).loss
    parts = sum(
        model(*batch((length,)), labels=labels_for(name, (length,)), num_items_in_batch=items).loss
        for length in LENGTHS
    )
    torch.testing.assert_close(parts, whole, atol=1e-6, rtol=1e-5)
    assert whole > 0
    padded = model(*batch(width=17), labels=labels_for(name, width=17)).loss
    torch.testing.assert_close(padded, whole, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_unknown_labels_are_harmless(name):
    model = make(name).train()
    labels = torch.full_like(labels_for(name), -100)
    loss = model(*batch(), labels=labels).loss
    loss.backward()
    assert loss == 0
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    model.zero_grad()
    loss = model(*batch(), labels=labels_for(name)).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", HEADS)
def test_labels_at_padding_never_count(name):
    if HEADS[name][2] == 0 or name == "MaskedLM":
        pytest.skip("no label stands at padding")
    model = make(name)
    ids, mask = batch()
    labels = labels_for(name, unknown=0)
    expected = model(ids, mask, labels=labels).loss
    padding = (mask == 0)[:, :, *([None] * (labels.dim() - 2))]
    at_padding = labels.masked_fill(padding, 1)
    torch.testing.assert_close(model(ids, mask, labels=at_padding).loss, expected)


@pytest.mark.parametrize("name", HEADS)
def test_gradient_reaches_every_parameter(name):
    model = make(name, label_range=None).train()
    model(*batch(), labels=labels_for(name, unknown=0)).loss.backward()
    # The 3D head that reads pairs decodes a structure from `pair_head`, without a gradient.
    reads_pairs = name == "TertiaryStructure-pair"
    spared = ("pair_head.",) if reads_pairs else ("reactivity_head",)
    missing = [n for n, parameter in model.named_parameters() if parameter.grad is None and not n.startswith(spared)]
    assert not missing
    for head in [model.distance_head.distances, model.distance_head.turns] if reads_pairs else heads_of(model)[:1]:
        assert head.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", HEADS)
def test_checkpointing_is_neutral(name):
    gradients = []
    for checkpointing in (False, True):
        model = make(name).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        model(*batch(), labels=labels_for(name)).loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_auto_class_opens_what_was_saved(name, tmp_path):
    model = make(name)
    model.save_pretrained(tmp_path)
    auto_name = f"AutoModelFor{name.split('-')[0]}"
    auto_class = getattr(rna_hf, auto_name, None) or getattr(transformers, auto_name)
    again, info = auto_class.from_pretrained(tmp_path, output_loading_info=True)
    assert type(again) is type(model)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert torch.equal(output(again, name, *batch()), output(model, name, *batch()))


@pytest.mark.parametrize("name", HEADS)
def test_labels_of_another_shape_are_refused(name):
    model = make(name)
    labels = labels_for(name)
    with pytest.raises(ValueError, match="labels"):
        model(*batch(), labels=torch.cat([labels, labels]))


class TestSequenceDropout:
    def test_reads_are_the_exponential_of_a_mean_over_nucleotides(self):
        model = make("SequenceDropout", bos_token_id=7, eos_token_id=8)
        ids, mask = torch.tensor([[7, 0, 1, 2, 8, 4, 4]]), torch.tensor([[1, 1, 1, 1, 1, 0, 0]])
        with torch.no_grad():
            found = model(ids, mask)
            states = model.model(ids, mask).last_hidden_state
            expected = model.read_count_head(states[:, 1:4]).mean(1)
        torch.testing.assert_close(found.logits, expected)
        torch.testing.assert_close(found.read_counts, expected.exp())

    def test_loss_by_hand(self):
        model = make("SequenceDropout")
        with torch.no_grad():
            model.read_count_head.weight.zero_()
            model.read_count_head.bias.copy_(torch.tensor([2.0, 3.0]).log())
        ids, mask = batch((5, 3))
        loss = model(ids, mask, labels=torch.tensor([[7.0, torch.nan], [2.0, 3.0]])).loss
        errors = torch.tensor([(3.0 / 8.0), 1.0, 1.0]).log()
        torch.testing.assert_close(loss, errors.square().mean())

    def test_negative_counts_are_named(self):
        with pytest.raises(ValueError, match="negative number of reads \\(-3\\)"):
            make("SequenceDropout")(*batch((5,)), labels=torch.tensor([[-3.0, 1.0]]))


class TestSecondaryStructure:
    def test_logits_are_symmetric_and_read_the_last_pair_state(self):
        model = make("SecondaryStructure")
        ids, mask = batch()
        with torch.no_grad():
            logits = model(ids, mask).logits
            pair_state = model.model(ids, mask, output_pair_states=True).pair_states[-1]
            expected = model.pair_head(pair_state + pair_state.transpose(1, 2))[..., 0]
        torch.testing.assert_close(logits, logits.transpose(1, 2))
        torch.testing.assert_close(logits, expected)

    def test_reactivity_stands_beside_on_request(self):
        assert make("SecondaryStructure")(*batch()).reactivity.shape == (4, 11, 2)
        assert make("SecondaryStructure", predict_reactivity=False)(*batch()).reactivity is None


class TestTertiaryStructure:
    def test_loss_does_not_change_when_the_native_is_moved(self):
        model = make("TertiaryStructure")
        labels = labels_for("TertiaryStructure") * 10
        rotation, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(5)))
        rotation = rotation * torch.det(rotation)
        moved = labels @ rotation + torch.tensor([5.0, -20.0, 7.0])
        expected = model(*batch(), labels=labels).loss
        torch.testing.assert_close(model(*batch(), labels=moved).loss, expected, atol=1e-5, rtol=1e-5)
        mirrored = labels * torch.tensor([1.0, 1.0, -1.0])
        assert (model(*batch(), labels=mirrored).loss - expected).abs() > 1e-3


def make_calm(name, **changes):
    """A model whose distances are near the expected ones: wild ones have many traces that fit them equally badly."""
    model = make(name, **changes)
    if name == "TertiaryStructure-pair":
        with torch.no_grad():
            model.distance_head.distances.weight.mul_(0.1)
            model.distance_head.turns.weight.mul_(0.1)
    return model


class KnownPairs(torch.nn.Module):
    """Stands for the head that says which nucleotides pair; makes them as sure as it is told."""

    def __init__(self, pairs, length, certainty=8.0):
        super().__init__()
        logits = torch.full((length, length), -certainty)
        for i, j in pairs:
            logits[i, j] = logits[j, i] = certainty
        self.register_buffer("logits", logits)

    def forward(self, pair_states):
        return self.logits.expand(len(pair_states), -1, -1)[..., None]


class TestTertiaryStructureFromPairs:
    """The trace that is found from the distances."""

    def test_it_is_the_same_alone_and_padded(self):
        model = make_calm("TertiaryStructure-pair")
        with torch.no_grad():
            together = model(*batch()).coordinates
            for row, length in enumerate(LENGTHS):
                alone = model(batch((length,))[0]).coordinates[0]
                torch.testing.assert_close(together[row, :length], alone, atol=1e-2, rtol=0)
                assert not together[row, length:].any()

    def test_it_has_the_predicted_distances(self):
        model = make_calm("TertiaryStructure-pair")
        with torch.no_grad():
            found = model(batch((30,))[0])
        errors = (pair_distances(found.coordinates) / found.distances - 1)[0]
        assert errors.fill_diagonal_(0).abs().median() < 0.2

    def test_untrained_it_is_helices_in_space(self):
        torch.manual_seed(1)
        model = rna_hf.RibonanzaNetForTertiaryStructure(RibonanzaNetConfig(**TINY, coordinate_head="pair")).eval()
        pairs = [(i, 21 - i) for i in range(9)]
        model.pair_head = KnownPairs(pairs, 22)
        with torch.no_grad():
            found = model(batch((22,))[0])
        helix = [i for pair in pairs for i in pair]
        shape = np.stack(a_form_helix(np.arange(9)), axis=1).reshape(-1, 3)
        trace = found.coordinates[0].numpy()
        assert rmsd(trace[helix], shape) < 0.5
        assert rmsd(trace[helix] * (1, 1, -1), shape) > 3
        assert np.linalg.norm(np.diff(trace, axis=0), axis=1) == pytest.approx(5.6, abs=1)
        bodies = rigid_helices(pairs)
        expected = torch.from_numpy(expected_distances(graph_distances(22, bodies), bodies)).float()
        torch.testing.assert_close(found.distances[0], expected + torch.eye(22))

    def test_a_structure_checkpoint_fills_the_pair_head(self, tmp_path):
        structure = make("SecondaryStructure", predict_reactivity=False)
        structure.save_pretrained(tmp_path)
        model, info = rna_hf.RibonanzaNetForTertiaryStructure.from_pretrained(
            tmp_path, coordinate_head="pair", output_loading_info=True
        )
        assert torch.equal(model.pair_head.weight, structure.pair_head.weight)
        assert {name.split(".")[0] for name in info["missing_keys"]} == {"distance_head"}
        assert not info["unexpected_keys"]
        assert not model.distance_head.distances.weight.any()
        assert model.distance_head.dense.weight.any()

    def test_a_frozen_base_keeps_nothing_for_a_backward_pass(self):
        model = make("TertiaryStructure-pair").train()
        expected = model(*batch(), labels=labels_for("TertiaryStructure-pair")).loss
        model.base_model.requires_grad_(False)
        outputs = model(*batch(), labels=labels_for("TertiaryStructure-pair"), output_pair_states=True)
        assert not outputs.pair_states[-1].requires_grad
        torch.testing.assert_close(outputs.loss, expected)
        outputs.loss.backward()
        assert all(p.grad.any() for p in model.distance_head.parameters())

    def test_blocks_of_pairs_do_not_matter(self, monkeypatch):
        monkeypatch.setattr(distance_geometry, "_ROUNDS", 10)
        model = make("TertiaryStructure-pair")
        expected = model(*batch()).distances
        monkeypatch.setattr(coordinate_heads, "DISTANCE_BLOCK", 100)
        torch.testing.assert_close(model(*batch()).distances, expected)

    def test_training_mode_spares_it(self):
        outputs = make("TertiaryStructure-pair").train()(*batch(), labels=labels_for("TertiaryStructure-pair"))
        assert outputs.coordinates is None
        assert outputs.loss > 0

    def test_special_tokens_take_no_place_in_it(self):
        model = make("TertiaryStructure-pair", bos_token_id=7, eos_token_id=8)
        with torch.no_grad():
            found = model(torch.tensor([[7, 0, 1, 2, 3, 0, 8]])).coordinates[0]
        assert not found[[0, 6]].any()
        torch.testing.assert_close(found[1:6].mean(0), torch.zeros(3), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["TertiaryStructure", "TertiaryStructure-pair"])
class TestSampledCoordinates:
    def sample(self, name, *arguments, **options):
        model = make_calm(name, hidden_dropout=0.2)
        return model, model.sample_coordinates(*arguments, **options)

    def test_the_first_is_the_prediction_and_the_others_differ(self, name):
        ids, mask = batch()
        model, samples = self.sample(name, ids, mask, num_samples=3)
        assert samples.shape == (4, 3, 11, 3)
        with torch.no_grad():
            torch.testing.assert_close(samples[:, 0], model(ids, mask).coordinates * mask[:, None, :, None][:, 0])
        for first, second in ((0, 1), (0, 2), (1, 2)):
            assert (samples[0, first] - samples[0, second]).abs().max() > 0.01
        assert not model.training

    def test_they_are_the_same_alone_and_again(self, name):
        ids, mask = batch()
        _, samples = self.sample(name, ids, mask, num_samples=2)
        _, again = self.sample(name, ids, mask, num_samples=2)
        assert torch.equal(samples, again)
        _, alone = self.sample(name, batch((7,))[0], num_samples=2)
        torch.testing.assert_close(samples[1, :, :7], alone[0], atol=1e-2, rtol=0)
        _, other = self.sample(name, ids, mask, num_samples=2, seed=5)
        assert (other[0, 1] - samples[0, 1]).abs().max() > 0.01

    def test_wrong_calls_are_named(self, name):
        model = make(name)
        with pytest.raises(ValueError, match="num_samples is 0"):
            model.sample_coordinates(*batch(), num_samples=0)
        with pytest.raises(ValueError, match="evaluation mode"):
            model.train().sample_coordinates(*batch())


def test_problem_type_comes_from_the_configuration_alone():
    """Integers in a batch don't turn a regression into a classification."""
    model = make("SequenceClassification-number")
    ids, mask = batch((5, 3))
    whole = model(ids, mask, labels=torch.tensor([1, 2])).loss
    torch.testing.assert_close(whole, model(ids, mask, labels=torch.tensor([[1.0], [2.0]])).loss)
    with pytest.raises(ValueError, match="labels of shape"):
        make("SequenceClassification")(ids, mask, labels=torch.rand(2, 3))
    with pytest.raises(ValueError, match="class indices are integers"):
        make("SequenceClassification")(ids, mask, labels=torch.rand(2))
    with pytest.raises((ValueError, StrictDataclassError), match="problem_type"):
        make("SequenceClassification", problem_type="regresion")
