"""What happens next with a VOD, and what a person can type about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from vodtender.model import video_refusal
from vodtender.model.breaker import Breaker
from vodtender.model.vod import Stage, Vod

_SOON = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else decides when a VOD goes on. `account` is the YouTube account it goes to, or
    where it may be already, `account_problem` why that cannot be used, `held_until` how long
    its uploads wait, and `held_for` what is amiss with it if it is not the quota that they
    wait for."""

    now: datetime
    paused: str | None
    breaker: Breaker
    daemon_runs: bool
    uploads_wanted: bool
    account: str
    account_problem: str | None
    held_until: datetime | None
    held_for: str | None
    absence_wait: timedelta


@dataclass(frozen=True, slots=True)
class NextStep:
    """In words, and the commands that make a difference; none when nothing needs a person.
    `is_held`: it is not the VOD's own state that keeps it where it is."""

    text: str
    commands: tuple[str, ...] = ()
    is_held: bool = False


def next_step(vod: Vod, around: Surroundings) -> NextStep:
    """What the daemon will do with it, or what keeps it from doing so."""
    if not vod.is_in_work(around.now):
        return _BY_STAGE[vod.stage](vod, around)
    if vod.cancel_reason is not None:
        return NextStep(f"worker {vod.worker_id} stops, and it is skipped")
    return NextStep(f"worker {vod.worker_id} has it in hand", (f"vodtender cancel {_id(vod)}",))


def _live(_vod: Vod, _around: Surroundings) -> NextStep:
    return NextStep("Twitch still records it; it comes down when the stream is over")


def _to_download(vod: Vod, around: Surroundings) -> NextStep:
    return _halted(vod, around) or _again(vod) or _comes_down(vod, around.now)


def _to_upload(vod: Vod, around: Surroundings) -> NextStep:
    return (
        _not_uploaded(vod, around)
        or _halted(vod, around)
        or _again(vod)
        or NextStep("it goes up when its turn comes")
    )


def _uncertain(vod: Vod, around: Surroundings) -> NextStep:
    resolve = f"vodtender resolve {_id(vod)}"
    commands = (f"{resolve} --uploaded VIDEO", f"{resolve} --not-uploaded")
    locked_out = _locked_out(around)
    if locked_out is not None:
        return replace(locked_out, commands=locked_out.commands + commands)
    text = f"YouTube is asked{_when(vod.next_try_at)} whether it has the video"
    if vod.uncertain_since is not None:
        settled_at = vod.uncertain_since + around.absence_wait
        text += f"; if it has not appeared by {_text(settled_at)}, it is uploaded again"
    return NextStep(text, commands)


def _to_verify(vod: Vod, around: Surroundings) -> NextStep:
    return (
        _locked_out(around)
        or _unasked(around)
        or NextStep(f"YouTube is asked{_when(vod.next_try_at)} whether it has processed the video")
    )


def _published(_vod: Vod, _around: Surroundings) -> NextStep:
    return NextStep("nothing: it is done")


def _failed(vod: Vod, _around: Surroundings) -> NextStep:
    return NextStep("nothing, until somebody acts", _cures(vod))


def _skipped(vod: Vod, _around: Surroundings) -> NextStep:
    return NextStep("nothing: it was skipped", (f"vodtender reprocess {_id(vod)}   (after all)",))


_BY_STAGE: dict[Stage, Callable[[Vod, Surroundings], NextStep]] = {
    Stage.LIVE: _live,
    Stage.QUEUED: _to_download,
    Stage.DOWNLOADING: _to_download,
    Stage.DOWNLOADED: _to_upload,
    Stage.UPLOADING: _to_upload,
    Stage.FINALIZING: _uncertain,
    Stage.VERIFYING: _to_verify,
    Stage.PUBLISHED: _published,
    Stage.FAILED: _failed,
    Stage.SKIPPED: _skipped,
}


def _halted(vod: Vod, around: Surroundings) -> NextStep | None:
    """What keeps all VODs of its channel where they are."""
    if around.paused is not None:
        return _held(f"processing is paused: {around.paused}", "vodtender resume")
    breaker = around.breaker
    if breaker.state != "closed":
        until = _when(breaker.open_until) if breaker.state == "open" else ""
        return _held(
            f"the circuit breaker of {vod.channel or 'no channel'} is {breaker.state};"
            f" one VOD is tried{until}",
            "vodtender breaker reset   (once the cause is mended)",
        )
    return _unasked(around)


def _unasked(around: Surroundings) -> NextStep | None:
    if around.daemon_runs:
        return None
    return _held("no daemon is running", "vodtender run")


def _held(why: str, command: str) -> NextStep:
    return NextStep(f"it waits: {why}", (command,), is_held=True)


def _again(vod: Vod) -> NextStep | None:
    if vod.next_try_at is None:
        return None
    return NextStep(f"it is tried again{_when(vod.next_try_at)}", (f"vodtender retry {_id(vod)}",))


def _comes_down(vod: Vod, now: datetime) -> NextStep:
    text = "it comes down when its turn comes"
    if vod.vanishes_at is None or vod.vanishes_at - now > _SOON:
        return NextStep(text)
    text += f"; Twitch deletes it{_when(vod.vanishes_at)}"
    return NextStep(text, (f"vodtender priority {_id(vod)} 100",))


def _not_uploaded(vod: Vod, around: Surroundings) -> NextStep | None:
    """What keeps it from YouTube that has nothing to do with its channel."""
    if vod.skip_upload:
        return NextStep(
            "nothing: it is only kept on the disk", (f"vodtender add {_id(vod)} --upload",)
        )
    if not around.uploads_wanted:
        return _held("uploads are off, or nobody has logged in", _login(around))
    locked_out = _locked_out(around)
    if locked_out is not None:
        return locked_out
    if around.held_until is not None and around.held_until > around.now:
        text = f"uploads of account {around.account} are held until {_text(around.held_until)}"
        if around.held_for is None:
            return _held(text, "vodtender retry --quota")
        return _held(f"{text}: {around.held_for}", f"vodtender retry {_id(vod)}   (once mended)")
    return None


def _locked_out(around: Surroundings) -> NextStep | None:
    """What keeps YouTube from being asked or sent anything."""
    if around.account_problem is None:
        return None
    return _held(f"YouTube account {around.account}: {around.account_problem}", _login(around))


def _cures(vod: Vod) -> tuple[str, ...]:
    retry = f"vodtender retry {_id(vod)}"
    match vod.problem_code:
        case "segments_gone":
            return (f"{retry} --allow-gaps",)
        case "subscriber_only":
            return ("vodtender auth import cookies FILE   (of a subscriber)", retry)
        case video_refusal.DUPLICATE | video_refusal.DISPUTED:
            resolve = f"vodtender resolve {_id(vod)} --uploaded VIDEO"
            return (resolve, f"vodtender skip {_id(vod)}", f"{retry}   (uploads it once more)")
        case _:
            return (retry, f"vodtender skip {_id(vod)}")


def _login(around: Surroundings) -> str:
    option = "" if around.account == "default" else f" --account {around.account}"
    return f"vodtender auth login youtube{option}"


def _id(vod: Vod) -> str:
    return vod.twitch_vod_id


def _when(at: datetime | None) -> str:
    return "" if at is None else f" at {_text(at)}"


def _text(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
