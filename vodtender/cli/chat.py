"""`vodtender chat`: how its recording stands, and what was said."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vodtender.cli.arguments import moment as moment_argument
from vodtender.cli.context import AsJson, Context
from vodtender.cli.output import (
    duration,
    moment,
    note,
    plain,
    write_json,
    write_line,
    write_table,
)
from vodtender.errors import Exit, UsageError, VodtenderError

if TYPE_CHECKING:
    from vodtender.pipeline.chat_login import Credentials
    from vodtender.procedures.chat import ChannelState, ChatStatus
    from vodtender.store.chat_recordings import Recording

app = typer.Typer(
    help="Record chat, see how that stands, and export it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _reference(text: str) -> str:
    """A VOD's number or address, or what stands for the VOD of a stream."""
    if text.startswith("live-"):
        return text
    from vodtender.cli.vod_arguments import vod_id

    return vod_id(text)


_Vod = Annotated[
    str,
    typer.Argument(
        metavar="VOD", parser=_reference, help="The VOD's number or address, or live-STREAM."
    ),
]


@app.command()
def status(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show who is recorded, how well, and what to do about it."""
    from vodtender.procedures import chat
    from vodtender.procedures.chat_credentials import look

    context: Context = ctx.obj
    settings = context.settings()
    with context.database() as database:
        found = chat.status(database, settings)
        runs = chat.daemon_runs(database, settings)
        credentials = look(settings, database)
    advice = list(chat.what_next(found, credentials, daemon_runs=runs))
    if as_json:
        write_json(plain(found) | {"credentials": _shown(credentials), "next": plain(advice)})
        return
    _write_status(found, credentials)
    for step in advice:
        write_line(f"Next: {step.command}  # {step.why}")


def _shown(credentials: Credentials) -> dict[str, Any]:
    """Without the token."""
    return {
        "source": credentials.source,
        "username": credentials.username,
        "anonymous": credentials.login is None,
        "scopes": list(credentials.scopes),
        "problem": credentials.problem,
        "warning": credentials.warning,
    }


def _write_status(found: ChatStatus, credentials: Credentials) -> None:
    meaning = {
        "auto": "on: every stream of the channels",
        "manual": "by hand: TWITCH_VOD_ID",
        "off": "off",
    }
    write_line(f"Recording: {meaning[found.mode]}")
    for one in found.channels:
        for line in _channel_lines(one, found.at):
            write_line(line)
    for late in found.waiting_for_vod:
        ended = moment(late.ended_at, found.at)
        write_line(
            f"Waiting for its VOD: {late.vod_id} of {late.channel},"
            f" {late.messages:,} messages, ended {ended}"
        )
    write_line(f"Login: {_login(credentials)}")


def _login(credentials: Credentials) -> str:
    if credentials.problem is not None:
        return f"anonymous; {credentials.problem}"
    if credentials.login is None:
        return "anonymous, which is enough to read"
    scopes = " ".join(credentials.scopes)
    text = f"{credentials.username} ({credentials.source}), {scopes}"
    return text if credentials.warning is None else f"{text}; {credentials.warning}"


def _channel_lines(one: ChannelState, now: datetime) -> Iterator[str]:
    if one.vod_id is None:
        yield f"{one.channel}: waiting for a stream"
        return
    if one.state == "waiting":
        yield f"{one.channel}: waiting for a stream; the last was {one.vod_id}"
    elif one.state == "recording":
        since = moment(one.connected_since, now)
        yield f"{one.channel}: recording {one.vod_id}, connected since {since} as {one.identity}"
    elif one.state == "connecting":
        yield f"{one.channel}: a recorder lives, but is not connected; {one.vod_id}"
    else:
        heard = moment(one.reported_at, now)
        yield f"{one.channel}: nobody records {one.vod_id}; last heard of {heard}"
    lag = "" if one.lag_seconds is None else f", stored after {one.lag_seconds:.1f} s"
    yield (
        f"  {one.messages:,} messages, {one.messages_per_minute:g} in the last minute{lag};"
        f" the last {moment(one.last_message_at, now)}"
    )
    yield (
        f"  gaps: {one.gaps}, {duration(one.gap_seconds)} in all;"
        f" reconnections: {one.reconnections}"
    )
    if one.problem is not None:
        yield f"  {one.problem}"


@app.command()
def gaps(
    ctx: typer.Context,
    vod: Annotated[
        str | None,
        typer.Argument(metavar="[VOD]", parser=_reference, help="Only those of this VOD."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the times in which nobody listened."""
    from vodtender.procedures import chat

    context: Context = ctx.obj
    with context.database() as database:
        found = chat.gaps(database, vod)
    if as_json:
        write_json({"gaps": found})
        return
    if not found:
        note("no gaps")
        return
    write_table(
        ("VOD", "CHANNEL", "FROM", "TO", "LASTED", "WHY"),
        (
            (
                one.vod_id,
                one.channel,
                f"{one.from_at:%Y-%m-%d %H:%M:%S}",
                "still" if one.to_at is None else f"{one.to_at:%Y-%m-%d %H:%M:%S}",
                "" if one.to_at is None else duration((one.to_at - one.from_at).total_seconds()),
                one.why,
            )
            for one in found
        ),
    )


@app.command()
def export(
    ctx: typer.Context,
    vod: _Vod,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="json, csv, srt or ass.")
    ] = "json",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file, not to stdout.")
    ] = None,
    without_deleted: Annotated[
        bool,
        typer.Option("--without-deleted", help="Leave out what moderators took back."),
    ] = False,
) -> None:
    """Write the chat of a VOD to a file or to stdout.

    What moderators took back is marked: `deleted_at` in json and csv, `[deleted]` in subtitles.
    """
    from vodtender.model.chat_text import FORMATS
    from vodtender.procedures import chat

    if form not in FORMATS:
        raise UsageError(f"There is no format {form!r}.", hint=f"one of {', '.join(FORMATS)}")
    context: Context = ctx.obj
    with context.database() as database:
        pieces = chat.export(database, vod, form, with_deleted=not without_deleted)
        if output is None:
            for piece in pieces:
                sys.stdout.write(piece)
            return
        _write_file(output, pieces)
    note(f"written to {output}")


def _write_file(path: Path, pieces: Iterator[str]) -> None:
    """Whole, or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            file.writelines(pieces)
        beside.replace(path)
    except OSError as error:
        raise VodtenderError(
            f"{path} cannot be written: {error.strerror}.", hint="choose another --output"
        ) from error
    finally:
        beside.unlink(missing_ok=True)


@app.command()
def record(
    ctx: typer.Context,
    vod: Annotated[
        str,
        typer.Option("--vod", metavar="VOD", help="The VOD's number or address."),
    ],
    start: Annotated[
        datetime | None,
        typer.Option(
            "--start",
            metavar="TIME",
            parser=moment_argument,
            help="When the VOD begins; else as the catalog says, or now.",
        ),
    ] = None,
    channel: Annotated[
        str | None, typer.Option("--channel", metavar="NAME", help="Whose chat it is.")
    ] = None,
) -> int:
    """Record a channel's chat for a VOD, until Ctrl-C.

    For when automatic recording fails. Another start with the same VOD goes on with it.
    """
    from vodtender import log
    from vodtender.cli.vod_arguments import vod_id
    from vodtender.procedures import chat_record
    from vodtender.procedures.opening import open_database

    context: Context = ctx.obj
    settings = context.settings()
    log.configure("debug" if context.debug else settings.log_level, settings.log_format)
    number = vod_id(vod)
    opening = open_database(settings, pooled=True, create=True)
    with opening as database, _until_a_signal() as stopping:
        name = _channel(channel) or chat_record.channel_for(database, settings, number, None)

        def begun(recording: Recording) -> None:
            began = moment(recording.began_at)
            note(f"recording the chat of {name} for VOD {number}, which began {began}; Ctrl-C ends")

        recording = chat_record.record(
            database,
            settings,
            channel=name,
            vod_id=number,
            start=start,
            stopping=stopping,
            on_begin=begun,
        )
    note(f"{recording.messages:,} messages; vodtender chat export {number}")
    return Exit.DONE


def _channel(name: str | None) -> str | None:
    if name is None:
        return None
    from vodtender.config.service_forms import CHANNEL

    try:
        return CHANNEL.read(name)
    except ValueError as error:
        raise UsageError(f"--channel: {error}") from None


@contextmanager
def _until_a_signal() -> Iterator[threading.Event]:
    """Set by the first SIGINT or SIGTERM; the second ends the process."""
    stopping = threading.Event()
    came = False

    def handle(_number: int, _frame: Any) -> None:
        nonlocal came
        if came:
            os._exit(Exit.INTERRUPTED)
        came = True
        # Not from here: a handler that sets an Event may interrupt a wait for it.
        threading.Thread(target=stopping.set, daemon=True).start()

    before = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
