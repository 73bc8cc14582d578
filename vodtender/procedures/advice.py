"""What to type next, concluded from the status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

Step = dict[str, str]
Document = Mapping[str, Any]


def what_next(status: Document) -> list[Step]:
    """What needs a person, the most urgent first: `why`, and the `command` to type. Empty when
    nothing does."""
    return [
        {"why": why, "command": command}
        for part in (
            _daemon,
            _pause,
            _accounts,
            _chat,
            _disk,
            _backup,
            _archive,
            _breakers,
            _vanishing,
            _vods,
        )
        for why, command in part(status)
    ]


_Found = Iterator[tuple[str, str]]


def _daemon(status: Document) -> _Found:
    working = [one for one in status["workers"] if one["alive"]]
    nothing_to_do = not status["states"] and not any(one["watched"] for one in status["channels"])
    if not working and nothing_to_do:
        yield "no channel is set and there are no VODs", "TWITCH_CHANNEL=name vodtender run"
    elif not working:
        yield "no daemon is running, so nothing moves", "vodtender run"
    elif all(one["draining"] for one in working):
        yield "every daemon is draining, so nothing new is begun", "vodtender run"


def _pause(status: Document) -> _Found:
    if status["paused"]:
        yield f"processing is paused: {status['pause_reason']}", "vodtender resume"


def _accounts(status: Document) -> _Found:
    for one in status["accounts"]:
        if one["problem"] is not None:
            name = "" if one["account"] == "default" else f" --account {one['account']}"
            why = f"{one['provider']} account {one['account']}: {one['problem']}"
            yield why, f"vodtender auth login {one['provider']}{name}"
        elif one["held_until"] is not None and one["hold_code"] != "quota":
            # Until somebody mends it, each try ends alike; a quota comes back by itself.
            why = f"{one['provider']} account {one['account']}: {one['hold_reason']}"
            yield why, "vodtender vods --state held"


def _chat(status: Document) -> _Found:
    if not any(one["alive"] for one in status["workers"]):
        return
    for one in status["chat"]["recording"]:
        if one["state"] == "interrupted":
            yield f"nobody records the chat of {one['channel']}", "vodtender chat status"


def _backup(status: Document) -> _Found:
    found = status["backup"]
    if found["problem"] is not None:
        yield f"the last backup failed: {found['problem']}", "vodtender backup"
    elif found["overdue"]:
        yield "the last good backup is older than BACKUP_RPO, or there is none", "vodtender backup"
    if found["last_damage"] is not None:
        yield f"the last backup is damaged: {found['last_damage']}", "vodtender backup"
    if found["last_lack"] is not None:
        yield f"the database has lost rows ({found['last_lack']})", "vodtender db check"
    if found["drill"]["problem"] is not None:
        why = f"the last restore drill failed: {found['drill']['problem']}"
        yield why, "vodtender restore --test"


def _archive(status: Document) -> _Found:
    lost = status["archive"]["lost"]
    if lost:
        number = "1 archived file is" if lost == 1 else f"{lost} archived files are"
        yield f"{number} lost or damaged", "vodtender archive list"


def _disk(status: Document) -> _Found:
    for why in dict.fromkeys(
        one["downloads_paused"]
        for one in status["workers"]
        if one["alive"] and one["downloads_paused"]
    ):
        yield why, "vodtender prune --dry-run"


def _breakers(status: Document) -> _Found:
    for one in status["channels"]:
        if one["circuit_breaker"]["state"] == "open":
            until = one["circuit_breaker"]["open_until"]
            tries = f"one VOD is tried after {until}, or " if until else ""
            why = f"{one['channel']} is halted by its circuit breaker; {tries}once it is reset"
            yield why, f"vodtender breaker reset --channel {quote(one['channel'])}"
        if one["watched"] and one["problem"]:
            yield f"listing {one['channel']}: {one['problem']}", "vodtender config show"


def _vanishing(status: Document) -> _Found:
    for one in status["vanishing"]["vods"][:1]:
        if one["state"] in ("queued", "retrying"):
            why = f"VOD {one['vod_id']} vanishes from Twitch at {one['vanishes_at']}"
            yield why, f"vodtender priority {one['vod_id']} 100"


def _vods(status: Document) -> _Found:
    for one in status["errors"]:
        if one["state"] == "finalizing":
            why = f"nobody knows yet whether VOD {one['vod_id']} is on YouTube"
            yield why, f"vodtender resolve {one['vod_id']} --uploaded VIDEO | --not-uploaded"
    failed = status["states"].get("failed", 0)
    if failed:
        number = "1 VOD has" if failed == 1 else f"{failed} VODs have"
        yield f"{number} failed for good", "vodtender vods --state failed"
