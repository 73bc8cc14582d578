"""Finding VODs through Helix, on the wire."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sandbox.wire import Response
from tests.sandbox.world import World
from vodtender.clients import http
from vodtender.clients.twitch import helix_answers
from vodtender.clients.twitch.app_token import AppToken, MemoryTokenCache
from vodtender.clients.twitch.helix import Helix
from vodtender.clients.twitch.helix_answers import duration_seconds, moment
from vodtender.errors import Answer, AuthExpired, NotFound, RateLimited, Transient
from vodtender.model.discovery import LiveStream

API, OAUTH = "api.twitch.tv", "id.twitch.tv"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache() -> MemoryTokenCache:
    return MemoryTokenCache()


@pytest.fixture
def connect(in_world: World, clock: Clock, cache: MemoryTokenCache) -> Callable[..., Helix]:
    def connected(**more: Any) -> Helix:
        given = {
            "client_id": in_world.helix.client_id,
            "client_secret": in_world.helix.client_secret,
            "session": http.session(read_timeout_seconds=5),
            "token_cache": cache,
            "clock": clock,
        }
        return Helix(**{**given, **more})

    return connected


@pytest.fixture
def helix(connect: Callable[..., Helix]) -> Helix:
    return connect()


class TestToken:
    def test_one_token_serves_all_requests_and_the_next_process(
        self, in_world: World, connect: Callable[..., Helix]
    ) -> None:
        in_world.add_channel("alice")
        for _ in range(3):
            assert connect().users(["alice"])
        assert in_world.record.count(OAUTH) == 1

    def test_threads_share_it(self, in_world: World, helix: Helix) -> None:
        alice = in_world.add_channel("alice")
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(lambda _: helix.user_id("alice"), range(16)))
        assert found == [alice.id] * 16
        assert in_world.record.count(OAUTH) == 1

    def test_it_is_renewed_before_it_ends(
        self, in_world: World, helix: Helix, clock: Clock
    ) -> None:
        in_world.helix.token_seconds = 3600
        in_world.add_channel("alice")
        helix.users(["alice"])
        clock.now += timedelta(minutes=49)
        helix.users(["alice"])
        assert in_world.record.count(OAUTH) == 1
        clock.now += timedelta(minutes=1)
        helix.users(["alice"])
        assert in_world.record.count(OAUTH) == 2

    def test_a_token_refused_before_its_time_is_replaced_at_once(
        self, in_world: World, helix: Helix
    ) -> None:
        in_world.add_channel("alice")
        helix.users(["alice"])
        in_world.helix.expire_tokens()
        assert helix.users(["alice"])
        assert in_world.record.count(OAUTH) == 2

    def test_a_token_of_another_client_id_is_not_used(
        self, in_world: World, connect: Callable[..., Helix], cache: MemoryTokenCache
    ) -> None:
        cache.put("another", AppToken("theirs", NOW + timedelta(days=1)))
        in_world.add_channel("alice")
        assert connect().users(["alice"])
        assert in_world.record.count(API, status=401) == 0

    @pytest.mark.parametrize("wrong", ["client_id", "client_secret"])
    def test_wrong_credentials_need_a_person(
        self, connect: Callable[..., Helix], wrong: str
    ) -> None:
        with pytest.raises(AuthExpired) as caught:
            connect(**{wrong: "nonsense"}).users(["alice"])
        assert caught.value.code == "twitch_credentials"
        assert "TWITCH_CLIENT_ID" in caught.value.hint

    def test_a_fresh_token_that_is_refused_too_needs_a_person_and_is_tried_once(
        self, in_world: World, helix: Helix
    ) -> None:
        refused = {"error": "Unauthorized", "status": 401, "message": "Invalid OAuth token"}
        in_world.faults.json(401, refused, host=API, times=None)
        with pytest.raises(AuthExpired) as caught:
            helix.users(["alice"])
        assert caught.value.code == "twitch_credentials"
        assert in_world.record.count(API) == 2

    @pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500, 503])
    def test_a_page_in_the_place_of_the_token_server_is_no_matter_of_credentials(
        self, in_world: World, helix: Helix, status: int
    ) -> None:
        in_world.faults.html(status, host=OAUTH)
        with pytest.raises(Transient):
            helix.users(["alice"])

    @pytest.mark.parametrize("token", [None, 7, "", "two words", "line\r\nbreak", "ünïcode"])
    def test_an_unusable_token_is_not_kept(
        self, in_world: World, helix: Helix, token: object
    ) -> None:
        in_world.add_channel("alice")
        in_world.faults.json(200, {"access_token": token, "expires_in": 10**6}, host=OAUTH)
        with pytest.raises(Transient):
            helix.users(["alice"])
        assert helix.users(["alice"])

    def test_secret_and_token_show_in_no_text(
        self, in_world: World, helix: Helix, cache: MemoryTokenCache
    ) -> None:
        in_world.add_channel("alice")
        helix.users(["alice"])
        held = cache.get(in_world.helix.client_id)
        assert held is not None
        assert held.value not in f"{held} {helix}"
        in_world.faults.html(500, host=API)
        with pytest.raises(Transient) as caught:
            helix.users(["alice"])
        assert held.value not in f"{caught.value!r} {caught.value.hint}"


class TestChannels:
    def test_logins_become_ids_and_the_unknown_are_left_out(
        self, in_world: World, helix: Helix
    ) -> None:
        alice = in_world.add_channel("alice")
        assert helix.users(["Alice", "nobody", "not a login", "é", "alice"]) == {"alice": alice.id}

    def test_more_than_a_hundred_are_asked_for_in_parts(
        self, in_world: World, helix: Helix
    ) -> None:
        for number in range(101):
            in_world.add_channel(f"channel{number}")
        assert len(helix.users(in_world.catalog.channels)) == 101
        assert in_world.record.count(API) == 2

    def test_one_login_that_twitch_finds_malformed_does_not_hide_the_others(
        self, in_world: World, helix: Helix
    ) -> None:
        for login in ("alice", "bob", "carol"):
            in_world.add_channel(login)
        body = {"error": "Bad Request", "status": 400, "message": "Invalid login names"}
        in_world.faults.json(
            400, body, host=API, times=None, when=lambda request: "_bad" in request.url
        )
        found = helix.users(["alice", "_bad", "bob", "carol"])
        assert set(found) == {"alice", "bob", "carol"}

    def test_asking_for_one_unknown_channel_says_what_to_correct(self, helix: Helix) -> None:
        with pytest.raises(NotFound) as caught:
            helix.user_id("nobody")
        assert caught.value.code == "unknown_channel"
        assert "TWITCH_CHANNELS" in caught.value.hint

    def test_no_channels_cost_no_request(self, in_world: World, helix: Helix) -> None:
        assert helix.users([]) == {}
        assert helix.live_streams([]) == {}
        assert not in_world.record.requests

    def test_who_is_live(self, in_world: World, helix: Helix) -> None:
        in_world.add_vod("alice", "live", published_at=NOW, stream_id="777")
        in_world.add_vod("bob")
        assert helix.live_streams(["ALICE", "bob"]) == {"alice": LiveStream("777", NOW)}

    def test_a_refused_question_does_not_mean_that_nobody_is_live(
        self, in_world: World, helix: Helix
    ) -> None:
        in_world.faults.json(400, {"status": 400}, host=API, path="*/streams")
        with pytest.raises(Transient):
            helix.live_streams(["alice"])


class TestVideos:
    def test_a_vod_comes_with_all_that_discovery_needs(self, in_world: World, helix: Helix) -> None:
        vod = in_world.add_vod(
            "alice", "muted", title="Hi 🎉", published_at=NOW, reported_seconds=11_313
        )
        (listed,) = helix.videos(vod.channel.id, "archive").videos
        assert (listed.vod_id, listed.channel, listed.kind) == (vod.id, "alice", "archive")
        assert (listed.title, listed.description) == ("Hi 🎉", None)
        assert (listed.started_at, listed.duration_seconds) == (NOW, 11_313)
        assert (listed.stream_id, listed.live, listed.url) == (vod.stream_id, False, vod.url)

    def test_one_still_being_recorded_is_called_live(self, in_world: World, helix: Helix) -> None:
        vod = in_world.add_vod("alice", "live")
        (found,) = helix.videos(vod.channel.id, "archive").videos
        assert found.live is True

    def test_only_the_asked_kind_is_listed_whatever_comes(
        self, in_world: World, helix: Helix
    ) -> None:
        in_world.add_vod("alice")
        highlight = in_world.add_vod("alice", broadcast_type="highlight")
        user_id = helix.user_id("alice")
        (found,) = helix.videos(user_id, "highlight").videos
        assert (found.vod_id, found.kind) == (highlight.id, "highlight")
        data = [{"id": "1", "type": "upload"}, {"id": "2", "type": "archive"}, {"id": "3"}]
        in_world.faults.json(200, {"data": data}, host=API)
        found_ids = [v.vod_id for v in helix.videos(user_id, "archive").videos]
        assert found_ids == ["2", "3"]

    def test_page_follows_page_until_the_end(self, in_world: World, helix: Helix) -> None:
        vods = [in_world.add_vod("alice") for _ in range(205)]
        pages = list(helix.pages(vods[0].channel.id, "archive"))
        assert [len(page.videos) for page in pages] == [100, 100, 5]
        assert [v.vod_id for page in pages for v in page.videos] == [v.id for v in vods]
        assert pages[0].cursor
        rest = list(helix.pages(vods[0].channel.id, "archive", after=pages[0].cursor))
        assert rest == pages[1:]

    def test_a_last_page_with_a_cursor_ends_the_list_all_the_same(
        self, in_world: World, helix: Helix
    ) -> None:
        """Some cursors of Helix lead to an empty page, some back to the first, or nowhere."""
        first = {"data": [{"id": "1"}], "pagination": {"cursor": "a"}}
        for last in ({"data": [], "pagination": {"cursor": "b"}}, first, {**first, "data": []}):
            in_world.faults.json(200, first, host=API, path="*/videos")
            in_world.faults.json(200, last, host=API, path="*/videos", skip=1)
            ids = [v.vod_id for p in helix.pages("9", "archive") for v in p.videos]
            assert ids[:1] == ["1"]
            in_world.faults.clear()

    def test_cursors_that_go_round_in_a_circle_end_too(self, in_world: World, helix: Helix) -> None:
        for number in range(20):
            data = [{"id": "5", "type": "upload"}]
            body = {"data": data, "pagination": {"cursor": "ab"[number % 2]}}
            in_world.faults.json(200, body, host=API, path="*/videos", skip=number)
        assert len(list(helix.pages("9", "archive"))) < 5

    def test_a_cursor_that_is_no_longer_accepted_is_told_apart(
        self, in_world: World, helix: Helix
    ) -> None:
        vod = in_world.add_vod("alice")
        with pytest.raises(Transient) as caught:
            helix.videos(vod.channel.id, "archive", after="stale")
        assert caught.value.code == "cursor_refused"

    def test_a_single_vod_and_its_absence(self, in_world: World, helix: Helix) -> None:
        vod = in_world.add_vod("alice")
        gone = in_world.add_vod("alice", "deleted")
        found = helix.video(vod.id)
        assert found is not None
        assert found.vod_id == vod.id
        assert helix.video(gone.id) is None
        in_world.faults.json(200, {"data": []}, host=API)
        assert helix.video(vod.id) is None

    @pytest.mark.parametrize(
        "answer",
        [
            Response.of_text("<html>Not Found</html>", 404, "text/html"),
            Response.of_json({}),
            Response.of_json({"data": None}),
            Response.of_json({"data": [{"id": "1"}]}),
            Response.of_json({"data": [None]}),
        ],
    )
    def test_only_twitchs_own_word_counts_for_a_deleted_vod(
        self, in_world: World, helix: Helix, answer: Response
    ) -> None:
        in_world.faults.answer(answer, host=API)
        with pytest.raises(Transient):
            helix.video("123")

    @settings(deadline=None)
    @given(
        entry=st.dictionaries(
            st.sampled_from(
                [
                    *("id", "stream_id", "user_id", "user_login", "title", "description"),
                    *("created_at", "published_at", "thumbnail_url", "viewable", "type"),
                    *("duration", "muted_segments"),
                ]
            ),
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text()
            | st.lists(st.none() | st.dictionaries(st.just("duration"), st.integers() | st.text())),
        )
    )
    def test_no_field_is_relied_upon(self, entry: dict[str, Any]) -> None:
        helix_answers.video(entry)
        found = helix_answers.video({**entry, "id": "5"}, "highlight", "bob")
        assert found is not None
        assert found.url == "https://www.twitch.tv/videos/5"
        assert found.started_at is None or found.started_at.tzinfo is UTC


class TestLimits:
    def test_a_429_says_until_when_and_nothing_is_sent_before(
        self, in_world: World, helix: Helix, clock: Clock
    ) -> None:
        """Twitch's clock and ours are years apart here: what counts is the distance."""
        in_world.add_channel("alice")
        reset = int(datetime(2031, 5, 6, 7, 8, 39, tzinfo=UTC).timestamp())
        headers = {"Ratelimit-Reset": str(reset), "Date": "Tue, 06 May 2031 07:08:09 GMT"}
        in_world.faults.json(429, {"status": 429}, headers=headers, host=API)
        with pytest.raises(RateLimited) as caught:
            helix.users(["alice"])
        assert caught.value.until == clock.now + timedelta(seconds=30)
        asked = in_world.record.count(API)
        with pytest.raises(RateLimited):
            helix.live_streams(["alice"])
        assert in_world.record.count(API) == asked
        clock.now = caught.value.until
        assert helix.users(["alice"])

    def test_an_empty_bucket_ends_the_asking_before_twitch_must_refuse(
        self, in_world: World, helix: Helix, clock: Clock
    ) -> None:
        in_world.add_channel("alice")
        clock.now = datetime.now(UTC)
        in_world.helix.refill(2)
        assert helix.users(["alice"])
        assert helix.users(["alice"]), "the last point still buys an answer"
        with pytest.raises(RateLimited) as caught:
            helix.users(["alice"])
        assert in_world.record.count(API, status=429) == 0
        assert 50 <= (caught.value.until - clock.now).total_seconds() <= 61

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Ratelimit-Reset": "soon"},
            {"Ratelimit-Reset": "1e400"},
            {"Ratelimit-Reset": "0"},
            {"Ratelimit-Reset": "-5", "Date": "yesterday"},
            {"Ratelimit-Reset": str(10**15)},
            {"Retry-After": "never"},
        ],
    )
    def test_an_odd_429_is_a_pause_too(
        self, in_world: World, helix: Helix, clock: Clock, headers: dict[str, str]
    ) -> None:
        in_world.faults.json(429, {}, headers=headers, host=API)
        with pytest.raises(RateLimited) as caught:
            helix.users(["alice"])
        assert clock.now < caught.value.until <= clock.now + timedelta(days=1)

    def test_a_429_of_the_token_server_is_one_as_well(self, in_world: World, helix: Helix) -> None:
        in_world.faults.rate_limited(host=OAUTH)
        with pytest.raises(RateLimited):
            helix.users(["alice"])


class TestTrouble:
    @pytest.mark.parametrize(
        "answer",
        [
            Response.of_text("<html>busy</html>", 503, "text/html"),
            Response.of_json({"error": "x"}, 500),
            Response.of_text("<html>hello</html>", 200, "text/html"),
            Response.of_text("", 200),
            Response.of_text("", 204),
            Response.of_json(None),
            Response.of_json([]),
            Response.of_json({}),
            Response.of_json({"data": {}}),
            Response.of_text("[" * 100_000, 200, "application/json"),
            Response.of_text('{"data": [', 200, "application/json"),
            Response(200, b"\xff\xfe{}", {"Content-Type": "application/json"}),
            Response(200, b"plain", {"Content-Encoding": "gzip"}),
            Response.redirect("https://portal.example.org/login"),
            Response.of_text("<html>no</html>", 401, "text/html"),
            Response.of_text("<html>no</html>", 403, "text/html"),
            Response.of_json({"status": 418}, 418),
        ],
    )
    def test_a_garbage_answer_is_transient(
        self, in_world: World, helix: Helix, answer: Response
    ) -> None:
        in_world.faults.answer(answer, host=API, times=None)
        for ask in (
            lambda: helix.users(["alice"]),
            lambda: helix.videos("1", "archive"),
            lambda: helix.video("1"),
            lambda: helix.live_streams(["alice"]),
        ):
            with pytest.raises(Transient):
                ask()

    def test_odd_entries_are_passed_over(
        self, in_world: World, helix: Helix, caplog: pytest.LogCaptureFixture
    ) -> None:
        in_world.faults.json(200, {"data": [1, None, {}, {"id": "x"}, {"id": 7}]}, host=API)
        page = helix.videos("1", "archive", channel="alice")
        assert [(v.vod_id, v.channel) for v in page.videos] == [("7", "alice")]
        assert page.unreadable == 4
        assert "4 entries without a VOD id" in caplog.text
        in_world.faults.json(200, {"data": [1, {}, {"login": 5}, {"login": "alice"}]}, host=API)
        assert helix.users(["alice"]) == {}
        in_world.faults.json(200, {"data": [None, {"user_login": "alice"}, {}]}, host=API)
        assert helix.live_streams(["alice"]) == {"alice": LiveStream("", None)}

    def test_a_silent_server_is_not_waited_for(
        self, in_world: World, connect: Callable[..., Helix]
    ) -> None:
        helix = connect(session=http.session(read_timeout_seconds=0.3))
        for host in (OAUTH, API):
            gate = in_world.faults.hold(host=host)
            began = time.monotonic()
            with pytest.raises(Transient) as caught:
                helix.users(["alice"])
            assert time.monotonic() - began < 5
            assert caught.value.code == "unreachable"
            gate.release()

    def test_an_answer_that_breaks_off_is_transient(self, in_world: World, helix: Helix) -> None:
        in_world.add_channel("alice")
        for host in (OAUTH, API):
            in_world.faults.cut(5, host=host)
            with pytest.raises(Transient):
                helix.users(["alice"])
        assert helix.users(["alice"])

    def test_no_network_at_all_is_transient(
        self, connect: Callable[..., Helix], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        with pytest.raises(Answer) as caught:
            connect().users(["alice"])
        assert isinstance(caught.value, Transient)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3h8m33s", 11_313),
        ("8m33s", 513),
        ("33s", 33),
        ("48h0m0s", 172_800),
        ("0s", 0),
        ("1h", 3600),
        ("1d2h", 93_600),
        ("100h0m1s", 360_001),
        ("", None),
        ("3:08:33", None),
        ("-5s", None),
        ("3h 8m", None),
        ("8m3h", None),
        ("５s", None),
        ("9" * 99 + "s", None),
        (5, None),
        (None, None),
    ],
)
def test_durations(text: object, seconds: int | None) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T12:00:00Z", NOW),
        ("2026-03-01T13:00:00+01:00", NOW),
        ("2026-03-01T12:00:00", NOW),
        ("2026-03-01T12:00:00.5Z", NOW.replace(microsecond=500_000)),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+23:00", None),
        ("yesterday", None),
        ("", None),
        (1_700_000_000, None),
        (None, None),
    ],
)
def test_moments(text: object, expected: datetime | None) -> None:
    assert moment(text) == expected
