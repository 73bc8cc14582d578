"""What a video is called: always something that YouTube takes, always with its marker."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.test_legal_text import ANY_TEXT
from tests.sandbox.videos import metadata_problem
from vodtender.errors import SettingsError
from vodtender.model.legal_text import utf16_units
from vodtender.model.video_metadata import (
    Presentation,
    VodFacts,
    carries,
    check_template,
    compose,
    legal_tags,
    marker,
)

BEGAN = datetime(2026, 3, 1, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
VOD = VodFacts("123", "A stream", "alice", BEGAN, 3723.4, "https://www.twitch.tv/videos/123")
PLAIN = Presentation()


def title(text: str, template: str = "{title}", part: int = 1, parts: int = 1) -> str:
    return compose(replace(VOD, title=text), Presentation(template), part, parts).title


def test_a_plain_title_stays_as_it_is() -> None:
    assert title("Tuesday: reading the mail 🎮") == "Tuesday: reading the mail 🎮"


@pytest.mark.parametrize("text", ["", "<>", "\u200b", "\x00\x07", "\ud83d", "\u0301"])
def test_a_title_with_nothing_to_see_becomes_channel_and_date(text: str) -> None:
    assert title(text) == "alice 2026-03-02"


def test_a_vod_of_which_nothing_is_known_has_a_title_all_the_same() -> None:
    nameless = replace(VOD, title="", channel="")
    assert compose(nameless, PLAIN).title == "2026-03-02"


def test_a_long_title_is_cut_between_emoji() -> None:
    cut = title("👩‍👩‍👧‍👦" * 30)
    assert utf16_units(cut) <= 100
    assert cut.removesuffix("…").replace("👩‍👩‍👧‍👦", "") == ""


def test_part_numbers_survive_the_cut() -> None:
    assert title("x" * 200, part=2, parts=3).endswith("… (2/3)")
    assert len(title("x" * 200, part=2, parts=3)) == 100
    assert title("x", "{title}, part {part} of {parts}", 2, 3) == "x, part 2 of 3"
    assert title("x" * 200, "{title}, part {part}", 2, 3).endswith("… (2/3)")


@settings(deadline=None)
@given(ANY_TEXT, ANY_TEXT, st.integers(1, 3), st.sampled_from(["{title}", "{channel}<{title}>"]))
def test_whatever_the_title_youtube_takes_it(
    text: str, channel: str, part: int, template: str
) -> None:
    looks = Presentation(template, "{title}\n{channel}\n" * 100, tags=(text, channel, "a b"))
    vod = replace(VOD, title=text * 3, channel=channel)
    metadata = compose(vod, looks, part, 3)
    assert metadata_problem(metadata.body()) is None
    assert 0 < utf16_units(metadata.title) <= 100
    assert len(metadata.description.encode()) <= 5000
    assert carries(metadata.description, f"vodtender:123/{part}")


def test_a_description_is_cut_before_its_marker() -> None:
    looks = Presentation(description_template="{title} " * 2000)
    found = compose(replace(VOD, title="äöü🎮"), looks).description
    assert 4980 <= len(found.encode()) <= 5000
    assert found.endswith("…\n\nvodtender:123")


def test_the_description_tells_where_it_comes_from() -> None:
    assert compose(VOD, PLAIN).description.splitlines() == [
        "A stream",
        "",
        "alice, 2026-03-02, 1:02:03",
        "https://www.twitch.tv/videos/123",
        "",
        "vodtender:123",
    ]


# --- the marker ---------------------------------------------------------------------------


def test_markers_of_parts_and_of_other_vods_differ() -> None:
    texts = [marker("123"), marker("1234"), marker("123", 1, 2), marker("123", 11, 12)]
    for text in texts:
        assert [other for other in texts if carries(f"words\n\n{text}", other)] == [text]


@pytest.mark.parametrize("text", ["vodtender:999", "a\nVODTENDER:999", "  vodtender:999/1 "])
def test_a_stream_that_is_titled_like_a_marker_does_not_pass_for_another(text: str) -> None:
    looks = Presentation(description_template="{title}\n{channel}")
    found = compose(replace(VOD, title=text, channel=text), looks).description
    assert not carries(found, "vodtender:999")
    assert not carries(found, "vodtender:999/1")
    assert carries(found, "vodtender:123")


def test_a_marker_is_found_in_what_somebody_has_edited_around_it() -> None:
    assert carries("New text\r\n  vodtender:123  \r\nmore", "vodtender:123")
    assert not carries("see vodtender:123", "vodtender:123")


# --- the rest -----------------------------------------------------------------------------


def test_everything_else_stands_where_youtube_wants_it() -> None:
    looks = Presentation(privacy="unlisted", category_id="24", tags=("a", "b"), language="de")
    metadata = compose(VOD, looks)
    body = metadata.body()
    assert body["status"] == {"privacyStatus": "unlisted", "selfDeclaredMadeForKids": False}
    assert body["recordingDetails"] == {"recordingDate": "2026-03-02T04:30:00Z"}
    assert body["snippet"]["categoryId"] == "24"
    assert body["snippet"]["defaultAudioLanguage"] == "de"
    assert metadata.parts() == "snippet,status,recordingDetails"


def test_what_is_not_set_is_not_sent() -> None:
    body = compose(VOD, Presentation(recording_date=False)).body()
    assert set(body["snippet"]) == {"title", "description", "categoryId"}
    assert "recordingDetails" not in body
    assert body["status"]["privacyStatus"] == "private"


def test_tags_are_cleaned_and_stay_within_500_characters() -> None:
    assert legal_tags(["a", "a", "", "<b>", 'say "x"', "one, two"]) == (
        "a",
        "b",
        "say x",
        "one two",
    )
    many = legal_tags([f"tag number {n}" for n in range(100)])
    cost = sum(len(tag) + 2 for tag in many) + len(many) - 1
    assert 480 < cost <= 500
    assert legal_tags(["x" * 501, "y"]) == ("y",)


@pytest.mark.parametrize(
    "template", ["{nothing}", "{title.__class__}", "{title!r}", "{title:>9}", "{0}", "{", "}"]
)
def test_a_template_that_cannot_be_filled_is_named(template: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_template("YT_TITLE_TEMPLATE", template)
    assert "YT_TITLE_TEMPLATE" in caught.value.message


def test_braces_in_a_title_are_only_braces() -> None:
    assert title("{vod_id} {0.__class__}") == "{vod_id} {0.__class__}"
    assert title("x", "{{{title}}}") == "{x}"


def test_the_day_is_the_one_in_utc() -> None:
    assert title("x", "{date}") == BEGAN.astimezone(UTC).date().isoformat()
