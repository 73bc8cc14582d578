"""File names: readable, harmless everywhere, one per VOD."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodtender.errors import UsageError
from vodtender.model.slug import UNTITLED, file_name, slug

VOD_IDS = st.integers(1, 10**19 - 1).map(str)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Elden Ring: Day 3!", "elden-ring-day-3"),
        ("  Über-Straße, naïve café  ", "uber-strasse-naive-cafe"),
        ("don't / won’t", "dont-wont"),
        ("Dungeons & Dragons", "dungeons-and-dragons"),
        ("Łódź Þór Ærø ıI İ", "lodz-thor-aero-ii-i"),
        ("ＦＵＬＬ　ＷＩＤＴＨ ①", "full-width-1"),
        ("../../etc/passwd", "etc-passwd"),
        ("a\x00b\nc\td\x1b[31m", "a-b-c-d-31m"),
        ("--rm -rf", "rm-rf"),
        (".hidden_file.mp4", "hidden-file-mp4"),
        ("100% $HOME `id` $(id) \\ * ? [x]", "100-home-id-id-x"),
        ("🎉🔥", UNTITLED),
        ("日本語のタイトル", UNTITLED),
        ("שלום Hello", "hello"),
        ("\u202egnp.exe", "gnp-exe"),
        ("Z̷̢͝a̸͠l̵g̶o̷", "zalgo"),
        ("\ud800 lone", "lone"),
        ("", UNTITLED),
    ],
)
def test_a_title_becomes_plain_words(title: str, expected: str) -> None:
    assert slug(title) == expected


@settings(deadline=None)
@given(st.text(st.characters(), max_size=400), VOD_IDS)
def test_any_title_gives_a_harmless_name(title: str, vod_id: str) -> None:
    name = file_name(title, vod_id)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*_[0-9]+\.mp4", name)
    assert len(name.encode()) <= 200
    assert name.endswith(f"_{vod_id}.mp4")
    assert len(name.removesuffix(f"_{vod_id}.mp4")) <= 80


@settings(deadline=None)
@given(st.text(st.sampled_from("0123456789 -a٣²")), VOD_IDS)
def test_no_title_can_carry_another_vods_id(title: str, vod_id: str) -> None:
    assert not re.search(r"[0-9]{9}", slug(title))
    assert file_name(title, vod_id).count("_") == 1


def test_a_title_that_names_another_vod_does_not_match_its_id() -> None:
    name = file_name("continued from twitch.tv/videos/2300000001", "2300000002")
    assert "2300000001" not in name
    assert name.endswith("_2300000002.mp4")


@settings(deadline=None)
@given(st.text())
def test_a_slug_of_a_slug_is_itself(title: str) -> None:
    assert slug(slug(title)) == slug(title)


@pytest.mark.parametrize("vod_id", ["", "../1", "1/2", "-1", "a b", "1\n", "1\0", "９", "1" * 41])
def test_an_id_that_could_lead_elsewhere_is_refused(vod_id: str) -> None:
    with pytest.raises(UsageError, match="is not a VOD id"):
        file_name("title", vod_id)
