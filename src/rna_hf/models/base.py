"""The contract between an architecture and everything that runs it.

The engine, the pipelines and the trainer know nothing of an architecture but what its `RnaConfig` states, and what the
shared heads (`heads.py`) need of its base model.
"""

from abc import abstractmethod

from transformers import PreTrainedConfig

from .loader_file import LoaderFileMixin

GOLDEN_FILE = "golden.json"
"""Of a checkpoint's folder: what the model gives, for a check of loading; no prediction depends on it."""


class UnknownNucleotidesWarning(UserWarning):
    """A sequence of a batch has more unknown nucleotides (N) than `config.max_unknown_share`.

    A category of its own, for callers that know the names of the sequences and warn themselves.
    """


class RnaConfig(LoaderFileMixin, PreTrainedConfig):
    """What the configuration of each architecture states.

    Args:
        head_dropout: probability of dropout before a head that classifies or reads the pair state.
        training_min_length: shortest sequence seen in training, nucleotides; used for a warning only.
        training_max_length: longest sequence seen in training, nucleotides; used for a warning only.
        unmeasured_5prime: nucleotides at the 5' end that were measured in no RNA of the training; for a warning only.
        unmeasured_3prime: the same at the 3' end.
        bos_token_id: id at the start of a sequence; None: not added.
        eos_token_id: id at the end of a sequence; None: not added.
        converted_from: whose weights a converter began with, as `rna_hf.hub.originals` names it; None: nobody's.
    """

    head_dropout: float | int = 0.0
    training_min_length: int | None = None
    training_max_length: int | None = None
    unmeasured_5prime: int = 0
    unmeasured_3prime: int = 0
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    converted_from: str | None = None

    @property
    def min_sequence_length(self) -> int:
        """Nucleotides of the shortest sequence that can be read.

        The name `min_length` is taken: transformers refuses to save a configuration with it.
        """
        return 1

    def num_positions(self, length: int) -> int:
        """Return how many states a sequence of `length` nucleotides has: one for each, unless a model shortens it."""
        return length

    @property
    def masks_padding(self) -> bool:
        """Whether a sequence gives the same output alone, padded and in any batch."""
        return True

    @property
    def max_unknown_share(self) -> float:
        """Part of a sequence, 0 to 1, that may be unknown nucleotides (N) without a warning.

        What is unknown for the most part is not predicted at all (`rna_hf.data.checks.NO_RNA_SHARE`).
        """
        return 0.1

    @property
    def state_size(self) -> int:
        """Width of `last_hidden_state` and of a sequence's pooled state, which the shared heads read."""
        return int(self.hidden_size)

    @abstractmethod
    def forward_cost(self, batch: int, length: int, itemsize: int) -> int:
        """State the memory of a forward pass without gradients at its peak, on a CPU, weights left out.

        `python -m benchmarks.speed.forward_cost` compares it with what is measured.

        Args:
            batch: number of sequences.
            length: of each, padding included, in nucleotides.
            itemsize: bytes of a value: 4 for float32, 2 for bfloat16 and float16.

        Returns:
            Bytes.
        """
