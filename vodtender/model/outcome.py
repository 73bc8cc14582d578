"""What one piece of work on a VOD came to: the input of `decision.after`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vodtender.errors import VodtenderError
from vodtender.model.vod import FileRecord, Waiting


@dataclass(frozen=True, slots=True)
class Fetched:
    """The file is whole, verified and in its place."""

    file: FileRecord


@dataclass(frozen=True, slots=True)
class Recording:
    """Twitch goes on recording it."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Twitch says that there is no such VOD. `confirmed`: a second witness says so, too;
    None: there is no second witness to ask."""

    message: str
    confirmed: bool | None


@dataclass(frozen=True, slots=True)
class Failed:
    """It went wrong.

    `session_over`: the upload's session has certainly not become a video and never will, so
    the upload begins anew. Anything short of that keeps the session, to be asked first.
    `progressed`: YouTube holds more than before this try. `costly`: it counts against the day's
    uploads though nothing came of it.
    """

    error: VodtenderError
    session_over: bool = False
    progressed: bool = False
    costly: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """It was not tried, because something has to come first."""

    reason: str
    code: str
    until: datetime
    waiting_for: Waiting


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Ended on request, at a safe point. Not a failure."""


@dataclass(frozen=True, slots=True)
class FileGone:
    """The recorded file is not there any more, lies where this worker cannot read it, or is
    not what was recorded."""

    why: str


@dataclass(frozen=True, slots=True)
class Adopted:
    """The recorded file is still there and still what was recorded: no need to fetch again."""


@dataclass(frozen=True, slots=True)
class OnYouTube:
    """YouTube has the video: it was sent whole, or found there."""

    video_id: str


@dataclass(frozen=True, slots=True)
class Absent:
    """YouTube was asked and does not show the upload (yet)."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The upload's session is open and does not hold all bytes: it can go on."""


@dataclass(frozen=True, slots=True)
class Processed:
    """YouTube has processed the video: it plays."""


@dataclass(frozen=True, slots=True)
class Processing:
    """YouTube has not finished with the video."""


@dataclass(frozen=True, slots=True)
class Refused:
    """YouTube will never show these videos."""

    video_ids: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Vanished:
    """YouTube does not show these videos (any more, or yet)."""

    video_ids: tuple[str, ...]


Outcome = (
    Fetched
    | Recording
    | Missing
    | Failed
    | Held
    | Interrupted
    | FileGone
    | Adopted
    | OnYouTube
    | Absent
    | Unfinished
    | Processed
    | Processing
    | Refused
    | Vanished
)
