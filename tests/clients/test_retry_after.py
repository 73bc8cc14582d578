"""What an answer's headers say of when to come back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vodtender.clients.retry_after import moment_to_return

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "30"}, 30),
        ({"retry-after": " 0 "}, 0),
        ({"Retry-After": "Fri, 01 May 2026 12:00:10 GMT"}, 10),
        ({"Retry-After": "Fri, 01 May 2026 11:00:00 GMT"}, 0),
        ({"Ratelimit-Reset": str(NOW.timestamp() + 5)}, 5),
        ({"Retry-After": "soon", "Ratelimit-Reset": str(NOW.timestamp() + 5)}, 5),
        ({"Retry-After": "999999999999999999"}, 86400),
    ],
)
def test_the_server_says_when(headers: dict[str, str], seconds: int) -> None:
    assert moment_to_return(headers, NOW) == NOW + timedelta(seconds=seconds)


def test_the_server_does_not_say_when() -> None:
    assert moment_to_return({}, NOW) is None
    assert moment_to_return({"Retry-After": "-1", "Ratelimit-Reset": "nan"}, NOW) is None


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_header_is_survived(first: str, second: str) -> None:
    moment = moment_to_return({"Retry-After": first, "Ratelimit-Reset": second}, NOW)
    assert moment is None or NOW <= moment <= NOW + timedelta(days=1)
