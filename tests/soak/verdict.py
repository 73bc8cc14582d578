"""What must hold when the dust has settled."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.rows import dict_row

from tests.clients.ytdlp.fetches import packets
from tests.sandbox.videos import Video
from tests.sandbox.vods import Vod
from tests.sandbox.world import World
from vodtender.model.video_metadata import carries, marker


@dataclass(frozen=True, slots=True)
class Verdict:
    """`complaints` says in words what `duplicates` and `losses` do not count."""

    duplicates: int
    losses: int
    complaints: tuple[str, ...]

    @property
    def clean(self) -> bool:
        return not (self.duplicates or self.losses or self.complaints)


def judge(world: World, dsn: str, data_directory: Path) -> Verdict:
    """Compares what Twitch had with what YouTube has, the rows and the disk."""
    vods = list(world.catalog.vods.values())
    by_vod = {vod.id: _videos_of(world, vod) for vod in vods}
    duplicates = sum(max(0, len(videos) - 1) for videos in by_vod.values())
    contents = _Contents(data_directory.parent)
    lost = [vod for vod in vods if not any(contents.whole(vod, v) for v in by_vod[vod.id])]
    complaints = [f"VOD {vod.id} is not on YouTube, whole" for vod in lost]
    complaints += [f"YouTube: {complaint}" for complaint in world.youtube.complaints]
    complaints += _rows(dsn, by_vod)
    complaints += _disk(data_directory)
    foreign = len(world.youtube.videos) - sum(len(videos) for videos in by_vod.values())
    if foreign:
        complaints.append(f"{foreign} videos on YouTube belong to no VOD")
    return Verdict(duplicates, len(lost), tuple(complaints))


def _videos_of(world: World, vod: Vod) -> list[Video]:
    return [v for v in world.youtube.videos if carries(v.description, marker(vod.id))]


class _Contents:
    """Whether an uploaded file has every packet of a VOD, and no other."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._expected: dict[int, tuple[list[str], list[str]]] = {}

    def whole(self, vod: Vod, video: Video) -> bool:
        assert video.path is not None
        found = (packets(video.path, "v"), packets(video.path, "a"))
        return found == self._of(vod)

    def _of(self, vod: Vod) -> tuple[list[str], list[str]]:
        count = len(vod.segments)
        if count not in self._expected:
            served = self._directory / f"expected-{count}.ts"
            served.write_bytes(b"".join(bytes(vod.segment_body(n)) for n in range(count)))
            self._expected[count] = (
                packets(served, "v", "mpegts"),
                packets(served, "a", "mpegts"),
            )
        return self._expected[count]


def _rows(dsn: str, by_vod: dict[str, list[Video]]) -> list[str]:
    complaints = []
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        for row in connection.execute("SELECT * FROM vods ORDER BY twitch_vod_id"):
            vod_id = row["twitch_vod_id"]
            videos = by_vod.get(vod_id, [])
            if row["stage"] != "published" or row["worker_id"] is not None:
                complaints.append(
                    f"VOD {vod_id} is stuck: {row['stage']}, worker {row['worker_id']},"
                    f" {row['problem']}"
                )
            elif row["youtube_url"] not in [video.url for video in videos]:
                complaints.append(f"VOD {vod_id} has the address {row['youtube_url']}")
            elif row["file_sha256"] not in [video.sha256 for video in videos]:
                complaints.append(f"VOD {vod_id}: YouTube has other bytes than the disk")
        for table in ("transfers", "workers"):
            left = connection.execute(f"SELECT count(*) AS n FROM {table}").fetchone()
            if left and left["n"]:
                complaints.append(f"{left['n']} rows are left in {table}")
    return complaints


def _disk(data_directory: Path) -> list[str]:
    complaints = []
    ids = Counter(path.stem.rpartition("_")[2] for path in data_directory.glob("*.mp4"))
    complaints += [f"{n} files carry the id {vod_id}" for vod_id, n in ids.items() if n > 1]
    work = data_directory / "in-progress"
    left = [p for p in work.rglob("*") if p.is_file()] if work.is_dir() else []
    complaints += [f"left behind: {path.relative_to(data_directory)}" for path in left]
    return complaints
