"""Manual pages in groff's man macros, one for the program and one for each command.

`vodtender auth login` is told in vodtender-auth(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from scripts.manual.tree import Argument, Command, Option
from vodtender import __version__

_EXITS = (
    ("0", "done, or nothing to do"),
    ("1", "failed"),
    ("2", "wrong usage or settings"),
    ("3", "partly done: what was not is on the standard error output"),
    ("4", "credentials refused or missing"),
    ("5", "database unreachable, or of a newer schema"),
    ("6", "refused: not confirmed, or not safe now"),
    ("7", "no such VOD, account …"),
    ("8", "somebody else holds the lock"),
    ("130", "interrupted"),
)
_ENVIRONMENT = (
    "Every setting is an environment variable and a key of the settings file; the environment "
    "wins. `vodtender config example` prints all of them with their defaults and meanings, "
    "`vodtender config show` what counts and where it comes from."
)
_FILES = (
    ("vodtender.yaml", "Settings, when it lies in the working directory; see `--config`."),
    ("DATA_DIR/*.mp4", "The videos: one file per VOD, only when it is complete."),
    ("DATA_DIR/postgres", "The embedded database, when DB_DSN is not set."),
)


def pages(tree: Command) -> dict[str, str]:
    """Each page's file name and text."""
    return {
        "vodtender.1": _program(tree),
        **{f"vodtender-{child.word}.1": _page(child) for child in tree.commands},
    }


def _program(tree: Command) -> str:
    return _joined(
        _title("vodtender"),
        _name("vodtender", tree.summary),
        ".SH SYNOPSIS",
        f"{_bold('vodtender')} [{_italic('OPTION')}…] {_italic('COMMAND')} …",
        ".SH DESCRIPTION",
        *_prose(tree.paragraphs),
        ".SH OPTIONS",
        *_options(tree.options),
        ".SH COMMANDS",
        *(
            line
            for child in tree.commands
            for line in _tagged(_bold(f"vodtender-{child.word}") + "(1)", child.summary)
        ),
        *_ending(),
        ".SH SEE ALSO",
        *_see(f"vodtender-{child.word}" for child in tree.commands),
    )


def _page(command: Command) -> str:
    name = f"vodtender-{command.word}"
    parts = [
        _title(name),
        _name(name, command.summary),
        ".SH SYNOPSIS",
        *_synopses(command),
        ".SH DESCRIPTION",
        *_prose(command.paragraphs),
    ]
    if command.commands:
        parts.append(".SH COMMANDS")
        for child in command.commands:
            parts += _section(child, command.name)
    if command.arguments:
        parts += [".SH ARGUMENTS", *_arguments(command.arguments)]
    parts += [".SH OPTIONS", *_options(command.options), *_ending()]
    return _joined(*parts, ".SH SEE ALSO", *_see(("vodtender",)))


def _section(command: Command, above: str) -> list[str]:
    lines = [
        f".SS {_quoted(command.name.removeprefix(above).strip())}",
        *_prose(command.paragraphs),
    ]
    own = [option for option in command.options if "--help" not in option.names]
    lines += [*_arguments(command.arguments), *_options(own)]
    for child in command.commands:
        lines += _section(child, above)
    return lines


def _synopses(command: Command) -> list[str]:
    lines = [] if _only_groups(command) else [_synopsis(command)]
    for child in command.commands:
        for one in child.walk():
            if not _only_groups(one):
                lines += [".br", _synopsis(one)]
    return lines[1:] if lines[0] == ".br" else lines


def _only_groups(command: Command) -> bool:
    """Whether it does nothing without a command after it."""
    return bool(command.commands) and not command.arguments and len(command.options) < 2


def _synopsis(command: Command) -> str:
    words = [_bold(command.name)]
    if any("--help" not in option.names for option in command.options):
        words.append(f"[{_italic('OPTION')}…]")
    for argument in command.arguments:
        word = _italic(argument.value) + ("…" if argument.repeats else "")
        words.append(word if argument.required else f"[{word}]")
    return " ".join(words)


def _options(options: Iterable[Option]) -> list[str]:
    lines: list[str] = []
    for option in options:
        value = f" {_italic(option.value)}" if option.value else ""
        heading = ", ".join(_bold(name) + value for name in option.names)
        lines += _tagged(heading + ("…" if option.repeats else ""), option.help)
    return lines


def _arguments(arguments: Iterable[Argument]) -> list[str]:
    lines: list[str] = []
    for argument in arguments:
        heading = _italic(argument.value) + ("…" if argument.repeats else "")
        lines += _tagged(heading, argument.help)
    return lines


def _ending() -> list[str]:
    return [
        ".SH EXIT STATUS",
        *(line for status, meaning in _EXITS for line in _tagged(_bold(status), meaning)),
        ".SH ENVIRONMENT",
        _text(_ENVIRONMENT),
        ".SH FILES",
        *(line for path, meaning in _FILES for line in _tagged(_italic(path), meaning)),
    ]


def _see(names: Iterable[str]) -> list[str]:
    return [", ".join(f"{_bold(name)}(1)" for name in names)]


def _title(name: str) -> str:
    return f'.TH {name.upper().replace("-", chr(92) + "-")} 1 "" "vodtender {__version__}" ""'


def _name(name: str, summary: str) -> str:
    return f".SH NAME\n{_text(name)} \\- {_text(summary.rstrip('.'))}"


def _prose(paragraphs: Iterable[str]) -> list[str]:
    lines: list[str] = []
    for paragraph in paragraphs:
        kept = "\n" in paragraph or paragraph.startswith("vodtender ")
        lines += [".PP", *([".nf", _text(paragraph), ".fi"] if kept else [_text(paragraph)])]
    return lines


def _tagged(heading: str, text: str) -> list[str]:
    return [".TP", heading, _text(text) or "\\&"]


def _bold(text: str) -> str:
    return f"\\fB{_text(text)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{_text(text)}\\fR"


def _quoted(text: str) -> str:
    return '"' + _text(text).replace('"', "\\(dq") + '"'


def _text(text: str) -> str:
    """As groff is to print it: nothing of it a macro or an escape, code in bold."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    escaped = re.sub(r"`([^`]+)`", r"\\fB\1\\fR", escaped)
    return re.sub(r"^(?=[.'])", r"\\&", escaped, flags=re.MULTILINE)


def _joined(*lines: str) -> str:
    return '.\\" Generated by scripts/docs.\n' + "\n".join(lines) + "\n"
