"""Playlists and servers that lay things out otherwise than Twitch does today."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.ytdlp.fetches import (
    FRAMES_IN_SEGMENT,
    frames,
    packets,
    request,
    segment_requests,
)
from tests.clients.ytdlp.warm import fetched_warm, listed_warm
from tests.sandbox.faults import Fault
from tests.sandbox.vods import Vod
from tests.sandbox.wire import Request, Response
from tests.sandbox.world import World


def _rewrite(world: World, change: Callable[[str], str]) -> None:
    """Every playlist of segments goes through `change`."""

    def after(response: Response) -> Response:
        response.body = change(bytes(response.body).decode()).encode()
        return response

    world.faults.add(Fault(path="*/chunked/*.m3u8", times=None, after=after))


def _is_whole(vod: Vod, path: Path, scratch: Path) -> bool:
    served = scratch / "served.ts"
    places = range(len(vod.segments))
    served.write_bytes(b"".join(bytes(vod.segment_body(place)) for place in places))
    return packets(path) == packets(served, container="mpegts")


def test_segments_that_differ_in_their_query_only(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", segment_count=6)

    def in_query(text: str) -> str:
        lines = text.splitlines()
        return "\n".join(f"get.ts?n={x[:-3]}&sig=1" if x.endswith(".ts") else x for x in lines)

    def answer(asked: Request) -> Response:
        assert asked.argument("sig") == "1"
        return Response(200, vod.segment_body(int(asked.argument("n"))))

    _rewrite(in_world, in_query)
    in_world.faults.add(Fault(path="*/get.ts", times=None, before=answer))
    assert _is_whole(vod, fetched_warm(request(vod, tmp_path)).path, tmp_path)


def test_segments_with_whole_addresses_on_another_host(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", segment_count=6, absolute_urls=True)
    _rewrite(in_world, lambda text: text.replace(vod.cdn_host, "dother.cloudfront.net"))
    assert _is_whole(vod, fetched_warm(request(vod, tmp_path)).path, tmp_path)
    assert in_world.record.count("dother.cloudfront.net", "*.ts") == 6


def test_a_playlist_of_type_vod_has_ended_by_itself(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice")
    _rewrite(
        in_world,
        lambda text: text.replace("TYPE:EVENT", "TYPE:VOD").replace("#EXT-X-ENDLIST\n", ""),
    )
    assert fetched_warm(request(vod, tmp_path)).segments == 4


def test_packed_answers_are_unpacked(in_world: World, tmp_path: Path) -> None:
    """Whether or not they were asked for: some servers pack everything."""
    vod = in_world.add_vod("alice")

    def pack(response: Response) -> Response:
        response.body = gzip.compress(bytes(response.body), 1)
        response.headers = {**response.headers, "Content-Encoding": "gzip"}
        return response

    in_world.faults.add(Fault(host="*.cloudfront.net", times=None, after=pack))
    in_world.faults.add(Fault(host="usher.ttvnw.net", times=None, after=pack))
    in_world.faults.add(Fault(host="gql.twitch.tv", times=None, after=pack))
    assert _is_whole(vod, fetched_warm(request(vod, tmp_path)).path, tmp_path)


def test_a_token_in_the_path_is_renewed_with_the_playlist(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", segment_count=6)
    served = 0

    def with_token(text: str) -> str:
        nonlocal served
        served += 1
        lines = text.splitlines()
        return "\n".join(f"t{served}-{x}" if x.endswith(".ts") else x for x in lines)

    def answer(asked: Request) -> Response:
        token, _, name = asked.path.rpartition("/")[2].partition("-")
        if token == "t1" and int(name[:-3]) >= 3:
            return Response(403, b"expired")
        return Response(200, vod.segment_body(int(name[:-3])))

    _rewrite(in_world, with_token)
    in_world.faults.add(Fault(path="*/t*.ts", times=None, before=answer))
    assert _is_whole(vod, fetched_warm(request(vod, tmp_path)).path, tmp_path)
    assert served == 3, "all threads together asked once more, and there is a look at the end"


def test_a_segment_that_twitch_mutes_meanwhile_is_fetched_muted(
    in_world: World, tmp_path: Path
) -> None:
    """The playlist that we have names the old file, which is gone; the new one the new file."""
    vod = in_world.add_vod("alice", segment_count=6)

    def mute(asked: Request) -> None:
        vod.segments[4].muted = True

    in_world.faults.add(Fault(path="*/chunked/0.ts", before=mute))
    got = fetched_warm(request(vod, tmp_path, concurrency=1))
    assert (got.segments, got.muted_segments) == (6, 1)
    assert frames(got.path) == 6 * FRAMES_IN_SEGMENT
    asked = segment_requests(in_world, vod)
    assert asked[4:] == ["4.ts", "4-unmuted.ts", "4-muted.ts", "5.ts"]


@pytest.mark.parametrize("count", [6, 40])
def test_timestamps_that_start_anew_without_a_word_make_no_holes(
    in_world: World, tmp_path: Path, count: int
) -> None:
    """As when each segment was encoded by itself: the playlist's lengths count."""
    vod = in_world.add_vod("alice", segment_count=count)
    for segment in vod.segments:
        segment.place = 0
    got = fetched_warm(request(vod, tmp_path))
    assert frames(got.path) == count * FRAMES_IN_SEGMENT
    assert got.duration_seconds == pytest.approx(vod.media_seconds, abs=0.5)


def test_a_clock_that_jumps_far_ahead_makes_no_hole(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", segment_count=8)
    for segment in vod.segments[4:]:
        segment.place += 4
    got = fetched_warm(request(vod, tmp_path))
    assert frames(got.path) == 8 * FRAMES_IN_SEGMENT
    assert got.duration_seconds == pytest.approx(vod.media_seconds, abs=0.5)


def test_a_listing_that_goes_round_in_a_circle_ends(in_world: World) -> None:
    for _ in range(100):
        in_world.add_vod("alice")

    def for_ever(answer: object) -> object:
        assert isinstance(answer, list)
        for edge in answer[0]["data"]["user"]["videos"]["edges"]:
            edge["cursor"] = ""
        answer[0]["data"]["user"]["videos"]["edges"][-1]["cursor"] = "again"
        return answer

    in_world.faults.change_json(for_ever, host="gql.twitch.tv", times=None)
    listed = listed_warm("alice")
    assert len(set(listed)) == len(listed) == 100


def test_replies_that_are_missing_beside_the_one_that_counts_do_not_matter(
    in_world: World, tmp_path: Path
) -> None:
    vod = in_world.add_vod("alice")
    in_world.faults.change_json(
        lambda answer: [answer[0], None, {"errors": [{"message": "service timeout"}]}],  # type: ignore[index]
        host="gql.twitch.tv",
        when=lambda seen: seen.body[:1] == b"[",
    )
    assert fetched_warm(request(vod, tmp_path)).segments == 4


def test_a_busy_server_is_given_the_time_it_asks_for(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice")
    in_world.faults.status(503, headers={"Retry-After": "1"}, path="*/1.ts", times=2)
    assert fetched_warm(request(vod, tmp_path)).segments == 4
