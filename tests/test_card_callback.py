"""Any Trainer's card: `create_model_card` and `push_to_hub` end in ours, with what was trained and the scores' file."""

import json

import pytest
import torch
import transformers.trainer
from datasets import Dataset
from huggingface_hub import ModelCard
from tiny_models import RIBONANZANET_TO_TRAIN, save_tiny
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, Trainer, TrainingArguments

from rna_hf import RibonanzaNetForReactivity, RnaTokenizerFast
from rna_hf.cli.main import run
from rna_hf.data.collators import DataCollatorForReactivity
from rna_hf.hub.card_metadata import check_metadata
from rna_hf.training.card_callback import CardCallback


def make_trainer(tmp_path, **options):
    base = save_tiny(tmp_path / "base", {"alphabet": "ribonanzanet"}, **RIBONANZANET_TO_TRAIN)
    rows = {"sequence": ["GGGAAACC", "ACGUACGU"], "labels": [[[0.5, 0.25]] * 8] * 2}
    tokenizer = RnaTokenizerFast.from_pretrained(base)
    arguments = TrainingArguments(
        str(tmp_path / "run"),
        max_steps=2,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        remove_unused_columns=False,
        save_strategy="no",
        **options,
    )
    return Trainer(
        RibonanzaNetForReactivity.from_pretrained(base),
        arguments,
        data_collator=DataCollatorForReactivity(tokenizer),
        train_dataset=Dataset.from_dict(rows),
        eval_dataset=Dataset.from_dict(rows),
        processing_class=tokenizer,
    )


def test_the_card_of_a_plain_trainer(tmp_path):
    trainer = make_trainer(tmp_path)
    CardCallback(trainer, {"limits": ["Two RNAs are few."]})
    trainer.train()
    loss = trainer.evaluate()["eval_loss"]
    trainer.create_model_card(
        language="en", license="mit", tags="mine", finetuned_from="owner/model", tasks="reactivity"
    )
    card = ModelCard.load(tmp_path / "run" / "README.md")
    check_metadata(card.data.to_dict())
    assert card.data.license == "mit"
    assert (card.data.base_model, card.data.base_model_relation) == ("owner/model", "finetune")
    assert card.data.tags == ["ribonanzanet", "rna", "reactivity", "mine"]
    assert "Fine-tuned from `base` with `transformers.Trainer` (2 train, 2 validation RNAs)." in card.text
    assert str(tmp_path) not in card.text
    assert "- Two RNAs are few." in card.text
    assert f"| eval_loss | {loss:.4f} |" in card.text
    assert "From `trainer_state.json` beside this card." in card.text
    (stage,) = json.loads((tmp_path / "run" / "training_data.json").read_text())["stages"]
    assert (stage["name"], stage["steps"]) == ("RibonanzaNetForReactivity", 2)
    assert stage["seconds"] >= 0
    assert f"CPU thread{'s' * (torch.get_num_threads() > 1)} (" in stage["device"]
    # The command makes the same card of the folder, but for what the script alone knew.
    assert run(["card", str(tmp_path / "run")]) == 0
    again = (tmp_path / "run" / "README.md").read_text()
    assert f"| eval_loss | {loss:.4f} |" in again
    assert "| RibonanzaNetForReactivity | 2 |" in again


def test_the_record_of_another_run_is_kept_until_this_one_has_trained(tmp_path):
    trainer = make_trainer(tmp_path)
    CardCallback(trainer)
    (tmp_path / "run").mkdir(exist_ok=True)
    earlier = {"stages": [{"name": "earlier", "steps": 7}]}
    (tmp_path / "run" / "training_data.json").write_text(json.dumps(earlier))
    trainer.create_model_card()
    assert json.loads((tmp_path / "run" / "training_data.json").read_text()) == earlier
    assert "| earlier | 7 | not recorded | not recorded |" in (tmp_path / "run" / "README.md").read_text()


def test_what_is_pushed_has_our_card(tmp_path, monkeypatch):
    pushed = []

    class Api:
        def upload_folder(self, folder_path, **options):
            pushed.append(ModelCard.load(f"{folder_path}/README.md"))

    trainer = make_trainer(tmp_path)
    CardCallback(trainer)
    trainer.hub_model_id = "owner/model"
    monkeypatch.setattr(transformers.trainer, "hf_api", Api)
    trainer.push_to_hub()
    assert "rna-hf" in pushed[0].text
    assert "| parameters |" in pushed[0].text


def test_an_argument_that_the_hub_would_not_understand_is_refused(tmp_path):
    trainer = make_trainer(tmp_path)
    CardCallback(trainer)
    with pytest.raises(ValueError, match="license is 'My own'"):
        trainer.create_model_card(license="My own")
    with pytest.raises(ValueError, match="datasets is 'my data'"):
        trainer.create_model_card(dataset_tags="my data")


def test_a_model_of_others_keeps_the_trainers_card(tmp_path):
    class OtherConfig(PreTrainedConfig):
        model_type = "other"

    class Other(PreTrainedModel):
        config_class = OtherConfig

        def __init__(self, config):
            super().__init__(config)
            self.layer = nn.Linear(2, 2)
            self.post_init()

    trainer = Trainer(Other(OtherConfig()), TrainingArguments(str(tmp_path), report_to="none", use_cpu=True))
    CardCallback(trainer)
    trainer.create_model_card()
    assert (
        "generated automatically according to the information the Trainer had" in (tmp_path / "README.md").read_text()
    )
