"""The cookies with which Twitch knows a viewer: tried out, installed, looked after."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vodtender.clients.ytdlp import cookies as client
from vodtender.clients.ytdlp.cookies import Cookies
from vodtender.config.settings import Settings
from vodtender.errors import Rejected, SettingsError, VodtenderError
from vodtender.model.vod import Stage
from vodtender.procedures.change import Change
from vodtender.store import audit, tokens, vods
from vodtender.store.database import Database
from vodtender.store.vods import Filter

_LATEST = 20
"""So many of the newest VODs are looked at for one to try the cookies on."""


@dataclass(frozen=True, slots=True)
class CookiesState:
    """The installed file. `problem`: why it is of no use, `hint` what to type then."""

    path: Path
    exported_at: datetime | None
    age_seconds: float | None
    login_until: datetime | None
    warnings: tuple[str, ...]
    problem: str | None
    hint: str


@dataclass(frozen=True, slots=True)
class Installed:
    """`tried`: what the cookies were tried on, `warnings` what a person should know,
    `released` how many VODs had waited for them."""

    change: Change
    tried: str = ""
    warnings: tuple[str, ...] = ()
    released: int = 0


def cookies_state(settings: Settings, now: datetime) -> CookiesState | None:
    """How the file that YTDLP_COOKIES_PATH names stands; None: it names none."""
    path = settings.ytdlp_cookies_path
    if path is None:
        return None
    try:
        found = client.read(path)
        stat = path.stat()
    except (VodtenderError, OSError) as error:
        told = error if isinstance(error, VodtenderError) else None
        message, hint = (told.message, told.hint) if told else (str(error), "")
        return CookiesState(path, None, None, None, (), message, hint)
    exported_at = datetime.fromtimestamp(stat.st_mtime, UTC)
    problem, hint = None, ""
    warnings = client.warnings(found, exported_at, now)
    if stat.st_mode & 0o007:
        warnings += (f"every user of this machine can read {path}: chmod 600 {path}",)
    try:
        client.check_login(found, now)
    except VodtenderError as error:
        problem, hint, warnings = error.message, error.hint, ()
    age = max(0.0, (now - exported_at).total_seconds())
    return CookiesState(path, exported_at, age, found.expires_at, warnings, problem, hint)


def import_cookies(
    database: Database,
    settings: Settings,
    text: str,
    *,
    exported_at: datetime,
    vod_id: str | None,
    now: datetime,
    actor: str,
    reason: str | None,
    dry_run: bool,
) -> Installed:
    """Checks cookies, tries them on one VOD and puts them where downloads look for them: the
    next download has them.

    Raises:
        SettingsError: YTDLP_COOKIES_PATH is not set, or cannot be written.
        UsageError: it is no cookies file, or one that logs nobody in (any more).
        AuthExpired, Transient, …: they could not be tried. Nothing was changed.
    """
    path = settings.ytdlp_cookies_path
    if path is None:
        raise SettingsError(
            "YTDLP_COOKIES_PATH is not set, so no download would look for cookies. "
            "Nothing was changed.",
            hint="set it, for the daemon too, to a file that vodtender may write, such as "
            f"{settings.data_dir.absolute()}/twitch-cookies.txt; then type this again",
            code="no_cookies_path",
        )
    found = client.parse(text)
    client.check_login(found, now)
    before = _readable(path)
    change = Change(str(path), _shown(before, path), _shown(found, exported_at))
    if before is not None and before.text == found.text:
        return Installed(Change(str(path), {}, {}, note="these cookies are installed already"))
    tried, warnings = _try(database, settings, found, vod_id, now)
    warnings = (*client.warnings(found, exported_at, now), *warnings)
    if dry_run:
        return Installed(change, tried, warnings)
    with database.transaction(actor=actor) as connection:
        released = tokens.release_waiting(connection)
        audit.record(
            connection,
            actor=actor,
            action="auth import cookies",
            target=change.target,
            before=change.before,
            after=change.after,
            reason=reason,
        )
        vods.notify(connection)
        # Last, so that nothing is recorded of a file that could not be installed.
        client.install(found, path, exported_at)
    return Installed(change, tried, warnings, released)


def _readable(path: Path) -> Cookies | None:
    try:
        return client.read(path)
    except SettingsError:
        return None


def _shown(found: Cookies | None, exported: datetime | Path) -> dict[str, object]:
    if found is None:
        return {"cookies": None, "exported_at": None, "login_until": None}
    if isinstance(exported, Path):
        exported = datetime.fromtimestamp(exported.stat().st_mtime, UTC)
    until = found.expires_at
    return {"cookies": found.count, "exported_at": exported, "login_until": until}


# --- trying them ------------------------------------------------------------------------


def _try(
    database: Database, settings: Settings, found: Cookies, vod_id: str | None, now: datetime
) -> tuple[str, tuple[str, ...]]:
    """One dry extraction with them: what it was made on, and what is to be said of it."""
    from vodtender.clients.ytdlp.process import probe

    with tempfile.TemporaryDirectory(prefix="vodtender-") as folder:
        path = Path(folder) / "cookies.txt"
        client.install(found, path, now)
        for candidate in [vod_id] if vod_id else _candidates(database, settings, path, now):
            try:
                vod = probe(candidate, cookies_path=path, extra_args=settings.ytdlp_args)
            except Rejected as error:
                if error.code == "subscriber_only":
                    return f"VOD {candidate}", (f"Twitch takes the login, but: {error.message}",)
                if error.code != "vod_missing" or vod_id:
                    raise
            else:
                return f"VOD {candidate}, {vod.title}", ()
    return "", ("there is no VOD to try the cookies on; add --vod ID to try them",)


def _candidates(database: Database, settings: Settings, path: Path, now: datetime) -> Iterator[str]:
    """VODs that Twitch should have; first those that were closed to everybody but subscribers."""
    from vodtender.clients.ytdlp.process import list_channel

    with database.transaction() as connection:
        latest = vods.find(connection, Filter(), limit=_LATEST)
    there = [vod for vod in latest if vod.vanishes_at is None or vod.vanishes_at > now]
    there = [vod for vod in there if vod.problem_code != "vod_missing"]
    there.sort(key=lambda vod: (vod.problem_code != "subscriber_only", vod.stage is Stage.LIVE))
    yield from (vod.twitch_vod_id for vod in there[:3])
    for channel in settings.channels:
        listed = list_channel(
            channel,
            kinds=("archive",),
            limit=1,
            cookies_path=path,
            extra_args=settings.ytdlp_args,
        )
        yield from (vod.vod_id for vod in listed)
