"""Tokenizer of RNA sequences on the `tokenizers` back end.

The back end alone (that is, `tokenizer.json` in a process without this package) gives the same ids and refuses the same
letters; the class adds error messages that name the letter and its place, the options, and overlapping k-mers.
"""

import itertools
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    NormalizedString,
    PreTokenizedString,
    Regex,
    Tokenizer,
    decoders,
    normalizers,
    pre_tokenizers,
)
from tokenizers.models import WordLevel, WordPiece
from transformers import BatchEncoding, PreTrainedTokenizerFast

from ..safety import check_tokenizer
from .alphabets import check_on_unknown, get_alphabet, letter_map

MAX_K = 8
"""4 ** 8 = 65,536 k-mers; beyond that a table of all k-mers is no vocabulary any more."""

_DEFAULT = "default"
# Letters shown on either side of the offending one in an error message.
_EXCERPT = 12


class RnaTokenizerFast(PreTrainedTokenizerFast):
    """Turns RNA sequences into ids, letter by letter or by k-mers.

    T is read as U, case is ignored, and IUPAC ambiguity codes become `N`. Anything else (blanks, digits, gaps, `X`,
    modified letters) raises a `ValueError` that names the letter, its position and the sequence. An empty sequence is
    allowed and has no tokens besides `bos` and `eos`. Each letter (each window, for k-mers) is a word of its own in
    `word_ids`; offsets refer to the sequence as it was typed. A pair of sequences is encoded as one after the other,
    each with its own `bos` and `eos`.

    **Special tokens that are off** are not added to sequences, cannot be typed in one, and are not in the vocabulary:
    the id is kept free under the name `<reserved_ID>`, so that no other id moves and `len(tokenizer)` stays the number
    of rows of the model's embedding. A token that is on can be typed: `"ACG<mask>U"`.

    **k-mers.** The alphabet's own tokens keep their ids for every `k`; for `k > 1` all k-mers follow, in the
    lexical order of `Alphabet.nucleotides`.

    - Not overlapping: windows of `k` letters from the left. A window that holds `N`, and a rest shorter than `k`, are
      spelt letter by letter, so nothing is lost and `decode` gives the sequence back.
    - Overlapping: one token for each start position, `length - k + 1` in all; a window that holds `N` is the token
      `N`. A sequence shorter than `k` is spelt letter by letter. `decode` merges the windows into the sequence; a
      letter that no `N`-free window covers comes back as `N`.

    Windows do not reach across a special token, nor across the words of `is_split_into_words=True`.

    Args:
        alphabet: name of the vocabulary, a key of `rna_hf.tokenization.ALPHABETS`.
        bos_token: token put before each sequence. True or the token's text switches it on, False or None off; another
            text than the alphabet's renames the token and keeps its id. Left out, the alphabet decides
            (`ribonanzanet`: off).
        eos_token: token put after each sequence, as `bos_token` (`ribonanzanet`: off).
        mask_token: token that hides a nucleotide in masked-LM training, as `bos_token` (`ribonanzanet`: on).
        pad_token: True or a text; padding cannot be switched off.
        ignore_case: whether lower-case letters are read as upper-case ones; if not, they are unknown, or their own
            tokens where the alphabet has such (`plantrna_fm`).
        t_as_u: whether T is read as U (in an alphabet that writes T: U as T); if not, it is unknown, or its own token
            (`plantrna_fm`).
        on_unknown: "error" raises on a letter that is not known; "n" reads it as `N` and warns once per tokenizer.
        k: length of the k-mers in nucleotides, 1 to 8.
        overlapping: whether k-mers start at each letter rather than at each k-th one. The saved `tokenizer.json` cannot
            hold this: opened without this package, it refuses sequences longer than one token.
        **kwargs: transformers' own, such as `model_max_length`, `padding_side` (by default the alphabet's:
            `ribonanzanet` right, `rnatracker` left) and `truncation_side` (right; `KEPT_ENDS` has that of each end).

    Raises:
        ValueError: if an option is not one of the choices above.

    Example:
        >>> tokenizer = RnaTokenizerFast(bos_token=True)
        >>> tokenizer("acgt").input_ids
        [7, 0, 1, 2, 3]
    """

    model_input_names = ["input_ids", "attention_mask"]

    _tokenizer: Any

    # `model` stays None (as inherited): with WordLevel there, transformers renumbers the vocabulary on reload.

    def __init__(
        self,
        alphabet: str = "ribonanzanet",
        bos_token: str | bool | AddedToken | None = _DEFAULT,
        eos_token: str | bool | AddedToken | None = _DEFAULT,
        mask_token: str | bool | AddedToken | None = _DEFAULT,
        pad_token: str | bool | AddedToken | None = _DEFAULT,
        ignore_case: bool = True,
        t_as_u: bool = True,
        on_unknown: str = "error",
        k: int = 1,
        overlapping: bool = False,
        **kwargs: Any,
    ) -> None:
        vocabulary = get_alphabet(alphabet)
        check_on_unknown(vocabulary, on_unknown)
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= MAX_K:
            raise ValueError(f"k={k!r} is not a length of k-mers; use a whole number from 1 to {MAX_K}")
        for option, value in (("ignore_case", ignore_case), ("t_as_u", t_as_u), ("overlapping", overlapping)):
            if not isinstance(value, bool):
                raise ValueError(f"{option}={value!r} is not a choice; use True or False")

        self._alphabet = vocabulary
        self._k = k
        # With k = 1 windows cannot overlap: the option changes nothing, and the plain back end is used.
        self._overlapping = overlapping
        self._ignore_case = ignore_case
        self._t_as_u = t_as_u
        self._on_unknown = on_unknown
        self._letter_map = letter_map(vocabulary, ignore_case=ignore_case, t_as_u=t_as_u)
        self._has_warned_unknown = False
        self._text_pattern: tuple[tuple[str, ...], re.Pattern[str]] | None = None

        # An alphabet without unknown nucleotide has nothing to put for a window or letter that is no token.
        if overlapping and vocabulary.unknown_nucleotide is None:
            raise ValueError(f"overlapping=True needs an unknown nucleotide, and alphabet {alphabet!r} has none")
        roles = {"pad": pad_token, "mask": mask_token, "bos": bos_token, "eos": eos_token}
        tokens = {role: self._resolve_role(role, value) for role, value in roles.items()}
        self._vocabulary = self._build_vocabulary(tokens)

        kwargs.setdefault("padding_side", vocabulary.padding_side)

        saved_vocabulary = kwargs.pop("vocab", None)
        if (tokenizer_file := kwargs.pop("tokenizer_file", None)) is not None:
            with open(tokenizer_file, encoding="utf-8") as file:
                saved_vocabulary = json.load(file)["model"]["vocab"]
        self._check_saved_vocabulary(saved_vocabulary)
        kwargs.pop("merges", None)
        if kwargs.pop("tokenizer_object", None) is not None:
            raise ValueError("tokenizer_object is not accepted: the back end follows from `alphabet` and the options")

        # The alphabet's own tokens follow from the options above (one of them may have been switched off or renamed
        # since the file was written); only tokens that a user added behind them are taken over.
        saved_added = kwargs.pop("added_tokens_decoder", None) or {}
        kwargs["added_tokens_decoder"] = {
            index: token for index, token in saved_added.items() if index >= len(self._vocabulary)
        }
        post_processor = kwargs.pop("post_processor", None)
        for role in ("bos", "eos"):
            add = kwargs.get(f"add_{role}_token")
            if add is None:
                add = self._was_added(role, saved_added, post_processor)
            kwargs[f"add_{role}_token"] = bool(add) and tokens[role] is not None

        self._tokenizer = self._build_backend()
        self._tokenizer.add_special_tokens(
            [
                token if isinstance(token, AddedToken) else AddedToken(token, special=True, normalized=False)
                for token in tokens.values()
                if token is not None
            ]
        )
        super().__init__(
            alphabet=alphabet,
            ignore_case=ignore_case,
            t_as_u=t_as_u,
            on_unknown=on_unknown,
            k=k,
            overlapping=overlapping,
            **{f"{role}_token": token for role, token in tokens.items()},
            **kwargs,
        )
        # How the files were found when it was loaded; transformers would save it with the tokenizer.
        for name in ("is_local", "local_files_only"):
            self.init_kwargs.pop(name, None)

    # Options are read-only: the back end was built from them, and saving reads the attributes of these names.

    @property
    def alphabet(self) -> str:
        """Name of the alphabet."""
        return self._alphabet.name

    @property
    def ignore_case(self) -> bool:
        """Whether lower-case letters are read as upper-case ones."""
        return self._ignore_case

    @property
    def t_as_u(self) -> bool:
        """Whether T is read as U (in an alphabet that writes T: U as T)."""
        return self._t_as_u

    @property
    def on_unknown(self) -> str:
        """What happens to an unknown letter: "error" or "n"."""
        return self._on_unknown

    @property
    def k(self) -> int:
        """Length of the k-mers in nucleotides."""
        return self._k

    @property
    def overlapping(self) -> bool:
        """Whether k-mers start at each letter."""
        return self._overlapping

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Open a tokenizer as transformers does.

        Raises:
            ValueError: the files of its folder can't be those of a tokenizer.
        """
        check_tokenizer(Path(pretrained_model_name_or_path, kwargs.get("subfolder") or ""))
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)

    def train_new_from_iterator(self, *args: Any, **kwargs: Any) -> "RnaTokenizerFast":
        """Refused: the vocabulary is fixed by the alphabet.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"the vocabulary of alphabet {self.alphabet!r} is frozen; there is nothing to train")

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Joins tokens without blanks; overlapping k-mers are merged into the sequence they came from."""
        if self._has_overlapping_windows:
            return self._merge_windows(tokens)
        return super().convert_tokens_to_string(tokens)

    # Building

    @property
    def _has_overlapping_windows(self) -> bool:
        return self._overlapping and self._k > 1

    def _resolve_role(self, role: str, value: str | bool | AddedToken | None) -> str | AddedToken | None:
        """The token of a role as it is to be used, or None if it is off."""
        text = self._alphabet.role_text(role)
        if value == _DEFAULT:
            return text if role == "pad" or role in self._alphabet.on_by_default else None
        if value is None or value is False:
            if role == "pad":
                raise ValueError(f"pad_token={value!r}: padding cannot be switched off; leave it out or give its text")
            return None
        if text is None:
            raise ValueError(f"{role}_token={value!r}: alphabet {self.alphabet!r} has no {role} token")
        if value is True:
            return text
        if not isinstance(value, str | AddedToken):
            raise ValueError(
                f"{role}_token={value!r} is not a choice; use True, False, None or a text such as {text!r}"
            )
        if len(str(value)) < 2 or all(letter in self._letter_map for letter in str(value)):
            raise ValueError(f"{role}_token={str(value)!r} could be a piece of a sequence; use a text such as {text!r}")
        return value

    def _build_vocabulary(self, tokens: dict[str, str | AddedToken | None]) -> dict[str, int]:
        texts = {self._alphabet.role_text(role): token for role, token in tokens.items()}
        vocabulary: dict[str, int] = {}
        for index, name in enumerate(self._alphabet.tokens):
            token = texts.get(name, name)
            text = f"<reserved_{index}>" if token is None else str(token)
            if text in vocabulary:
                raise ValueError(f"the text {text!r} is given to two tokens of alphabet {self.alphabet!r}")
            vocabulary[text] = index
        if self._k > 1:
            for letters in itertools.product(self._alphabet.nucleotides, repeat=self._k):
                vocabulary["".join(letters)] = len(vocabulary)
        return vocabulary

    def _check_saved_vocabulary(self, saved: Any) -> None:
        """Refuses a saved vocabulary whose letters or k-mers have other ids than the options given now lead to."""
        if isinstance(saved, dict):
            pieces = [text for text in self._vocabulary if all(letter in self._letter_map for letter in text)]
            moved = [text for text in pieces if saved.get(text) != self._vocabulary[text]]
            if moved or len(saved) != len(self._vocabulary):
                raise ValueError(
                    f"the saved vocabulary ({len(saved)} tokens) is not that of alphabet {self.alphabet!r} with "
                    f"k={self._k} ({len(self._vocabulary)} tokens; first difference: {moved[:1] or 'size'}); "
                    "k and alphabet cannot be changed on loading, build a new tokenizer for that"
                )

    def _was_added(self, role: str, saved_added: dict[int, AddedToken], post_processor: Any) -> bool:
        """Whether the file that is being loaded puts the token into sequences; True if the file does not know it."""
        text = self._alphabet.role_text(role)
        saved = None if text is None else saved_added.get(self._alphabet.token_to_id[text])
        if saved is None or post_processor is None:
            return True
        return str(saved) in json.loads(post_processor.__getstate__()).get("special_tokens", {})

    def _build_backend(self) -> Tokenizer:
        if self._has_overlapping_windows:
            backend = Tokenizer(WordLevel(self._vocabulary, unk_token=self._alphabet.unknown_nucleotide))
            backend.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(_OverlappingWindows(self._k))
        else:
            # An unknown token that is not in the vocabulary makes the back end raise on anything unknown. WordPiece
            # takes a window whole if it is a k-mer, and otherwise spells it (no prefix marks the later letters).
            backend = Tokenizer(WordPiece(self._vocabulary, unk_token="<none>", continuing_subword_prefix=""))
            backend.pre_tokenizer = pre_tokenizers.Split(Regex(rf"[\s\S]{{1,{self._k}}}"), "isolated")
        backend.normalizer = self._build_normalizer()
        backend.decoder = decoders.Fuse()
        return backend

    def _build_normalizer(self) -> normalizers.Normalizer:
        """`letter_map` as replacements of one letter by one letter, so that offsets hold."""
        steps = []
        if self._alphabet.symbols:
            # They are in the vocabulary, but not in a sequence: no token, so that the back end raises.
            steps.append(normalizers.Replace(Regex(f"[{re.escape(''.join(self._alphabet.symbols))}]"), "\0"))
        for token in self._alphabet.letters:
            read = "".join(letter for letter, target in self._letter_map.items() if target == token != letter)
            if read:
                steps.append(normalizers.Replace(Regex(f"[{re.escape(read)}]"), token))
        if self._on_unknown == "n" and self._alphabet.unknown_nucleotide is not None:
            known = re.escape("".join(self._alphabet.letters))
            steps.append(normalizers.Replace(Regex(f"[^{known}]"), self._alphabet.unknown_nucleotide))
        return normalizers.Sequence(steps)

    def _add_tokens(self, new_tokens: Sequence[str | AddedToken], special_tokens: bool = False) -> int:
        for token in new_tokens:
            if (role := self._off_roles().get(str(token))) is not None:
                raise ValueError(
                    f"{str(token)!r} is a token of alphabet {self.alphabet!r} that is off, with an id of its own; "
                    f"build or load the tokenizer with {role}_token=True instead of adding it"
                )
        # Not normalised: the normaliser would read a plain word as nucleotides and match it inside sequences.
        added: list[str | AddedToken] = [
            AddedToken(token, special=special_tokens, normalized=False) if isinstance(token, str) else token
            for token in new_tokens
        ]
        return super()._add_tokens(added, special_tokens=special_tokens)

    def _off_roles(self) -> dict[str, str]:
        """Text -> role of the alphabet's tokens that are off."""
        texts = {role: self._alphabet.role_text(role) for role in ("mask", "bos", "eos")}
        ids = self._alphabet.token_to_id
        return {
            text: role
            for role, text in texts.items()
            if text is not None and f"<reserved_{ids[text]}>" in self._vocabulary
        }

    # Checking

    def _encode_plus(self, text: Any, text_pair: Any = None, **kwargs: Any) -> BatchEncoding:  # type: ignore[override]
        """Checks every letter, then encodes; every public way of encoding comes through here."""
        is_split_into_words = bool(kwargs.get("is_split_into_words", False))
        self._check_letters(text, text_pair, is_split_into_words, kwargs.get("split_special_tokens"))
        return super()._encode_plus(text=text, text_pair=text_pair, **kwargs)

    def _check_letters(
        self,
        text: Any,
        text_pair: Any = None,
        is_split_into_words: bool = False,
        split_special_tokens: bool | None = None,
    ) -> None:
        """Raises for the first unknown letter, or warns once if unknown letters are read as N."""
        if self._on_unknown == "n" and self._has_warned_unknown:
            return
        if split_special_tokens is None:
            split_special_tokens = self.split_special_tokens
        pattern = self._accepted_text(bool(split_special_tokens))
        for given, name in ((text, ""), (text_pair, " of text_pair")):
            for sequence, place in _strings(given, is_split_into_words):
                end = pattern.match(sequence).end()  # type: ignore[union-attr]  # the pattern matches the empty text
                if end != len(sequence):
                    self._report_unknown(sequence, end, place + name)

    def _accepted_text(self, split_special_tokens: bool) -> re.Pattern[str]:
        """Pattern whose match ends where the first unknown letter stands (or at the end of the text)."""
        added = self._tokenizer.get_added_tokens_decoder().values()
        texts = tuple(token.content for token in added if not (token.special and split_special_tokens))
        if self._text_pattern is None or self._text_pattern[0] != texts:
            letters = f"[{re.escape(''.join(self._letter_map))}]"
            # A run of letters is taken at once, unless an added token starts with a letter and must be tried first.
            run = letters if any(text[:1] in self._letter_map for text in texts) else letters + "++"
            choices = [re.escape(text) for text in sorted(texts, key=len, reverse=True) if text]
            self._text_pattern = (texts, re.compile(f"(?:{'|'.join([*choices, run])})*+"))
        return self._text_pattern[1]

    def _report_unknown(self, sequence: str, index: int, place: str) -> None:
        """Raises for the letter at `index` (0-based), or warns once if unknown letters are read as N."""
        if self._on_unknown == "n":
            if not self._has_warned_unknown:
                self._has_warned_unknown = True
                warnings.warn(
                    f"unknown letter {sequence[index]!r} at position {index + 1} (1-based){place} is read as "
                    f"{self._alphabet.unknown_nucleotide!r}; so are all further ones, without a warning",
                    UserWarning,
                    stacklevel=2,
                )
            return
        start, stop = max(0, index - _EXCERPT), index + _EXCERPT + 1
        excerpt = ("..." if start else "") + sequence[start:stop] + ("..." if stop < len(sequence) else "")
        hint = "Correct the sequence"
        if self._alphabet.unknown_nucleotide is not None:
            hint += ', or build the tokenizer with on_unknown="n" to read unknown letters as N'
        for text, role in self._off_roles().items():
            if sequence.startswith(text, index):
                hint = f"{text!r} is off in this tokenizer; {role}_token=True switches it on"
        read = "".join(self._letter_map)
        raise ValueError(
            f"unknown letter {sequence[index]!r} at position {index + 1} (1-based){place}: {excerpt!r}. "
            f"Alphabet {self.alphabet!r} reads the letters {read}. {hint}."
        )

    # Decoding

    def _decode(  # type: ignore[override]
        self, token_ids: int | list[int], skip_special_tokens: bool = False, **kwargs: Any
    ) -> str:
        if not self._has_overlapping_windows:
            return super()._decode(token_ids, skip_special_tokens=skip_special_tokens, **kwargs)
        ids = [token_ids] if isinstance(token_ids, int) else token_ids
        # Special tokens end a run of windows even if they are skipped, so they are dropped only after merging.
        return self._merge_windows(self.convert_ids_to_tokens(ids), skip_special_tokens)

    def _merge_windows(self, tokens: Sequence[str | None], skip_special_tokens: bool = False) -> str:
        letters = set(self._alphabet.letters)
        skipped = set(self.all_special_tokens) if skip_special_tokens else set()
        pieces: list[str] = []
        for is_sequence, run in itertools.groupby(tokens, key=lambda token: bool(token) and set(str(token)) <= letters):
            texts = [str(token) for token in run if token is not None]
            pieces.append(self._merge_run(texts) if is_sequence else "".join(t for t in texts if t not in skipped))
        return "".join(pieces)

    def _merge_run(self, windows: list[str]) -> str:
        """Sequence of neighbouring windows; window i covers the letters i to i + k - 1."""
        unknown = str(self._alphabet.unknown_nucleotide)
        if any(len(window) == 1 and window != unknown for window in windows):
            # Single letters only come from a sequence shorter than k, which was spelt.
            return "".join(windows)
        merged = [unknown] * (len(windows) + self._k - 1)
        for start, window in enumerate(windows):
            if len(window) == self._k:
                merged[start : start + self._k] = window
        return "".join(merged)

    # Serialisation. The windows of overlapping k-mers are Python code, which the back end cannot write.

    @contextmanager
    def _serialisable_backend(self) -> Iterator[Tokenizer]:
        """The back end in a form that can be written.

        For overlapping k-mers that is one without windows and without unknown token: opened by itself it gives the
        right id for a text that is one token, and refuses every other one.
        """
        backend = self._tokenizer
        if not self._has_overlapping_windows:
            yield backend
            return
        live = self._build_backend()
        backend.pre_tokenizer = None
        backend.model = WordLevel(self._vocabulary, unk_token="<none>")
        try:
            yield backend
        finally:
            backend.model = live.model
            backend.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(_OverlappingWindows(self._k))

    def _save_pretrained(self, *args: Any, **kwargs: Any) -> tuple[str, ...]:
        with self._serialisable_backend():
            return super()._save_pretrained(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        with self._serialisable_backend() as backend:
            state["_tokenizer"] = backend.to_str()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        backend = Tokenizer.from_str(state["_tokenizer"])
        if self._has_overlapping_windows:
            backend.model = self._build_backend().model
            backend.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(_OverlappingWindows(self._k))
        self._tokenizer = backend


class _OverlappingWindows:
    """Pre-tokenizer that cuts a text into all windows of `k` letters, or into letters if it is shorter."""

    def __init__(self, k: int) -> None:
        self.k = k

    def pre_tokenize(self, pretokenized: PreTokenizedString) -> None:
        pretokenized.split(self._windows)

    def _windows(self, _: int, text: NormalizedString) -> list[Any]:
        length = len(text.normalized)
        k = self.k if length >= self.k else 1
        return [text[start : start + k] for start in range(length - k + 1)]


def _strings(given: Any, is_split_into_words: bool) -> Iterator[tuple[str, str]]:
    """Every string of a tokenizer's input, with the words that say where it stands.

    What is not a string is left for transformers to refuse.
    """
    if isinstance(given, str):
        yield given, ""
    elif not isinstance(given, list | tuple):
        return
    elif is_split_into_words and all(isinstance(word, str) for word in given):
        for index, word in enumerate(given):
            yield word, f" of word {index}"
    else:
        for index, item in enumerate(given):
            if isinstance(item, str):
                yield item, f" of sequence {index} of the batch (0-based)"
                continue
            is_pair = isinstance(item, tuple) if not is_split_into_words else _is_nested(item)
            for number, part in enumerate(item if is_pair else (item,)):
                side = f" {number} of the pair" if is_pair else ""
                for text, place in _strings(part, is_split_into_words):
                    yield text, f"{place}{side and f' of sequence{side}'} of item {index} of the batch (0-based)"


def _is_nested(item: Any) -> bool:
    return isinstance(item, list | tuple) and any(isinstance(part, list | tuple) for part in item)
