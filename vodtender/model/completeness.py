"""Is a downloaded file the whole VOD? Decided from numbers, none of which is enough alone.

- **Segments** are the proof: every one that the playlist names was fetched whole and fed into
  the file. Neither an exit status nor a container's duration shows a missing one.
- **The playlist against Twitch's length** shows a playlist that was cut or has not settled.
  Twitch's length is a whole number of seconds that is worked out apart from the segments: the
  last segment may be cut, muted and re-encoded parts drift, and over 24 to 48 hours the two
  differ by seconds to minutes although nothing is missing (users of a tool that allowed
  ±2 seconds had whole VODs refused). So a shortfall of half a per cent is allowed, never less
  than 30 seconds, and for short VODs never more than a tenth and a second: half a VOD is not
  accepted at any length. A playlist *longer* than Twitch says loses nothing and is fine. A
  length of 0, or none, is no witness and is not heard.
- **The file against the playlist** shows a file that does not play as long as what went into
  it. The same allowance: segment durations are rounded, and streams that dropped frames have
  holes in their timestamps. A file of more than half as much again as its segments means
  wrecked timestamps.
"""

from __future__ import annotations

from dataclasses import dataclass

_USUAL_SECONDS = 30.0
_LONG_SHARE = 0.005
_SHORT_SHARE = 0.1
_ROUNDING_SECONDS = 1.0
_LARGEST_SHARE = 0.4
_WRECKED_FACTOR = 1.5


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a finished file. `segments_left_out` are gaps the operator accepted."""

    segments_in_playlist: int
    segments_in_file: int
    segments_left_out: int
    playlist_seconds: float
    left_out_seconds: float
    file_seconds: float
    twitch_seconds: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`code` is stable: complete, segments_missing, too_short, file_too_short, file_too_long."""

    complete: bool
    code: str
    explanation: str


def allowed_shortfall_seconds(expected_seconds: float) -> float:
    """How much shorter than expected may still be the whole VOD. See the module's text."""
    usual = max(_USUAL_SECONDS, _LONG_SHARE * expected_seconds)
    short = _SHORT_SHARE * expected_seconds + _ROUNDING_SECONDS
    return min(usual, short, _LARGEST_SHARE * expected_seconds)


def judge(evidence: Evidence) -> Verdict:
    """Say whether the file is the whole VOD, and if not, why in one sentence."""
    verdict = _judge_segments(evidence) or _judge_playlist(
        evidence.playlist_seconds, evidence.twitch_seconds
    )
    return verdict or _judge_file(evidence) or Verdict(True, "complete", "")


def judge_playlist(playlist_seconds: float, twitch_seconds: float | None) -> Verdict:
    """The part that can be decided before a single segment is fetched."""
    verdict = _judge_playlist(playlist_seconds, twitch_seconds)
    return verdict or Verdict(True, "complete", "")


def _judge_segments(evidence: Evidence) -> Verdict | None:
    found = evidence.segments_in_file + evidence.segments_left_out
    if found == evidence.segments_in_playlist and evidence.segments_in_file > 0:
        return None
    return Verdict(
        False,
        "segments_missing",
        f"The playlist has {evidence.segments_in_playlist} segments, but only "
        f"{evidence.segments_in_file} are in the file.",
    )


def _judge_playlist(playlist_seconds: float, twitch_seconds: float | None) -> Verdict | None:
    if not twitch_seconds or twitch_seconds <= 0:
        return None
    if playlist_seconds >= twitch_seconds - allowed_shortfall_seconds(twitch_seconds):
        return None
    return Verdict(
        False,
        "too_short",
        f"Twitch says the VOD lasts {_clock(twitch_seconds)}, but its playlist only "
        f"{_clock(playlist_seconds)}: it may not have settled yet, or part of it is missing "
        "at Twitch.",
    )


def _judge_file(evidence: Evidence) -> Verdict | None:
    expected = evidence.playlist_seconds - evidence.left_out_seconds
    if evidence.file_seconds < expected - allowed_shortfall_seconds(expected):
        return Verdict(
            False,
            "file_too_short",
            f"The file plays {_clock(evidence.file_seconds)}, but the segments in it last "
            f"{_clock(expected)}.",
        )
    longest = evidence.playlist_seconds * _WRECKED_FACTOR + _USUAL_SECONDS
    if evidence.file_seconds > longest:
        return Verdict(
            False,
            "file_too_long",
            f"The file claims to play {_clock(evidence.file_seconds)}, but the segments in it "
            f"last only {_clock(expected)}: their timestamps are wrecked.",
        )
    return None


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d} ({seconds:.1f} s)"
