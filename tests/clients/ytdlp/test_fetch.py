"""Real yt-dlp and real ffmpeg meet every kind of VOD: what comes out, and what is said."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from tests.clients.ytdlp.fetches import (
    FRAMES_IN_SEGMENT,
    fetch,
    fetched,
    frames,
    packets,
    request,
    segment_requests,
)
from tests.clients.ytdlp.warm import fetch_warm, fetched_warm, listed_warm, probe_warm
from tests.sandbox.certificates import Certificates
from tests.sandbox.vods import Vod
from tests.sandbox.world import World
from vodtender.clients.ytdlp.process import (
    FetchedVod,
    FetchProgress,
    StillRecording,
    list_channel,
    probe,
)
from vodtender.errors import AuthExpired, RateLimited, Rejected, SettingsError, Transient

# --- one fetch, looked at from all sides ------------------------------------------------


@dataclass
class Watched:
    """A fetch of a VOD that comes slowly: all that was said and seen meanwhile, and its result."""

    world: World
    vod: Vod
    progress: list[FetchProgress]
    names: set[str]
    got: FetchedVod


@pytest.fixture(scope="module")
def watched(
    world_certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    directory = tmp_path_factory.mktemp("watched")
    work = directory / "work"
    progress: list[FetchProgress] = []
    names: set[str] = set()

    def note(seen: FetchProgress) -> None:
        progress.append(seen)
        names.update(path.name for path in work.iterdir())

    with World(certificates=world_certificates) as world, pytest.MonkeyPatch.context() as patch:
        for name, value in world.env().items():
            patch.setenv(name, value)
        vod = world.add_vod("alice", "slow", segment_count=6, title="Hello", description="About it")
        got = fetched(request(vod, directory, concurrency=3), on_progress=note)
        yield Watched(world, vod, progress, names, got)


def test_a_fine_vod_is_in_the_file_to_the_last_byte(watched: Watched, tmp_path: Path) -> None:
    vod, got = watched.vod, watched.got
    served = tmp_path / "served.ts"
    served.write_bytes(b"".join(bytes(vod.segment_body(place)) for place in range(6)))
    assert packets(got.path, "v") == packets(served, "v", "mpegts")
    assert packets(got.path, "a") == packets(served, "a", "mpegts")
    assert frames(got.path) == 6 * FRAMES_IN_SEGMENT
    assert got.duration_seconds == pytest.approx(vod.media_seconds, abs=0.1)
    assert got.size_bytes == got.path.stat().st_size
    assert got.sha256 == hashlib.sha256(got.path.read_bytes()).hexdigest()
    assert (got.segments, got.muted_segments, got.gaps) == (6, 0, ())
    assert (got.title, got.description, got.uploader_id) == ("Hello", "About it", "alice")
    assert got.started_at == vod.published_at


def test_each_segment_is_asked_for_once_and_only_through_the_proxy(watched: Watched) -> None:
    """The sandbox's hosts exist behind HTTPS_PROXY and SSL_CERT_FILE only."""
    asked = segment_requests(watched.world, watched.vod)
    assert sorted(asked) == [f"{n}.ts" for n in range(6)]
    assert not watched.world.record.unexpected


def test_only_the_mp4_is_left_and_no_search_for_mp4_finds_it(watched: Watched) -> None:
    left = sorted(path.name for path in watched.got.path.parent.iterdir())
    assert left == ["finished.json", "lock", watched.got.path.name]
    assert any(name.endswith(".tmp") for name in watched.names)
    assert not [name for name in watched.names if name.endswith((".mp4", ".ts"))]


def test_progress_tells_what_a_person_wants_to_know(watched: Watched) -> None:
    seen = watched.progress
    assert [one.bytes_done for one in seen] == sorted(one.bytes_done for one in seen)
    assert (seen[-1].segments_done, seen[-1].segments_total) == (6, 6)
    assert seen[-1].bytes_done == watched.vod.size_bytes == seen[-1].bytes_estimated
    assert seen[0].phase == "extracting"
    assert max(one.bytes_per_second for one in seen) > 50_000


# --- what the network does --------------------------------------------------------------


def test_a_certificate_that_ssl_cert_file_does_not_name_is_refused(
    in_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(Transient, match="its certificate is not trusted") as caught:
        fetch_warm(request(in_world.add_vod("alice"), tmp_path))
    assert caught.value.code == "network"
    assert "SSL_CERT_FILE" in caught.value.hint


@pytest.mark.parametrize(
    ("port", "told"),
    [
        (None, r"the proxy refuses \(407 Proxy Authentication Required\)$"),
        (1, r"the proxy cannot be reached \(Connection refused\)$"),
    ],
)
def test_what_ails_the_proxy_is_said_without_its_password(
    in_world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    port: int | None,
    told: str,
) -> None:
    place = in_world.proxy_url.removeprefix("http://") if port is None else f"127.0.0.1:{port}"
    monkeypatch.setenv("https_proxy", f"http://somebody:hidden@{place}")
    in_world.faults.status(407, method="CONNECT")
    with pytest.raises(Transient, match=f"^Twitch cannot be reached: {told}") as caught:
        fetch_warm(request(in_world.add_vod("alice"), tmp_path))
    assert (caught.value.code, caught.value.hint) == ("network", "check HTTPS_PROXY and NO_PROXY")


def test_muted_segments_are_fetched_muted(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", "muted")
    got = fetched_warm(request(vod, tmp_path))
    assert (got.segments, got.muted_segments, got.gaps) == (4, 2, ())
    assert frames(got.path) == 4 * FRAMES_IN_SEGMENT


@pytest.mark.parametrize("kind", ["fmp4", "fmp4-init-changes", "discontinuity", "zero-length"])
def test_other_vods_come_whole(in_world: World, tmp_path: Path, kind: str) -> None:
    vod = in_world.add_vod("alice", kind, segment_count=6)
    got = fetched_warm(request(vod, tmp_path))
    assert frames(got.path) == 6 * FRAMES_IN_SEGMENT
    assert got.duration_seconds == pytest.approx(vod.media_seconds, abs=0.2)


def test_many_discontinuities_come_whole(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", segment_count=40)
    for number, segment in enumerate(vod.segments):
        segment.place, segment.discontinuity = number % 2, number % 2 == 0
    got = fetched_warm(request(vod, tmp_path))
    assert frames(got.path) == 40 * FRAMES_IN_SEGMENT
    assert got.duration_seconds == pytest.approx(vod.media_seconds, abs=0.5)


def test_timestamps_that_overflow_do_not_harm(in_world: World, tmp_path: Path) -> None:
    """MPEG-TS clocks start anew after 26.5 hours; VODs last up to 48."""
    vod = in_world.add_vod("alice", segment_count=6)
    for number, segment in enumerate(vod.segments):
        segment.place = 2**33 // 172_800 - 3 + number
    got = fetched_warm(request(vod, tmp_path))
    assert frames(got.path) == 6 * FRAMES_IN_SEGMENT
    assert got.duration_seconds == pytest.approx(vod.media_seconds, abs=0.1)


def test_a_playlist_shorter_than_twitch_says_is_refused_before_anything_is_fetched(
    in_world: World, tmp_path: Path
) -> None:
    vod = in_world.add_vod("alice", "short")
    with pytest.raises(Transient, match=r"0:10:07.*0:00:08") as caught:
        fetch_warm(request(vod, tmp_path))
    assert caught.value.code == "too_short"
    assert not segment_requests(in_world, vod)


def test_allow_gaps_accepts_a_short_playlist_and_says_so(in_world: World, tmp_path: Path) -> None:
    got = fetched_warm(request(in_world.add_vod("alice", "short"), tmp_path, allow_gaps=True))
    assert got.segments == 4
    assert "0:10:07" in got.gaps[0]


def test_a_vod_being_recorded_is_left_alone_until_it_ends(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", "live")
    assert fetch_warm(request(vod, tmp_path)) == StillRecording()
    assert not segment_requests(in_world, vod)
    vod.grow(2)
    vod.end()
    assert fetched_warm(request(vod, tmp_path)).segments == 6


def test_a_placeholder_picture_is_no_sign_of_life_long_after_the_end(
    in_world: World, tmp_path: Path
) -> None:
    """Twitch sometimes never replaces it; the playlist says that the VOD has ended."""
    old = in_world.add_vod("alice", age=timedelta(hours=5))
    fresh = in_world.add_vod("alice", age=timedelta(minutes=10))

    def placeholder(answer: object) -> object:
        assert isinstance(answer, list)
        url = "https://vod-secure.twitch.tv/_404/404_processing_320x180.png"
        answer[0]["data"]["video"]["previewThumbnailURL"] = url
        return answer

    in_world.faults.change_json(
        placeholder, host="gql.twitch.tv", times=None, when=lambda seen: seen.body[:1] == b"["
    )
    assert fetched_warm(request(old, tmp_path / "old")).segments == 4
    assert fetch_warm(request(fresh, tmp_path / "fresh")) == StillRecording()


def test_a_subscriber_only_vod_is_refused_for_good(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", "subscriber-only")
    with pytest.raises(Rejected, match="subscribers only") as caught:
        fetch(request(vod, tmp_path))
    assert caught.value.code == "subscriber_only"
    assert "auth import cookies" in caught.value.hint


def test_a_subscribers_cookies_open_it_and_are_left_as_they_are(
    in_world: World, tmp_path: Path
) -> None:
    vod = in_world.add_vod("alice", "subscriber-only", subscribers={"77"})
    cookies = tmp_path / "cookies.txt"
    cookies.write_text(in_world.twitch.cookies("77"))
    before = (cookies.read_bytes(), cookies.stat().st_mtime_ns)
    assert fetched_warm(request(vod, tmp_path, cookies_path=cookies)).segments == 4
    assert (cookies.read_bytes(), cookies.stat().st_mtime_ns) == before


def test_cookies_that_twitch_refuses_are_a_matter_for_a_person(
    in_world: World, tmp_path: Path
) -> None:
    cookies = tmp_path / "cookies.txt"
    cookies.write_text(in_world.twitch.cookies("77"))
    in_world.twitch.viewers.clear()
    with pytest.raises(AuthExpired) as caught:
        fetch_warm(request(in_world.add_vod("alice"), tmp_path, cookies_path=cookies))
    assert caught.value.code == "cookies_refused"


@pytest.mark.parametrize("text", [None, "twitch.tv\tTRUE\n"])
def test_a_useless_cookies_file_is_named(in_world: World, tmp_path: Path, text: str | None) -> None:
    cookies = tmp_path / "cookies.txt"
    if text is not None:
        cookies.write_text(text)
    with pytest.raises(SettingsError, match=re.escape(str(cookies))) as caught:
        fetch_warm(request(in_world.add_vod("alice"), tmp_path, cookies_path=cookies))
    assert caught.value.code == "cookies_unreadable"


@pytest.mark.parametrize("kind", ["deleted", "null-once"])
def test_what_twitch_does_not_know_is_missing(in_world: World, tmp_path: Path, kind: str) -> None:
    vod = in_world.add_vod("alice", kind)
    with pytest.raises(Rejected) as caught:
        fetch_warm(request(vod, tmp_path))
    assert caught.value.code == "vod_missing"
    if kind == "null-once":
        assert fetched_warm(request(vod, tmp_path)).segments == 4


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("garbage-html", "garbage_answer"),
        ("garbage-empty", "garbage_answer"),
        ("garbage-error", "http_500"),
    ],
)
def test_a_garbage_answer_is_worth_another_try(
    in_world: World, tmp_path: Path, kind: str, code: str
) -> None:
    with pytest.raises(Transient) as caught:
        fetch_warm(request(in_world.add_vod("alice", kind), tmp_path))
    assert caught.value.code == code


@pytest.mark.parametrize(
    "text",
    ["<html>Oops</html>", ""],
)
def test_a_garbage_playlist_is_worth_another_try(
    in_world: World, tmp_path: Path, text: str
) -> None:
    vod = in_world.add_vod("alice")
    in_world.faults.status(200, text, path="*.m3u8", host="*.cloudfront.net")
    with pytest.raises(Transient) as caught:
        fetch_warm(request(vod, tmp_path))
    assert caught.value.code == "garbage_playlist"


def test_a_playlist_that_was_cut_on_its_way_is_not_taken_for_whole(
    in_world: World, tmp_path: Path
) -> None:
    vod = in_world.add_vod("alice")
    in_world.faults.cut(200, path="*.m3u8", host="*.cloudfront.net")
    with pytest.raises(Transient):
        fetch_warm(request(vod, tmp_path))


def test_a_server_that_does_not_answer_is_given_up(in_world: World, tmp_path: Path) -> None:
    in_world.faults.hold(host="usher.ttvnw.net")
    asked = request(in_world.add_vod("alice"), tmp_path, extra_args=("--socket-timeout", "0.5"))
    with pytest.raises(Transient, match=r"^Twitch cannot be reached: no answer within the time"):
        fetch_warm(asked)


def test_a_playlist_that_is_refused_is_named(in_world: World, tmp_path: Path) -> None:
    in_world.faults.status(403, path="*/chunked/*.m3u8")
    with pytest.raises(Transient, match=r"HTTP 403 when asked for the VOD's playlist\.$"):
        fetch_warm(request(in_world.add_vod("alice"), tmp_path))


def test_rate_limits_say_until_when(in_world: World, tmp_path: Path) -> None:
    in_world.faults.rate_limited(reset_after_seconds=300, host="gql.twitch.tv")
    with pytest.raises(RateLimited) as caught:
        fetch(request(in_world.add_vod("alice"), tmp_path))
    assert caught.value.until.tzinfo is not None


@pytest.mark.parametrize(("kind", "status"), [("segment-403", 403), ("segment-404", 404)])
def test_a_segment_that_is_gone_fails_the_vod_and_is_named(
    in_world: World, tmp_path: Path, kind: str, status: int
) -> None:
    vod = in_world.add_vod("alice", kind)
    with pytest.raises(Rejected, match=rf"segment 2 .*/2\.ts, HTTP {status}") as caught:
        fetch_warm(request(vod, tmp_path))
    assert caught.value.code == "segments_gone"
    assert f"vodtender retry {vod.id} --allow-gaps" in caught.value.hint


def test_a_gap_can_be_accepted_and_is_recorded(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", "segment-403", segment_count=6)
    with pytest.raises(Rejected):
        fetch_warm(request(vod, tmp_path))
    in_world.record.clear()
    got = fetched_warm(request(vod, tmp_path, allow_gaps=True))
    assert got.segments == 5
    assert len(got.gaps) == 1
    assert "3.ts" in got.gaps[0]
    assert frames(got.path) == 5 * FRAMES_IN_SEGMENT
    assert set(segment_requests(in_world, vod)) == {"3.ts"}, "the others were there already"


def test_a_gap_may_swallow_all_between_two_discontinuities(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", segment_count=6)
    for place in (2, 3):
        vod.segments[place].discontinuity = True
    vod.segments[2].status = 404
    got = fetched_warm(request(vod, tmp_path, allow_gaps=True))
    assert frames(got.path) == 5 * FRAMES_IN_SEGMENT


def test_a_vod_of_which_nothing_is_left_says_so(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", segment_count=20)
    for segment in vod.segments:
        segment.status = 403
    for allow_gaps in (False, True):
        with pytest.raises(Transient, match="every segment") as caught:
            fetch_warm(request(vod, tmp_path, allow_gaps=allow_gaps))
        assert caught.value.code == "segments_refused"


def test_a_cut_connection_is_tried_again(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", "cut")
    got = fetched_warm(request(vod, tmp_path))
    assert frames(got.path) == 4 * FRAMES_IN_SEGMENT
    assert sorted(segment_requests(in_world, vod)) == ["0.ts", "1.ts", "2.ts", "2.ts", "3.ts"]


def test_damaged_segments_are_fetched_again(in_world: World, tmp_path: Path) -> None:
    """Each answer's length agrees with its header, so only its content tells."""
    vod = in_world.add_vod("alice")
    cut_in_a_packet = in_world.faults.truncate(10_000, path="*/1.ts")
    empty = in_world.faults.truncate(0, path="*/2.ts")
    zeros = in_world.faults.corrupt(188 * 7, 2000, path="*/3.ts")
    page = in_world.faults.html(path="*/0.ts")
    got = fetched_warm(request(vod, tmp_path))
    assert [fault.struck for fault in (cut_in_a_packet, empty, zeros, page)] == [1, 1, 1, 1]
    assert frames(got.path) == 4 * FRAMES_IN_SEGMENT


def test_a_segment_whose_length_nobody_said_has_to_come_twice_the_same(
    in_world: World, tmp_path: Path
) -> None:
    """Cut between two packets it looks whole, and no duration shows what is missing."""
    vod = in_world.add_vod("alice")
    in_world.faults.leave_length_unsaid(path="*/[12].ts", times=None)
    in_world.faults.leave_length_unsaid(188 * 300, path="*/1.ts")
    got = fetched_warm(request(vod, tmp_path))
    assert frames(got.path) == 4 * FRAMES_IN_SEGMENT
    asked = segment_requests(in_world, vod)
    assert [asked.count(f"{number}.ts") for number in range(4)] == [1, 3, 2, 1]


def test_a_segment_that_stays_damaged_fails_the_vod_until_somebody_accepts_the_gap(
    in_world: World, tmp_path: Path
) -> None:
    vod = in_world.add_vod("alice")
    in_world.faults.truncate(10_000, path="*/1.ts", times=None)
    with pytest.raises(Transient, match=r"last packet is cut .*/1\.ts\)") as caught:
        fetch_warm(request(vod, tmp_path))
    assert caught.value.code == "bad_segment"
    assert "retry VOD --allow-gaps" in caught.value.hint
    got = fetched_warm(request(vod, tmp_path, allow_gaps=True))
    assert frames(got.path) == 3 * FRAMES_IN_SEGMENT
    assert re.search(r"^segment 1 .*damaged: its last packet is cut\)$", got.gaps[0])


def test_a_page_in_the_place_of_segments_is_no_gap_that_anybody_has_accepted(
    in_world: World, tmp_path: Path
) -> None:
    """Somebody between here and Twitch asks for a login, say."""
    vod = in_world.add_vod("alice")
    in_world.faults.html(path="*/[12].ts", times=None)
    with pytest.raises(Transient, match="damaged each time: it is not an MPEG"):
        fetch_warm(request(vod, tmp_path, allow_gaps=True))


def test_errors_of_the_video_server_are_waited_out(in_world: World, tmp_path: Path) -> None:
    in_world.faults.status(503, path="*/1.ts", times=2)
    in_world.faults.rate_limited(reset_after_seconds=1, path="*/2.ts")
    assert fetched_warm(request(in_world.add_vod("alice"), tmp_path)).segments == 4


def test_a_token_that_ran_out_is_renewed(in_world: World, tmp_path: Path) -> None:
    """A segment that is refused is asked for once more from a fresh playlist."""
    vod = in_world.add_vod("alice")
    refused = in_world.faults.status(403, path="*/3.ts")
    assert fetched_warm(request(vod, tmp_path)).gaps == ()
    assert refused.struck == 1
    assert in_world.record.count("usher.ttvnw.net") == 3, "and once more at the end"


def test_a_vod_that_is_too_large_is_refused(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", segment_count=20)
    with pytest.raises(Rejected, match="DOWNLOAD_MAX_SIZE") as caught:
        fetch_warm(request(vod, tmp_path, max_size_bytes=500_000))
    assert caught.value.code == "too_large"
    assert len(segment_requests(in_world, vod)) < 20
    assert (
        fetched_warm(request(vod, tmp_path / "b", max_size_bytes=vod.size_bytes + 1)).segments == 20
    )


def test_the_rate_limit_holds_over_all_connections(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", segment_count=8)
    seen: list[FetchProgress] = []
    fetched(
        request(vod, tmp_path, rate_limit=lambda: vod.size_bytes // 2),
        on_progress=seen.append,
    )
    requests = in_world.record.matching(path=f"/{vod.folder}/chunked/*.ts")
    assert max(one.at_seconds for one in requests) > 0
    busy = [progress for progress in seen if progress.phase == "fetching"]
    assert len(busy) >= 3, "it took about two seconds, told twice a second"
    assert all(progress.bytes_per_second < vod.size_bytes for progress in busy)


def test_a_rate_limit_that_is_lifted_midway_holds_no_longer(
    in_world: World, tmp_path: Path
) -> None:
    vod = in_world.add_vod("alice", segment_count=8)
    limit: list[int | None] = [vod.size_bytes // 100]

    def lift(progress: FetchProgress) -> None:
        if progress.bytes_done:
            limit[0] = None

    started = time.monotonic()
    got = fetched(request(vod, tmp_path, rate_limit=lambda: limit[0]), on_progress=lift)
    assert got.segments == 8
    assert time.monotonic() - started < 20


def test_a_format_can_be_chosen(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice")
    args = ("-f", "best[height<=150]", "--retries", "3", "-N", "4")
    assert fetched_warm(request(vod, tmp_path, extra_args=args)).format_id == "720p60"


def test_arguments_that_break_a_fetch_are_refused(in_world: World, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--output is refused") as caught:
        fetch_warm(request(in_world.add_vod("alice"), tmp_path, extra_args=("-o", "x")))
    assert caught.value.code == "ytdlp_args"


def test_a_channel_is_listed_page_by_page_with_its_kinds(in_world: World) -> None:
    channel = in_world.add_channel("alice")
    vods = [in_world.add_vod(channel) for _ in range(5)]
    highlight = in_world.add_vod(channel, broadcast_type="highlight")
    in_world.add_vod(channel, broadcast_type="upload")
    live = in_world.add_vod(channel, "live", age=timedelta(minutes=1))
    in_world.twitch.page_limit = 2
    listed = list(list_channel("Alice", kinds=["archive", "highlight"]))
    assert [vod.vod_id for vod in listed] == [vod.id for vod in [live, *vods, highlight]]
    assert [vod.kind for vod in listed] == ["archive"] * 6 + ["highlight"]
    assert [vod.live for vod in listed] == [True] + [False] * 6
    assert (listed[1].channel, listed[1].title) == ("alice", vods[0].title)
    assert (listed[1].started_at, listed[1].duration_seconds) == (vods[0].published_at, 7)


def test_a_listing_ends_at_its_limit(in_world: World) -> None:
    for _ in range(5):
        in_world.add_vod("alice")
    in_world.twitch.page_limit = 2
    assert len(listed_warm("alice", limit=3)) == 3


def test_a_channel_that_does_not_exist_is_refused(in_world: World) -> None:
    with pytest.raises(Rejected) as caught:
        listed_warm("nobody")
    assert caught.value.code == "channel_missing"


def test_a_listing_that_breaks_off_is_no_listing(in_world: World) -> None:
    channel = in_world.add_channel("alice")
    for _ in range(3):
        in_world.add_vod(channel)
    in_world.twitch.page_limit = 2
    in_world.faults.status(500, host="gql.twitch.tv", skip=1)
    with pytest.raises(Transient):
        list(list_channel("alice", kinds=["archive"]))
    assert len(listed_warm("alice")) == 3


def test_a_dry_extraction_shows_what_the_cookies_open(in_world: World, tmp_path: Path) -> None:
    vod = in_world.add_vod("alice", "subscriber-only", subscribers={"77"})
    cookies = tmp_path / "cookies.txt"
    cookies.write_text(in_world.twitch.cookies("77"))
    assert probe(vod.id, cookies_path=cookies).title == vod.title
    with pytest.raises(Rejected):
        probe_warm(vod.id)
