"""Which VODs are meant, which are still being recorded, how long there is time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodtender.model.discovery import (
    ListedVod,
    LiveStream,
    Looks,
    is_recording,
    live_by_thumbnail,
    look,
    vanishes_at,
    within_limits,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def listed(
    ended: timedelta | None = None,
    *,
    length: timedelta | None = HOUR * 3,
    started: datetime | None = None,
    **more: object,
) -> ListedVod:
    """An archive of three hours that ended so long ago."""
    if ended is not None:
        started = NOW - ended - (length or timedelta())
    seconds = None if length is None else int(length.total_seconds())
    vod = ListedVod("123", "alice", "archive", "title", "https://www.twitch.tv/videos/123")
    return replace(vod, started_at=started, duration_seconds=seconds, **more)  # type: ignore[arg-type]


def on_air(stream_id: str = "s1", since: datetime | None = None) -> dict[str, LiveStream]:
    return {"alice": LiveStream(stream_id, since)}


class TestThumbnails:
    PLACEHOLDER = "https://vod-secure.twitch.tv/_404/404_processing_%{width}x%{height}.png"
    REAL = "https://static-cdn.jtvnw.net/cf_vods/x/y//thumb/thumb0-%{width}x%{height}.jpg"

    def test_the_placeholder_marks_an_archive_as_live(self) -> None:
        assert live_by_thumbnail("archive", self.PLACEHOLDER) is True
        assert live_by_thumbnail("archive", self.REAL) is False

    @pytest.mark.parametrize("thumbnail", [None, ""])
    def test_none_at_all_says_nothing(self, thumbnail: str | None) -> None:
        assert live_by_thumbnail("archive", thumbnail) is None

    def test_a_highlight_that_keeps_the_placeholder_is_not_live(self) -> None:
        assert live_by_thumbnail("highlight", self.PLACEHOLDER) is False


class TestRecording:
    def test_what_ended_long_ago_is_finished_at_the_first_look(self) -> None:
        assert not is_recording(listed(ended=DAY), None, None, NOW)
        assert not is_recording(listed(ended=DAY, live=False), None, {}, NOW)

    def test_what_ended_a_moment_ago_is_left_to_settle(self) -> None:
        assert is_recording(listed(ended=MINUTE * 9), None, {}, NOW)
        assert not is_recording(listed(ended=MINUTE * 10), None, {}, NOW)

    def test_a_placeholder_thumbnail_means_live(self) -> None:
        assert is_recording(listed(ended=MINUTE, live=True), None, None, NOW)
        assert is_recording(listed(ended=DAY, live=True), None, None, NOW)

    def test_the_stream_on_the_air_means_live_though_the_list_is_behind(self) -> None:
        vod = listed(ended=HOUR, stream_id="s1")
        assert is_recording(vod, None, on_air("s1"), NOW)
        assert not is_recording(vod, None, on_air("s2"), NOW)

    def test_without_stream_ids_the_start_tells(self) -> None:
        vod = listed(ended=HOUR)
        assert vod.started_at is not None
        assert is_recording(vod, None, on_air(since=vod.started_at + MINUTE), NOW)
        assert not is_recording(vod, None, on_air(since=NOW - MINUTE), NOW)

    def test_two_witnesses_are_believed_however_long_the_length_stands_still(self) -> None:
        vod = listed(ended=DAY, live=True, stream_id="s1")
        assert is_recording(vod, Looks(NOW - DAY, vod.duration_seconds), on_air("s1"), NOW)

    def test_a_length_that_grows_means_live_without_any_witness(self) -> None:
        before = listed(ended=None, started=NOW - DAY, length=HOUR)
        seen = look(before, None, NOW - MINUTE)
        grown = replace(before, duration_seconds=3660)
        assert is_recording(grown, seen, None, NOW)
        seen = look(grown, seen, NOW)
        assert is_recording(grown, seen, {}, NOW + MINUTE * 9)
        assert not is_recording(grown, seen, {}, NOW + MINUTE * 10)

    def test_the_first_sight_of_a_length_is_no_growth(self) -> None:
        unknown = listed(ended=DAY, length=None)
        seen = look(unknown, None, NOW - MINUTE)
        assert not is_recording(replace(unknown, duration_seconds=60), seen, {}, NOW)

    def test_zero_is_no_length_and_coming_back_from_it_no_growth(self) -> None:
        vod = listed(ended=DAY, live=False)
        seen = look(vod, None, NOW - MINUTE * 2)
        zero = replace(vod, duration_seconds=0)
        assert not is_recording(zero, seen, {}, NOW - MINUTE)
        assert not is_recording(vod, look(zero, seen, NOW - MINUTE), {}, NOW)

    def test_a_zero_length_just_after_the_start_is_left_alone(self) -> None:
        assert is_recording(listed(started=NOW - MINUTE, length=timedelta()), None, None, NOW)

    def test_zero_for_an_old_vod_that_nobody_calls_live_does_not_hold_it(self) -> None:
        vod = listed(started=NOW - DAY, length=timedelta(), live=False)
        assert not is_recording(vod, None, {}, NOW)

    def test_nothing_known_is_finished_unless_called_live(self) -> None:
        assert not is_recording(listed(length=None), None, None, NOW)
        assert is_recording(listed(length=None, live=True), None, None, NOW)
        assert is_recording(listed(length=None, stream_id="s1"), None, on_air("s1"), NOW)

    def test_a_placeholder_that_is_never_replaced_does_not_hold_it_for_ever(self) -> None:
        vod = listed(ended=DAY, live=True)
        seen = look(vod, None, NOW)
        assert is_recording(vod, seen, None, NOW + MINUTE * 59)
        assert not is_recording(vod, seen, None, NOW + HOUR)

    def test_a_placeholder_with_the_channel_off_air_holds_it_until_settled(self) -> None:
        vod = listed(ended=HOUR, live=True, stream_id="s1")
        seen = look(vod, None, NOW)
        assert is_recording(vod, None, {}, NOW)
        assert is_recording(vod, seen, {}, NOW + MINUTE * 9)
        assert not is_recording(vod, seen, on_air("s2"), NOW + MINUTE * 10)

    def test_the_first_part_of_an_endless_stream_is_freed_after_an_hour(self) -> None:
        """Twitch ends a VOD at 48 hours; the stream goes on under the same id."""
        vod = listed(ended=HOUR * 2, length=HOUR * 48, live=False, stream_id="s1")
        seen = look(vod, None, NOW)
        assert is_recording(vod, seen, on_air("s1"), NOW)
        assert not is_recording(vod, seen, on_air("s1"), NOW + HOUR)

    def test_a_stream_that_drops_and_returns_keeps_its_vod_waiting(self) -> None:
        """Offline for a moment in one list, while the length says when it last went on."""
        vod = listed(ended=MINUTE, live=None, stream_id="s1")
        seen = look(vod, None, NOW)
        assert is_recording(vod, seen, {}, NOW + MINUTE * 2)  # off the air
        back = replace(vod, duration_seconds=(vod.duration_seconds or 0) + 60)
        assert is_recording(back, seen, on_air("s1"), NOW + MINUTE * 3)
        seen = look(back, seen, NOW + MINUTE * 3)
        assert not is_recording(back, seen, {}, NOW + MINUTE * 13)

    def test_our_clock_being_slow_only_delays(self) -> None:
        vod = listed(ended=HOUR)
        assert is_recording(vod, None, {}, NOW - HOUR * 2)
        assert not is_recording(vod, None, {}, NOW)

    def test_our_clock_being_fast_does_not_make_a_live_stream_finished(self) -> None:
        vod = listed(ended=MINUTE, live=True, stream_id="s1")
        assert is_recording(vod, None, on_air("s1"), NOW + HOUR * 5)

    def test_an_absurd_start_is_no_information(self) -> None:
        vod = listed(started=NOW + DAY * 400, live=False)
        assert not is_recording(vod, None, {}, NOW)
        assert is_recording(replace(vod, live=True), None, {}, NOW)

    def test_a_clock_that_was_set_back_holds_nothing(self) -> None:
        vod = listed(ended=DAY)
        ahead = Looks(NOW + DAY * 365, 60, grew_at=NOW + DAY * 365)
        seen = look(replace(vod, duration_seconds=60), ahead, NOW)
        assert not is_recording(replace(vod, duration_seconds=60), seen, {}, NOW + MINUTE * 10)

    @pytest.mark.parametrize("kind", ["highlight", "upload"])
    def test_highlights_and_uploads_are_never_recorded(self, kind: str) -> None:
        vod = listed(ended=MINUTE, kind=kind, live=True, stream_id="s1")
        assert not is_recording(vod, None, on_air("s1"), NOW)

    @settings(deadline=None)
    @given(
        started=st.none() | st.datetimes(timezones=st.just(UTC)),
        seconds=st.none() | st.integers(0, 10**18),
        live=st.none() | st.booleans(),
        known=st.booleans(),
    )
    def test_whatever_twitch_says_nothing_is_held_for_ever_by_one_witness(
        self, started: datetime | None, seconds: int | None, live: bool | None, known: bool
    ) -> None:
        vod = replace(listed(), started_at=started, duration_seconds=seconds, live=live)
        now = started if started and known else NOW
        seen = look(vod, None, now)
        is_recording(vod, seen, {}, now)
        if started is None or started < now:
            late = min(now, datetime(9000, 1, 1, tzinfo=UTC)) + DAY * 200
            assert not is_recording(vod, seen, None, late)


class TestTime:
    def test_an_archive_vanishes_so_many_days_after_its_start(self) -> None:
        assert vanishes_at(listed(started=NOW), 14) == NOW + DAY * 14

    def test_highlights_uploads_and_what_has_no_date_do_not_expire_by_age(self) -> None:
        assert vanishes_at(listed(started=NOW, kind="highlight"), 14) is None
        assert vanishes_at(listed(started=NOW, kind="upload"), 14) is None
        assert vanishes_at(listed(), 14) is None

    @pytest.mark.parametrize("days", [0, -1, 10**7, 10**12])
    def test_impossible_retentions_are_no_date(self, days: int) -> None:
        assert vanishes_at(listed(started=NOW), days) is None

    def test_limits_by_count_and_by_age(self) -> None:
        def wanted(vod: ListedVod, place: int, count: int, days: int) -> bool:
            return within_limits(vod, place, max_count=count, max_age_days=days, now=NOW)

        old = listed(started=NOW - DAY * 8)
        assert wanted(old, 10**6, 0, 0)
        assert wanted(old, 1, 2, 0)
        assert not wanted(old, 2, 2, 0)
        assert not wanted(old, 0, 0, 7)
        assert wanted(old, 0, 0, 8)
        assert wanted(listed(), 0, 0, 7), "an unknown age is no reason to leave it out"
