"""An upload while it is being sent: what is told to others, and what a failure of it means."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from vodtender.errors import Rejected, Stopped, Uncertain, VodtenderError
from vodtender.model.outcome import Failed
from vodtender.pipeline.claimed_vod import ClaimedVod
from vodtender.pipeline.workplace import Workplace
from vodtender.store import claims, uploads
from vodtender.store.claims import Progress
from vodtender.store.uploads import Upload


@dataclass(slots=True)
class Sending:
    """How far one run of chunks of an upload is, which began at byte `start`."""

    place: Workplace
    claimed: ClaimedVod
    session: Upload
    start: int
    began: float = field(default_factory=time.monotonic)
    received: int = field(init=False)
    last_begun: bool = False

    def __post_init__(self) -> None:
        self.note(self.start)

    def note(self, received_bytes: int) -> None:
        """YouTube holds so many bytes."""
        self.received = received_bytes
        elapsed = time.monotonic() - self.began
        speed = (received_bytes - self.start) / elapsed if elapsed > 0.5 else None
        size = self.session.size_bytes
        self.claimed.report(Progress("upload", "sending", received_bytes, size, speed))

    def begin_last(self) -> None:
        """From here on the upload may be complete, whatever becomes of us.

        Raises:
            LeaseLost: a worker whose the VOD is not any more completes nothing.
            Stopped: nor does one whose work an operator has cancelled.
        """
        with self.place.database.transaction() as connection:
            if claims.lock(connection, self.claimed.claim) is not None:
                raise Stopped("the upload was cancelled before its last chunk")
            uploads.note_last(connection, self.session.vod_id, self.session.part)
        self.last_begun = True

    def failed(self, error: VodtenderError) -> Failed:
        """A session is over when it is gone, or refused, or has lost its file, and its last
        chunk was not sent."""
        is_file = error.code in ("file_changed", "file_missing")
        is_refused = isinstance(error, Rejected) and not self.last_begun
        is_gone = error.code == "session_gone" and not isinstance(error, Uncertain)
        return Failed(
            error,
            session_over=is_file or is_refused or is_gone,
            progressed=self.received > self.start,
        )
