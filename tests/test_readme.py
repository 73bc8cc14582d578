"""What the documentation tells people to type exists and is understood."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.outside import ROOT
from vodtender.cli.main import COMMANDS, command
from vodtender.clients.postgres.server import acquire
from vodtender.config.settings import DECLARED
from vodtender.errors import Exit

_PAGES = [ROOT / "README.md", *sorted((ROOT / "runbooks").glob("*.md"))]
_README = _PAGES[0].read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")
# In code: what stands for something that a person knows.
_STANDS_FOR = {"ID": "2300000001", "VIDEO": "dQw4w9WgXcQ"}
_NOT_SETTINGS = {"VODTENDER_CONFIG", "NAME_FILE", "EDITOR", "SIGTERM", "README", "LICENSE", "PATH"}
_PROSE = {"a", "as", "may", "that"}
"""What follows the program's name where it is spoken of, not typed."""


def _typed(page: Path) -> Iterator[str]:
    """Every command line of the program in a page, in blocks and within sentences."""
    text = page.read_text(encoding="utf-8")
    for kind, block in _BLOCK.findall(text):
        if kind == "sh":
            yield from (line for line in block.splitlines() if _calls_us(line))
    yield from (code for code in _INLINE.findall(_BLOCK.sub("", text)) if _calls_us(code))


def _calls_us(line: str) -> bool:
    words = _words(line)
    return len(words) > 1 and Path(words[0]).name == "vodtender"


def _words(line: str) -> list[str]:
    """Those before a redirection or a pipe, without a comment and what is set before."""
    words = shlex.split(re.split(r"[|>]", line)[0], comments=True)
    while words and "=" in words[0]:
        words.pop(0)
    return [_STANDS_FOR.get(word, word) for word in words]


def _understand(words: list[str]) -> None:
    """Parses a command line as the program does, and runs nothing. Raises what it would."""
    at: Any = command()
    context = None
    name, words = "vodtender", words[1:]
    while True:
        context = at.make_context(name, words, parent=context)
        left = [*context._protected_args, *context.args]
        if not hasattr(at, "resolve_command") or not left:
            return
        name, at, words = at.resolve_command(context, left)


@pytest.mark.parametrize(
    ("page", "line"),
    [(page.name, line) for page in _PAGES for line in sorted(set(_typed(page)))],
)
def test_a_command_line_in_the_documentation_is_understood(page: str, line: str) -> None:
    try:
        _understand(_words(line))
    except Exception as error:
        pytest.fail(f"{page}: {line}: {getattr(error, 'message', error)}")


def test_a_command_line_that_does_not_exist_is_noticed() -> None:
    for line in ("vodtender frobnicate", "vodtender run --never", "vodtender add"):
        with pytest.raises(Exception, match=r"No such|Missing"):
            _understand(_words(line))


def test_the_readme_lists_every_command() -> None:
    listed = {words[1] for line in _typed(_PAGES[0]) if len(words := _words(line)) > 1}
    assert set(COMMANDS) <= listed


def test_the_readme_lists_every_script() -> None:
    scripts = {path.name for path in (ROOT / "scripts").iterdir() if path.is_file()}
    scripts = {name for name in scripts if "." not in name}
    assert set(re.findall(r"scripts/(\w+)\b(?!/)", _README)) == scripts


def test_the_readme_has_every_exit_status() -> None:
    rows = re.findall(r"^\| (\d+) \|", _README, re.MULTILINE)
    assert [int(row) for row in rows] == list(Exit)


def test_settings_that_the_documentation_names_exist() -> None:
    for page in _PAGES:
        text = page.read_text(encoding="utf-8")
        code = " ".join([*_INLINE.findall(text), *(block for _, block in _BLOCK.findall(text))])
        named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", code)) - _NOT_SETTINGS
        assert {name.removesuffix("_FILE") for name in named} <= set(DECLARED)


def test_links_and_paths_lead_somewhere() -> None:
    for page in _PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
    for path in re.findall(r"`((?:vodtender|tests|completions)/[\w./]*)`", _README):
        assert (ROOT / path).exists(), path


def _hints() -> Iterator[tuple[str, str]]:
    """What the program itself tells people to type, and where: hints, and texts in backticks."""
    for path in sorted((ROOT / "vodtender").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        hints = [
            one for one in ast.walk(tree) if isinstance(one, ast.keyword) and one.arg == "hint"
        ]
        in_hints = {id(node) for hint in hints for node in ast.walk(hint.value)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                start = r"\b" if id(node) in in_hints else "`"
                for words in re.findall(start + r"vodtender ([a-z]+(?: [a-z]+)?)", node.value):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", words


def test_commands_that_the_program_itself_tells_people_to_type_exist() -> None:
    tree: Any = command()
    hints = list(_hints())
    assert len(hints) > 50
    for place, words in hints:
        first, _, second = words.partition(" ")
        if first in _PROSE:
            continue
        found = tree.get_command(None, first)
        assert found is not None, f"{place}: vodtender {words}"
        if second and hasattr(found, "commands") and not found.invoke_without_command:
            assert second in found.commands, f"{place}: vodtender {words}"


@pytest.mark.system
def test_the_readmes_psql_line_gets_into_the_embedded_database(tmp_path: Path) -> None:
    (line,) = [
        line
        for _, block in _BLOCK.findall(_README)
        for line in block.splitlines()
        if line.startswith("psql ")
    ]
    with acquire(tmp_path / "data" / "postgres", durable=False):
        done = subprocess.run(
            ["sh", "-c", f"{line} -Atc 'SELECT current_user'"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout == "vod\n", done.stderr
