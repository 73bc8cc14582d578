"""Finds a channel's VODs and keeps what is known of them fresh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import cast

from vodtender import log, metrics
from vodtender.errors import (
    AuthExpired,
    DatabaseUnavailable,
    LeaseLost,
    Stopped,
    Transient,
    VodtenderError,
)
from vodtender.model import discovery
from vodtender.model.discovery import Kind, ListedVod, LiveStream
from vodtender.model.step import problem_text
from vodtender.pipeline.workplace import Workplace
from vodtender.store import channels, leases, vods
from vodtender.store.channels import Cursor
from vodtender.store.database import clock
from vodtender.store.vods import Entry

_log = log.get("discover")
_LEASE_SECONDS = 120.0
_RECENT = 100
"""VODs that a look between two walks through the whole catalog takes in."""


@dataclass(frozen=True, slots=True)
class Walked:
    """How far a walk through a catalog has come; None: to its end."""

    kind: Kind
    cursor: str | None


@dataclass(slots=True)
class _Look:
    """One look at a channel. What it finds is entered page by page."""

    place: Workplace
    channel: str
    claim: int
    whole: bool
    new: int = 0
    seen: int = 0

    def enter(
        self,
        listed: Sequence[ListedVod],
        live: Mapping[str, LiveStream] | None,
        walked: Walked | None = None,
    ) -> None:
        """Stores a page, and with it how far the walk has come; both or neither.

        Raises:
            LeaseLost: another worker looks at this channel by now.
        """
        settings = self.place.settings
        with self.place.database.transaction() as connection:
            is_ours = leases.renew(
                connection, _lease(self.channel), self.place.worker_id, self.claim, _LEASE_SECONDS
            )
            if not is_ours:
                raise LeaseLost(f"The lease on looking at {self.channel} has ended.")
            now = clock(connection)
            wanted = [
                vod
                for place, vod in enumerate(listed, self.seen)
                if discovery.within_limits(
                    vod,
                    place,
                    max_count=settings.vod_catalog_max,
                    max_age_days=settings.vod_catalog_max_age_days,
                    now=now,
                )
            ]
            earlier = vods.looks(connection, [vod.vod_id for vod in wanted])
            entries = [
                Entry(
                    vod,
                    discovery.is_recording(vod, earlier.get(vod.vod_id), live, now),
                    discovery.vanishes_at(vod, settings.twitch_vod_retention_days),
                    discovery.look(vod, earlier.get(vod.vod_id), now),
                )
                for vod in wanted
            ]
            self.new += vods.enter(connection, entries)
            if walked is not None:
                place = self.seen + len(listed)
                cursor = Cursor(walked.cursor, place) if walked.cursor else None
                channels.save_cursor(connection, self.channel, walked.kind, cursor)
            if self.new:
                vods.notify(connection)
        self.seen += len(listed)

    def is_enough(self, listed: Sequence[ListedVod], now: datetime) -> bool:
        """Whether what comes after this page is beyond what the settings want."""
        settings = self.place.settings
        return bool(listed) and not discovery.within_limits(
            listed[-1],
            self.seen - 1,
            max_count=settings.vod_catalog_max,
            max_age_days=settings.vod_catalog_max_age_days,
            now=now,
        )


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of a look: how many VODs were new, and what went wrong. With `spared` it was
    done all the same, without Helix; with `by_another` it is left to another worker, who may
    be dead."""

    new: int = 0
    error: VodtenderError | None = None
    spared: bool = False
    by_another: bool = False


def discover(place: Workplace, channel: str) -> Looked:
    """Looks at one channel, unless another worker does so now. What goes wrong is noted with
    the channel; what was found before that counts.

    Raises:
        DatabaseUnavailable: nothing could be stored.
    """
    with place.database.transaction() as connection:
        channels.watch(connection, [channel])
        claim = leases.take(connection, _lease(channel), place.worker_id, _LEASE_SECONDS)
        known = next(c for c in channels.all_channels(connection) if c.channel == channel)
        interval = place.settings.vod_catalog_backfill_interval
        whole = known.catalogued_at is None or clock(connection) - known.catalogued_at >= interval
    if claim is None:
        return Looked(by_another=True)
    look = _Look(place, channel, claim, whole)
    user_id, error, spared = _looked(look, known.user_id)
    metrics.discovered.inc(look.new)
    if isinstance(error, LeaseLost):
        return Looked(look.new, by_another=True)
    if isinstance(error, DatabaseUnavailable):
        raise error
    with place.database.transaction() as connection:
        if error is None or spared:
            channels.listed(connection, channel, user_id=user_id, whole=whole)
        if error is not None:
            channels.note_problem(connection, channel, problem_text(error))
        leases.release(connection, _lease(channel), place.worker_id, claim)
    if error is not None:
        said = "looked without Helix" if spared else "cannot look"
        _log.warning(said, channel=channel, why=error.message, hint=error.hint or None)
    if look.new:
        _log.info("new VODs", channel=channel, new=look.new, seen=look.seen)
    return Looked(look.new, error, spared)


def _looked(look: _Look, user_id: str | None) -> tuple[str | None, VodtenderError | None, bool]:
    """The channel's user id, if it was learnt; what went wrong; and whether the look was done
    all the same."""
    try:
        if look.place.helix is None:
            _through_ytdlp(look)
            return None, None, False
        try:
            return _through_helix(look, user_id), None, False
        except AuthExpired as refused:
            return None, refused, _done_without_helix(look)
    except (Stopped, LeaseLost) as error:
        return None, LeaseLost(error.message), False
    except VodtenderError as error:
        return None, error, False
    except Exception as error:
        _log.error("internal error", channel=look.channel, exc=error)
        said = f"internal error: {type(error).__name__}: {error}"
        return None, Transient(said, code="internal"), False


def _done_without_helix(look: _Look) -> bool:
    """Helix refuses our application. A person has to mend that, and VODs vanish meanwhile: what
    can be listed without an account is."""
    try:
        _through_ytdlp(look)
    except (Stopped, LeaseLost, DatabaseUnavailable):
        raise
    except VodtenderError as error:
        _log.debug("nor without Helix", channel=look.channel, why=error.message)
        return False
    return True


def _through_helix(look: _Look, user_id: str | None) -> str:
    helix = look.place.helix
    assert helix is not None
    user_id = user_id or helix.user_id(look.channel)
    live = _live(look)
    for kind in look.place.settings.twitch_vod_types:
        look.seen = 0
        _newest(look, cast("Kind", kind), user_id, live)
        if look.whole:
            _older(look, cast("Kind", kind), user_id, live)
    return user_id


def _live(look: _Look) -> Mapping[str, LiveStream] | None:
    """Who is on the air; None if Twitch does not say. The VODs can be listed all the same:
    before one is fetched, its playlist must have ended."""
    assert look.place.helix is not None
    try:
        return look.place.helix.live_streams([look.channel])
    except Transient as error:
        _log.debug("not known who is live", channel=look.channel, why=error.message)
        return None


def _newest(look: _Look, kind: Kind, user_id: str, live: Mapping[str, LiveStream] | None) -> None:
    helix = look.place.helix
    assert helix is not None
    page = helix.videos(user_id, kind, channel=look.channel)
    look.enter(page.videos, live)


def _older(look: _Look, kind: Kind, user_id: str, live: Mapping[str, LiveStream] | None) -> None:
    """Walks through the catalog, from where an earlier walk was cut off."""
    helix = look.place.helix
    assert helix is not None
    with look.place.database.transaction() as connection:
        start = channels.cursor_of(connection, look.channel, kind)
        now = clock(connection)
    look.seen = start.place if start else 0
    after = start.text if start else None
    try:
        for page in helix.pages(user_id, kind, after, channel=look.channel):
            if look.place.stopping.is_set():
                raise LeaseLost("The daemon stops.")
            look.enter(page.videos, live, Walked(kind, page.cursor))
            if look.is_enough(page.videos, now):
                look.enter([], live, Walked(kind, None))
                return
    except Transient as error:
        if error.code == "cursor_refused":
            look.enter([], live, Walked(kind, None))
        raise


def _through_ytdlp(look: _Look) -> None:
    from vodtender.clients.ytdlp.process import list_channel

    settings = look.place.settings
    listed = list_channel(
        look.channel,
        kinds=[cast("Kind", kind) for kind in settings.twitch_vod_types],
        limit=(settings.vod_catalog_max or None) if look.whole else _RECENT,
        cookies_path=settings.ytdlp_cookies_path,
        extra_args=settings.ytdlp_args,
        should_stop=look.place.stopping.is_set,
    )
    for _, of_one_kind in groupby(listed, key=lambda vod: vod.kind):
        look.seen = 0
        for some in _by_hundreds(of_one_kind):
            look.enter(some, None)


def _by_hundreds(listed: Iterator[ListedVod]) -> Iterator[list[ListedVod]]:
    """What is listed, also when the listing breaks off."""
    some: list[ListedVod] = []
    try:
        for vod in listed:
            some.append(vod)
            if len(some) == _RECENT:
                yield some
                some = []
    except Transient:
        yield some
        raise
    yield some


def _lease(channel: str) -> str:
    return f"discover {channel}"
