"""What is to be stored after a piece of work, and the settings that decide it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from vodtender.model.backoff import Backoff
from vodtender.model.vod import FileRecord, Standing


class Signal(Enum):
    """What the channel's circuit breaker learns."""

    NOTHING = "nothing"
    FAILURE = "failure"
    SUCCESS = "success"


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decisions depend on."""

    download: Backoff
    upload: Backoff
    absence_wait: timedelta
    second_look: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is to be stored. `file`: a new file to record; `forget_file`: the recorded one is
    no more; `forget_session`: what is not on YouTube yet begins anew with a session of its own;
    `forget_videos`: these are not, or no longer, to be counted on."""

    standing: Standing
    signal: Signal = Signal.NOTHING
    file: FileRecord | None = None
    forget_file: bool = False
    forget_session: bool = False
    forget_videos: tuple[str, ...] = ()
