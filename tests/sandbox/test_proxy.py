"""The proxy answers for real host names over TLS, and breaks things on demand."""

from __future__ import annotations

import threading
import time

import pytest
import requests

from tests.sandbox.world import World

TOKEN_URL = "https://oauth2.googleapis.com/token"
API_URL = "https://youtube.googleapis.com/youtube/v3/channels?part=id&mine=true"


def _segment_url(world: World) -> str:
    return world.add_vod("alice").source_url.rpartition("/")[0] + "/0.ts"


def test_a_host_is_met_by_its_real_name_over_tls(world: World, client: requests.Session) -> None:
    assert client.get(API_URL).status_code == 401
    (seen,) = world.record.requests
    assert (seen.host, seen.path, seen.status) == (
        "youtube.googleapis.com",
        "/youtube/v3/channels",
        401,
    )


def test_the_certificate_is_refused_by_whoever_does_not_know_the_authority(
    world: World, client: requests.Session
) -> None:
    client.verify = True
    with pytest.raises(requests.exceptions.SSLError):
        client.get(API_URL)


def test_an_unknown_host_is_answered_with_502_and_noted(
    world: World, client: requests.Session
) -> None:
    assert client.get("https://example.org/x").status_code == 502
    assert [seen.host for seen in world.record.unexpected] == ["example.org"]


def test_plain_http_is_answered_too(world: World, client: requests.Session) -> None:
    vod = world.add_vod("alice", plain_http=True)
    playlist = client.get(vod.source_url)
    assert playlist.status_code == 200
    assert playlist.text.startswith("#EXTM3U")
    assert world.record.requests[0].scheme == "http"


def test_a_connection_is_used_again(world: World, client: requests.Session) -> None:
    for _ in range(5):
        client.get(API_URL)
    pool = client.get_adapter(API_URL).proxy_manager[world.proxy_url]  # type: ignore[attr-defined]
    (used,) = (pool.pools[key] for key in pool.pools.keys())  # noqa: SIM118 - no iterator
    assert (used.num_connections, used.num_requests) == (1, 5)


def test_a_fault_strikes_the_nth_request_so_many_times(
    world: World, client: requests.Session
) -> None:
    fault = world.faults.status(503, host="youtube.*", path="/youtube/*", skip=1, times=2)
    assert [client.get(API_URL).status_code for _ in range(4)] == [401, 503, 503, 401]
    assert fault.struck == 2


def test_a_rate_limit_names_its_reset_both_ways(world: World, client: requests.Session) -> None:
    world.faults.rate_limited(reset_after_seconds=30, host="api.twitch.tv")
    answer = client.get("https://api.twitch.tv/helix/users?login=x")
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "30"
    assert 28 <= int(answer.headers["Ratelimit-Reset"]) - time.time() <= 30


@pytest.mark.parametrize("reason", ["quotaExceeded", "uploadLimitExceeded"])
def test_google_errors_have_googles_shape(
    world: World, client: requests.Session, reason: str
) -> None:
    world.faults.google(reason, host="youtube.googleapis.com")
    answer = client.get(API_URL)
    error = answer.json()["error"]
    assert (error["code"], error["errors"][0]["reason"]) == (answer.status_code, reason)


def test_a_refused_grant(world: World, client: requests.Session) -> None:
    world.faults.invalid_grant(401)
    answer = client.post(TOKEN_URL, data={})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_grant")


def test_a_body_can_be_cut_truncated_and_corrupted(world: World, client: requests.Session) -> None:
    url = _segment_url(world)
    whole = client.get(url).content
    world.faults.cut(1000, path="*/0.ts")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        _ = client.get(url).content
    assert world.record.requests[-1].status == 0
    world.faults.truncate(1000, path="*/0.ts")
    assert client.get(url).content == whole[:1000]
    world.faults.corrupt(188, 4, path="*/0.ts")
    corrupt = client.get(url).content
    assert (len(corrupt), corrupt[188:192]) == (len(whole), bytes(4))
    assert client.get(url).content == whole


def test_a_range_of_a_segment(world: World, client: requests.Session) -> None:
    url = _segment_url(world)
    part = client.get(url, headers={"Range": "bytes=100-199"})
    assert (part.status_code, len(part.content)) == (206, 100)
    assert part.headers["Content-Range"].startswith("bytes 100-199/")


def test_a_held_request_waits_for_its_release(world: World, client: requests.Session) -> None:
    gate = world.faults.hold(path="/youtube/*")
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(client.get(API_URL).status_code))
    thread.start()
    gate.wait_reached()
    assert not world.record.requests
    gate.release()
    thread.join(10)
    assert statuses == [401]


def test_an_answer_can_stall_in_the_middle(world: World, client: requests.Session) -> None:
    url = _segment_url(world)
    gate = world.faults.stall(5000, path="*/0.ts")
    with client.get(url, stream=True) as answer:
        first = answer.raw.read(5000)
        gate.wait_reached()
        gate.release()
        rest = answer.raw.read()
    assert len(first) == 5000
    assert first + rest == client.get(url).content


def test_a_host_can_be_out_of_reach(world: World, client: requests.Session) -> None:
    world.faults.unreachable("youtube.googleapis.com")
    with pytest.raises(requests.exceptions.ProxyError):
        client.get(API_URL)
    assert client.get(API_URL).status_code == 401


def test_an_answer_can_be_slow(world: World, client: requests.Session) -> None:
    vod = world.add_vod("alice")
    size = len(client.get(vod.source_url).content)
    world.faults.slow(size * 5, path="*.m3u8")
    started = time.monotonic()
    client.get(vod.source_url)
    assert time.monotonic() - started >= 0.15


def test_a_delay_delays(world: World, client: requests.Session) -> None:
    world.faults.delay(0.2, path="/youtube/*")
    started = time.monotonic()
    client.get(API_URL)
    assert time.monotonic() - started >= 0.2


def test_the_network_can_go_and_come_back(world: World, client: requests.Session) -> None:
    client.get(API_URL)
    world.disconnect()
    with pytest.raises(requests.exceptions.ConnectionError):
        client.get(API_URL)
    world.reconnect()
    assert client.get(API_URL).status_code == 401


def test_stopping_does_not_wait_for_idle_or_held_clients(client: requests.Session) -> None:
    with World() as other:
        other.faults.hold(path="/youtube/*")
        client.proxies = {"https": other.proxy_url}
        client.verify = str(other.certificate_path)
        client.get("https://www.googleapis.com/nothing")
        started = time.monotonic()
    assert time.monotonic() - started < 2
