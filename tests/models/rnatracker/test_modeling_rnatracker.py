"""RNATracker: padding, lengths, unknown nucleotides, windows, and what every architecture has to pass."""

import warnings

import pytest
import torch
from common import ModelTests
from tiny_models import RNATRACKER

from rna_hf import (
    RnaTokenizerFast,
    RnaTrackerConfig,
    RnaTrackerForLocalisation,
    RnaTrackerForSequenceClassification,
    RnaTrackerModel,
)

TINY = RNATRACKER
PAD, N = 4, 5


class _RnaTrackerTests(ModelTests):
    config_class = RnaTrackerConfig
    auto_classes = {
        "RnaTrackerModel": ("transformers", "AutoModel"),
        "RnaTrackerForLocalisation": ("rna_hf", "AutoModelForLocalisation"),
        "RnaTrackerForSequenceClassification": ("transformers", "AutoModelForSequenceClassification"),
    }
    pad_token_id = PAD
    lengths = (130, 61, 54, 53, 45)
    tiny = TINY
    # There is no attention between positions that could be computed in several ways.
    test_eager_equals_sdpa = None

    def make(self, model_class, implementation="eager", **changes):
        return super().make(model_class, implementation, **changes)

    def batch(self, lengths=None):
        """Lengths below the shortest that the model reads are raised to it."""
        return super().batch(None if lengths is None else tuple(max(45, length) for length in lengths))

    def test_alone_padded_and_in_any_batch(self, model_class):
        model = self.make(model_class)
        ids, mask = self.batch()
        with torch.no_grad():
            together = model(ids, attention_mask=mask, output_attentions=True)
            turned = model(ids.flip(0), attention_mask=mask.flip(0), output_attentions=True)
            for row, length in enumerate(self.lengths):
                alone = model(ids[row : row + 1, :length], output_attentions=True)
                positions = model.config.num_positions(length)
                assert alone.attentions.shape == (1, positions)
                for other, place in ((together, row), (turned, len(ids) - 1 - row)):
                    found = other[0][place][:positions] if model_class is RnaTrackerModel else other[0][place]
                    torch.testing.assert_close(found, alone[0][0], atol=1e-6, rtol=0)
                    weights = other.attentions[place]
                    torch.testing.assert_close(weights[:positions], alone.attentions[0], atol=1e-6, rtol=0)
                    assert (weights[positions:] == 0).all()

    def test_all_padding_row_stays_finite_and_harmless(self, model_class):
        """A row without a nucleotide is refused: its attention could not sum to 1."""
        ids, mask = self.batch()
        mask[2] = 0
        with pytest.raises(ValueError, match=r"row 2 of the batch \(0-based\) has 0 nucleotides"):
            self.make(model_class)(ids, attention_mask=mask)

    def test_hidden_states_and_tuple_output(self, model_class):
        model = self.make(model_class)
        ids, mask = self.batch()
        with torch.no_grad():
            full = model(ids, attention_mask=mask, output_hidden_states=True, output_attentions=True)
            plain = model(ids, attention_mask=mask, return_dict=False)
            bare = model(ids, attention_mask=mask)
        # 130 nt: (130 - 9) // 3 and (40 - 9) // 3 positions.
        assert [tuple(states.shape) for states in full.hidden_states] == [(5, 40, 8), (5, 10, 8), (5, 10, 12)]
        assert full.attentions.shape == (5, 10)
        assert torch.equal(plain[0], full[0])
        assert bare.hidden_states is None
        assert bare.attentions is None
        if model_class is RnaTrackerModel:
            assert torch.equal(full.hidden_states[-1].relu(), full.last_hidden_state)
            mean = (full.attentions[..., None] * full.last_hidden_state).sum(1)
            torch.testing.assert_close(mean, full.pooler_output)

    def test_bad_inputs_are_named(self, model_class):
        model = self.make(model_class)
        ids, mask = self.batch()
        channels = torch.zeros(1, 45, 4)
        for arguments, message in (
            ({}, "exactly one"),
            ({"input_ids": ids, "inputs_embeds": channels}, "exactly one"),
            ({"input_ids": ids, "attention_mask": mask[:, 1:]}, r"attention_mask has shape \(5, 129\): \(5, 130\)"),
            ({"input_ids": ids[0]}, "input_ids has shape"),
            ({"input_ids": ids[:, :0]}, "empty"),
            ({"input_ids": ids[:0]}, "empty"),
            ({"inputs_embeds": channels[..., :3]}, r"inputs_embeds has shape \(1, 45, 3\)"),
            ({"input_ids": ids[:, :44]}, "row 0 .* has 44 nucleotides, and the shortest .* has 45: leave it out"),
        ):
            with pytest.raises(ValueError, match=message):
                model(**arguments)

    def test_channels_in_place_of_ids(self, model_class):
        """They may be given as well, with a gradient, and padded on either side."""
        model = self.make(model_class)
        ids, mask = self.batch()
        channels = torch.nn.functional.one_hot(ids, 5)[..., :4].float().requires_grad_()
        found = model(inputs_embeds=channels, attention_mask=mask)[0]
        assert torch.equal(found, model(ids, attention_mask=mask)[0])
        found.square().sum().backward()
        assert (channels.grad[mask == 0] == 0).all()
        assert channels.grad[mask == 1].abs().sum() > 0


class TestLocalisation(_RnaTrackerTests):
    model_classes = (RnaTrackerModel, RnaTrackerForLocalisation)


class TestSequenceClassification(_RnaTrackerTests):
    model_classes = (RnaTrackerModel, RnaTrackerForSequenceClassification)
    tiny = TINY | {"num_labels": 3}


class TestOtherSizes(_RnaTrackerTests):
    """Three convolutions; 130 nt are read all the same."""

    model_classes = (RnaTrackerModel, RnaTrackerForLocalisation)
    tiny = TINY | {"num_conv_layers": 3, "kernel_size": 4, "pool_size": 2, "compartments": ["here", "there"]}
    test_hidden_states_and_tuple_output = None
    test_bad_inputs_are_named = None

    def test_sizes(self):
        config = RnaTrackerConfig(**self.tiny)
        assert (config.window_size, config.min_sequence_length, config.window_stride) == (29, 29, 8)
        assert [config.num_positions(length) for length in (28, 29, 36, 37)] == [0, 1, 1, 2]


def _model(model_class=RnaTrackerForLocalisation, **changes):
    torch.manual_seed(1)
    return model_class(RnaTrackerConfig(**(TINY | changes))).eval()


def _ids(length, seed=2):
    return torch.randint(0, 4, (1, length), generator=torch.Generator().manual_seed(seed))


def _padded(ids, left, right):
    """Ids and mask with padding on both sides."""
    pad = (left, right)
    return torch.nn.functional.pad(ids, pad, value=PAD), torch.nn.functional.pad(torch.ones_like(ids), pad)


class TestPadding:
    @pytest.mark.parametrize("length", [45, 46, 53, 54, 62, 63, 200])
    def test_never_matters_on_either_side(self, length):
        """Every phase of the two pools, and more padding than sequence."""
        model = _model()
        ids = _ids(length)
        with torch.no_grad():
            alone = model(ids).logits
            for left, right in [(left, 0) for left in range(1, 10)] + [(0, 5), (4, 7), (500, 0), (0, 500), (13, 300)]:
                padded, mask = _padded(ids, left, right)
                torch.testing.assert_close(model(padded, attention_mask=mask).logits, alone, atol=1e-6, rtol=0)

    def test_what_stands_in_it_does_not_matter(self):
        model = _model()
        ids, mask = _padded(_ids(70), 20, 10)
        with torch.no_grad():
            expected = model(ids, attention_mask=mask).logits
            ids[mask == 0] = 2
            assert torch.equal(model(ids, attention_mask=mask).logits, expected)

    def test_matters_as_in_the_original_where_it_is_not_masked(self):
        model = _model(mask_padding=False)
        ids = _ids(70)
        padded, mask = _padded(ids, 300, 0)
        with torch.no_grad():
            alone, left = model(ids), model(padded, attention_mask=mask, output_attentions=True)
            # The mask changes nothing about padding, and hides letters as if they were padding.
            assert torch.equal(model(padded).logits, left.logits)
            assert torch.equal(model(torch.where(mask == 0, 2, padded), attention_mask=mask).logits, left.logits)
        assert (alone.logits - left.logits).abs().max() > 1e-3
        assert left.attentions.shape == (1, 37)
        assert (left.attentions > 0).all()

    def test_the_gradient_is_that_of_the_sequence_alone(self):
        model = _model(hidden_dropout=0.0)
        ids = _ids(90)
        padded, mask = _padded(ids, 31, 0)
        other = _ids(200, seed=3)
        both = torch.cat([torch.nn.functional.pad(padded, (0, 200 - 121), value=PAD), other])
        both_mask = torch.cat([torch.nn.functional.pad(mask, (0, 200 - 121)), torch.ones_like(other)])
        gradients = []
        for arguments in ({"input_ids": ids}, {"input_ids": both, "attention_mask": both_mask}):
            model.zero_grad()
            model(**arguments).logits[0].square().sum().backward()
            gradients.append([parameter.grad.clone() for parameter in model.parameters()])
        for alone, padded in zip(*gradients):
            torch.testing.assert_close(padded, alone, atol=1e-6, rtol=1e-4)


class TestLengths:
    def test_positions_are_those_that_the_pools_leave(self):
        config = RnaTrackerConfig()
        assert (config.window_size, config.min_sequence_length, config.window_stride) == (45, 45, 9)
        assert config.num_positions(4000) == 440
        for length in range(45, 200):
            assert config.num_positions(length) == ((length - 9) // 3 - 9) // 3
        assert [config.num_positions(length) for length in (0, 35, 44)] == [0, 0, 0]

    def test_a_short_row_is_named(self):
        ids, mask = _padded(_ids(44), 30, 0)
        batch = torch.cat([_ids(74), ids]), torch.cat([torch.ones_like(mask), mask])
        with pytest.raises(ValueError, match=r"row 1 of the batch \(0-based\) has 44 nucleotides.* 45: leave it out"):
            _model()(batch[0], attention_mask=batch[1])
        assert _model(mask_padding=False)(batch[0], attention_mask=batch[1]).logits.isfinite().all()
        with pytest.raises(ValueError, match=r"has 44 nucleotides.*: pad the batch to 45 positions or more"):
            _model(mask_padding=False)(_ids(44))

    @pytest.mark.parametrize("length", [9000, pytest.param(205_000, marks=pytest.mark.slow)])
    def test_long_transcripts(self, length):
        """Up to the longest known; the attention covers every position."""
        with torch.no_grad():
            outputs = _model()(_ids(length), output_attentions=True)
        assert outputs.attentions.shape == (1, (length - 36) // 9)
        assert outputs.attentions.sum() == pytest.approx(1, abs=1e-4)
        assert outputs.logits.isfinite().all()


class TestUnknownNucleotides:
    def test_more_than_one_percent_is_warned_about_once(self):
        model = _model()
        ids = _ids(400).repeat(3, 1)
        ids[1, 7:19] = N
        ids[2, 100:105] = N
        with pytest.warns(UserWarning, match=r"row 1 of .* has 3.0% unknown .*\(2 of 3 rows") as caught:
            model(ids)
        assert len(caught) == 1

    def test_padding_is_not_unknown_and_does_not_thin_it_out(self):
        ids, mask = _padded(_ids(100), 4000, 0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for model in (_model(), _model(mask_padding=False)):
                model(ids, attention_mask=mask)
                model(ids)
                ids[0, 4000] = N  # exactly 1 %
                model(ids, attention_mask=mask)
            _model().train()(ids.clone().fill_(N))  # a training step is not the place
        ids[0, 4001] = N
        for model in (_model(), _model(mask_padding=False)):
            with pytest.warns(UserWarning, match=r"has 2.0% unknown"):
                model(ids)

    def test_it_is_read_as_nothing(self):
        channels = torch.nn.functional.one_hot(_ids(60), 4).float()
        channels[0, 10:15] = 0
        ids = _ids(60)
        ids[0, 10:15] = N
        with torch.no_grad(), pytest.warns(UserWarning, match="unknown"):
            assert torch.equal(_model()(ids).logits, _model()(inputs_embeds=channels).logits)


class TestAttentionWindows:
    def test_they_are_what_the_convolutions_see(self):
        """The gradient of each pooled position reaches every nucleotide of its window, and none beyond it."""
        model = _model(RnaTrackerModel)
        windows = model.config.attention_windows(100)
        assert windows.tolist() == [[start, start + 45] for start in range(0, 55 + 1, 9)]
        for position, (start, end) in enumerate(windows.tolist()):
            channels = torch.rand(1, 100, 4, requires_grad=True)
            hidden_states = channels.transpose(1, 2)
            for block in model.blocks:
                hidden_states = block.pool(block.conv(hidden_states))
            hidden_states[..., position].square().sum().backward()
            seen = channels.grad.abs().sum((0, 2)).nonzero().flatten()
            assert start <= seen.min()
            assert seen.max() < end

    def test_padding_shifts_them_and_they_end_with_the_sequence(self):
        config = RnaTrackerConfig(mask_padding=False)
        left = config.attention_windows(60, 100).tolist()
        assert left == [[0, 5], [0, 14], [0, 23], [0, 32], [0, 41], [5, 50], [14, 59]]
        assert config.attention_windows(20, 100, "right").tolist()[2:] == [[18, 20]] + [[20, 20]] * 4
        assert config.attention_windows(10, 100).tolist()[:6] == [[0, 0]] * 6
        assert RnaTrackerConfig().attention_windows(60, 100).tolist() == config.attention_windows(60).tolist()

    def test_there_is_one_for_each_weight(self):
        for length, padded in ((45, 45), (60, 100), (333, 4000)):
            for masks in (True, False):
                model = _model(mask_padding=masks)
                ids, mask = _padded(_ids(length), padded - length, 0)
                with torch.no_grad():
                    weights = model(ids, attention_mask=mask, output_attentions=True).attentions[0]
                windows = model.config.attention_windows(length, padded)
                assert len(windows) == len(weights)
                assert weights.sum() == pytest.approx(1, abs=1e-5)

    @pytest.mark.parametrize(
        ("arguments", "message"), [((60, 50), "60 nucleotides"), ((60, 70, "front"), "'front': choose left or right")]
    )
    def test_impossible_ones_are_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            RnaTrackerConfig(mask_padding=False).attention_windows(*arguments)


def test_tokenizer_and_model_agree_about_letters():
    """T is U, case doesn't matter, and the ids are the channels."""
    tokenizer = RnaTokenizerFast(alphabet="rnatracker")
    sequence = "GGACUUACGA" * 5
    batch = tokenizer([sequence, sequence.replace("U", "T"), sequence.lower()], return_tensors="pt")
    assert torch.equal(batch.input_ids[0], batch.input_ids[1])
    assert torch.equal(batch.input_ids[0], batch.input_ids[2])
    assert batch.input_ids[0, :4].tolist() == [0, 0, 1, 3]
    assert RnaTrackerConfig().vocab_size == len(tokenizer)
    assert RnaTrackerConfig().pad_token_id == tokenizer.pad_token_id


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel_size": 0}, "kernel_size is 0"),
        ({"hidden_dropout": 1.0}, "hidden_dropout is 1.0"),
        ({"compartments": ["Nuclear"]}, "at least two"),
        ({"compartments": ["Nuclear", "Nuclear"]}, "each only once"),
        ({"compartments": ["Nuclear", "Sequence"]}, "hold 'Sequence', which is a column of another meaning"),
        ({"compartments": ["attention", "Nuclear"]}, "hold 'attention', which is a column of another meaning"),
        ({"vocab_size": 3, "pad_token_id": None}, "vocab_size is 3"),
        ({"pad_token_id": 2}, "pad_token_id is 2"),
    ],
)
def test_impossible_configurations_are_refused(changes, message):
    with pytest.raises(Exception, match=message):
        RnaTrackerConfig(**changes)
