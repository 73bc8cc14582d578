"""Arguments that name VODs."""

from __future__ import annotations

from typing import Annotated

import typer

from vodtender.errors import UsageError


def vod_id(text: str) -> str:
    """A VOD's number, or its address. Raises UsageError."""
    from vodtender.model.reference import parse_vod_reference

    return parse_vod_reference(text)


VodId = Annotated[
    str, typer.Argument(metavar="ID", parser=vod_id, help="The VOD's number or its address.")
]
VodIds = Annotated[
    list[str],
    typer.Argument(metavar="ID", parser=vod_id, help="The VODs' numbers or their addresses."),
]
MaybeVodIds = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", parser=vod_id, help="The VODs' numbers or their addresses."),
]


def one_of(ways: dict[str, bool], *, question: str = "Which VODs?") -> None:
    """Makes sure that one of the ways is chosen; `question` is what they answer. Raises
    UsageError."""
    chosen = [way for way, given in ways.items() if given]
    if len(chosen) == 1:
        return
    every = f"{', '.join(list(ways)[:-1])} or {list(ways)[-1]}"
    if not chosen:
        raise UsageError(question, hint=f"give {every}", code="usage")
    raise UsageError(f"{' and '.join(chosen)} do not go together.", hint=f"give {every}")
