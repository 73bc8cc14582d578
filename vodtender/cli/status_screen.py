"""The status as a person reads it: one screen, the trouble in red, what to type last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from vodtender.cli.output import duration, moment, padded, size, wrapped
from vodtender.log import printable

Document = Mapping[str, Any]

_ERRORS = 5
_VANISHING = 5
_LABEL = 10
_LINES_EACH = 3
_NEXT = "Next"
_LONGEST_PART = 8
_BOLD, _RED, _YELLOW, _DIM = "1", "31", "33", "2"
_STATES = (
    ("live", "live"),
    ("queued", "queued"),
    ("retrying", "to be tried again"),
    ("downloading", "coming down"),
    ("downloaded", "to be uploaded"),
    ("held", "held"),
    ("uploading", "going up"),
    ("finalizing", "uncertain"),
    ("verifying", "being processed by YouTube"),
    ("kept", "kept without upload"),
    ("published", "on YouTube"),
    ("skipped", "skipped"),
    ("failed", "failed for good"),
)


_Texts = Iterator[tuple[str, str]]


class _Line(NamedTuple):
    label: str
    text: str
    style: str = ""


def screen(status: Document, *, columns: int | None, colours: bool, rows: int | None = None) -> str:
    """The whole picture. If there is a limit of `columns`, what is longer goes on in a few more
    lines. If there is one of `rows`, too, it is cut, and where there still are too many, what
    is well is left out."""
    lines_each = _LINES_EACH if rows is None else 1
    now = datetime.fromisoformat(status["at"])
    lines = [
        _Line(label if number == 0 else "", row, style)
        for label, part in _PARTS
        for number, (row, style) in enumerate(_rows(part(status, now), columns, lines_each))
    ]
    if rows is not None:
        lines = _fitting(lines, rows)
    return "".join(_drawn(line, colours=colours) + "\n" for line in lines)


def _fitting(lines: list[_Line], rows: int) -> list[_Line]:
    """As many as there is room for; what to type stays, and what is dim goes first."""
    if len(lines) > rows:
        lines = [line for line in lines if line.style != _DIM]
    to_type = next((at for at, line in enumerate(lines) if line.label == _NEXT), len(lines))
    room = max(0, rows - (len(lines) - to_type))
    return (lines[: min(room, to_type)] + lines[to_type:])[:rows]


def _rows(part: _Texts, columns: int | None, lines_each: int) -> Iterator[tuple[str, str]]:
    for text, style in _shortened(list(part)):
        if columns is None:
            yield printable(text), style
            continue
        for row in wrapped(printable(text), columns - _LABEL, lines_each):
            yield row, style


def _shortened(part: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """All parts are to fit on one screen."""
    if len(part) <= _LONGEST_PART:
        return part
    kept = part[: _LONGEST_PART - 1]
    return [*kept, (f"and {len(part) - len(kept)} more: vodtender status --json", _DIM)]


def _drawn(line: _Line, *, colours: bool) -> str:
    label = padded(line.label, _LABEL)
    if not colours:
        return (label + line.text).rstrip()
    styled = f"\x1b[{line.style}m{line.text}\x1b[0m" if line.style and line.text else line.text
    return f"\x1b[{_BOLD}m{label}\x1b[0m{styled}"


def _queue(status: Document, _now: datetime) -> _Texts:
    states = status["states"]
    yield _counted(states) or "no VODs", ""
    channels = [one for one in status["channels"] if one["states"]]
    if len(channels) > 1:
        for one in channels:
            yield f"{one['channel'] or 'no channel'}: {_counted(one['states'])}", _DIM
    if status["paused"]:
        yield f"paused: {status['pause_reason']}", _YELLOW


def _counted(states: Mapping[str, int]) -> str:
    counted = [f"{states[state]} {name}" for state, name in _STATES if states.get(state)]
    return ", ".join(counted)


def _moving(status: Document, _now: datetime) -> _Texts:
    moving = (
        ("↓", status["downloads"]),
        ("↑", status["uploads"]),
        ("→", status["archive"]["moving"]),
    )
    for arrow, found in moving:
        for one in found:
            yield f"{arrow} {one['vod_id']}  {_progress(one)}  {one['title']}", ""
    if not any(found for _, found in moving):
        yield "nothing", _DIM


def _progress(one: Mapping[str, Any]) -> str:
    if not one["total_bytes"]:
        return f"{one['phase']} {size(one['done_bytes'])}"
    share = f"{min(100, 100 * one['done_bytes'] // one['total_bytes'])} %"
    parts = [share, f"{size(one['done_bytes'])} of {size(one['total_bytes'])}"]
    if one["bytes_per_second"]:
        parts.append(f"{size(one['bytes_per_second'])}/s")
    if one["left_seconds"] is not None:
        parts.append(f"{duration(one['left_seconds'])} left")
    return "  ".join(parts)


def _vanishing(status: Document, now: datetime) -> _Texts:
    found = status["vanishing"]
    if not found["count"]:
        yield "nothing within a day", _DIM
        return
    yield f"{found['count']} within a day and not on disk", _YELLOW
    for one in found["vods"][:_VANISHING]:
        yield f"{one['vod_id']}  {_when(one['vanishes_at'], now)}  {one['title']}", ""


def _breakers(status: Document, now: datetime) -> _Texts:
    troubled = [
        one
        for one in status["channels"]
        if one["circuit_breaker"]["state"] != "closed" or one["circuit_breaker"]["failures"]
    ]
    for one in troubled:
        breaker = one["circuit_breaker"]
        text = f"{breaker['state']}, {_number(breaker['failures'], 'VOD')} failed"
        if breaker["state"] != "closed" and breaker["open_until"]:
            text += f", one is tried after {_when(breaker['open_until'], now)}"
        yield f"{one['channel']}: {text}", "" if breaker["state"] == "closed" else _RED
    if not troubled:
        yield "closed", _DIM


def _limits(status: Document, now: datetime) -> _Texts:
    if not status["uploads_enabled"]:
        yield "uploads are off", _DIM
        return
    quota = status["quota"]
    for one in quota["projects"] or [quota]:
        full = one["uploads"] >= one["uploads_limit"] or one["used"] >= one["limit"]
        name = f"project {one['project']}: " if len(quota["projects"]) > 1 else ""
        yield (
            f"{name}{one['uploads']} of {one['uploads_limit']} uploads,"
            f" {one['used']:,} of {one['limit']:,} units today;"
            f" anew {_when(one['resets_at'], now)}",
            _YELLOW if full else "",
        )


def _accounts(status: Document, now: datetime) -> _Texts:
    for one in status["accounts"]:
        name = f"{one['provider']} {one['account']}" + (f" ({one['owner']})" * bool(one["owner"]))
        if one["problem"]:
            yield f"{name}: {one['problem']}", _RED
        elif one["held_until"]:
            why = f": {one['hold_reason']}" if one["hold_reason"] else ""
            yield f"{name}: waits until {_when(one['held_until'], now)}{why}", _YELLOW
        else:
            yield f"{name}: logged in", ""
    if not status["accounts"]:
        yield "none", _DIM


def _chat(status: Document, _now: datetime) -> _Texts:
    chat = status["chat"]
    for one in chat["recording"]:
        if one["state"] == "recording":
            rate = f"{one['messages_per_minute']:g} a minute"
            gaps = f", {_number(one['gaps'], 'gap')}" if one["gaps"] else ""
            yield f"{one['channel']}: {one['messages']:,} messages, {rate}{gaps}", ""
        elif one["state"] == "connecting":
            yield f"{one['channel']}: not connected", _YELLOW
        else:
            yield f"{one['channel']}: nobody records it", _RED
        if one["problem"]:
            yield f"{one['channel']}: {one['problem']}", _YELLOW
    if not chat["recording"]:
        yield "waiting for a stream" if chat["enabled"] else "not recorded", _DIM


def _disk(status: Document, _now: datetime) -> _Texts:
    disk = status["disk"]
    yield _room(disk["path"], disk["free_bytes"], disk["total_bytes"]), ""
    for why in {one["downloads_paused"] for one in status["workers"] if one["alive"]} - {None}:
        yield f"no downloads: {why}", _RED


def _room(path: str, free_bytes: int | None, total_bytes: int | None) -> str:
    if free_bytes is None:
        return f"{path}: not there yet"
    return f"{path}: {size(free_bytes)} free of {size(total_bytes)}"


def _workers(status: Document, now: datetime) -> _Texts:
    for one in status["workers"]:
        name = f"{one['host']} pid {one['pid']} (vodtender {one['version']})"
        if not one["alive"]:
            yield f"{name}: not heard of since {_when(one['heartbeat_at'], now)}", _RED
        elif one["draining"]:
            yield f"{name}: draining", _YELLOW
        else:
            yield f"{name}: since {_when(one['started_at'], now)}", ""
    if not status["workers"]:
        yield "none is running", _YELLOW


def _database(status: Document, _now: datetime) -> _Texts:
    database = status["database"]
    if not database["ok"]:
        yield database["error"], _RED
        return
    where = "embedded" if database["embedded"] else "DB_DSN"
    yield f"PostgreSQL {database['server_version']} ({where})", _DIM


def _backup(status: Document, now: datetime) -> _Texts:
    found = status["backup"]
    if not found["enabled"]:
        yield "none is made by itself: set BACKUP_DIR or BACKUP_S3_URL; now: vodtender backup", _DIM
        yield from _wal(found["wal"])
        return
    style = _RED if found["overdue"] else ""
    last = "never" if found["last_at"] is None else _when(found["last_at"], now)
    copy = "" if found["s3_at"] is None else f", in S3 {_when(found['s3_at'], now)}"
    good = "last one" if found["last_damage"] else "last good one"
    yield f"{good} {last}{copy}", style
    if found["last_damage"]:
        yield f"{found['last_name']} is damaged: {found['last_damage']}", _RED
    if found["last_lack"]:
        yield f"it lacks rows that the database has lost: {found['last_lack']}", _RED
    if found["local_only"]:
        yield f"no copy of {found['last_name']} in S3 yet", _RED
    if found["problem"] is not None:
        yield f"the last try: {found['problem']}", _RED
    drill = found["drill"]
    if drill["at"] is not None:
        took = duration(drill["took_seconds"])
        slow = drill["problem"] is not None or (drill["took_seconds"] or 0) > drill["rto_seconds"]
        how = drill["problem"] or f"restored in {took}"
        yield f"last drill {_when(drill['at'], now)}: {how}", _RED if slow else ""
    yield from _wal(found["wal"])


def _wal(found: Document | None) -> _Texts:
    if found is None:
        return
    if found["problem"] is not None:
        waiting = found["waiting_bytes"]
        piled = "" if waiting is None else f" ({size(waiting)} of it are in DATA_DIR)"
        yield found["problem"] + piled, _RED
    if found["recoverable"]:
        parts = [
            f"from {_second(one['from'])} to {_second(one['until'])}"
            for one in found["recoverable"]
        ]
        yield (
            f"any moment can be had {'; '.join(parts)} ({size(found['archived_bytes'])} of log)",
            "",
        )


def _archive(status: Document, now: datetime) -> _Texts:
    found = status["archive"]
    if not found["enabled"] and not found["files"] and not found["lost"]:
        yield "none is set", _DIM
        return
    last = "" if found["last_at"] is None else f", the last {_when(found['last_at'], now)}"
    target = found["target"] or "no archive is set any more"
    yield f"{target}: {_number(found['files'], 'file')}, {size(found['size_bytes'])}{last}", ""
    if found["waiting"]:
        yield f"{found['waiting']} of them still to be uploaded", ""
    if found["lost"]:
        yield f"{_number(found['lost'], 'file')} lost or damaged", _RED


def _errors(status: Document, now: datetime) -> _Texts:
    alike: dict[str, list[Mapping[str, Any]]] = {}
    for one in status["errors"]:
        alike.setdefault(one["error"], []).append(one)
    for error, vods in list(alike.items())[:_ERRORS]:
        first = vods[0]
        more = f" and {_number(len(vods) - 1, 'more')}" if len(vods) > 1 else ""
        ago = duration((now - datetime.fromisoformat(first["updated_at"])).total_seconds())
        yield f"{first['vod_id']}{more}, {ago} ago: {error}", _RED
    unlisted = [one for one in status["channels"] if one["watched"] and one["problem"]]
    for one in unlisted:
        yield f"listing {one['channel']}: {one['problem']}", _RED
    if not alike and not unlisted:
        yield "none", _DIM


def _next(status: Document, _now: datetime) -> _Texts:
    for step in status["next"]:
        yield f"{step['command']}  # {step['why']}", _BOLD
    if not status["next"]:
        yield "nothing needs you", _DIM


_PARTS = (
    ("VODs", _queue),
    ("Moving", _moving),
    ("Vanishing", _vanishing),
    ("Breaker", _breakers),
    ("Limits", _limits),
    ("Accounts", _accounts),
    ("Chat", _chat),
    ("Disk", _disk),
    ("Workers", _workers),
    ("Database", _database),
    ("Backup", _backup),
    ("Archive", _archive),
    ("Errors", _errors),
    (_NEXT, _next),
)


def _second(text: str | None) -> str:
    return "now" if text is None else f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}"


def _when(text: str, now: datetime) -> str:
    return moment(datetime.fromisoformat(text), now)


def _number(count: int, noun: str) -> str:
    plural = "" if count == 1 or noun == "more" else "s"
    return f"{count} {noun}{plural}"
