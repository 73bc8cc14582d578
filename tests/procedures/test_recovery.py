"""Base backups and the way back to a moment, with a real cluster that archives its log."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.clients.ytdlp.fetches import wait_until
from tests.rows import add_worker
from vodtender.cli.main import run
from vodtender.clients.postgres.recovery import RecoveryFailedError
from vodtender.clients.postgres.server import acquire
from vodtender.config.settings import Settings
from vodtender.daemon import service
from vodtender.daemon.backup_chore import BackupChore
from vodtender.daemon.service import RunMode
from vodtender.errors import Locked, Refused, SettingsError, VodtenderError
from vodtender.model.base_backup import is_segment
from vodtender.model.log_reach import Span
from vodtender.model.timestamp import rfc3339
from vodtender.pipeline.accounts import Accounts
from vodtender.pipeline.backup_shelf import LocalShelf
from vodtender.pipeline.base_shelf import BaseShelf
from vodtender.pipeline.directory import open_directory
from vodtender.pipeline.room import DownloadRoom
from vodtender.pipeline.workplace import Workplace
from vodtender.procedures.backup_list import recoverable
from vodtender.procedures.base_backup import (
    BaseMade,
    archived_until_now,
    follow_setting,
    is_due,
    make_base,
)
from vodtender.procedures.moments import spans, told
from vodtender.procedures.opening import open_database
from vodtender.procedures.recovery import AskedFor, Recovered, recover
from vodtender.procedures.replaced import Present
from vodtender.procedures.status import document
from vodtender.store import wal
from vodtender.store.database import connect

_ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Cluster:
    """An embedded server of one's own, whose log is archived."""

    directory: Path
    notes: list[str] = field(default_factory=list)
    asked_of: list[Present] = field(default_factory=list)

    @property
    def postgres(self) -> Path:
        return self.directory / "data" / "postgres"

    def settings(self, **more: Any) -> Settings:
        known: dict[str, Any] = {
            "data_dir": self.directory / "data",
            "backup_dir": self.directory / "backups",
            "backup_wal": True,
        }
        return Settings(**(known | more))

    @property
    def shelf(self) -> BaseShelf:
        return BaseShelf(self.directory / "backups")

    @property
    def archive(self) -> Path:
        [found] = list((self.directory / "backups" / "wal").iterdir())
        return found

    def make_base(self, **more: Any) -> BaseMade:
        return make_base(self.settings(**more), actor="test", note=self.notes.append)

    def recover(self, moment: datetime | None, **how: Any) -> Recovered:
        settings = how.pop("settings", None) or self.settings()
        known: dict[str, Any] = {
            "moment": moment,
            "wait": False,
            "dry_run": False,
            "actor": "test",
            "reason": None,
            "confirm": lambda present, _base: self.asked_of.append(present),
            "note": self.notes.append,
            "tell": lambda *_: None,
        }
        return recover(settings, AskedFor(**(known | how)))

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection[Any]]:
        with (
            acquire(self.postgres) as server,
            psycopg.connect(server.dsn, autocommit=True) as connection,
        ):
            yield connection

    def spans(self) -> list[Span]:
        return spans(self.settings())

    def wal_of_status(self, **more: Any) -> dict[str, Any]:
        settings = self.settings(**more)
        with open_database(settings) as database:
            found: dict[str, Any] = document(database, settings)["backup"]["wal"]
            return found

    def begin_with(self, *numbers: int) -> datetime:
        """The VODs there are now, and none but these; a moment at which that is so."""
        with self.connected() as connection:
            connection.execute("DELETE FROM vods")
            return self._add(connection, numbers)

    def add(self, *numbers: int) -> datetime:
        """A moment at which they are there, and nothing that is added after."""
        with self.connected() as connection:
            return self._add(connection, numbers)

    def _add(self, connection: psycopg.Connection[Any], numbers: tuple[int, ...]) -> datetime:
        for number in numbers:
            connection.execute(
                "INSERT INTO vods (twitch_vod_id, channel) VALUES (%s, 'c')", (str(number),)
            )
        row = connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        moment: datetime = row[0]
        return moment

    def vods(self) -> list[int]:
        with self.connected() as connection:
            found = connection.execute("SELECT twitch_vod_id::int FROM vods ORDER BY 1")
            return [row[0] for row in found]

    def kept(self) -> set[str]:
        return {path.name for path in self.postgres.glob("data.before-*")}

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(_ROOT),
            "DATA_DIR": str(self.directory / "data"),
            "BACKUP_DIR": str(self.directory / "backups"),
            "BACKUP_WAL": "1",
        }

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "vodtender", *arguments],
            env=self.environ,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """With a base backup; whatever a test makes of it, the next can go on from there."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    with open_database(cluster.settings(), create=True):
        pass
    with (cluster.postgres / "data" / "postgresql.conf").open("a") as settings:
        settings.write("fsync = off\n")  # and with it that of all that comes of it
    cluster.make_base()
    return cluster


@pytest.fixture
def cluster(shared: Cluster) -> Cluster:
    shared.notes.clear()
    shared.asked_of.clear()
    for name in shared.kept():
        shutil.rmtree(shared.postgres / name)
    return shared


def test_a_moment_takes_the_place_of_today_which_is_kept_and_can_be_had_again(
    cluster: Cluster,
) -> None:
    with cluster.connected():
        first = cluster.begin_with(1, 2)
        second = cluster.add(3)
    done = cluster.recover(first)
    assert cluster.vods() == [1, 2]
    assert done.loss is not None
    assert done.loss.vods is not None
    assert done.loss.vods.unknown == ("3",)
    assert done.reached_at is not None
    assert done.reached_at <= first
    assert [present.rows and present.rows["vods"] for present in cluster.asked_of] == [3]
    assert cluster.kept() == {Path(done.aside).name}
    assert (Path(done.aside) / "PG_VERSION").read_text() == "18\n"
    with cluster.connected() as connection:
        row = connection.execute("SELECT action FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    assert row == ("restore",)
    cluster.add(4)
    cluster.recover(second)
    assert cluster.vods() == [1, 2, 3]


def test_what_is_not_safe_or_not_wanted_or_not_there_changes_nothing(cluster: Cluster) -> None:
    with cluster.connected():
        moment = cluster.begin_with(1)
        cluster.add(2)
    made_at = cluster.shelf.entries()[-1].made_at
    for never in (made_at - timedelta(seconds=1), datetime.now(UTC) + timedelta(hours=1)):
        with pytest.raises(Refused) as caught:
            cluster.recover(never)
        assert caught.value.code == "no_such_moment"
        assert caught.value.message.endswith("to now. Nothing was changed.")
    assert cluster.recover(moment, dry_run=True).seconds is None

    def refuse(*_: object) -> None:
        raise Refused("no")

    with pytest.raises(Refused, match=r"^no$"):
        cluster.recover(moment, confirm=refuse)
    with LocalShelf(cluster.settings().backup_directory).locked():
        with pytest.raises(Locked):
            cluster.recover(moment)
        with pytest.raises(Locked):
            cluster.make_base()
    with open_database(cluster.settings()) as database:
        add_worker(database, "here-1-aa")
    with pytest.raises(Refused) as caught:
        cluster.recover(moment)
    assert caught.value.code == "daemon_alive"
    with cluster.connected() as connection:
        connection.execute("DELETE FROM workers")
    assert (cluster.vods(), cluster.kept()) == ([1, 2], set())


def test_with_the_whole_disk_of_the_database_gone_the_archive_is_enough(cluster: Cluster) -> None:
    moment = cluster.begin_with(1)
    segments = []
    with (
        acquire(cluster.postgres) as server,
        connect(server.admin_dsn, autocommit=True) as admin,
    ):
        for number in (2, 3):
            archived_until_now(admin, cluster.archive)
            segments.append(max(name for name in os.listdir(cluster.archive) if is_segment(name)))
            cluster.add(number)
        archived_until_now(admin, cluster.archive)
    shutil.rmtree(cluster.directory / "data")
    with pytest.raises(Refused, match="ends before it") as caught:
        cluster.recover(datetime.now(UTC), dry_run=True)
    assert caught.value.code == "no_such_moment"
    last = cluster.spans()[0].until
    assert last is not None

    # What is missing, or cannot be read, in the middle of it is not its end.
    middle = cluster.archive / segments[1]
    whole = middle.read_bytes()
    middle.unlink()
    for dry_run in (True, False):
        for wanted in (None, last):
            with pytest.raises(Refused, match=f"{segments[1]} of the log is missing") as caught:
                cluster.recover(wanted, dry_run=dry_run)
            assert caught.value.code == "no_such_moment"
    middle.write_bytes(whole[:256] + bytes(len(whole) - 256))
    with pytest.raises(RecoveryFailedError, match=f"{segments[1]} is damaged"):
        cluster.recover(None)
    middle.write_bytes(whole)
    assert not (cluster.postgres / "data").exists()

    done = cluster.recover(last)
    assert (cluster.vods(), done.aside, cluster.asked_of) == ([1, 2, 3], "", [])
    assert done.reached_at is not None
    assert moment <= done.reached_at <= last


def test_a_database_that_does_not_start_is_brought_back_with_all_that_its_log_holds(
    cluster: Cluster,
) -> None:
    with acquire(cluster.postgres):
        cluster.begin_with(1)
        cluster.add(2)
        data = cluster.postgres / "data"
        os.kill(int((data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
    (data / "global" / "pg_control").unlink()
    done = cluster.recover(None)
    assert cluster.vods() == [1, 2]
    assert done.loss is not None
    assert done.loss.vods is None
    assert "does not run" in cluster.notes[0]


def test_killed_at_any_moment_one_of_the_two_is_there_whole(cluster: Cluster) -> None:
    with cluster.connected():
        moment = cluster.begin_with(1)
        cluster.add(2)
    for sign, left in (
        ("data.at-*", [1, 2]),  # the base backup is being copied
        ("data.at-*/postmaster.pid", [1, 2]),  # the log is being replayed
        ("data.before-*", [1]),  # the two are changing places
    ):
        running = cluster.start("restore", "--at", moment.isoformat(), "--yes")
        wait_until(lambda sign=sign: any(cluster.postgres.glob(sign)), 60)  # type: ignore[misc]
        running.send_signal(signal.SIGKILL)
        running.communicate(timeout=60)
        assert cluster.vods() == left, sign
        assert not list(cluster.postgres.glob("data.swap-*"))
    assert (cluster.kept() != set(), list(cluster.postgres.glob("data.at-*"))) == (True, [])


# --- the archive --------------------------------------------------------------------------


def test_a_file_that_is_in_the_way_is_never_overwritten_and_is_told(cluster: Cluster) -> None:
    cluster.begin_with(1)
    with cluster.connected() as connection, acquire(cluster.postgres) as server:
        with psycopg.connect(server.admin_dsn, autocommit=True) as admin:
            admin.execute("SELECT pg_switch_wal()")
            admin.execute("SELECT pg_current_xact_id()")
            row = admin.execute("SELECT pg_walfile_name(pg_current_wal_insert_lsn())").fetchone()
        assert row is not None
        blocked = cluster.archive / row[0]
        blocked.write_bytes(b"something else")
        with pytest.raises(VodtenderError) as caught:
            cluster.make_base()
        assert caught.value.code == "wal_not_archived"
        assert blocked.read_bytes() == b"something else"
        wal = cluster.wal_of_status()
        assert "cannot be archived" in wal["problem"]
        assert wal["failing_since"] is not None
        blocked.unlink()
        connection.execute("SELECT 1")


def test_base_backups_beyond_those_to_keep_go_with_their_log(cluster: Cluster) -> None:
    cluster.begin_with(1)
    old = {base.name for base in cluster.shelf.entries()}
    segments = set(os.listdir(cluster.archive))
    # What an earlier recovery archives, and every later one needs.
    (cluster.archive / "0000000A.history").touch()
    made = cluster.make_base(backup_base_keep=1)
    assert set(made.removed) == old
    assert [base.name for base in cluster.shelf.entries()] == [made.base.name]
    gone = segments - set(os.listdir(cluster.archive))
    assert gone
    assert made.wal_files >= len(gone)
    assert (cluster.archive / "0000000A.history").exists()
    (cluster.archive / "0000000A.history").unlink()


def test_what_a_base_backup_that_died_left_is_none_and_goes(cluster: Cluster) -> None:
    shelf = cluster.shelf
    known = shelf.entries()
    for name in (".tmp-base_20261123_120000", "base_20261123_120000"):
        (shelf.path(name)).mkdir()
    assert shelf.entries() == known
    shelf.prepare()
    assert {path.name for path in shelf.path("x").parent.iterdir()} == {
        *(base.name for base in known),
        *(f"{base.name}.json" for base in known),
    }


def test_of_base_backups_the_newest_that_is_not_damaged_is_taken(cluster: Cluster) -> None:
    made = cluster.make_base().base
    moment = cluster.begin_with(1)
    cluster.add(2)
    data = {}
    for base in cluster.shelf.entries():
        tables = (cluster.shelf.path(base.name) / "base").rglob("*")
        victim = max(tables, key=lambda path: path.stat().st_size)
        data[victim] = victim.read_bytes()
        victim.write_bytes(data[victim][:-1] + bytes([data[victim][-1] ^ 1]))
    *newer, oldest = data
    with pytest.raises(VodtenderError) as caught:
        cluster.recover(moment, dry_run=True)
    assert oldest.name in caught.value.message
    assert (cluster.vods(), cluster.kept()) == ([1, 2], set())
    oldest.write_bytes(data[oldest])
    cluster.notes.clear()
    done = cluster.recover(moment)
    assert done.base != made
    assert made.name in cluster.notes[0]
    assert cluster.vods() == [1]
    for victim in newer:
        victim.write_bytes(data[victim])


def test_the_daemon_makes_one_when_the_last_is_old_and_follows_the_setting(
    cluster: Cluster,
) -> None:
    cluster.begin_with()
    for wanted in (False, True):
        changed = cluster.settings(backup_wal=wanted)
        # It has restarted the server by the time that it asks the database for work.
        with pytest.raises(SettingsError, match="no VOD waits in the database"):
            service.run(changed, RunMode(once=True))
        follow_setting(changed, cluster.notes.append)
        assert not cluster.notes
        with (
            acquire(cluster.postgres) as server,
            connect(server.admin_dsn, autocommit=True) as admin,
        ):
            assert wal.is_on(admin) is wanted
    settings = cluster.settings(backup_base_interval=timedelta(microseconds=1))
    with open_database(settings, pooled=True) as database:
        add_worker(database, "w")
        directory = open_directory(settings.data_dir)
        place = Workplace(
            settings=settings,
            database=database,
            directory=directory,
            worker_id="w",
            accounts=Accounts(settings, database),
            room=DownloadRoom(directory, 0),
        )
        known = len(cluster.shelf.entries())
        chore = BackupChore(place, "0 2 * * *")
        chore._since = datetime.now(UTC) - timedelta(days=2)
        chore.back_up_when_due()
        assert LocalShelf(settings.backup_directory).entries()[0].problem is None
        assert len(cluster.shelf.entries()) == min(known + 1, settings.backup_base_keep)
        with database.transaction() as connection:
            connection.execute("DELETE FROM workers")


def test_over_a_time_that_was_not_archived_no_recovery_leads_and_a_new_base_backup_is_due(
    cluster: Cluster,
) -> None:
    settings, now = cluster.settings(), datetime.now(UTC)
    moment = cluster.begin_with(1)
    cluster.add(99)
    assert "BACKUP_WAL is not set" in cluster.wal_of_status(backup_wal=False)["problem"]
    follow_setting(cluster.settings(backup_wal=False), cluster.notes.append)
    assert "not archived yet" in cluster.wal_of_status()["problem"]
    ended = cluster.spans()[0]
    assert ended.until is not None
    assert ended.until > moment  # and so to what was written last
    assert not ended.is_broken  # it is the last there is, as yet
    with cluster.connected() as connection:
        connection.execute("CREATE TABLE meanwhile AS SELECT generate_series(1, 9999) AS n")
    follow_setting(settings, cluster.notes.append)
    moment = cluster.add(2)
    assert is_due(settings, now)
    assert "vodtender backup base" in cluster.wal_of_status()["problem"]
    for wanted, dry_run in ((moment, True), (moment, False), (None, True), (None, False)):
        with pytest.raises(Refused, match="the log was not archived for a while") as caught:
            cluster.recover(wanted, dry_run=dry_run)
        assert f"leads to {told(ended.until)}" in caught.value.message
    assert (cluster.vods(), cluster.kept()) == ([1, 2, 99], set())
    cluster.make_base()
    assert not is_due(settings, now)
    assert "the log was not archived for a while" in recoverable(settings).gaps[-1]
    newest, *older = cluster.spans()
    assert newest.until is None
    assert ended.until in {one.until for one in older if one.base == ended.base}
    assert cluster.wal_of_status()["problem"] is None
    moment = cluster.add(3)
    with pytest.raises(Refused, match="the log was not archived for a while"):
        cluster.recover(cluster.shelf.entries()[0].made_at - timedelta(milliseconds=1))
    cluster.recover(moment)
    assert cluster.vods() == [1, 2, 3, 99]
    with cluster.connected() as connection:
        assert connection.execute("SELECT count(*) FROM meanwhile").fetchone() == (9999,)
        connection.execute("DROP TABLE meanwhile")
    assert cluster.recover(ended.until, dry_run=True).base == ended.base


# --- the commands -------------------------------------------------------------------------


def test_another_server_names_the_tools(cluster: Cluster) -> None:
    settings = cluster.settings(db_dsn="postgresql://vod@127.0.0.1:1/vod")
    for refused in (
        lambda: cluster.recover(None, settings=settings),
        lambda: make_base(settings, actor="test", note=print),
    ):
        with pytest.raises(Refused) as caught:
            refused()
        assert caught.value.code == "no_point_in_time"
        for tool in ("pgBackRest", "WAL-G", "Barman"):
            assert tool in caught.value.hint


def test_without_the_setting_no_base_backup_is_made(cluster: Cluster) -> None:
    with pytest.raises(Refused) as caught:
        cluster.make_base(backup_wal=False)
    assert caught.value.code == "wal_off"


def test_the_list_says_which_moments_can_be_had(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in cluster.environ.items():
        monkeypatch.setenv(name, value)
    assert run(["backup", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in listed["bases"]] == [b.name for b in cluster.shelf.entries()]
    assert listed["recoverable"][-1]["until"] is None
    first = listed["recoverable"][0]["from"]
    assert first <= rfc3339(datetime.now(UTC) + timedelta(seconds=1))
    assert run(["backup", "list"]) == 0
    assert "vodtender restore --at TIME" in capsys.readouterr().out
    assert run(["backup", "verify", cluster.shelf.entries()[0].name]) == 7
    assert "vodtender restore --at latest --dry-run" in capsys.readouterr().err
    for dump in LocalShelf(cluster.directory / "backups").entries():
        (cluster.directory / "backups" / dump.name).unlink()
    assert run(["backup", "list"]) == 0
    assert "There is no dump in" in capsys.readouterr().out
    assert run(["restore", "latest", "--dry-run"]) == 7
    assert "hint: vodtender restore --at latest" in capsys.readouterr().err
    assert run(["restore", "--at", "9999d"]) == 6
    said = capsys.readouterr().err
    assert "What can be had: from" in said
    cluster.begin_with(1)
    assert run(["restore", "--at", "0s"]) == 6
    assert "--confirm vod" in capsys.readouterr().err
