"""Secrets on their way into the database and out of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.pipeline.logins import KEY, NOW
from vodtender import log
from vodtender.config.settings import Settings
from vodtender.errors import CredentialsMissing
from vodtender.model.tokens import ClientCredentials, Tokens
from vodtender.pipeline.token_box import TokenBox
from vodtender.store.tokens import SealedSession, StoredTokens

OLD = bytes(32)
TOKENS = Tokens("ya29.accessaccess", "1//refreshrefresh", NOW, ("one", "two"))
CLIENT = ClientCredentials("123-abc", "GOCSPX-secretsecret")
SECRETS = (TOKENS.access_token, TOKENS.refresh_token or "", CLIENT.client_secret)
URI = "https://www.googleapis.com/upload/youtube/v3/videos?upload_id=AEnB2UpQ"


def box(key: bytes | None = KEY, old: bytes | None = None) -> TokenBox:
    return TokenBox(Settings(encryption_key=key, old_encryption_key=old))


def sealed(by: TokenBox, client: ClientCredentials | None = CLIENT) -> StoredTokens:
    return by.seal("youtube", "main", TOKENS, client, owner_id="UC1", owner_name="Alice")


def test_what_goes_in_comes_out() -> None:
    row = sealed(box())
    opened = box().open(row)
    assert (opened.tokens, opened.client) == (TOKENS, CLIENT)
    assert (row.owner_id, row.owner_name, row.client_id) == ("UC1", "Alice", "123-abc")
    assert row.problem is None
    without = box().open(sealed(box(), None))
    assert without.client is None


def test_with_a_key_the_row_shows_no_secret_and_without_one_it_can_be_read() -> None:
    with_key, without = repr(sealed(box())), repr(sealed(box(None)))
    for secret in SECRETS:
        assert secret not in with_key
        assert secret in without
    assert box().encrypts
    assert not box(None).encrypts


def test_a_sealed_text_of_another_account_does_not_open() -> None:
    row = replace(sealed(box()), account="other")
    with pytest.raises(CredentialsMissing) as caught:
        box().open(row)
    assert caught.value.code == "token_damaged"
    assert "youtube/other/access_token" in caught.value.message


def test_what_the_box_has_held_never_shows_in_a_message() -> None:
    row = sealed(box())
    session = box().seal_session(URI, "123", 1)
    box().open(row)
    box().open_session(session, "123", 1)
    said = log.redact(f"{' '.join(SECRETS)} {URI}")
    for secret in (*SECRETS, "AEnB2UpQ"):
        assert secret not in said


def test_a_session_opens_only_for_its_own_part() -> None:
    session = box().seal_session(URI, "123", 1)
    assert box().open_session(session, "123", 1) == URI
    for place in (("124", 1), ("123", 2)):
        with pytest.raises(CredentialsMissing):
            box().open_session(session, *place)


@pytest.mark.parametrize(("key", "old"), [(KEY, OLD), (None, OLD), (OLD, None)])
def test_a_row_under_the_old_key_is_read_and_sealed_anew(
    key: bytes | None, old: bytes | None
) -> None:
    before = sealed(box(OLD))
    session = SealedSession(1, "123", 1, box(OLD).seal_session(URI, "123", 1))
    now = box(key, old)
    assert now.open(before).tokens == TOKENS
    assert now.is_current(before) is (key == OLD)
    assert now.is_current_session(session) is (key == OLD)
    access_token, refresh_token, client_secret = now.reseal(before)
    after = replace(
        before,
        access_token=access_token or "",
        refresh_token=refresh_token,
        client_secret=client_secret,
    )
    assert box(key).open(after) == replace(now.open(before), stored=after)
    assert now.is_current(after)
    assert box(key).open_session(now.reseal_session(session), "123", 1) == URI


def test_encryption_can_be_turned_on() -> None:
    plain = sealed(box(None))
    assert box().open(plain).tokens == TOKENS
    assert not box().is_current(plain)
