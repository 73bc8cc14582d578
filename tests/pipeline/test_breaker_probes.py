"""A channel whose breaker is not closed: who may work on it, and on what."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.publisher import place_for
from tests.store import rows
from vodtender.config.load import load
from vodtender.errors import Transient
from vodtender.model.breaker import Breaker
from vodtender.model.outcome import Adopted, Failed, Interrupted, OnYouTube, Outcome
from vodtender.pipeline.claimed_vod import ClaimedVod
from vodtender.pipeline.work import Lane, Result, work_on_next
from vodtender.pipeline.workplace import Workplace
from vodtender.store import breaker, queue
from vodtender.store.database import Database, clock

NewPlace = Callable[..., Workplace]


@pytest.fixture
def new_place(database_dsn: str, tmp_path: Path) -> Iterator[NewPlace]:
    """`new_place("worker-1", NAME="value")`: a worker with these settings."""
    database = Database(lambda: database_dsn, pool_size=8)

    def create(worker_id: str = "worker-1", **settings: str) -> Workplace:
        found = load({"DB_DSN": database_dsn, "DATA_DIR": str(tmp_path), **settings})
        return place_for(found, database, worker_id)

    yield create
    database.close()


class Work:
    """A lane that comes to whatever it is told, and remembers what it was given."""

    def __init__(self, outcome: Outcome | None = None, upload: bool = False) -> None:
        self.outcome: Outcome = outcome or Interrupted()
        self.given: list[str] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        stages = queue.UPLOADS if upload else queue.DOWNLOADS
        direction: Any = "upload" if upload else "download"
        self.lane = Lane(direction, direction, stages, guarded=True, work=self._work)

    def _work(self, _place: Workplace, claimed: ClaimedVod) -> Result:
        self.given.append(claimed.vod.twitch_vod_id)
        self.begun.set()
        self.go_on.wait(20)
        return Result(self.outcome)


def put(place: Workplace, *numbers: int, channel: str = "alice", **columns: Any) -> None:
    with place.database.transaction() as connection:
        for number in numbers:
            rows.insert(connection, number, channel=channel, **columns)


def set_breaker(place: Workplace, **more: Any) -> None:
    """Its rest is over, unless something else is said."""
    known: dict[str, Any] = {"state": "open", "direction": "download", "failures": 5}
    with place.database.transaction() as connection:
        now = clock(connection)
        opened = {"open_until": now - timedelta(minutes=1), **known, **more}
        breaker.put(connection, Breaker("alice", **opened))


def state(place: Workplace) -> str:
    with place.database.transaction() as connection:
        return breaker.get(connection, "alice").state


FAILED = Failed(Transient("503", code="server_error"))


def test_while_it_rests_nothing_of_the_channel_is_begun(new_place: NewPlace) -> None:
    place = new_place()
    put(place, 1)
    put(place, 2, channel="bob")
    with place.database.transaction() as connection:
        later = clock(connection) + timedelta(hours=1)
    set_breaker(place, open_until=later)
    work = Work(Adopted())
    while work_on_next(place, work.lane):
        pass
    assert work.given == ["2"]


def test_of_many_workers_one_gets_the_probe(new_place: NewPlace) -> None:
    places = [new_place(f"worker-{number}") for number in range(5)]
    put(places[0], *range(1, 9))
    set_breaker(places[0])
    work = Work(Adopted())
    work.go_on.clear()
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(work_on_next, place, work.lane) for place in places]
        assert work.begun.wait(20)
        done = [future.result(20) for future in asked if _is_turned_away(future)]
        assert done == [False] * 4
        assert len(work.given) == 1
        assert state(places[0]) == "half-open"
        work.go_on.set()
    assert [future.result() for future in asked].count(True) == 1


def _is_turned_away(future: Any) -> bool:
    """Four of them return at once; the probe's does not before it may."""
    try:
        return future.result(5) is False
    except TimeoutError:
        return False


def test_a_probe_that_succeeds_closes_it_and_all_go_on(new_place: NewPlace) -> None:
    place = new_place()
    put(place, 1, 2, 3)
    set_breaker(place, direction="upload")
    work = Work(OnYouTube("V"), upload=True)
    put(place, 4, stage="downloaded", downloaded_path="/d/a_4.mp4", directory_id=place.directory.id)
    assert work_on_next(place, work.lane)
    assert (work.given, state(place)) == (["4"], "closed")


def test_a_probe_that_fails_lets_the_channel_rest_again(new_place: NewPlace) -> None:
    place = new_place()
    put(place, 1, 2)
    set_breaker(place)
    work = Work(FAILED)
    assert work_on_next(place, work.lane)
    assert state(place) == "open"
    assert not work_on_next(place, work.lane)


def test_a_probe_that_comes_to_nothing_makes_room_for_another(new_place: NewPlace) -> None:
    place = new_place()
    put(place, 1, 2)
    set_breaker(place)
    work = Work(Adopted())
    assert work_on_next(place, work.lane)
    assert state(place) == "half-open"
    assert work_on_next(place, work.lane)
    assert work.given == ["1", "2"]


def test_vods_that_have_failed_are_the_last_to_be_tried(new_place: NewPlace) -> None:
    place = new_place(CIRCUIT_FAILURE_THRESHOLD="2", CIRCUIT_OPEN_COOLDOWN="1ms")
    put(place, 1, 2, priority=9)
    put(place, 3)
    work = Work(FAILED)
    assert work_on_next(place, work.lane)
    assert work_on_next(place, work.lane)
    assert state(place) == "open"
    with place.database.transaction() as connection:
        connection.execute("UPDATE vods SET next_try_at = NULL")
        connection.execute("UPDATE kv SET value = '2020-01-01' WHERE key = 'circuit_open_until'")
    assert work_on_next(place, work.lane)
    assert work.given == ["1", "2", "3"]


def test_a_busy_channel_does_not_keep_another_from_its_probe(new_place: NewPlace) -> None:
    place = new_place()
    put(place, *range(10, 15), channel="bob", priority=9)
    put(place, 1)
    set_breaker(place)
    work = Work(Adopted())
    assert work_on_next(place, work.lane)
    assert work.given == ["1"]


def test_the_probe_goes_the_way_that_had_failed(new_place: NewPlace) -> None:
    place = new_place(YT_ENABLED="1")
    put(place, 1)
    here = {"downloaded_path": "/d/a_2.mp4", "directory_id": place.directory.id}
    put(place, 2, stage="downloaded", **here)
    set_breaker(place, direction="upload")
    downloads, uploads = Work(Adopted()), Work(Interrupted(), upload=True)
    assert not work_on_next(place, downloads.lane)
    assert work_on_next(place, uploads.lane)
    assert (downloads.given, uploads.given) == ([], ["2"])


@pytest.mark.parametrize(
    ("settings", "columns"),
    [
        ({"YT_ENABLED": "0"}, {}),
        ({"YT_ENABLED": "1"}, {"next_try_at": "2999-01-01Z", "waiting_for": "quota"}),
        ({"YT_ENABLED": "1"}, {"skip_upload": True}),
    ],
)
def test_where_nothing_can_go_that_way_the_probe_goes_the_other(
    settings: dict[str, str], columns: dict[str, Any], new_place: NewPlace
) -> None:
    """Else downloads would stand still until the quota's reset, or for ever."""
    place = new_place(**settings)
    put(place, 1)
    here = {"downloaded_path": "/d/a_2.mp4", "directory_id": place.directory.id}
    put(place, 2, stage="downloaded", **here, **columns)
    set_breaker(place, direction="upload")
    work = Work(Adopted())
    assert work_on_next(place, work.lane)
    assert work.given == ["1"]


def test_uploads_go_on_when_no_download_has_room(new_place: NewPlace) -> None:
    """They are what makes room."""
    place = new_place(YT_ENABLED="1", DISK_RESERVE="1000000G")
    put(place, 1)
    here = {"downloaded_path": "/d/a_2.mp4", "directory_id": place.directory.id}
    put(place, 2, stage="downloaded", **here)
    set_breaker(place, direction="download")
    work = Work(OnYouTube("V"), upload=True)
    assert work_on_next(place, work.lane)
    assert (work.given, state(place)) == (["2"], "closed")
