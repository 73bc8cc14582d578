"""The init sections of fragmented MP4, each fetched once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vodtender.clients.ytdlp.piece import PieceFetcher, Refused
from vodtender.clients.ytdlp.workdir import Stored, WorkDirectory
from vodtender.errors import Rejected
from vodtender.model.playlist import Segment


@dataclass
class Inits:
    """Those of one VOD."""

    directory: WorkDirectory
    fetcher: PieceFetcher
    known: dict[str, Stored] = field(default_factory=dict)

    def of(self, segment: Segment) -> Path:
        """The file of the section that a segment needs. Raises an answer."""
        key = segment.init_key
        assert key is not None
        if key not in self.known:
            self.known[key] = self.directory.kept(key) or self._fetched(segment, key)
        return self.directory.path / self.known[key].name

    def _fetched(self, segment: Segment, key: str) -> Stored:
        assert segment.init_url is not None
        try:
            return self.fetcher.fetch(segment.init_url, key, segment.init_range, fragmented=True)
        except Refused as refused:
            raise Rejected(
                f"Twitch does not hand out the init section of segment {segment.index} and "
                f"those after it (HTTP {refused.status}, {segment.bare_url}).",
                code="segments_gone",
            ) from refused
