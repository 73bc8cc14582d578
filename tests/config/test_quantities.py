"""Numbers, durations, sizes and limits, there and back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vodtender.config import quantities
from vodtender.config.forms import Form


def refusal(form: Form[Any], text: str) -> str:
    with pytest.raises(ValueError, match=r"\w") as caught:
        form.read(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("14d", 14 * 86400),
        ("2w", 14 * 86400),
        ("90", 90),
        ("0", 0),
        ("0.25", 0.25),
        ("1.5h", 5400),
        ("300ms", 0.3),
        ("1h 30m", 5400),
        ("10M", 600),
        (" 5m ", 300),
        ("0123", 123),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert quantities.duration().read(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "-5m", "5x", "1:30", "1e3", "5m1h", "5m5m", "m", "1_000", "٥m", "5 minutes", "+5"],
)
def test_what_is_no_duration(text: str) -> None:
    assert refusal(quantities.duration(), text).startswith("expected a duration such as 90s, 5m")


def test_a_duration_has_bounds() -> None:
    assert refusal(quantities.duration(timedelta(seconds=1)), "500ms") == "expected 1s or longer"
    assert refusal(quantities.duration(), "99999999d") == "expected at most 36500d"


@settings(deadline=None)
@given(st.timedeltas(timedelta(0), quantities.LONGEST_DURATION))
def test_a_duration_survives_the_way_to_text_and_back(value: timedelta) -> None:
    form = quantities.duration()
    assert form.read(form.write(value)) == value


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("123", 123),
        ("500M", 500 * 1024**2),
        ("20GiB", 20 * 1024**3),
        ("20gib", 20 * 1024**3),
        ("500MB", 500 * 1000**2),
        ("1.5G", 3 * 512 * 1024**2),
        ("10 KiB", 10240),
        ("7b", 7),
        ("1.9", 1),
        ("2T", 2 * 1024**4),
    ],
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert quantities.size().read(text) == size_bytes


@pytest.mark.parametrize("text", ["", "-1", "big", "5X", "5ib", "1e9", "5GiBs", "G", "1,5G"])
def test_what_is_no_size(text: str) -> None:
    assert refusal(quantities.size(), text).startswith("expected a size such as 500M or 20GiB")


def test_a_size_has_bounds() -> None:
    chunk = quantities.size(minimum_bytes=256 * 1024, multiple_of_bytes=256 * 1024)
    assert refusal(chunk, "100K") == "expected 256KiB or more"
    assert refusal(chunk, "1000K") == "expected a multiple of 256KiB"
    assert chunk.read("1M") == 1024**2
    assert refusal(quantities.size(), "9999P") == "expected less than 8192P"


@settings(deadline=None)
@given(st.integers(0, quantities.LARGEST_SIZE_BYTES))
def test_a_size_survives_the_way_to_text_and_back(value: int) -> None:
    form = quantities.size()
    assert form.read(form.write(value)) == value


@pytest.mark.parametrize("text", ["4M", "4MiB/s", "4m/sec", "4MiBps"])
def test_rates(text: str) -> None:
    assert quantities.RATE.read(text) == 4 * 1024**2


def test_a_rate_of_nothing_is_refused() -> None:
    assert refusal(quantities.RATE, "0") == "expected a rate such as 4M, in bytes per second"


@pytest.mark.parametrize("text", ["0", "off", "None", "unlimited"])
def test_a_limit_can_be_turned_off(text: str) -> None:
    form = quantities.limit(quantities.RATE)
    assert form.read(text) is None
    assert form.read(form.write(None)) is None


def test_a_limit_that_is_on_is_what_it_limits() -> None:
    form = quantities.limit(quantities.RATE)
    assert form.read("4M") == 4 * 1024**2
    assert form.write(4 * 1024**2) == "4MiB"


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), (" 10 ", 10), ("+3", 3)])
def test_whole_numbers(text: str, number: int) -> None:
    assert quantities.integer().read(text) == number


@pytest.mark.parametrize("text", ["", "1.0", "1e3", "0x10", "-1", "ten", "1_0", "٣", "9" * 40])
def test_what_is_no_whole_number(text: str) -> None:
    assert refusal(quantities.integer(), text) == "expected a whole number, 0 or more"


@pytest.mark.parametrize("text", ["0", "65"])
def test_a_whole_number_has_bounds(text: str) -> None:
    assert refusal(quantities.integer(1, 64), text) == "expected a whole number from 1 to 64"
