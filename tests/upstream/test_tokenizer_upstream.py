"""transformers' own tokenizer tests, run on `RnaTokenizerFast`.

The mixin feeds English prose. The tokenizers under test therefore read unknown letters as N (`on_unknown="n"`): "Test
this method." is then a sequence of U, N, S... like any other, and the tests of padding, truncation, special tokens,
saving and pairs run unchanged. What `on_unknown="error"` does is tested in `tests/tokenization`.
"""

import shutil
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import pytest
from transformers_tests import load

from rna_hf.tokenization import RnaTokenizerFast

common = load("test_tokenization_common")
backend_common = load("test_tokenizers_backend_mixin")

# The prose makes each tokenizer warn once that it reads unknown letters as N.
pytestmark = pytest.mark.filterwarnings("ignore:unknown letter")


class _RnaTokenizerTests(common.TokenizerTesterMixin):
    tokenizer_class = RnaTokenizerFast
    from_pretrained_kwargs: dict = {"on_unknown": "n"}

    integration_test_input_string = "acgtACGURN<mask>GG"
    integration_expected_tokens = [*"ACGUACGUNN", "<mask>", "G", "G"]
    integration_expected_token_ids = [0, 1, 2, 3, 0, 1, 2, 3, 5, 5, 6, 2, 2]
    integration_expected_decoded_text = "ACGUACGUNN<mask>GG"

    # Marked slow upstream because of large vocabularies; ours has at most 73 tokens.
    test_conversion_reversible = getattr(
        common.TokenizerTesterMixin.test_conversion_reversible,
        "__wrapped__",
        common.TokenizerTesterMixin.test_conversion_reversible,
    )

    @classmethod
    def setUpClass(cls) -> None:
        cls.checkpoint = tempfile.mkdtemp()
        RnaTokenizerFast(**cls.from_pretrained_kwargs).save_pretrained(cls.checkpoint)
        cls.from_pretrained_id = cls.checkpoint
        # The mixin reads a text that no test of it uses and that the source distribution leaves out.
        fixtures = Path(cls.checkpoint, "fixtures")
        fixtures.mkdir()
        (fixtures / "sample_text.txt").write_text("ACGU")
        with mock.patch.object(common, "get_tests_dir", return_value=cls.checkpoint):
            super().setUpClass()

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        shutil.rmtree(cls.checkpoint)

    def get_input_output_texts(self, tokenizer):
        """The mixin's own text has a blank, which no RNA tokenizer gives back."""
        return "acgtNGGCA", "ACGUNGGCA"


class TestDefault(_RnaTokenizerTests, unittest.TestCase):
    """One letter a token, neither bos nor eos."""


class TestBosEos(_RnaTokenizerTests, unittest.TestCase):
    from_pretrained_kwargs = {"on_unknown": "n", "bos_token": "<bos>", "eos_token": "<eos>"}


class TestKmers(_RnaTokenizerTests, unittest.TestCase):
    from_pretrained_kwargs = {"on_unknown": "n", "k": 3}
    integration_expected_tokens = ["ACG", "UAC", *"GUNN", "<mask>", "G", "G"]
    integration_expected_token_ids = [15, 58, 2, 3, 5, 5, 6, 2, 2]


class TestOverlappingKmers(_RnaTokenizerTests, unittest.TestCase):
    from_pretrained_kwargs = {"on_unknown": "n", "k": 3, "overlapping": True}
    integration_expected_tokens = ["ACG", "CGU", "GUA", "UAC", "ACG", "CGU", "N", "N", "<mask>", "G", "G"]
    integration_expected_token_ids = [15, 36, 53, 58, 15, 36, 5, 5, 6, 2, 2]


class TestBackend(backend_common.TokenizersBackendTesterMixin, unittest.TestCase):
    """The tests of the `tokenizers` back end (offsets, reloading, bos and eos)."""

    tokenizer_class = RnaTokenizerFast

    @classmethod
    def setUpClass(cls) -> None:
        cls.checkpoint = tempfile.mkdtemp()
        RnaTokenizerFast(on_unknown="n").save_pretrained(cls.checkpoint)
        cls.from_pretrained_id = cls.checkpoint
        super().setUpClass()

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        shutil.rmtree(cls.checkpoint)

    @unittest.skip("counts words by blanks; an RNA sequence has none, and each nucleotide is a word")
    def test_alignment_methods(self) -> None: ...

    @unittest.skip("trains a new vocabulary; that of an alphabet is frozen, and training it is refused")
    def test_training_new_tokenizer(self) -> None: ...

    @unittest.skip("trains a new vocabulary; that of an alphabet is frozen, and training it is refused")
    def test_training_new_tokenizer_with_special_tokens_change(self) -> None: ...
