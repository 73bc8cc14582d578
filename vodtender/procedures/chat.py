"""How the recording of chat stands, where nobody listened, and what was said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from vodtender.config.settings import Settings
from vodtender.errors import NotFound
from vodtender.model import chat_text
from vodtender.store import chat_recordings, workers
from vodtender.store.chat_recordings import RecordedGap, Recording
from vodtender.store.database import Connection, Database, clock

if TYPE_CHECKING:
    from vodtender.pipeline.chat_login import Credentials

FRESH = timedelta(seconds=30)
"""A recorder says how it fares every few seconds; one that is silent for longer is gone."""


@dataclass(frozen=True, slots=True)
class ChannelState:
    """One channel's recorder. `state`: `recording`, `connecting` (a recorder lives and is not
    in the chat), `interrupted` (nobody records a stream that is to be), `waiting` (for a stream).
    What follows is of the newest recording; `lag_seconds` is how long the last messages took
    from the wire to the table."""

    channel: str
    state: str
    vod_id: str | None = None
    stream_id: str | None = None
    mode: str | None = None
    began_at: datetime | None = None
    ended_at: datetime | None = None
    connected_since: datetime | None = None
    identity: str | None = None
    problem: str | None = None
    messages: int = 0
    messages_per_minute: float = 0.0
    last_message_at: datetime | None = None
    lag_seconds: float | None = None
    reconnections: int = 0
    gaps: int = 0
    gap_seconds: float = 0.0
    worker_id: str | None = None
    reported_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A stream whose chat waits for its VOD to appear."""

    channel: str
    vod_id: str
    began_at: datetime
    ended_at: datetime | None
    messages: int


@dataclass(frozen=True, slots=True)
class Advice:
    """What needs a person, and what to type."""

    why: str
    command: str


@dataclass(frozen=True, slots=True)
class ChatStatus:
    """All of it. `mode` is `auto`, `manual` or `off`, as the settings have it here."""

    at: datetime
    mode: str
    channels: tuple[ChannelState, ...]
    waiting_for_vod: tuple[Waiting, ...]


def mode_of(settings: Settings) -> str:
    """Whether and how a daemon with these settings records."""
    if not settings.channels:
        return "off"
    if settings.chat_auto_start:
        return "auto"
    return "manual" if settings.twitch_vod_id is not None else "off"


def status(database: Database, settings: Settings) -> ChatStatus:
    """How it stands, from what is stored. Raises DatabaseUnavailable."""
    with database.transaction() as connection:
        return status_in(connection, settings)


def status_in(connection: Connection, settings: Settings) -> ChatStatus:
    """The same, within a transaction."""
    now = clock(connection)
    mode = mode_of(settings)
    expected = {"auto": settings.channels, "manual": settings.channels[:1]}.get(mode, ())
    going_on = [one.channel for one in chat_recordings.unfinished(connection)]
    names = list(dict.fromkeys([*expected, *going_on]))
    latest = {one.channel: one for one in chat_recordings.latest(connection, names)}
    channels = [_state(connection, name, latest.get(name), now) for name in names]
    waiting = [
        Waiting(one.channel, one.vod_id, one.began_at, one.ended_at, one.messages)
        for one in chat_recordings.not_joined(connection)
        if one.ended_at is not None
    ]
    return ChatStatus(now, mode, tuple(channels), tuple(waiting))


def _state(
    connection: Connection, channel: str, recording: Recording | None, now: datetime
) -> ChannelState:
    if recording is None:
        return ChannelState(channel, "waiting")
    found = [
        gap
        for gap in chat_recordings.gaps(connection, recording.vod_id)
        if gap.recording_id == recording.id
    ]
    going_on = recording.ended_at is None
    lives = going_on and recording.reported_at is not None and now - recording.reported_at < FRESH
    state = "waiting"
    if going_on:
        state = "connecting" if lives else "interrupted"
    if lives and recording.connected_since is not None:
        state = "recording"
    return ChannelState(
        channel,
        state,
        vod_id=recording.vod_id,
        stream_id=recording.stream_id,
        mode=recording.mode,
        began_at=recording.began_at,
        ended_at=recording.ended_at,
        connected_since=recording.connected_since if lives else None,
        identity=recording.identity if lives else None,
        problem=recording.problem if going_on else None,
        messages=recording.messages,
        messages_per_minute=(recording.messages_per_minute or 0.0) if lives else 0.0,
        last_message_at=recording.last_message_at,
        lag_seconds=recording.latency_seconds if lives else None,
        reconnections=recording.reconnections,
        gaps=len(found),
        gap_seconds=round(sum(seconds(gap, now) for gap in found), 3),
        worker_id=recording.worker_id if lives else None,
        reported_at=recording.reported_at,
    )


def daemon_runs(database: Database, settings: Settings) -> bool:
    """Whether any daemon lives."""
    with database.transaction() as connection:
        return bool(workers.find(connection, heard_within_seconds=settings.lease_seconds))


def seconds(gap: RecordedGap, now: datetime) -> float:
    """How long a gap is, or has been so far."""
    return max(0.0, ((gap.to_at or now) - gap.from_at).total_seconds())


def what_next(
    found: ChatStatus, credentials: Credentials | None = None, *, daemon_runs: bool = True
) -> Iterator[Advice]:
    """What needs a person, the most urgent first."""
    if not daemon_runs and found.mode != "off":
        yield Advice("no daemon is running, so no chat is recorded", "vodtender run")
    elif found.mode == "off" and not any(one.state == "recording" for one in found.channels):
        yield Advice(
            "no chat is recorded: CHAT_AUTO_START is off", "CHAT_AUTO_START=1 vodtender run"
        )
    for one in found.channels:
        if one.state == "interrupted" and daemon_runs:
            why = f"nobody records {one.channel} since {_when(one)}"
            yield Advice(why, "vodtender status")
        if one.problem is not None:
            yield Advice(f"{one.channel}: {one.problem}", "vodtender auth login twitch")
    if credentials is not None and credentials.problem is not None:
        yield Advice(credentials.problem, credentials.hint)


def _when(one: ChannelState) -> str:
    at = one.reported_at or one.began_at
    return "it began" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def gaps(database: Database, vod_id: str | None) -> Sequence[RecordedGap]:
    """Where nobody listened: in one VOD's chat, or in all.

    Raises:
        NotFound: no chat of such a VOD was recorded.
    """
    with database.transaction() as connection:
        if vod_id is not None and not chat_recordings.of_vod(connection, vod_id):
            raise _no_chat(vod_id)
        return chat_recordings.gaps(connection, vod_id)


def export(database: Database, vod_id: str, form: str, *, with_deleted: bool) -> Iterator[str]:
    """The chat of a VOD as a file, piece by piece, in constant memory. To be read to its end,
    or closed.

    Raises:
        NotFound: nothing was recorded of it. Raised before the first piece.
    """
    with database.transaction() as connection:
        recordings = chat_recordings.of_vod(connection, vod_id)
        messages = chat_recordings.messages(connection, vod_id)
        first = next(messages, None)
        if first is None and not recordings:
            raise _no_chat(vod_id)
        found_gaps = chat_recordings.gaps(connection, vod_id)
        head = {
            "vod_id": vod_id,
            "channel": recordings[0].channel if recordings else first and first["channel"],
            "began_at": recordings[0].began_at if recordings else None,
            "gaps": [
                {
                    "from": chat_text.moment(gap.from_at),
                    "to": chat_text.moment(gap.to_at),
                    "why": gap.why,
                }
                for gap in found_gaps
            ],
        }
        every = _all(first, messages)
        wanted = every if with_deleted else (m for m in every if m["deleted_at"] is None)
        yield from chat_text.written(form, head, wanted)


def _all(
    first: chat_text.Message | None, rest: Iterator[chat_text.Message]
) -> Iterator[chat_text.Message]:
    if first is not None:
        yield first
    yield from rest


def _no_chat(vod_id: str) -> NotFound:
    return NotFound(
        f"No chat of VOD {vod_id} was recorded.",
        hint="vodtender chat status shows what is; streams without a VOD are called live-STREAM",
        code="no_chat",
    )
