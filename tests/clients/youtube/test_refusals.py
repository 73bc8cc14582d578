"""Google's error answers, by status and reason, whatever else is in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vodtender.clients.youtube.refusals import refusal
from vodtender.errors import Answer, AuthExpired, RateLimited, Rejected, Transient

NOW = datetime(2026, 1, 5, 20, tzinfo=UTC)


def body(reason: str, **more: object) -> bytes:
    return json.dumps({"error": {"errors": [{"reason": reason}], **more}}).encode()


@pytest.mark.parametrize(
    ("status", "reason", "kind", "code"),
    [
        (403, "quotaExceeded", RateLimited, "quota"),
        (403, "dailyLimitExceeded", RateLimited, "quota"),
        (400, "uploadLimitExceeded", RateLimited, "quota"),
        (403, "userRateLimitExceeded", RateLimited, "rate_limited"),
        (403, "rateLimitExceeded", RateLimited, "rate_limited"),
        (429, "anything", RateLimited, "rate_limited"),
        (401, "authError", AuthExpired, "auth_expired"),
        (401, "youtubeSignupRequired", AuthExpired, "no_channel"),
        (403, "insufficientPermissions", AuthExpired, "scope_missing"),
        (403, "accessNotConfigured", AuthExpired, "api_disabled"),
        (403, "accountSuspended", AuthExpired, "account_closed"),
        (403, "forbidden", AuthExpired, "forbidden"),
        (403, "forbiddenPrivacySetting", Rejected, "forbidden_privacy_setting"),
        (400, "invalidTitle", Rejected, "invalid_title"),
        (400, "invalidDescription", Rejected, "invalid_description"),
        (400, "invalidTags", Rejected, "invalid_tags"),
        (400, "mediaBodyRequired", Rejected, "media_body_required"),
        (404, "videoNotFound", Rejected, "video_not_found"),
        (409, "SERVICE_UNAVAILABLE", Transient, "server_error"),
        (500, "internalError", Transient, "server_error"),
        (503, "backendError", Transient, "server_error"),
        (403, "backendError", Transient, "server_error"),
    ],
)
def test_each_reason_has_its_answer(
    status: int, reason: str, kind: type[Answer], code: str
) -> None:
    answer = refusal(status, {}, body(reason), now=NOW, what="trying")
    assert type(answer) is kind
    assert answer.code == code
    assert answer.message.startswith("trying: ")


@pytest.mark.parametrize("reason", ["insufficientPermissions", "authError", "forbidden"])
def test_what_to_type_names_the_account_that_was_refused(reason: str) -> None:
    login = "vodtender auth login youtube --account bobs"
    answer = refusal(403, {}, body(reason), now=NOW, what="trying", login=login)
    assert answer.hint.endswith(login)


def test_oauths_own_form_is_understood() -> None:
    answer = refusal(400, {}, b'{"error": "invalid_grant"}', now=NOW, what="trying")
    assert type(answer) is AuthExpired


def test_a_limit_per_day_is_told_from_one_per_minute() -> None:
    """The newer buckets say 429 for both; the unit tells."""

    def said(unit: str) -> Answer:
        info = {"reason": "RATE_LIMIT_EXCEEDED", "metadata": {"quota_unit": unit}}
        content = body("rateLimitExceeded", details=[info])
        return refusal(429, {}, content, now=NOW, what="trying")

    daily, quick = said("1/d/{project}"), said("1/min/{project}/{user}")
    assert isinstance(daily, RateLimited)
    assert isinstance(quick, RateLimited)
    assert (daily.code, daily.until) == ("quota", datetime(2026, 1, 6, 8, tzinfo=UTC))
    assert (quick.code, quick.until) == ("rate_limited", NOW + timedelta(minutes=1))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "errors", "details", "reason", "metadata", "quota_unit"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.integers(300, 599),
    st.binary(max_size=40) | json_values.map(lambda v: json.dumps(v).encode()),
)
def test_no_answer_of_a_server_is_a_crash(status: int, content: bytes) -> None:
    answer = refusal(status, {"retry-after": "soon"}, content, now=NOW, what="trying")
    assert isinstance(answer, Answer)
    if status >= 500:
        assert isinstance(answer, (Transient, RateLimited))
