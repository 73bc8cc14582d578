"""Real yt-dlp, and plain requests, meet Twitch here as they would outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.sandbox import media
from tests.sandbox.kinds import KINDS
from tests.sandbox.vods import Vod
from tests.sandbox.world import World

GQL = "https://gql.twitch.tv/gql"
HELIX = "https://api.twitch.tv/helix"
OAUTH = "https://id.twitch.tv/oauth2"


def _ytdlp(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "yt_dlp", "--compat-options", "no-certifi"]
    command += ["--ignore-config", "--no-cache-dir", "--ffmpeg-location", media.ffmpeg()]
    env = {**os.environ, **world.env()}
    return subprocess.run(
        [*command, *arguments], env=env, capture_output=True, text=True, timeout=60, check=False
    )


def _frames(file: Path) -> int:
    done = subprocess.run(
        [
            media.ffmpeg(),
            "-v",
            "error",
            "-i",
            file,
            *["-map", "v", "-c", "copy", "-f", "framecrc", "-"],
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return sum(not line.startswith("#") for line in done.stdout.splitlines())


def test_ytdlp_sees_every_rendition_and_downloads_the_source_whole(
    world: World, tmp_path: Path
) -> None:
    vod = world.add_vod("alice", title="Hello", description="About it", segment_count=5)
    done = _ytdlp(world, "-j", "--no-simulate", "-o", str(tmp_path / "vod.mp4"), vod.url)
    assert done.returncode == 0, done.stderr
    assert _frames(tmp_path / "vod.mp4") == 5 * 48
    assert not world.record.unexpected
    info = json.loads(done.stdout)
    assert (info["title"], info["description"], info["duration"]) == ("Hello", "About it", 9)
    assert {f["format_id"] for f in info["formats"]} == {"1080p60", "720p60", "Audio_Only"}
    assert info["url"] == vod.source_url
    assert info["live_status"] == "was_live"


def test_ytdlp_lists_a_channel_page_by_page(world: World) -> None:
    vods = [world.add_vod("alice") for _ in range(5)]
    world.add_vod("bob")
    world.twitch.page_limit = 2
    done = _ytdlp(
        world,
        "--flat-playlist",
        "--print",
        "id",
        "https://www.twitch.tv/alice/videos?filter=archives",
    )
    assert done.stdout.split() == [f"v{vod.id}" for vod in vods]
    assert world.record.count("gql.twitch.tv") == 3


def _ask(
    client: requests.Session, vod: Vod, headers: dict[str, str] | None = None
) -> requests.Response:
    """Ask usher for the master playlist, with the access token that GQL gives."""
    query = f'{{videoPlaybackAccessToken(id: "{vod.id}", params: {{}}) {{value signature}}}}'
    token = client.post(
        GQL, json={"query": query}, headers={"Client-ID": "x", **(headers or {})}
    ).json()["data"]["videoPlaybackAccessToken"]
    return client.get(
        f"https://usher.ttvnw.net/vod/{vod.id}.m3u8",
        params={"sig": token["signature"], "token": token["value"]},
    )


def _metadata(client: requests.Session, vod: Vod) -> requests.Response:
    operation: dict[str, Any] = {"operationName": "VideoMetadata", "variables": {"videoID": vod.id}}
    return client.post(GQL, json=[operation], headers={"Client-ID": "x"})


def test_a_subscriber_only_vod_is_refused_but_to_subscribers(
    world: World, client: requests.Session
) -> None:
    vod = world.add_vod("alice", "subscriber-only")
    refused = _ask(client, vod)
    assert refused.status_code == 403
    assert refused.headers["Content-Type"] == "application/json"
    assert refused.json()[0]["error_code"] == "vod_manifest_restricted"
    world.twitch.viewers["cookie"] = "77"
    vod.subscribers.add("77")
    assert _ask(client, vod, {"Authorization": "OAuth cookie"}).status_code == 200


def test_ytdlp_is_let_in_with_cookies(world: World, tmp_path: Path) -> None:
    closed = world.add_vod("alice", "subscriber-only")
    vod = world.add_vod("alice", "subscriber-only", chapters=[(0, 3, "Art"), (3, 4, "Chess")])
    vod.subscribers.add("77")
    cookies = tmp_path / "cookies.txt"
    cookies.write_text(world.twitch.cookies("77"))
    done = _ytdlp(world, "--cookies", str(cookies), "-j", "-i", closed.url, vod.url)
    refused = "does not have access to this subscriber-only content"
    assert [line for line in done.stderr.splitlines() if refused in line and closed.id in line]
    info = json.loads(done.stdout)
    assert info["id"] == f"v{vod.id}"
    assert [chapter["title"] for chapter in info["chapters"]] == ["Art", "Chess"]


def test_usher_wants_the_token_that_gql_gave(world: World, client: requests.Session) -> None:
    vod = world.add_vod("alice")
    url = f"https://usher.ttvnw.net/vod/{vod.id}.m3u8"
    assert client.get(url).status_code == 403
    assert _ask(client, vod).text.count("#EXT-X-STREAM-INF") == 3


def test_a_vod_is_null_once_or_for_good(world: World, client: requests.Session) -> None:
    once, deleted = world.add_vod("alice", "null-once"), world.add_vod("alice", "deleted")
    seen = [_metadata(client, once).json()[0]["data"]["video"] for _ in range(2)]
    assert seen[0] is None
    assert seen[1]["id"] == once.id
    assert _metadata(client, deleted).json()[0]["data"]["video"] is None


@pytest.mark.parametrize(
    ("kind", "status", "start"),
    [("garbage-html", 200, "<html"), ("garbage-empty", 200, "{}"), ("garbage-error", 500, "<html")],
)
def test_garbage_comes_once(
    world: World, client: requests.Session, kind: str, status: int, start: str
) -> None:
    vod = world.add_vod("alice", kind)
    garbage = _metadata(client, vod)
    assert garbage.status_code == status
    assert garbage.text.startswith(start)
    assert _metadata(client, vod).json()[0]["data"]["video"]["id"] == vod.id


def _fetch(client: requests.Session, vod: Vod, name: str) -> requests.Response:
    return client.get(f"{vod.source_url.rpartition('/')[0]}/{name}")


def test_muted_segments_are_listed_unmuted_and_served_muted(
    world: World, client: requests.Session
) -> None:
    vod = world.add_vod("alice", "muted")
    playlist = client.get(vod.source_url).text
    assert [line for line in playlist.split() if line.endswith(".ts")] == [
        "0.ts",
        "1-unmuted.ts",
        "2-unmuted.ts",
        "3.ts",
    ]
    statuses = [_fetch(client, vod, f"1{s}.ts").status_code for s in ("-unmuted", "-muted", "")]
    assert statuses == [403, 200, 403]
    assert _fetch(client, vod, "1-muted.ts").content == vod.segment_body(1)


@pytest.mark.parametrize(("kind", "status"), [("segment-403", 403), ("segment-404", 404)])
def test_a_segment_gone_for_good(
    world: World, client: requests.Session, kind: str, status: int
) -> None:
    vod = world.add_vod("alice", kind)
    assert [_fetch(client, vod, f"{n}.ts").status_code for n in range(4)] == [200, 200, status, 200]


def test_a_connection_cut_in_a_segment_comes_once(world: World, client: requests.Session) -> None:
    vod = world.add_vod("alice", "cut")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        _fetch(client, vod, "2.ts")
    assert _fetch(client, vod, "2.ts").content == vod.segment_body(2)


def test_a_live_vod_grows_until_it_ends(world: World, client: requests.Session) -> None:
    vod = world.add_vod("alice", "live")
    first = client.get(vod.source_url).text
    assert "404_processing" in _metadata(client, vod).text
    assert (first.count("#EXTINF"), "#EXT-X-ENDLIST" in first) == (4, False)
    vod.grow(3)
    vod.end()
    last = client.get(vod.source_url).text
    assert (last.count("#EXTINF"), "#EXT-X-ENDLIST" in last) == (7, True)
    assert "404_processing" not in _metadata(client, vod).text


def test_a_fragmented_vod_names_its_init_sections(world: World, client: requests.Session) -> None:
    vod = world.add_vod("alice", "fmp4-init-changes")
    lines = client.get(vod.source_url).text.split()
    assert [line for line in lines if line.startswith("#EXT-X-MAP")] == [
        '#EXT-X-MAP:URI="init-0.mp4"',
        '#EXT-X-MAP:URI="init-2.mp4"',
    ]
    assert "#EXT-X-DISCONTINUITY" in lines
    inits = {_fetch(client, vod, f"init-{n}.mp4").content for n in (0, 2)}
    assert len(inits) == 2


def test_wrong_lengths(world: World, client: requests.Session) -> None:
    short, zero = world.add_vod("alice", "short"), world.add_vod("alice", "zero-length")
    assert short.length_seconds == int(short.media_seconds) + 600
    assert _metadata(client, zero).json()[0]["data"]["video"]["lengthSeconds"] == 0


def test_every_kind_can_be_made(world: World) -> None:
    vods = [world.add_vod("alice", kind) for kind in KINDS]
    assert len({vod.folder for vod in vods}) == len(KINDS)


# --- Helix ------------------------------------------------------------------------------


def _app_headers(world: World, client: requests.Session) -> dict[str, str]:
    helix = world.helix
    form = {"client_id": helix.client_id, "client_secret": helix.client_secret}
    answer = client.post(f"{OAUTH}/token", data={**form, "grant_type": "client_credentials"})
    token = answer.json()["access_token"]
    return {"Authorization": f"Bearer {token}", "Client-Id": helix.client_id}


def test_helix_lists_a_channel_page_by_page(world: World, client: requests.Session) -> None:
    vods = [world.add_vod("alice") for _ in range(5)]
    highlight = world.add_vod("alice", broadcast_type="highlight")
    headers = _app_headers(world, client)
    user = client.get(f"{HELIX}/users?login=Alice", headers=headers).json()["data"][0]["id"]
    ids: list[str] = []
    query = {"user_id": user, "first": "2", "type": "archive"}
    while True:
        page = client.get(f"{HELIX}/videos", params=query, headers=headers)
        ids += [video["id"] for video in page.json()["data"]]
        if "cursor" not in page.json()["pagination"]:
            break
        query["after"] = page.json()["pagination"]["cursor"]
    assert ids == [vod.id for vod in vods]
    assert highlight.id not in ids
    assert int(page.headers["Ratelimit-Remaining"]) < int(page.headers["Ratelimit-Limit"])


def test_helix_tells_what_it_knows_of_a_video(world: World, client: requests.Session) -> None:
    vod = world.add_vod("alice", "muted", reported_seconds=3723)
    headers = _app_headers(world, client)
    answer = client.get(f"{HELIX}/videos?id={vod.id}", headers=headers).json()["data"][0]
    assert answer["duration"] == "1h2m3s"
    assert answer["muted_segments"] == [
        {"duration": 2, "offset": 2},
        {"duration": 2, "offset": 4},
    ]
    assert (answer["stream_id"], answer["viewable"]) == (vod.stream_id, "public")
    vod.deleted = True
    assert client.get(f"{HELIX}/videos?id={vod.id}", headers=headers).status_code == 404


def test_helix_shows_who_is_live(world: World, client: requests.Session) -> None:
    vod = world.add_vod("alice", "live")
    headers = _app_headers(world, client)
    url = f"{HELIX}/streams?user_login=alice"
    assert client.get(url, headers=headers).json()["data"][0]["id"] == vod.stream_id
    vod.end()
    assert client.get(url, headers=headers).json()["data"] == []


def test_helix_refuses_bad_tokens_and_too_many_requests(
    world: World, client: requests.Session
) -> None:
    headers = _app_headers(world, client)
    world.helix.remaining = 1
    url = f"{HELIX}/users?login=alice"
    assert [client.get(url, headers=headers).status_code for _ in range(2)] == [200, 429]
    world.helix.refill()
    world.helix.expire_tokens()
    assert client.get(url, headers=headers).status_code == 401


def test_twitch_refresh_tokens_rotate(world: World, client: requests.Session) -> None:
    user = world.add_channel("alice")
    old = world.helix.issue_refresh_token(user, ("chat:read",))
    form = {
        "grant_type": "refresh_token",
        "refresh_token": old,
        "client_id": world.helix.client_id,
        "client_secret": world.helix.client_secret,
    }
    answer = client.post(f"{OAUTH}/token", data=form).json()
    assert answer["refresh_token"] != old
    assert client.post(f"{OAUTH}/token", data=form).status_code == 400
    headers = {"Authorization": f"OAuth {answer['access_token']}"}
    whoami = client.get(f"{OAUTH}/validate", headers=headers).json()
    assert (whoami["login"], whoami["scopes"]) == ("alice", ["chat:read"])


def test_a_twitch_device_login(world: World, client: requests.Session) -> None:
    world.add_channel("alice")
    form = {"client_id": world.helix.client_id, "scopes": "chat:read"}
    device = client.post(f"{OAUTH}/device", data=form).json()
    form |= {
        "device_code": device["device_code"],
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
    }
    waiting = client.post(f"{OAUTH}/token", data=form)
    assert (waiting.status_code, waiting.json()["message"]) == (400, "authorization_pending")
    world.helix.approve_device()
    assert client.post(f"{OAUTH}/token", data=form).json()["scope"] == ["chat:read"]
