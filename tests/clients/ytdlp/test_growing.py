"""What becomes of a VOD at Twitch while it comes down."""

from __future__ import annotations

from pathlib import Path

from tests.clients.ytdlp.fetches import FRAMES_IN_SEGMENT, frames, request, segment_requests
from tests.clients.ytdlp.warm import fetch_warm, fetched_warm
from tests.sandbox.faults import Fault
from tests.sandbox.wire import Request, Response
from tests.sandbox.world import World
from vodtender.clients.ytdlp.process import StillRecording


def test_what_is_added_is_fetched_too(in_world: World, tmp_path: Path) -> None:
    """A stream that had dropped went on in the same VOD, and has ended again."""
    vod = in_world.add_vod("alice")

    def grow(_request: Request) -> None:
        vod.grow(3)

    in_world.faults.add(Fault(path="*/3.ts", before=grow))
    got = fetched_warm(request(vod, tmp_path))
    assert (got.segments, frames(got.path)) == (7, 7 * FRAMES_IN_SEGMENT)
    assert sorted(segment_requests(in_world, vod)) == [f"{n}.ts" for n in range(7)]


def test_one_that_is_recorded_again_waits_for_its_end(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice")

    def go_on(_request: Request) -> None:
        vod.grow(1)
        vod.live = True

    in_world.faults.add(Fault(path="*/3.ts", before=go_on))
    assert fetch_warm(request(vod, tmp_path)) == StillRecording()
    assert not [path for path in tmp_path.rglob("*") if "mux" in path.name or ".mp4" in path.name]
    vod.grow(1)
    vod.end()
    assert fetched_warm(request(vod, tmp_path)).segments == 6
    assert sorted(segment_requests(in_world, vod)) == [f"{n}.ts" for n in range(6)]


def test_one_that_is_deleted_when_all_of_it_is_there_is_kept(
    in_world: World, tmp_path: Path
) -> None:
    vod = in_world.add_vod("alice")

    def delete(response: Response) -> Response:
        vod.deleted = True
        return response

    in_world.faults.add(Fault(path="*/3.ts", after=delete))
    assert fetched_warm(request(vod, tmp_path, concurrency=1)).segments == 4
