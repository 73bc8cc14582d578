"""`scripts/docs`: what is generated from the command tree, and nothing else, in its folders."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from scripts.manual import bash, fish, man, zsh
from scripts.manual.tree import read

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("man", "completions")


def documents() -> dict[str, str]:
    """Every generated file: its path from the checkout, and its text."""
    tree = read()
    return {
        **{f"man/{name}": text for name, text in man.pages(tree).items()},
        "completions/vodtender.bash": bash.script(tree),
        "completions/_vodtender": zsh.script(tree),
        "completions/vodtender.fish": fish.script(tree),
    }


def differences(wanted: Mapping[str, str], root: Path = ROOT) -> list[str]:
    """The files that are missing, that differ, or that nothing generates any more."""
    found = {
        str(path.relative_to(root)): path.read_text(encoding="utf-8")
        for folder in FOLDERS
        for path in sorted((root / folder).glob("*"))
    }
    return sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))


def write(wanted: Mapping[str, str], root: Path = ROOT) -> None:
    """Makes the folders hold exactly these files."""
    for folder in FOLDERS:
        (root / folder).mkdir(exist_ok=True)
    for name in differences(wanted, root):
        path = root / name
        if name in wanted:
            path.write_text(wanted[name], encoding="utf-8")
        else:
            path.unlink()
        print(name)


def main() -> int:
    wanted = documents()
    if sys.argv[1:] != ["--check"]:
        write(wanted)
        return 0
    differing = differences(wanted)
    for name in differing:
        print(f"{name} is not what the commands say: run scripts/docs", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
