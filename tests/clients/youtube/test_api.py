"""Status, search, playlists and the channel, against the sandbox."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.clients.youtube.test_uploading import Account, metadata
from tests.sandbox.videos import Outcome
from tests.sandbox.world import World
from vodtender.errors import AuthExpired, RateLimited, Rejected, Transient

API: dict[str, Any] = {"host": "*youtube*", "path": "/youtube/v3/*"}
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
MARKER = "vodtender:123"


@pytest.fixture
def account(in_world: World, tmp_path: Path) -> Account:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"video")
    return Account(in_world, path)


def upload(account: Account) -> str:
    return account.send(account.open())


def found(
    account: Account, marker: str = MARKER, not_before: datetime = LONG_AGO, max_pages: int = 5
) -> list[str]:
    return list(account.youtube.find_uploads(marker, not_before, max_pages))


def test_a_video_becomes_processed(account: Account) -> None:
    video_id = upload(account)
    first = account.youtube.video_status(video_id)
    second = account.youtube.video_status(video_id)
    assert first is not None
    assert second is not None
    assert (first.upload_status, first.is_processed) == ("uploaded", False)
    assert (second.upload_status, second.is_processed) == ("processed", True)
    assert second.privacy == "private"


def test_a_rejected_video_says_why(account: Account) -> None:
    account.world.youtube.outcome = Outcome("rejected", "duplicate", polls=0)
    status = account.youtube.video_status(upload(account))
    assert status is not None
    assert status.is_refused
    assert status.why_refused == "duplicate"


def test_an_unknown_video_is_none(account: Account) -> None:
    assert account.youtube.video_status("nothing") is None


def test_an_empty_answer_is_not_an_absent_video(account: Account) -> None:
    account.world.faults.empty_json(**API)
    with pytest.raises(Transient):
        account.youtube.video_status("anything")


def test_an_upload_is_found_by_its_marker(account: Account) -> None:
    video_id = upload(account)
    assert metadata().marker == MARKER
    assert found(account) == [video_id]
    assert found(account, "vodtender:12") == []
    assert found(account, "vodtender:123/1") == []


def test_all_uploads_with_a_marker_are_found_the_newest_first(account: Account) -> None:
    first, second = upload(account), upload(account)
    assert found(account) == [second, first]


def test_a_listing_without_descriptions_is_completed(account: Account) -> None:
    """Nor does every answer name the video in the same place, or the uploads playlist."""
    video_id = upload(account)

    def meagre(answer: Any) -> Any:
        for item in answer["items"]:
            item["snippet"] = {"publishedAt": item["snippet"]["publishedAt"]}
        return answer

    account.world.faults.change_json(meagre, path="*/playlistItems")

    def nameless(answer: Any) -> Any:
        return {**answer, "items": [{"id": answer["items"][0]["id"]}]}

    account.world.faults.change_json(nameless, path="*/channels")
    assert found(account) == [video_id]
    assert account.world.record.count(path="*/videos", method="GET") == 1


def test_the_search_goes_through_all_pages(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vodtender.clients.youtube.api.PAGE_SIZE", 1)
    videos = [upload(account) for _ in range(3)]
    assert found(account) == videos[::-1]
    assert account.world.record.count(path="*/playlistItems") == 3


def test_the_search_stops_at_its_limits(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload from before, and one on a page beyond the last, are not looked for."""
    monkeypatch.setattr("vodtender.clients.youtube.api.PAGE_SIZE", 2)
    for _ in range(3):
        upload(account)
    account.world.youtube.videos[0].metadata["snippet"]["description"] = "vodtender:old"
    account.world.record.clear()
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert found(account, "vodtender:old", tomorrow) == []
    assert account.world.record.count(path="*/playlistItems") == 1
    assert found(account, "vodtender:old", max_pages=1) == []
    assert found(account, "vodtender:old", max_pages=2) != []


def test_a_channel_that_never_uploaded_has_no_upload(account: Account) -> None:
    assert found(account) == []
    for reason in ("playlistNotFound", "notFound"):
        account.world.faults.google(reason, path="*/playlistItems")
        assert found(account) == []


def test_the_playlist_holds_the_video_once(account: Account) -> None:
    playlist = account.world.youtube.add_playlist(account.world.account)
    first, second = upload(account), upload(account)
    for video_id in (first, first, second, first):
        account.youtube.add_to_playlist(playlist.id, video_id)
    assert playlist.video_ids == [first, second]


def test_a_playlist_that_does_not_exist_is_named(account: Account) -> None:
    with pytest.raises(Rejected) as caught:
        account.youtube.add_to_playlist("PLnone", "v")
    assert caught.value.code == "playlist_not_found"
    assert "YT_PLAYLIST_ID" in caught.value.hint


def test_the_channel_is_the_one_that_is_logged_in_now(account: Account) -> None:
    """Somebody may log in with another one while the daemon runs."""
    channel = account.youtube.channel()
    assert channel.channel_id == account.world.account.channel_id
    assert channel.title == account.world.account.channel_title
    account.world.google.expire_tokens()
    account.world.account = account.world.google.add_account("other")
    assert account.youtube.channel().channel_id == account.world.account.channel_id


def test_an_account_without_a_channel_is_told(account: Account) -> None:
    account.world.account.has_channel = False
    with pytest.raises(AuthExpired) as caught:
        account.youtube.channel()
    assert caught.value.code == "no_channel"


def test_an_expired_token_is_renewed_once_and_unseen(account: Account) -> None:
    account.world.google.expire_tokens()
    account.youtube.channel()
    assert account.tokens_refused == 1


def test_a_revoked_token_stops_the_service(account: Account) -> None:
    account.world.faults.google("authError", **API, times=None)
    with pytest.raises(AuthExpired):
        account.youtube.channel()


def test_units_are_counted_for_refused_requests_too(account: Account) -> None:
    account.world.faults.google("quotaExceeded", **API)
    with pytest.raises(RateLimited):
        account.youtube.channel()
    assert account.units == 1


@pytest.mark.parametrize(
    "break_it",
    [
        lambda faults: faults.html(200, **API),
        lambda faults: faults.html(403, **API),
        lambda faults: faults.html(404, **API),
        lambda faults: faults.status(200, "", **API),
        lambda faults: faults.status(200, "[1, 2]", **API),
        lambda faults: faults.status(200, '"text"', **API),
        lambda faults: faults.status(403, '{"error": []}', **API),
        lambda faults: faults.status(500, '{"error": "boom"}', **API),
        lambda faults: faults.status(503, '{"error": {"errors": 7, "details": {}}}', **API),
        lambda faults: faults.json(302, {}, headers={"Location": "https://example.com/"}, **API),
        lambda faults: faults.cut(5, **API),
        lambda faults: faults.lose_answer(**API),
        lambda faults: faults.google("backendError", **API),
    ],
)
def test_whatever_comes_back_a_broken_answer_is_transient(
    account: Account, break_it: Callable[[object], object]
) -> None:
    break_it(account.world.faults)
    with pytest.raises(Transient):
        account.youtube.video_status("anything")


def test_a_short_rate_limit_honours_retry_after(account: Account) -> None:
    account.world.faults.rate_limited(reset_after_seconds=7, **API)
    with pytest.raises(RateLimited) as caught:
        account.youtube.channel()
    assert caught.value.code == "rate_limited"
    assert caught.value.until == datetime(2026, 7, 1, 12, 0, 7, tzinfo=UTC)


def test_requests_go_through_the_proxy_to_the_real_host_names(account: Account) -> None:
    account.youtube.channel()
    assert set(account.world.record.hosts()) == {"youtube.googleapis.com"}
