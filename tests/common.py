"""What every architecture has to pass: mixins that a test class inherits and feeds with a tiny configuration."""

import copy
import json

import pytest
import torch
from fresh_process import run_python


def named_heads(model):
    """Return the modules on a base model that have parameters, with their names."""
    parts = [(name, part) for name, part in model.named_children() if name != model.base_model_prefix]
    return [(name, part) for name, part in parts if list(part.parameters())]


def heads_of(model):
    """Return the modules on a base model that have parameters."""
    return [part for _, part in named_heads(model)]


def make_overflow(model):
    """Set the first weight so large that the model's output is not finite, though each of its weights is."""
    next(model.parameters()).data.fill_(torch.finfo(torch.float32).max)


class ModelTests:
    """Properties of a model that reads (B, L) ids with right padding.

    A subclass sets `config_class`, `model_classes` (base model first), `tiny` (arguments of a tiny configuration),
    `auto_classes` (model class name -> module and name of its Auto class) and `pad_token_id`.
    """

    config_class: type
    model_classes: tuple[type, ...]
    tiny: dict
    auto_classes: dict[str, tuple[str, str]]
    pad_token_id: int
    lengths = (13, 8, 5, 1)

    def make(self, model_class, implementation="sdpa", **changes):
        """Return a model with fixed random weights, in evaluation mode."""
        torch.manual_seed(1)
        config = self.config_class(**(self.tiny | changes))
        config._attn_implementation = implementation
        return model_class(config).eval()

    def batch(self, lengths=None):
        """Return ids (B, L) and the attention mask, padded on the right."""
        lengths = lengths or self.lengths
        generator = torch.Generator().manual_seed(2)
        ids = torch.full((len(lengths), max(lengths)), self.pad_token_id)
        for row, length in enumerate(lengths):
            ids[row, :length] = torch.randint(0, 4, (length,), generator=generator)
        return ids, (torch.arange(ids.shape[1])[None] < torch.tensor(lengths)[:, None]).long()

    @pytest.fixture(params=range(2), ids=["base", "head"])
    def model_class(self, request):
        return self.model_classes[request.param]

    def test_save_and_reload_bit_for_bit(self, model_class, tmp_path):
        model = self.make(model_class)
        ids, mask = self.batch()
        model.save_pretrained(tmp_path)
        reloaded, info = model_class.from_pretrained(tmp_path, output_loading_info=True)
        assert not info["missing_keys"]
        assert not info["unexpected_keys"]
        assert torch.equal(model(ids, attention_mask=mask)[0], reloaded(ids, attention_mask=mask)[0])

    def test_base_weights_open_in_the_head_and_back(self, tmp_path):
        base_class, head_class = self.model_classes[:2]
        base = self.make(base_class)
        base.save_pretrained(tmp_path / "base")
        head, info = head_class.from_pretrained(tmp_path / "base", output_loading_info=True)
        assert {key.split(".")[0] for key in info["missing_keys"]} == {name for name, _ in named_heads(head)}
        assert all(torch.isfinite(p).all() for p in head.parameters())
        head.save_pretrained(tmp_path / "head")
        again = base_class.from_pretrained(tmp_path / "head")
        assert all(torch.equal(a, b) for a, b in zip(base.parameters(), again.parameters()))

    def test_alone_padded_and_in_any_batch(self, model_class):
        """The same sequence gives the same output alone, padded and beside any others, in any order."""
        for implementation in ("eager", "sdpa"):
            model = self.make(model_class, implementation)
            ids, mask = self.batch()
            with torch.no_grad():
                together = model(ids, attention_mask=mask)[0]
                turned = model(ids.flip(0), attention_mask=mask.flip(0))[0].flip(0)
                wider = torch.nn.functional.pad(ids, (0, 6), value=self.pad_token_id)
                padded = model(wider, attention_mask=torch.nn.functional.pad(mask, (0, 6)))[0]
                for row, length in enumerate(self.lengths):
                    alone = model(ids[row : row + 1, :length])[0][0]
                    for other in (together, turned, padded):
                        torch.testing.assert_close(other[row, :length], alone, atol=1e-5, rtol=0)

    def test_eager_equals_sdpa(self, model_class):
        ids, mask = self.batch()
        with torch.no_grad():
            eager = self.make(model_class, "eager")(ids, attention_mask=mask)[0]
            sdpa = self.make(model_class, "sdpa")(ids, attention_mask=mask)[0]
        torch.testing.assert_close(eager, sdpa, atol=3e-6, rtol=0)

    def test_mask_is_not_written_to_and_its_dtype_does_not_matter(self, model_class):
        model = self.make(model_class)
        ids, mask = self.batch()
        outputs = []
        for dtype in (torch.long, torch.bool, torch.float32, torch.int8):
            typed = mask.to(dtype)
            before = typed.clone()
            with torch.no_grad():
                outputs.append(model(ids, attention_mask=typed)[0])
            assert torch.equal(typed, before)
        assert all(torch.equal(outputs[0], other) for other in outputs[1:])

    def test_all_padding_row_stays_finite_and_harmless(self, model_class):
        for implementation in ("eager", "sdpa"):
            model = self.make(model_class, implementation)
            ids, mask = self.batch()
            with torch.no_grad():
                expected = model(ids, attention_mask=mask)[0]
                mask[-1] = 0
                found = model(ids, attention_mask=mask)[0]
            assert torch.isfinite(found).all()
            torch.testing.assert_close(found[:-1], expected[:-1], atol=1e-5, rtol=0)

    def test_hidden_states_and_tuple_output(self, model_class):
        model = self.make(model_class)
        ids, mask = self.batch()
        with torch.no_grad():
            full = model(ids, attention_mask=mask, output_hidden_states=True)
            plain = model(ids, attention_mask=mask, return_dict=False)
        assert len(full.hidden_states) == model.config.num_hidden_layers + 1
        assert torch.equal(plain[0], full[0])
        embedded = model.get_input_embeddings()(ids)
        assert torch.equal(full.hidden_states[0], embedded)
        with torch.no_grad():
            from_embeddings = model(inputs_embeds=embedded, attention_mask=mask)[0]
        assert torch.equal(from_embeddings, full[0])

    def test_bfloat16_is_finite(self, model_class, tmp_path):
        self.make(model_class).save_pretrained(tmp_path)
        model = model_class.from_pretrained(tmp_path, dtype=torch.bfloat16)
        ids, mask = self.batch()
        with torch.no_grad():
            output = model(ids, attention_mask=mask)[0]
        assert output.dtype == torch.bfloat16
        assert torch.isfinite(output).all()

    def test_auto_classes_in_a_fresh_process(self, model_class, tmp_path):
        """`import rna_hf` and any Auto class: the right class, the same numbers."""
        model = self.make(model_class)
        ids = self.batch((6,))[0]
        model.save_pretrained(tmp_path)
        module, name = self.auto_classes[model_class.__name__]
        code = (
            "import json, sys, importlib, torch, transformers, rna_hf\n"
            f"auto = getattr(importlib.import_module({module!r}), {name!r})\n"
            "model = auto.from_pretrained(sys.argv[1])\n"
            "with torch.no_grad(): out = model(torch.tensor(json.loads(sys.argv[2])))[0]\n"
            "print(json.dumps([type(model).__name__, out.flatten().tolist()]))"
        )
        done = run_python(code, str(tmp_path), json.dumps(ids.tolist()))
        assert done.returncode == 0, done.stderr
        class_name, values = json.loads(done.stdout.splitlines()[-1])
        assert class_name == model_class.__name__
        with torch.no_grad():
            assert torch.allclose(torch.tensor(values), model(ids)[0].flatten(), atol=1e-6)

    def test_config_round_trip_and_refusals(self, tmp_path):
        config = self.config_class(**self.tiny)
        config.save_pretrained(tmp_path)
        assert self.config_class.from_pretrained(tmp_path).to_dict() == config.to_dict()
        with pytest.raises(ValueError, match="keyword"):
            self.config_class(12)
        with pytest.raises(Exception, match="hidden_size"):
            self.config_class(**(self.tiny | {"hidden_size": "32"}))

    def test_bad_inputs_are_named(self, model_class):
        model = self.make(model_class)
        ids, mask = self.batch()
        with pytest.raises(ValueError, match="exactly one"):
            model()
        with pytest.raises(ValueError, match="exactly one"):
            model(ids, inputs_embeds=torch.zeros(1, 1, 1))
        with pytest.raises(ValueError, match=r"attention_mask has shape \(4, 12\)"):
            model(ids, attention_mask=mask[:, :-1])
        with pytest.raises(ValueError, match="input_ids has shape"):
            model(ids[0])
        with pytest.raises(ValueError, match="empty"):
            model(ids[:, :0])
        with pytest.raises(ValueError, match="eager"):
            model(ids, output_attentions=True)

    def test_deep_copy_is_independent(self, model_class):
        model = self.make(model_class)
        twin = copy.deepcopy(model)
        with torch.no_grad():
            next(twin.parameters()).add_(1)
        ids, mask = self.batch()
        assert not torch.equal(model(ids, attention_mask=mask)[0], twin(ids, attention_mask=mask)[0])
