"""All segments of a VOD, several at once, in whatever order they come.

The one who puts them together asks for each in its turn and waits for it. A segment that is
refused is looked for under its muted name, then in a playlist that is asked for again, with a
fresh token (by all threads together, once a minute at most); what is still refused then is gone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from vodtender.clients.ytdlp.piece import Content, Damaged, PieceFetcher, Refused
from vodtender.clients.ytdlp.workdir import Stored, WorkDirectory
from vodtender.errors import Rejected, Transient, VodtenderError
from vodtender.model.playlist import MediaPlaylist, Segment, Twins, muted_url

_ALL_REFUSED = 16
_FRESH_SECONDS = 60.0
_TOO_LARGE_SAMPLE = 0.05
_TOO_LARGE_FACTOR = 1.5


@dataclass(frozen=True, slots=True)
class Gone:
    """A segment that Twitch does not hand out any more, and how that shows."""

    segment: Segment
    how: str

    def __str__(self) -> str:
        start, end = self.segment.start_seconds, self.segment.start_seconds
        end += self.segment.duration_seconds
        when = f"{_clock(start)} to {_clock(end)}"
        return f"segment {self.segment.index} ({when}, {self.segment.bare_url}, {self.how})"


Outcome = Stored | Gone


class SegmentPool:
    """Fetches the segments of one playlist with `concurrency` threads."""

    def __init__(
        self,
        playlist: MediaPlaylist,
        directory: WorkDirectory,
        fetcher: PieceFetcher,
        renew: Callable[[], MediaPlaylist],
        on_kept: Callable[[int], None],
        *,
        concurrency: int,
        max_size_bytes: int | None,
        takes_gaps: bool,
    ) -> None:
        self._playlist = playlist
        self._directory = directory
        self._fetcher = fetcher
        self._renew = renew
        self._on_kept = on_kept
        # So many refusals and not one segment: no use in asking for thousands more.
        patience = len(playlist.segments) if takes_gaps else _ALL_REFUSED
        self._takes_gaps = takes_gaps
        self._damages: dict[Content, Segment] = {}
        self._most_refused = min(patience, len(playlist.segments))
        self._concurrency = max(1, min(concurrency, len(playlist.segments)))
        self._max_size_bytes = max_size_bytes
        self._outcomes: list[Outcome | None] = [None] * len(playlist.segments)
        self._changed = threading.Condition()
        self._next = 0
        self._failure: BaseException | None = None
        self._renewing = threading.Lock()
        self._renewed: Twins | None = None
        self._renewed_at = 0.0
        self.segments_done = 0
        self.stored_bytes = 0
        self._stored_seconds = 0.0
        self._stored_count = 0
        self._gone_count = 0

    def start(self) -> None:
        for number in range(self._concurrency):
            threading.Thread(target=self._work, name=f"segments-{number}", daemon=True).start()

    def wait_for(self, index: int) -> Outcome:
        """The outcome of one segment. Raises the failure that ended the pool."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure or self._outcomes[index] is not None)
            outcome = self._outcomes[index]
            if outcome is None:
                assert self._failure is not None
                raise self._failure
            return outcome

    def wait_for_all(self) -> list[Outcome]:
        return [self.wait_for(index) for index in range(len(self._outcomes))]

    def gone(self) -> list[Gone]:
        """Every segment that is gone, once all the others are there. Raises when all are."""
        outcomes = self.wait_for_all()
        gone = [outcome for outcome in outcomes if isinstance(outcome, Gone)]
        if len(gone) == len(outcomes):
            raise _all_refused(gone[0])
        return gone

    def estimated_bytes(self) -> int | None:
        """The size of all segments, told from those that are there."""
        if not self._stored_seconds:
            return None
        return round(self.stored_bytes * self._playlist.total_seconds / self._stored_seconds)

    def fail(self, error: BaseException) -> None:
        """End the pool: threads stop at their next segment, waiters get this error."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def _work(self) -> None:
        try:
            while (segment := self._take_next()) is not None:
                outcome = self._obtain(segment)
                self._settle(segment, outcome)
        except BaseException as error:  # whoever waits for a segment raises it
            self.fail(error)

    def _take_next(self) -> Segment | None:
        with self._changed:
            if self._failure or self._next == len(self._outcomes):
                return None
            self._next += 1
            return self._playlist.segments[self._next - 1]

    def _settle(self, segment: Segment, outcome: Outcome) -> None:
        with self._changed:
            self._outcomes[segment.index] = outcome
            self.segments_done += 1
            if isinstance(outcome, Stored):
                self._stored_count += 1
                self.stored_bytes += outcome.size_bytes
                self._stored_seconds += segment.duration_seconds
            else:
                self._gone_count += 1
            self._changed.notify_all()
        self._check_size()
        refused = isinstance(outcome, Gone) and self._stored_count == 0
        if refused and self._gone_count >= self._most_refused:
            raise _all_refused(outcome)

    def _check_size(self) -> None:
        largest = self._max_size_bytes
        if largest is None:
            return
        share = self._stored_seconds / max(self._playlist.total_seconds, 0.001)
        estimated = self.estimated_bytes() or 0
        sure = share >= _TOO_LARGE_SAMPLE and estimated > largest * _TOO_LARGE_FACTOR
        if sure or self.stored_bytes > largest:
            raise too_large(max(estimated, self.stored_bytes), largest)

    def _obtain(self, segment: Segment) -> Outcome:
        kept = self._directory.kept(segment.key)
        if kept is not None:
            self._on_kept(kept.size_bytes)
            return kept
        try:
            return self._fetch_or_renew(segment)
        except Refused as refused:
            return Gone(segment, str(refused))
        except Damaged as damaged:
            if not self._takes_gaps or self._comes_for_others(segment, damaged):
                raise
            return Gone(segment, f"damaged: {damaged.complaint}")

    def _fetch_or_renew(self, segment: Segment) -> Stored:
        try:
            return self._fetch(segment)
        except Refused:
            renewed = self._again(segment)
            if renewed is None:
                raise
            return self._fetch(renewed)

    def _comes_for_others(self, segment: Segment, damaged: Damaged) -> bool:
        """Whether another segment came as the very same bytes: then somebody in between has
        answered in Twitch's place, and the segments themselves may be fine."""
        with self._changed:
            first = self._damages.setdefault(damaged.content, segment)
        return first is not segment and damaged.content[0] > 0

    def _fetch(self, segment: Segment) -> Stored:
        def fetch(url: str) -> Stored:
            return self._fetcher.fetch(
                url, segment.key, segment.byte_range, fragmented=segment.init_url is not None
            )

        try:
            return fetch(segment.url)
        except Refused:
            muted = muted_url(segment.url)
            if muted is None:
                raise
            return fetch(muted)

    def _again(self, segment: Segment) -> Segment | None:
        """The same segment in a playlist that was asked for a short time ago at most."""
        with self._renewing:
            now = time.monotonic()
            if self._renewed is None or now - self._renewed_at > _FRESH_SECONDS:
                self._renewed, self._renewed_at = Twins(self._playlist, self._renew()), now
            return self._renewed.of(segment)


def _all_refused(outcome: Outcome) -> VodtenderError:
    return Transient(
        f"Twitch's video server refuses every segment of the VOD so far: {outcome}.",
        code="segments_refused",
    )


def too_large(size_bytes: int, largest_bytes: int) -> VodtenderError:
    return Rejected(
        f"The VOD has about {size_bytes:,} bytes, more than the {largest_bytes:,} that "
        "DOWNLOAD_MAX_SIZE allows.",
        hint="raise DOWNLOAD_MAX_SIZE, or a smaller format: YTDLP_ARGS='-f best[height<=720]'",
        code="too_large",
    )


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
