"""What `scripts/docs` generates: up to date, and good for the programs that read it."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest

from scripts.manual.__main__ import ROOT, differences, documents
from scripts.manual.tree import read

_DEADLINE_SECONDS = 20
_PAGES = sorted((ROOT / "man").glob("*.1"))


def test_manual_pages_and_completions_say_what_the_commands_are() -> None:
    assert not differences(documents()), "run scripts/docs"


def test_whatever_is_audited_takes_the_same_options() -> None:
    """A script may give `--yes` to every command that changes something."""
    options = {one.name: {n for o in one.options for n in o.names} for one in read().walk()}
    audited = {name for name, names in options.items() if "--reason" in names}
    assert len(audited) > 20
    assert not [name for name in audited if "--yes" not in options[name]]


def test_a_page_that_nothing_generates_any_more_is_noticed(tmp_path: Path) -> None:
    for folder in ("man", "completions"):
        (tmp_path / folder).mkdir()
    (tmp_path / "man" / "vodtender-gone.1").write_text("old")
    (tmp_path / "man" / "vodtender.1").write_text("old")
    wanted = {"man/vodtender.1": "new", "completions/vodtender.fish": "new"}
    assert differences(wanted, tmp_path) == [
        "completions/vodtender.fish",
        "man/vodtender-gone.1",
        "man/vodtender.1",
    ]


@pytest.mark.system
@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.stem)
def test_a_manual_page_renders_without_a_warning(page: Path) -> None:
    shown = subprocess.run(
        ["man", "--warnings", "-l", str(page)],
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANPAGER": "cat"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not shown.stderr
    assert "NAME" in shown.stdout
    assert "EXIT STATUS" in shown.stdout


_COMPLETED = [
    ("vodtender con", "config"),
    ("vodtender --deb", "--debug"),
    ("vodtender --debug config sh", "show"),
    ("vodtender config show --js", "--json"),
    ("vodtender --config pyproj", "pyproject.toml"),
    ("vodtender --config pyproject.toml config ex", "example"),
    ("vodtender auth import yout", "youtube"),
    ("vodtender auth import youtube pyproj", "pyproject.toml"),
    ("vodtender vods --failed sh", "show"),
]


@pytest.mark.system
@pytest.mark.parametrize(("typed", "wanted"), _COMPLETED)
def test_bash_completes(typed: str, wanted: str) -> None:
    script = """
        source completions/vodtender.bash
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _vodtender vodtender
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    command = ["bash", "--norc", "-c", script, "bash", *typed.split(" ")]
    assert _lines(command) == [wanted]


@pytest.mark.system
@pytest.mark.parametrize(("typed", "wanted"), _COMPLETED)
def test_fish_completes(typed: str, wanted: str) -> None:
    script = "source completions/vodtender.fish; complete -C $argv[1]"
    lines = _lines(["fish", "--no-config", "-c", script, typed])
    assert [line.split("\t")[0] for line in lines] == [wanted]


@pytest.mark.system
def test_zsh_completes() -> None:
    # Only its line editor completes, and that wants a terminal.
    with _Zsh() as zsh:
        zsh.say("bindkey -e; PS1=; fpath=($PWD/completions $fpath)")
        zsh.say("autoload -U compinit; compinit -D -u")
        for typed, wanted in _COMPLETED:
            whole = typed.rpartition(" ")[0] + " " + wanted
            zsh.complete(typed, whole)


class _Zsh:
    """zsh on a terminal of its own."""

    def __enter__(self) -> _Zsh:
        self._terminal, other = pty.openpty()
        self._process = subprocess.Popen(
            ["zsh", "-f", "-i", "-o", "no_beep"],
            stdin=other,
            stdout=other,
            stderr=other,
            cwd=ROOT,
            env={**os.environ, "TERM": "dumb", "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        os.close(other)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def say(self, line: str) -> None:
        os.write(self._terminal, f"{line}; print READ''Y\n".encode())
        self._await("READY")

    def complete(self, typed: str, whole: str) -> None:
        """Types it, a tab, and at the line's beginning what prints the line."""
        os.write(self._terminal, typed.encode() + b"\t\x01print -r -- DONE: \n")
        self._await(f"DONE: {whole}")

    def _await(self, text: str) -> None:
        seen = ""
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while text not in seen:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, left))
            assert ready, f"{text!r} has not come: {seen!r}"
            seen += os.read(self._terminal, 4096).decode(errors="replace")


def _lines(command: list[str]) -> list[str]:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout.splitlines()
