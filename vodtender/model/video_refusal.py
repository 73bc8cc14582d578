"""Why YouTube does not keep a video, what that means and what a person can do.

Source: `failureReason` and `rejectionReason` in
https://developers.google.com/youtube/v3/docs/videos#status
"""

from __future__ import annotations

from dataclasses import dataclass

DUPLICATE = "video_duplicate"
DISPUTED = "video_disputed"
REFUSED = "video_refused"

_STUDIO = "appeal in YouTube Studio, and once it is shown: vodtender resolve {vod} --uploaded VIDEO"
_AGAIN = "to upload it once more: vodtender retry {vod}"

# reasons, our code, what they mean, what to do about VOD {vod}
_MEANINGS: tuple[tuple[frozenset[str], str, str, str], ...] = (
    (
        frozenset({"duplicate"}),
        DUPLICATE,
        "the channel has the same video already",
        "look for it there, then: vodtender resolve {vod} --uploaded VIDEO",
    ),
    (
        frozenset({"claim", "copyright", "legal", "trademark"}),
        DISPUTED,
        "somebody has rights in what it shows or plays",
        _STUDIO,
    ),
    (
        frozenset({"inappropriate", "termsOfUse"}),
        DISPUTED,
        "YouTube holds it to be against its rules",
        _STUDIO,
    ),
    (
        frozenset({"length"}),
        REFUSED,
        "it is too long for this account",
        "verify the account at https://www.youtube.com/verify, then: vodtender retry {vod}",
    ),
    (
        frozenset({"uploaderAccountClosed", "uploaderAccountSuspended"}),
        REFUSED,
        "the account is closed or suspended",
        "see youtube.com with that account, then: vodtender retry {vod}",
    ),
    (
        frozenset({"codec", "conversion", "invalidFile"}),
        REFUSED,
        "YouTube could not read it",
        _AGAIN,
    ),
    (
        frozenset({"emptyFile", "tooSmall", "uploadAborted"}),
        REFUSED,
        "it did not arrive whole",
        _AGAIN,
    ),
    (frozenset({"deleted"}), REFUSED, "somebody has deleted it there", _AGAIN),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """`code` tells the kinds apart of which a person has to do different things."""

    code: str
    problem: str


def refusal(video_ids: tuple[str, ...], reason: str, twitch_vod_id: str) -> Refusal:
    """What YouTube's `reason` for these videos of a VOD means, for a person to read."""
    said = f"YouTube does not accept the video {', '.join(video_ids)}: {reason}"
    for reasons, code, meaning, cure in _MEANINGS:
        if reason in reasons:
            return Refusal(code, f"{said}, {meaning}. {cure.format(vod=twitch_vod_id)}")
    return Refusal(REFUSED, f"{said}. {_AGAIN.format(vod=twitch_vod_id)}")
