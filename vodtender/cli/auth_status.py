"""What `vodtender auth status` shows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from vodtender.cli.output import moment, note, write_line, write_table

if TYPE_CHECKING:
    from vodtender.procedures.login_status import Overview


def write_status(found: Overview, now: datetime) -> None:
    """A line per login, then what is wrong."""
    rows = [
        (
            one.service,
            one.account,
            one.owner or "-",
            "-" if one.expires_at is None else moment(one.expires_at, now),
            ",".join(one.channels) or "-",
            one.problem or "ok",
        )
        for one in found.accounts
    ]
    if rows:
        write_table(("SERVICE", "ACCOUNT", "OWNER", "TOKEN UNTIL", "CHANNELS", "STATE"), rows)
        for one in found.accounts:
            write_line(f"{one.service} {one.account} may: {' '.join(one.scopes) or 'nothing'}")
    else:
        write_line("Nobody is logged in. To upload: vodtender auth login youtube")
    write_line(f"encryption: {'on' if found.encryption else 'off'}")
    cookies = found.cookies
    if cookies is None:
        write_line("cookies: none (YTDLP_COOKIES_PATH is not set)")
    else:
        write_line(f"cookies: {cookies.path}, exported {moment(cookies.exported_at, now)}")
    for problem, hint in _problems(found):
        note(f"problem: {problem}")
        note(f"hint: {hint}")
    for warning in found.warnings:
        note(f"warning: {warning}")


def _problems(found: Overview) -> Iterable[tuple[str, str]]:
    for one in found.accounts:
        if one.problem is not None:
            yield f"{one.service} account {one.account}: {one.problem}", one.hint
    if found.cookies is not None and found.cookies.problem is not None:
        yield found.cookies.problem, found.cookies.hint
