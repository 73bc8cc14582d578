"""A backup is good or there is an error, and nothing old goes after an error."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.backups import restored, shelve, standing
from tests.clients.ytdlp.fetches import wait_until
from tests.postgres import NewDatabase
from tests.s3 import S3, Fault
from vodtender.clients import dump, pg_tools
from vodtender.clients.dump import DamagedBackupError
from vodtender.config.settings import Settings
from vodtender.errors import (
    AuthExpired,
    Locked,
    NotFound,
    PartlyDone,
    Refused,
    Stopped,
    Transient,
    VodtenderError,
)
from vodtender.model.backup import Manifest
from vodtender.pipeline.backup_shelf import LocalShelf
from vodtender.procedures.backup import Made, back_up
from vodtender.procedures.backup_keep import keep
from vodtender.procedures.backup_list import listed, shelves
from vodtender.procedures.backup_prune import plan_prune, prune
from vodtender.procedures.backup_source import at_hand
from vodtender.procedures.backup_verify import verify
from vodtender.procedures.progress import silent
from vodtender.store import audit, backups
from vodtender.store.database import Database, connect

DAY = timedelta(days=1)
Make = Callable[[], Made]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def here(database_dsn: str, folder: Path) -> Settings:
    """Backups on this machine only."""
    return Settings(db_dsn=database_dsn, backup_dir=folder)


@pytest.fixture
def both(s3: S3, database_dsn: str, folder: Path) -> Settings:
    """Backups here and in S3."""
    return s3.settings(db_dsn=database_dsn, backup_dir=folder, backup_s3_url=s3.at("db/"))


def made(database: Database, settings: Settings) -> Made:
    return back_up(database, settings, actor="me")


def names(folder: Path) -> list[str]:
    return [entry.name for entry in LocalShelf(folder).entries()]


def test_a_backup_is_restored_by_postgres_own_tools_with_the_rows_it_says(
    database: Database, here: Settings, new_database: NewDatabase
) -> None:
    """While others write: the rows are counted in the very moment that the dump shows."""
    stop, begun = threading.Event(), threading.Event()

    def write() -> None:
        with psycopg.connect(database.dsn, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO kv VALUES ('c', gen_random_uuid()::text, 'v')")
                begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(30)
        found = made(database, here)
    finally:
        stop.set()
        writer.join()
    assert found.path.stat().st_mode & 0o077 == 0
    with restored(found.path, new_database) as dsn, connect(dsn) as connection:
        assert backups.row_counts(connection) == dict(found.manifest.rows)
    assert found.manifest.rows["kv"] > 0
    assert verify(here, "latest").manifest == found.manifest
    assert standing(database).local_name == found.manifest.name
    assert standing(database).last_problem is None


def test_a_copy_goes_to_s3_with_its_manifest(database: Database, both: Settings, s3: S3) -> None:
    found = made(database, both)
    name = found.manifest.name
    assert found.s3_url == f"s3://{s3.bucket}/db/{name}"
    assert s3.keys() == [f"db/manifests/{name}.json", f"db/{name}"]
    stored = s3.store.head(s3.at(f"db/{name}"))
    assert stored is not None
    assert stored.storage_class == "STANDARD_IA"
    assert Manifest.from_json(s3.store.get(s3.at(f"db/manifests/{name}.json"))) == found.manifest
    (one,) = listed(both)
    assert one.local is not None
    assert one.s3 is not None
    assert one.local.problem is one.s3.problem is None
    found.path.unlink()
    assert verify(both, "latest").place == "s3"
    assert standing(database).s3_name == name


@pytest.mark.parametrize(
    "failure",
    [
        (Fault(operation="Create", code="InvalidAccessKeyId", status=403), AuthExpired),
        (Fault(operation="Create", code="RequestTimeTooSkewed", status=403), AuthExpired),
        (Fault(operation="Create", code="NoSuchBucket", status=404), NotFound),
        (Fault(operation="UploadPart", code="SlowDown", status=503), Transient),
        (Fault(operation="UploadPart", flip=True), Transient),
        (Fault(operation="Complete", loses=True), Transient),
        (
            Fault(operation="PutObject", key="manifests", code="AccessDenied", status=403),
            AuthExpired,
        ),
    ],
)
def test_when_the_copy_fails_nothing_is_removed_and_the_dump_stays(
    database: Database,
    both: Settings,
    s3: S3,
    monkeypatch: pytest.MonkeyPatch,
    failure: tuple[Fault, type[VodtenderError]],
) -> None:
    fault, kind = failure
    folder = both.backup_directory
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    old = [shelve(folder, days * DAY).name for days in (100, 99, 98, 97, 96, 95)]
    s3.faults(fault)
    with pytest.raises(kind, match="is good; it has no copy in S3") as caught:
        made(database, both)
    assert set(old) < set(names(folder))
    good = next(name for name in names(folder) if name not in old)
    assert good in caught.value.message
    assert verify(both, good).place == "local"
    assert (standing(database).local_name, standing(database).s3_name) == (good, None)
    assert standing(database).last_problem == caught.value.message


def test_what_a_failed_copy_has_kept_goes_after_the_next_good_one(
    database: Database, both: Settings, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = both.backup_directory
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    old = [shelve(folder, days * DAY).name for days in (100, 99, 98, 97, 96, 95)]
    s3.faults(Fault(operation="Complete", loses=True))
    with pytest.raises(Transient):
        made(database, both)
    s3.faults()
    made(database, both)
    assert standing(database).last_problem is None
    assert not set(old) <= set(names(folder))


def test_a_dump_that_was_spoilt_before_it_was_copied_is_no_backup(
    database: Database, both: Settings, s3: S3
) -> None:
    old = shelve(both.backup_directory, 3000 * DAY).name
    s3.faults(Fault(operation="Create", code="SlowDown", status=503))
    with pytest.raises(Transient):
        made(database, both)
    (name,) = [name for name in names(both.backup_directory) if name != old]
    spoil_flip(both.backup_directory / name)
    s3.faults()
    with pytest.raises(DamagedBackupError):
        back_up(database, both, actor="me", again=True)
    assert s3.keys() == []
    assert old in names(both.backup_directory)
    made(database, both)
    assert len(s3.keys("db/vod_")) == 1


def test_old_ones_go_after_a_good_one_and_each_is_in_the_audit(
    database: Database, here: Settings, folder: Path
) -> None:
    old = [shelve(folder, days * DAY) for days in (3000, 2999)]
    kept = shelve(folder, 2990 * DAY, kept=True)
    young = [shelve(folder, days * DAY) for days in (1, 2)]
    foreign = folder / "vod_20200101_000000.dump.zst"
    foreign.write_bytes(b"somebody's")
    (folder / "notes.txt").touch()
    (folder / "vod_20200101_000000.sql.gz").touch()
    found = made(database, here)
    assert [one.name for one in found.removed] == [one.name for one in reversed(old)]
    left = {*(one.name for one in young), kept.name, found.manifest.name}
    assert set(names(folder)) == {*left, foreign.name, "vod_20200101_000000.sql.gz"}
    assert (folder / "notes.txt").exists()
    with database.transaction() as connection:
        lines = audit.find(connection, action="backup prune")
    assert {line.target for line in lines} == {one.name for one in old}


def test_never_fewer_than_min_keep_stay(database: Database, here: Settings, folder: Path) -> None:
    for days in (3000, 2999, 2998, 2997):
        shelve(folder, days * DAY)
    made(database, here)
    assert len(names(folder)) == here.backup_min_keep


def test_in_s3_one_a_month_is_archived_and_old_ones_go(
    database: Database, both: Settings, s3: S3, folder: Path
) -> None:
    first = shelve(folder, 120 * DAY)
    second = shelve(folder, 120 * DAY - timedelta(minutes=1))
    ancient = shelve(folder, 3000 * DAY)
    s3_shelf = shelves(both).s3
    assert s3_shelf is not None
    for one in (first, second, ancient):
        s3_shelf.add(
            folder / one.name,
            one,
            storage_class="STANDARD_IA",
            progress=lambda _done: None,
            should_stop=lambda: False,
        )
    for days in (1, 2, 3):
        shelve(folder, days * DAY)
    found = made(database, both)
    told = {(one.place, one.name): one.fate for one in found.removed}
    assert told["s3", ancient.name] == told["local", first.name] == "goes"
    assert f"db/{ancient.name}" not in s3.keys("db/vod_")
    stored = s3.store.head(s3.at(f"db/{first.name}"))
    assert stored is not None
    # Of the two in one month the first is its month's; the other is one of the last three.
    assert stored.storage_class == "GLACIER_IR"
    assert plan_prune(both)
    assert all(one.fate == "stays" for one in plan_prune(both))


def test_a_prune_that_s3_refuses_is_partly_done(
    database: Database, both: Settings, s3: S3, folder: Path
) -> None:
    manifest = shelve(folder, 3000 * DAY)
    made(database, both)
    s3_shelf = shelves(both).s3
    assert s3_shelf is not None
    shelve(folder, 3000 * DAY)
    for days in (1, 2, 3):
        shelve(folder, days * DAY)
    s3.faults(Fault(operation="List", code="AccessDenied", status=403))
    with pytest.raises(PartlyDone):
        prune(database, both, actor="me", reason=None)
    assert manifest.name


def test_only_one_is_at_it(database: Database, here: Settings, folder: Path) -> None:
    with LocalShelf(folder).locked():
        for attempt in (
            lambda: made(database, here),
            lambda: prune(database, here, actor="me", reason=None),
        ):
            with pytest.raises(Locked):
                attempt()
    made(database, here)


def test_what_runs_that_died_have_left_is_swept_away(
    database: Database, here: Settings, folder: Path
) -> None:
    found = made(database, here)
    (folder / ".tmp-vod_20261123_020000.dump.zst").write_bytes(b"half")
    orphan = folder / "manifests" / "vod_20261123_020000.dump.zst.json"
    orphan.write_text(found.manifest.to_json())
    again = made(database, here)
    assert set(names(folder)) == {found.manifest.name, again.manifest.name}
    assert not orphan.exists()
    assert not list(folder.glob(".tmp-*"))


def spoil_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def spoil_flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def spoil_empty(path: Path) -> None:
    path.write_bytes(b"")


def spoil_foreign(path: Path) -> None:
    path.write_bytes(b"x" * path.stat().st_size)


@pytest.mark.parametrize("spoil", [spoil_truncate, spoil_flip, spoil_empty, spoil_foreign])
def test_a_spoilt_backup_is_found_out(
    good_backups: Path, here: Settings, folder: Path, spoil: Callable[[Path], None]
) -> None:
    shutil.copytree(good_backups / "backups", folder)
    (name,) = names(folder)
    assert verify(here, name).place == "local"
    whole = (folder / name).read_bytes()
    spoil(folder / name)
    with pytest.raises(DamagedBackupError):
        verify(here, name)
    with pytest.raises(NotFound, match=f"no good backup.\n{name} is damaged: it"):
        verify(here, "latest")
    (folder / name).write_bytes(whole)
    verify(here, name)
    assert verify(here, "latest").manifest.damage == ""


def test_newer_ones_that_are_not_taken_as_the_latest_are_told_with_their_reasons(
    good_backups: Path, here: Settings, folder: Path
) -> None:
    shutil.copytree(good_backups / "backups", folder)
    (good,) = names(folder)
    cut_off, unknown = shelve(folder, -DAY).name, shelve(folder, -2 * DAY).name
    (folder / cut_off).write_bytes(b"")
    (folder / "manifests" / f"{unknown}.json").unlink()
    told = verify(here, "latest").passed_over
    with at_hand(here, "latest", silent) as source:
        assert (source.name, source.passed_over) == (good, told)
    assert [line.split(":")[0] for line in told] == [
        f"{unknown} is newer, but unknown",
        f"{cut_off} is newer, but damaged",
    ]
    with at_hand(here, good, silent) as source:
        assert source.passed_over == ()


def test_a_backup_without_a_manifest_is_none(
    database: Database, here: Settings, folder: Path
) -> None:
    found = made(database, here)
    (folder / "manifests" / f"{found.manifest.name}.json").unlink()
    with pytest.raises(NotFound, match="copied without manifests/") as met:
        verify(here, "latest")
    assert "vodtender restore NAME" in met.value.hint
    with pytest.raises(DamagedBackupError, match="no manifest"):
        verify(here, found.manifest.name)
    with at_hand(here, found.manifest.name, silent) as source:
        assert source.made_at == found.manifest.made_at


def test_a_dump_that_cannot_be_read_back_is_no_backup(
    database: Database, here: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = shelve(folder, 3000 * DAY)
    honest = dump.forget_cached

    def spoil(path: Path) -> None:
        spoil_flip(path)
        honest(path)

    monkeypatch.setattr(dump, "forget_cached", spoil)
    with pytest.raises(DamagedBackupError):
        made(database, here)
    assert names(folder) == [old.name]
    assert not list(folder.glob(".tmp-*"))
    assert standing(database).local_name is None
    assert "damaged" in str(standing(database).last_problem)


def test_a_stop_leaves_nothing(database: Database, here: Settings, folder: Path) -> None:
    with pytest.raises(Stopped):
        back_up(database, here, actor="me", should_stop=lambda: True)
    assert names(folder) == []
    assert not list(folder.glob(".tmp-*"))


def test_a_table_that_somebody_locks_for_long_ends_the_backup(
    database: Database, here: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pg_dump itself waits no longer, since everybody else would wait behind it."""
    monkeypatch.setattr(dump, "_LOCK_WAIT_SECONDS", 0.2)
    with psycopg.connect(database.dsn) as other:
        other.execute("LOCK TABLE vods IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(pg_tools.ToolFailedError, match="timeout"):
            made(database, here)
        other.rollback()
    assert names(folder) == []


def test_behind_a_pooler_the_direct_way_is_asked_for(
    pooled_dsn: str, database: Database, here: Settings, folder: Path
) -> None:
    through_pooler = Settings(db_dsn=pooled_dsn, backup_dir=folder)
    with pytest.raises(Refused) as caught:
        made(database, through_pooler)
    assert caught.value.code == "pooler"
    assert "DB_DIRECT_DSN" in caught.value.hint
    direct = Settings(db_dsn=pooled_dsn, db_direct_dsn=here.db_dsn, backup_dir=folder)
    assert made(database, direct).manifest.rows


def test_tools_older_than_the_server_are_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    older = pg_tools.Tools(Path("/nowhere"), 15)
    monkeypatch.setattr(pg_tools, "installed", lambda _program: [older])
    dsn = "postgresql://vod@db.example/vod"
    assert pg_tools.for_server(dsn, 150018) == older
    with pytest.raises(Refused) as caught:
        pg_tools.for_server(dsn, 160001)
    assert caught.value.code == "pg_tools_missing"
    assert "postgresql-client-16" in caught.value.hint
    assert "15" in caught.value.message


def test_no_password_is_in_an_argument(database: Database, tmp_path: Path) -> None:
    parts = conninfo_to_dict(database.dsn)
    dsn = f"host={parts['host']} user=vod dbname={parts['dbname']} password=very-secret"
    tools = pg_tools.embedded()
    with pg_tools.running(tools, "psql", ["-c", "SELECT pg_sleep(20)"], dsn=dsn) as started:
        process = Path(f"/proc/{started._process.pid}")
        wait_until(lambda: started.status is not None or b"psql" in _title(process))
        command = _title(process)
        assert b"very-secret" not in command
        assert b"host=" in command


def _title(process: Path) -> bytes:
    return (process / "cmdline").read_bytes()


def test_a_backup_is_kept_here_and_in_s3_and_let_go_again(
    database: Database, both: Settings
) -> None:
    name = made(database, both).manifest.name

    def mark(*, kept: bool, dry_run: bool = False) -> list[bool]:
        changes = keep(database, both, name, kept=kept, actor="me", reason="r", dry_run=dry_run)
        return [change.changed for change in changes]

    assert mark(kept=True, dry_run=True) == [True, True]
    assert mark(kept=True) == [True, True]
    assert mark(kept=True) == [False, False]
    (one,) = listed(both)
    assert one.local is not None
    assert one.s3 is not None
    assert one.local.manifest is not None
    assert one.s3.manifest is not None
    assert one.local.manifest.kept
    assert one.s3.manifest.kept
    assert mark(kept=False) == [True, True]
    with database.transaction() as connection:
        assert len(audit.find(connection, action="backup keep")) == 2
    with pytest.raises(NotFound):
        keep(database, both, "vod_x", kept=True, actor="me", reason=None, dry_run=False)


def test_a_directory_that_cannot_be_used_is_named(
    database: Database, database_dsn: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    settings = Settings(db_dsn=database_dsn, backup_dir=tmp_path / "file" / "backups")
    with pytest.raises(VodtenderError, match="BACKUP_DIR") as caught:
        made(database, settings)
    assert caught.value.code == "backup_dir"


def test_a_full_disk_is_said_and_leaves_nothing(
    database: Database, here: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os

    def full(*_arguments: object) -> object:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(dump._Written, "take", full)
    with pytest.raises(VodtenderError) as caught:
        made(database, here)
    assert caught.value.code == "backup_disk_full"
    assert names(folder) == []
    assert not list(folder.glob(".tmp-*"))


def test_a_dump_that_another_is_taking_meanwhile_is_told(
    database: Database, here: Settings
) -> None:
    with psycopg.connect(database.dsn, application_name="pg_dump") as other:
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT pg_export_snapshot()")
        found = made(database, here)
    assert [one.is_dump for one in found.dumps] == [True]
    assert not found.held_back_long
