"""Options: fields of dataclasses that are arguments in Python and flags on the command line, each written once."""

import argparse
import dataclasses
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn


def option(
    default: Any,
    help: str,
    *,
    flags: Sequence[str] = (),
    metavar: str | None = None,
    choices: Sequence[str] | None = None,
    for_files: bool = False,
) -> Any:
    """Make a field of a dataclass that is an option.

    Args:
        default: its value where it is not given.
        help: what it is, for `--help`, without the default.
        flags: on the command line; by default made from the field's name, `batch_tokens` -> `--batch-tokens`.
        metavar: what stands for the value in `--help`.
        choices: the values that are allowed.
        for_files: whether it says which files are written, and nothing else.
    """
    facts = {"help": help, "flags": tuple(flags), "metavar": metavar, "choices": choices, "for_files": for_files}
    return dataclasses.field(default=default, metadata=facts)


class OneLineParser(argparse.ArgumentParser):
    """Reports wrong arguments as every other error is reported: by raising, with one line."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


def option_names(owner: Any, for_files: bool = True) -> list[str]:
    """Return the names of the options of a dataclass or an instance of one.

    Args:
        owner: the dataclass.
        for_files: also those that only say which files are written.
    """
    return [field.name for field in _options(owner) if for_files or not field.metadata["for_files"]]


def flags_of(owner: Any) -> list[str]:
    """Return all flags of the options of a dataclass or an instance of one."""
    return [flag for field in _options(owner) for flag in _flags(field)]


def add_options(parser: argparse.ArgumentParser, owner: Any, leave_out: Collection[str] = ()) -> None:
    """Give a parser a flag for each option of a dataclass or an instance of one, but those left out."""
    hints = typing.get_type_hints(owner if isinstance(owner, type) else type(owner))
    for field in _options(owner):
        if field.name in leave_out:
            continue
        facts, flags = field.metadata, _flags(field)
        if hints[field.name] is bool:
            parser.add_argument(*flags, dest=field.name, action="store_true", help=facts["help"])
            continue
        shown = f"{facts['help']}; default: {field.default}" if field.default is not None else facts["help"]
        parser.add_argument(
            *flags,
            dest=field.name,
            type=_value_type(hints[field.name]),
            default=field.default,
            metavar=facts["metavar"],
            choices=facts["choices"],
            help=shown,
        )


def parse_strictly(
    parser: argparse.ArgumentParser, argv: Sequence[str], owners: Mapping[str, Any]
) -> argparse.Namespace:
    """Parse arguments; what is unknown here but an option of another owner is refused with the owner's name.

    Args:
        parser: made with `add_options`.
        argv: the arguments.
        owners: name of each task, or architecture, to the dataclass of its options.
    """
    namespace, rest = parser.parse_known_args(argv)
    if rest:
        flag = rest[0].partition("=")[0]
        found = [name for name, owner in owners.items() if flag in flags_of(owner)]
        hint = f", but of {' and '.join(found)}" if found else ""
        parser.error(f"{rest[0]!r} is no option of `{parser.prog}`{hint}")
    return namespace


def given_options(namespace: argparse.Namespace, owner: Any, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Return the values that a parser with `add_options` has read, by name."""
    return {name: getattr(namespace, name) for name in option_names(owner) if name not in leave_out}


def check_choices(owner: Any) -> None:
    """Refuse a value of an option that is none of its choices.

    Raises:
        ValueError: with the name, the choices and the value.
    """
    for field in _options(owner):
        choices, value = field.metadata["choices"], getattr(owner, field.name)
        if choices and value not in choices:
            raise ValueError(f"{field.name} must be one of {', '.join(choices)}, got {value!r}")


def split_options(given: Mapping[str, Any], owners: Iterable[Any]) -> list[dict[str, Any]]:
    """Share options out among the dataclasses that they belong to; None and what belongs nowhere is left out.

    Args:
        given: values by name.
        owners: dataclasses or instances of them.
    """
    return [{name: given[name] for name in option_names(owner) if given.get(name) is not None} for owner in owners]


def _options(owner: Any) -> list[dataclasses.Field]:
    return [field for field in dataclasses.fields(owner) if "flags" in field.metadata]


def _flags(field: dataclasses.Field) -> Sequence[str]:
    return field.metadata["flags"] or ("--" + field.name.replace("_", "-"),)


def _value_type(hint: Any) -> Any:
    """Return what reads a value: `int` of `int` and of `int | None`."""
    if isinstance(hint, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
    return hint
