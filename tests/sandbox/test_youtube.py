"""Google's own client, and plain requests, meet Google and YouTube here as outside."""

from __future__ import annotations

import hashlib
import importlib
import os
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.sandbox.accounts import SCOPE_UPLOAD, SCOPE_YOUTUBE, Account
from tests.sandbox.uploads import GRAIN_BYTES
from tests.sandbox.videos import Outcome
from tests.sandbox.world import World

API = "https://youtube.googleapis.com/youtube/v3"
UPLOAD = "https://youtube.googleapis.com/upload/youtube/v3/videos"
TOKEN = "https://oauth2.googleapis.com/token"
FILE = bytes(range(256)) * 4096 + b"the end"
"""One MiB and a bit: four grains and seven bytes."""


def _google_client(world: World, account: Account) -> Any:
    google_auth_httplib2: Any = importlib.import_module("google_auth_httplib2")  # no types
    httplib2: Any = importlib.import_module("httplib2")
    from google.oauth2.credentials import Credentials
    from googleapiclient.discovery import build

    held = world.google.credentials(account)
    names = ("refresh_token", "token_uri", "client_id", "client_secret")
    credentials = Credentials(None, **{name: held[name] for name in names})  # type: ignore[no-untyped-call]
    http = httplib2.Http(ca_certs=os.environ["SSL_CERT_FILE"], timeout=20)
    http.redirect_codes = http.redirect_codes - {308}
    authorized = google_auth_httplib2.AuthorizedHttp(credentials, http=http)
    return build("youtube", "v3", http=authorized, static_discovery=True)


def test_googles_client_uploads_in_chunks_and_reads_the_status(
    in_world: World, tmp_path: Path
) -> None:
    from googleapiclient.http import MediaFileUpload

    file = tmp_path / "video.mp4"
    file.write_bytes(FILE)
    youtube = _google_client(in_world, in_world.account)
    request = youtube.videos().insert(
        part="snippet,status",
        body={"snippet": {"title": "Hello"}, "status": {"privacyStatus": "private"}},
        media_body=MediaFileUpload(file, "video/mp4", chunksize=GRAIN_BYTES, resumable=True),
    )
    answer = None
    while answer is None:
        _, answer = request.next_chunk()
    (video,) = in_world.youtube.videos
    assert (video.id, video.title, video.privacy) == (answer["id"], "Hello", "private")
    assert (video.size_bytes, video.sha256) == (len(FILE), hashlib.sha256(FILE).hexdigest())
    assert video.session.puts == 5
    seen = [_upload_status(youtube, video.id) for _ in range(3)]
    assert seen == ["uploaded", "processed", "processed"]
    assert not in_world.youtube.complaints
    youtube.close()


def _upload_status(youtube: Any, video_id: str) -> str:
    answer = youtube.videos().list(part="status", id=video_id).execute()
    return str(answer["items"][0]["status"]["uploadStatus"])


@pytest.fixture
def headers(world: World) -> dict[str, str]:
    return {"Authorization": f"Bearer {world.google.issue(world.account)}"}


def _open(
    client: requests.Session, headers: dict[str, str], title: str = "Hello", **snippet: Any
) -> requests.Response:
    return client.post(
        f"{UPLOAD}?uploadType=resumable&part=snippet,status",
        json={"snippet": {"title": title, **snippet}, "status": {"privacyStatus": "private"}},
        headers={**headers, "X-Upload-Content-Length": str(len(FILE))},
    )


def _put(client: requests.Session, uri: str, start: int, end: int) -> requests.Response:
    span = f"bytes {start}-{end - 1}/{len(FILE)}"
    return client.put(uri, data=FILE[start:end], headers={"Content-Range": span})


def _query(client: requests.Session, uri: str) -> requests.Response:
    return client.put(uri, headers={"Content-Range": f"bytes */{len(FILE)}"})


def _reason(answer: requests.Response) -> str:
    return str(answer.json()["error"]["errors"][0]["reason"])


def test_an_upload_cut_in_the_middle_resumes_at_a_whole_grain(
    world: World, client: requests.Session, headers: dict[str, str]
) -> None:
    uri = _open(client, headers).headers["Location"]
    assert "Range" not in _query(client, uri).headers
    world.faults.cut_request(2 * GRAIN_BYTES + 1000, method="PUT")
    with pytest.raises(requests.exceptions.ConnectionError):
        _put(client, uri, 0, len(FILE))
    kept = _query(client, uri)
    assert kept.status_code == 308
    assert kept.headers["Range"] == f"bytes=0-{2 * GRAIN_BYTES - 1}"
    assert _put(client, uri, 2 * GRAIN_BYTES, len(FILE)).status_code == 200
    assert world.youtube.videos[0].sha256 == hashlib.sha256(FILE).hexdigest()


def test_an_upload_can_be_held_in_the_middle(
    world: World, client: requests.Session, headers: dict[str, str]
) -> None:
    uri = _open(client, headers).headers["Location"]
    gate = world.faults.hold_body(2 * GRAIN_BYTES, method="PUT")
    thread = threading.Thread(target=_put, args=(client, uri, 0, len(FILE)))
    thread.start()
    gate.wait_reached()
    assert world.youtube.sessions[0].received_bytes == 2 * GRAIN_BYTES
    gate.release()
    thread.join(10)
    assert len(world.youtube.videos) == 1


def test_a_dead_token_is_refused_during_an_upload(
    world: World, client: requests.Session, headers: dict[str, str]
) -> None:
    uri = _open(client, headers).headers["Location"]
    world.google.expire_tokens()
    client.headers.update(headers)
    assert _put(client, uri, 0, len(FILE)).status_code == 401
    client.headers.pop("Authorization")
    assert _put(client, uri, 0, len(FILE)).status_code == 200


def test_a_lost_final_answer_is_given_again_to_who_asks(
    world: World, client: requests.Session, headers: dict[str, str]
) -> None:
    uri = _open(client, headers).headers["Location"]
    world.faults.lose_answer(method="PUT")
    with pytest.raises(requests.exceptions.ConnectionError):
        _put(client, uri, 0, len(FILE))
    answer = _query(client, uri)
    assert (answer.status_code, answer.json()["id"]) == (200, world.youtube.videos[0].id)


def test_chunk_rules_are_kept(
    world: World, client: requests.Session, headers: dict[str, str]
) -> None:
    uri = _open(client, headers).headers["Location"]
    assert _put(client, uri, 0, 1000).status_code == 400
    assert _put(client, uri, GRAIN_BYTES, 2 * GRAIN_BYTES).status_code == 400
    assert len(world.youtube.complaints) == 2
    assert _put(client, uri, 0, GRAIN_BYTES).status_code == 308


@pytest.mark.parametrize("status", [404, 410])
def test_a_session_can_expire(
    world: World, client: requests.Session, headers: dict[str, str], status: int
) -> None:
    uri = _open(client, headers).headers["Location"]
    world.youtube.expire_sessions(status)
    assert _query(client, uri).status_code == status


@pytest.mark.parametrize(
    ("snippet", "reason"),
    [
        ({"title": "x" * 101}, "invalidTitle"),
        ({"title": "a < b"}, "invalidTitle"),
        ({"title": " "}, "invalidTitle"),
        ({"title": "x", "description": "ü" * 2501}, "invalidDescription"),
        ({"title": "x", "categoryId": "999"}, "invalidCategoryId"),
        ({"title": "x", "tags": ["y" * 501]}, "invalidTags"),
    ],
)
def test_metadata_that_google_refuses(
    client: requests.Session, headers: dict[str, str], snippet: dict[str, Any], reason: str
) -> None:
    answer = _open(client, headers, **snippet)
    assert (answer.status_code, _reason(answer)) == (400, reason)


def test_the_upload_scope_may_upload_but_not_list(world: World, client: requests.Session) -> None:
    account = world.google.add_account("narrow", scopes=(SCOPE_UPLOAD,))
    headers = {"Authorization": f"Bearer {world.google.issue(account)}"}
    assert _open(client, headers).status_code == 200
    refused = client.get(f"{API}/channels?part=id&mine=true", headers=headers)
    assert (refused.status_code, _reason(refused)) == (403, "insufficientPermissions")


def test_quota_is_counted_by_project_and_runs_out(
    world: World, client: requests.Session, headers: dict[str, str]
) -> None:
    world.youtube.quota_units_per_day = 1601
    assert _open(client, headers).status_code == 200
    listed = [client.get(f"{API}/channels?part=id&mine=true", headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in listed] == [200, 403]
    assert _reason(listed[1]) == "quotaExceeded"
    assert world.youtube.units_used == {world.google.client_id: 1601}


def _upload(client: requests.Session, headers: dict[str, str], title: str = "Hello") -> str:
    uri = _open(client, headers, title).headers["Location"]
    return str(_put(client, uri, 0, len(FILE)).json()["id"])


def test_a_channel_may_upload_only_so_many(
    world: World, client: requests.Session, headers: dict[str, str]
) -> None:
    world.youtube.upload_limit = 1
    _upload(client, headers)
    answer = _open(client, headers)
    assert (answer.status_code, _reason(answer)) == (400, "uploadLimitExceeded")


def test_processing_can_end_badly(
    world: World, client: requests.Session, headers: dict[str, str]
) -> None:
    world.youtube.outcomes = [Outcome("rejected", "length", polls=0), Outcome("failed", "codec", 0)]
    ids = [_upload(client, headers) for _ in range(2)]
    answer = client.get(f"{API}/videos?part=status&id={','.join(ids)}", headers=headers).json()
    rejected, failed = (item["status"] for item in answer["items"])
    assert (rejected["uploadStatus"], rejected["rejectionReason"]) == ("rejected", "length")
    assert (failed["uploadStatus"], failed["failureReason"]) == ("failed", "codec")


def test_the_uploads_playlist_lags_and_pages(
    world: World, client: requests.Session, headers: dict[str, str]
) -> None:
    world.youtube.listing_lag_calls = 1
    ids = [_upload(client, headers, f"Number {n}") for n in range(3)]
    query = {"part": "contentDetails", "playlistId": world.account.uploads_playlist_id}
    url = f"{API}/playlistItems"
    assert client.get(url, params=query, headers=headers).json()["items"] == []
    first = client.get(url, params={**query, "maxResults": "2"}, headers=headers).json()
    rest = client.get(
        url, params={**query, "pageToken": first["nextPageToken"]}, headers=headers
    ).json()
    listed = [i["contentDetails"]["videoId"] for i in first["items"] + rest["items"]]
    assert listed == ids[::-1]


def test_accounts_are_kept_apart(
    world: World, client: requests.Session, headers: dict[str, str]
) -> None:
    _upload(client, headers)
    other = world.google.add_account("other")
    theirs = {"Authorization": f"Bearer {world.google.issue(other)}"}
    mine = client.get(f"{API}/channels?part=id&mine=true", headers=theirs).json()["items"]
    assert mine[0]["id"] == other.channel_id != world.account.channel_id
    video = world.youtube.videos[0]
    listed = client.get(f"{API}/videos?part=status&id={video.id}", headers=theirs).json()
    assert listed["items"] == []


def test_a_video_joins_a_playlist_changes_and_goes(
    world: World, client: requests.Session, headers: dict[str, str]
) -> None:
    video_id = _upload(client, headers)
    playlist = world.youtube.add_playlist(world.account)
    item: dict[str, Any] = {"playlistId": playlist.id, "resourceId": {"videoId": video_id}}
    client.post(f"{API}/playlistItems?part=snippet", json={"snippet": item}, headers=headers)
    assert playlist.video_ids == [video_id]
    change: dict[str, Any] = {"id": video_id, "snippet": {"title": "Better", "categoryId": "20"}}
    client.put(f"{API}/videos?part=snippet", json=change, headers=headers)
    assert world.youtube.videos[0].title == "Better"
    assert client.delete(f"{API}/videos?id={video_id}", headers=headers).status_code == 204
    assert world.youtube.videos == []


def _form(world: World, **more: str) -> dict[str, str]:
    google = world.google
    return {"client_id": google.client_id, "client_secret": google.client_secret, **more}


def test_a_refresh_token_works_until_it_is_revoked(world: World, client: requests.Session) -> None:
    token = world.account.refresh_token
    form = _form(world, grant_type="refresh_token", refresh_token=token)
    assert client.post(TOKEN, data=form).json()["scope"] == " ".join(world.account.scopes)
    client.post("https://oauth2.googleapis.com/revoke", data={"token": token})
    refused = client.post(TOKEN, data=form)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def test_a_browser_login_with_pkce(world: World, client: requests.Session) -> None:
    query = {
        "client_id": world.google.client_id,
        "redirect_uri": "http://127.0.0.1:1/",
        "response_type": "code",
        "scope": SCOPE_UPLOAD,
        "state": "s",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    page = client.get(
        "https://accounts.google.com/o/oauth2/v2/auth", params=query, allow_redirects=False
    )
    given = parse_qs(urlsplit(page.headers["Location"]).query)
    assert given["state"] == ["s"]
    form = _form(
        world,
        grant_type="authorization_code",
        code=given["code"][0],
        redirect_uri=query["redirect_uri"],
        code_verifier="dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    )
    assert "refresh_token" in client.post(TOKEN, data=form).json()
    assert client.post(TOKEN, data=form).json()["error"] == "invalid_grant"


def test_a_device_login(world: World, client: requests.Session) -> None:
    form = _form(world, scope=SCOPE_YOUTUBE)
    url = "https://oauth2.googleapis.com/device/code"
    refused = client.post(url, data={**form, "scope": SCOPE_UPLOAD}).json()
    assert refused["error"] == "invalid_scope"
    device = client.post(url, data=form).json()
    form |= {
        "device_code": device["device_code"],
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
    }
    waiting = client.post(TOKEN, data=form)
    assert (waiting.status_code, waiting.json()["error"]) == (428, "authorization_pending")
    world.google.approve_device(device["user_code"])
    assert client.post(TOKEN, data=form).json()["scope"] == SCOPE_YOUTUBE
