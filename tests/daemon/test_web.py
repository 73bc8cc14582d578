"""What the daemon answers over HTTP, asked over a real connection."""

from __future__ import annotations

import gc
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

from tests.archive import Archive
from vodtender import metrics
from vodtender.config.forms import Address
from vodtender.config.settings import Settings
from vodtender.daemon import service
from vodtender.daemon.lanes import Gate
from vodtender.daemon.service import RunMode, ServiceDiedError
from vodtender.daemon.web import WebServer
from vodtender.errors import SettingsError
from vodtender.model.breaker import Breaker
from vodtender.model.s3_location import S3Location
from vodtender.pipeline.accounts import Accounts
from vodtender.pipeline.directory import open_directory
from vodtender.pipeline.room import DownloadRoom
from vodtender.pipeline.workplace import Workplace
from vodtender.store import backups, breaker, pause, restored
from vodtender.store.database import Database

_ANY_PORT = Address("127.0.0.1", 0)
_NOBODY = "postgresql://vod@127.0.0.1:1/vod"
_PATHS = ("/status", "/livez", "/healthz", "/readyz", "/metrics")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    kind: str
    body: bytes

    @property
    def document(self) -> Any:
        assert self.kind == "application/json"
        return json.loads(self.body)


Ask = Callable[..., Answer]


def asking(address: str) -> Ask:
    where = urlsplit(address)

    def ask(path: str, method: str = "GET") -> Answer:
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
            return Answer(answer.status, answer.headers["Content-Type"].partition(";")[0], body)
        finally:
            connection.close()

    return ask


@contextmanager
def served(dsn: str, directory: Path, **more: Any) -> Iterator[Ask]:
    """The server of a daemon on this database, without the daemon."""
    settings = Settings(twitch_channel="alice", data_dir=directory, db_dsn=dsn, **more)
    database = Database(lambda: dsn, pool_size=4)
    data = open_directory(directory)
    place = Workplace(
        settings=settings,
        database=database,
        directory=data,
        worker_id="w",
        accounts=Accounts(settings, database),
        room=DownloadRoom(data, settings.disk_reserve),
    )
    web = WebServer(_ANY_PORT)
    try:
        web.serve(place, Gate(place))
        yield asking(web.address)
    finally:
        web.close()
        database.close()


@pytest.fixture
def ask(archive: Archive, tmp_path: Path) -> Iterator[Ask]:
    with served(archive.dsn, tmp_path) as ask:
        yield ask


@pytest.fixture(scope="module")
def ask_without_a_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    with served(_NOBODY, tmp_path_factory.mktemp("data")) as ask:
        yield ask


def _series(body: bytes) -> dict[str, float]:
    """All samples, with their labels as part of the name."""
    found = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


# --- routes -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", _PATHS)
def test_every_route_answers(ask: Ask, path: str) -> None:
    assert ask(path).status == 200


@pytest.mark.parametrize("path", _PATHS)
def test_head_answers_like_get_without_a_body(ask: Ask, path: str) -> None:
    answer = ask(path, "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.kind == ask(path).kind


def test_status_is_the_document(ask: Ask, archive: Archive) -> None:
    archive.add("1", channel="alice", title="日本 <b>")
    found = ask("/status").document
    assert found["queue_depth"] == 1
    assert found["channels"][0]["channel"] == "alice"
    assert found["database"]["ok"] is True


def test_what_is_not_there_is_said_in_json(ask: Ask) -> None:
    answer = ask("/nothing")
    assert (answer.status, answer.document) == (404, {"error": "Not Found"})


def test_what_may_not_be_done_is_said_in_json(ask: Ask) -> None:
    answer = ask("/status", "POST")
    assert (answer.status, answer.document) == (405, {"error": "Method Not Allowed"})


# --- without a database -----------------------------------------------------------------


def test_without_a_database_the_process_lives_and_is_not_healthy(
    ask_without_a_database: Ask,
) -> None:
    assert ask_without_a_database("/livez").status == 200
    for path in ("/healthz", "/readyz"):
        answer = ask_without_a_database(path)
        assert answer.status == 503
        assert "database" in answer.document["status"]


def test_without_a_database_status_has_the_same_keys(ask: Ask, ask_without_a_database: Ask) -> None:
    answer = ask_without_a_database("/status")
    assert answer.status == 503
    assert set(answer.document) == set(ask("/status").document)
    assert answer.document["database"]["ok"] is False


def test_without_a_database_what_this_process_counts_is_still_to_be_had(
    ask_without_a_database: Ask,
) -> None:
    before = _series(ask_without_a_database("/metrics").body)["vod_db_errors_total"]
    found = _series(ask_without_a_database("/metrics").body)
    assert found["vod_db_errors_total"] > before
    assert "vod_queue_depth" not in found  # a gap in the graph is right, a zero would be wrong


def test_a_database_that_is_known_to_be_away_holds_up_no_probe(
    ask_without_a_database: Ask,
) -> None:
    ask_without_a_database("/healthz")
    began = time.monotonic()
    for path in ("/healthz", "/metrics", "/status"):
        ask_without_a_database(path)
    assert time.monotonic() - began < 6


# --- metrics ----------------------------------------------------------------------------


def test_the_runbooks_names_are_there_without_labels(ask: Ask) -> None:
    found = _series(ask("/metrics").body)
    for name in (
        *("vod_queue_depth", "vod_circuit_open", "vod_db_errors_total"),
        *("vod_downloads_started_total", "vod_downloads_succeeded_total"),
        *("vod_downloads_failed_total", "vod_uploads_succeeded_total", "vod_uploads_failed_total"),
        *("vod_download_duration_seconds_count", "vod_upload_duration_seconds_count"),
        *("vod_processing_cycles_total", "vod_circuit_breaker_failures_total"),
    ):
        assert name in found, name
    assert "vod_download_duration_seconds_bucket{le=+Inf}" in found


def test_answers_are_timed_by_route(ask: Ask) -> None:
    ask("/livez")
    name = "http_request_duration_seconds_bucket{le=+Inf,method=GET,route=/livez,status=200}"
    assert _series(ask("/metrics").body)[name] >= 1


def test_nobody_can_fill_the_metrics_with_paths_of_his_own(ask: Ask) -> None:
    for path, method in (("/a/b", "GET"), ("/c", "GET"), ("/status", "BREW")):
        ask(path, method)
    body = ask("/metrics").body.decode()
    assert "/a/b" not in body
    assert "BREW" not in body


def test_gauges_follow_the_database(ask: Ask, archive: Archive) -> None:
    for number, stage in enumerate(("live", "queued", "queued", "failed", "downloaded"), 1):
        archive.add(str(number), stage, channel="alice")
    found = _series(ask("/metrics").body)
    assert found["vod_queue_depth"] == 2
    assert found["vod_upload_queue_depth"] == 1
    assert found["vod_vods{channel=alice,state=failed}"] == 1
    assert (found["vod_circuit_open"], found["vod_paused"]) == (0, 0)

    with archive.connection() as connection:
        breaker.put(connection, Breaker("alice", "open", 5))
        pause.begin(connection, "because")
    found = _series(ask("/metrics").body)
    assert (found["vod_circuit_open"], found["vod_paused"]) == (1, 1)


def test_backups_and_drills_are_judged_by_their_ages(archive: Archive, tmp_path: Path) -> None:
    """What has never been has no sample: `absent(vod_backup_age_seconds)` is the alert for it."""
    url = S3Location("bucket", "db/")
    with served(archive.dsn, tmp_path, backup_s3_url=url) as ask:
        found = _series(ask("/metrics").body)
        names = {name for name in found if name.startswith(("vod_backup", "vod_restore"))}
        assert not [name for name in names if "age" in name]
        assert (found["vod_backup_overdue"], found["vod_backup_failed"]) == (1, 0)
        _remember(archive, name="one", s3_url="s3://bucket/db/one", hours=30)
        _remember(archive, name="two", problem="S3 is busy", hours=2)
        _remember_drill(archive, days=12, seconds=41.0, problem=None)
        found = _series(ask("/metrics").body)
    assert found["vod_backup_age_seconds{place=local}"] == pytest.approx(2 * 3600, abs=60)
    assert found["vod_backup_age_seconds{place=s3}"] == pytest.approx(30 * 3600, abs=60)
    for name, value in (
        ("vod_backup_overdue", 1),
        ("vod_backup_failed", 1),
        ("vod_backup_local_only", 1),
        ("vod_backup_rpo_seconds", 86400),
        ("vod_restore_rto_seconds", 3600),
        ("vod_restore_drill_seconds", 41),
        ("vod_restore_drill_failed", 0),
    ):
        assert found[name] == value, name
    assert found["vod_restore_drill_age_seconds"] == pytest.approx(12 * 86400, abs=60)


def _remember(
    archive: Archive, *, name: str, hours: float, s3_url: str | None = None, problem: str = ""
) -> None:
    at = datetime.now(UTC) - timedelta(hours=hours)
    with archive.connection() as connection:
        backups.record(connection, backups.Run(at, at, "h", name, 1, s3_url, problem or None))


def _remember_drill(archive: Archive, *, days: int, seconds: float, problem: str | None) -> None:
    at = datetime.now(UTC) - timedelta(days=days)
    with archive.connection() as connection:
        restored.record(connection, restored.Drill(at, at, "h", "one", seconds, problem))


def test_everything_that_is_counted_has_one_name_and_a_meaning() -> None:
    families = list(metrics.REGISTRY.collect())
    names = [family.name for family in families]
    assert len(set(names)) == len(names)
    assert all(family.documentation for family in families)


# --- its life ---------------------------------------------------------------------------


def test_an_address_that_is_taken_is_an_error_before_anything_starts() -> None:
    first = WebServer(_ANY_PORT)
    try:
        port = urlsplit(first.address).port
        with pytest.raises(SettingsError, match=f"HTTP_ADDR 127.0.0.1:{port} cannot be listened"):
            WebServer(Address("127.0.0.1", port or 0))
    finally:
        first.close()


def test_it_listens_on_ipv6_too() -> None:
    web = WebServer(Address("::1", 0))
    assert web.address.startswith("http://[::1]:")
    web.close()


def test_a_server_that_dies_stops_the_daemon(database_dsn: str, tmp_path: Path) -> None:
    settings = Settings(
        twitch_channel="alice",
        data_dir=tmp_path,
        db_dsn=database_dsn,
        http_addr=_ANY_PORT,
        vod_process_interval=Settings().vod_catalog_backfill_interval,
    )
    ready = threading.Event()
    ended: list[BaseException] = []

    def run() -> None:
        try:
            service.run(settings, RunMode(), lambda _place, _address: ready.set())
        except ServiceDiedError as error:
            ended.append(error)

    daemon = threading.Thread(target=run)
    daemon.start()
    assert ready.wait(30)
    for server in [one for one in gc.get_objects() if isinstance(one, uvicorn.Server)]:
        server.should_exit = True
    daemon.join(40)
    assert not daemon.is_alive()
    (error,) = ended
    assert "HTTP server" in str(error)
