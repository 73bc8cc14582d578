"""The command tree, as plain values for those who write about it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vodtender.cli.main import COMMANDS, command


@dataclass(frozen=True, slots=True)
class Option:
    """An option. `names` as they are typed; `value` stands for what follows, empty for a flag."""

    names: tuple[str, ...]
    value: str
    help: str
    choices: tuple[str, ...]
    takes_file: bool
    repeats: bool


@dataclass(frozen=True, slots=True)
class Argument:
    """A word that is no option."""

    value: str
    help: str
    choices: tuple[str, ...]
    takes_file: bool
    repeats: bool
    required: bool


@dataclass(frozen=True, slots=True)
class Command:
    """A command or a group of them. `name` is the whole of it: `vodtender auth login`."""

    name: str
    summary: str
    paragraphs: tuple[str, ...]
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    commands: tuple[Command, ...]

    @property
    def word(self) -> str:
        """Its own word, the last one."""
        return self.name.rpartition(" ")[2]

    def walk(self) -> Iterator[Command]:
        """This one and all below it."""
        yield self
        for child in self.commands:
            yield from child.walk()


def read() -> Command:
    """The tree of the program in this checkout."""
    return _command(command(), "vodtender", "", None)


def _command(found: Any, name: str, summary: str, parent: Any) -> Command:
    context = found.make_context(name, [], parent=parent, resilient_parsing=True)
    paragraphs = _paragraphs(found.help or "")
    parameters = [p for p in found.get_params(context) if not getattr(p, "hidden", False)]
    return Command(
        name,
        summary or (paragraphs[0] if paragraphs else ""),
        paragraphs,
        tuple(_option(p, context) for p in parameters if p.param_type_name == "option"),
        tuple(_argument(p, context) for p in parameters if p.param_type_name == "argument"),
        tuple(_children(found, name, context)),
    )


def _children(found: Any, name: str, context: Any) -> Iterator[Command]:
    if not hasattr(found, "list_commands"):
        return
    for word in found.list_commands(context):
        child = found.get_command(context, word)
        if not child.hidden:
            summary = COMMANDS[word] if name == "vodtender" else ""
            yield _command(child, f"{name} {word}", summary, context)


def _paragraphs(text: str) -> tuple[str, ...]:
    r"""Each in one line, but for those whose lines are kept (they begin with `\b`)."""
    found = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        kept = paragraph.startswith("\b")
        found.append(paragraph.strip("\b\n") if kept else " ".join(paragraph.split()))
    return tuple(paragraph for paragraph in found if paragraph)


def _option(parameter: Any, context: Any) -> Option:
    is_flag = parameter.is_flag or parameter.count
    names = (*parameter.opts, *parameter.secondary_opts)
    return Option(
        tuple(sorted(names, key=lambda one: one.startswith("--"))),
        "" if is_flag else _value(parameter),
        _help(parameter, context),
        () if is_flag else _choices(parameter),
        _takes_file(parameter),
        parameter.multiple,
    )


def _argument(parameter: Any, context: Any) -> Argument:
    return Argument(
        _value(parameter).removesuffix("…"),
        _help(parameter, context),
        _choices(parameter),
        _takes_file(parameter),
        parameter.nargs != 1,
        parameter.required,
    )


def _value(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    if _takes_file(parameter):
        return "FILE"
    choices = _choices(parameter)
    if choices:
        return "|".join(choices)
    name = str(max(parameter.opts, key=len))
    return name.lstrip("-").upper().replace("_", "-")


def _takes_file(parameter: Any) -> bool:
    descriptor = parameter.type_descriptor
    return descriptor.is_path or descriptor.is_file or str(parameter.metavar).startswith("FILE")


def _choices(parameter: Any) -> tuple[str, ...]:
    descriptor = parameter.type_descriptor
    if not descriptor.is_choice:
        return ()
    return tuple(str(getattr(choice, "value", choice)) for choice in descriptor.choices or ())


def _help(parameter: Any, context: Any) -> str:
    """With the default and the range that typer adds; that it is required, the synopsis says."""
    record = parameter.get_help_record(context)
    text = record[1] if record else ""
    for noise in ("  [required]", "; required]", "[required]"):
        text = text.replace(noise, "]" if noise.startswith(";") else "")
    return str(text).replace("  [", " [")
