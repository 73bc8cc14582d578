"""Ways in which backup scripts have betrayed their users, none of which is ours.

Each is a line of what befell the users of wal-g, restic, pgbackrest, barman and many small ones;
those that have their place in another file are there.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.backups import over_tcp, shelve, standing
from tests.clients.ytdlp.fetches import wait_until
from tests.restoring import Place
from tests.s3 import KEY_ID, S3, SECRET, Fault
from vodtender.clients import dump, pg_tools
from vodtender.clients.dump import DamagedBackupError
from vodtender.clients.pg_tools import Tools
from vodtender.clients.s3 import open_store
from vodtender.config.settings import Settings
from vodtender.errors import (
    AuthExpired,
    DatabaseUnavailable,
    NotFound,
    PartlyDone,
    Refused,
    VodtenderError,
)
from vodtender.pipeline.backup_shelf import LocalShelf
from vodtender.procedures.backup import Made, back_up
from vodtender.procedures.backup_list import listed, shelves
from vodtender.procedures.backup_prune import plan_prune, prune
from vodtender.procedures.backup_verify import verify
from vodtender.store import audit
from vodtender.store.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = timedelta(days=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def both(s3: S3, database_dsn: str, folder: Path) -> Settings:
    return s3.settings(db_dsn=database_dsn, backup_dir=folder, backup_s3_url=s3.at("db/"))


def made(database: Database, settings: Settings) -> Made:
    return back_up(database, settings, actor="me")


def names(folder: Path) -> set[str]:
    return {entry.name for entry in LocalShelf(folder).entries()}


def old_ones(folder: Path) -> set[str]:
    return {shelve(folder, days * DAY).name for days in (3000, 2999, 2998, 2997, 2996)}


# --- exit 0 on failure, and good backups rotated away ----------------------------------------


def test_a_pg_dump_that_dies_in_the_middle_leaves_no_backup_and_removes_none(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`pg_dump | gzip` writes 20 bytes and is content (remnawave #39, enclavr #37)."""
    here = Settings(db_dsn=database.dsn, backup_dir=folder)
    old = old_ones(folder)
    honest = dump._Written.take

    def take(written: dump._Written, data: bytes) -> None:
        honest(written, data)
        started[0].stop()

    started: list[pg_tools.Running] = []
    running = pg_tools.running

    @contextmanager
    def caught(*arguments: object, **more: object) -> Iterator[pg_tools.Running]:
        with running(*arguments, **more) as found:  # type: ignore[arg-type]
            started.append(found)
            yield found

    monkeypatch.setattr(pg_tools, "running", caught)
    monkeypatch.setattr(dump._Written, "take", take)
    monkeypatch.setattr(dump, "_BLOCK_BYTES", 1024)
    with pytest.raises(VodtenderError, match=r"pg_dump was killed \(signal 9\)"):
        made(database, here)
    assert names(folder) == old
    assert not list(folder.glob(".tmp-*"))
    assert "killed" in str(standing(database).last_problem)


def test_an_object_of_no_bytes_is_listed_as_damaged_and_never_the_latest(
    database: Database, both: Settings, s3: S3
) -> None:
    """wal-g #85, #102: `backup-list` showed it intact."""
    first = made(database, both).manifest.name
    second = made(database, both).manifest.name
    s3.store.put(s3.at(f"db/{second}"), b"")
    found = {one.name: one for one in listed(both)}
    broken = found[second].s3
    assert broken is not None
    assert broken.problem is not None
    assert "0 bytes" in broken.problem
    assert verify(both, "latest", from_s3=True).manifest.name == first
    with pytest.raises(DamagedBackupError):
        verify(both, second, from_s3=True)


def test_a_warning_of_pg_dump_is_no_failure(tmp_path: Path) -> None:
    """borgmatic #485: what is on stderr is not an error by that."""
    tools = script(tmp_path, "pg_dump", "printf 'pg_dump: warning: circular\\n' >&2")
    with pg_tools.running(tools, "pg_dump", []) as started:
        assert "circular" in started.finish()


def test_what_a_program_says_in_bytes_that_are_no_text_is_told_legibly(tmp_path: Path) -> None:
    """barman #1117: UnicodeDecodeError instead of the reason."""
    tools = script(tmp_path, "pg_dump", "printf 'erreur: d\\351faut\\n' >&2; exit 1")
    with pg_tools.running(tools, "pg_dump", []) as started, pytest.raises(VodtenderError) as caught:
        started.finish()
    assert "erreur: d\ufffdfaut" in caught.value.message


def script(directory: Path, name: str, text: str) -> Tools:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return Tools(directory, 18)


# --- retention ----------------------------------------------------------------------------------


def test_old_is_what_the_manifest_says_whatever_the_files_time(folder: Path) -> None:
    """pg_back PR #11, wal-g #636: by mtime or by name the wrong ones went."""
    here = Settings(backup_dir=folder)
    old = old_ones(folder)
    young = {shelve(folder, days * DAY).name for days in (1, 2, 3)}
    for name in young:
        os.utime(folder / name, (0, 0))
    for name in old:
        os.utime(folder / name)
    assert {one.name for one in plan_prune(here) if one.fate == "goes"} == old


def test_damaged_ones_take_no_place_of_those_that_must_stay(folder: Path) -> None:
    """portabase #332, barman #1081: failed runs counted, and no good one was left."""
    here = Settings(backup_dir=folder, backup_retention_days=1, backup_archive_days=0)
    good = [shelve(folder, days * DAY).name for days in (30, 29, 28, 27)]
    for days in (3, 2, 1):
        (folder / shelve(folder, days * DAY).name).write_bytes(b"")
    fates = {one.name: one.fate for one in plan_prune(here)}
    assert {name for name, fate in fates.items() if fate == "stays"} == set(good[1:])


def test_a_backup_that_is_being_restored_is_not_removed(
    place: Place,
) -> None:
    """barman #200."""
    settings = place.settings(backup_min_keep=1)
    place.back_up()
    old = shelve(place.backups, 2900 * DAY).name
    database = Database(lambda: place.dsn)
    tried: list[str] = []

    def meanwhile(phase: str, *_: int) -> None:
        if phase == "restoring" and not tried:
            with pytest.raises(PartlyDone) as caught:
                prune(database, settings, actor="me", reason=None)
            tried.append(caught.value.message)

    place.restore(replace=True, tell=meanwhile)
    assert "is reading here" in tried[0]
    assert old in names(place.backups)
    assert [one.name for one in prune(database, settings, actor="me", reason=None)] == [old]
    database.close()


def test_objects_without_a_manifest_and_uploads_under_way_are_left_alone(
    database: Database, both: Settings, s3: S3
) -> None:
    """pgbackrest #2622: what another host was just writing counted as garbage."""
    begun = s3.store.client.create_multipart_upload(
        Bucket=s3.bucket, Key="db/vod_20200101_000000.dump.zst"
    )
    foreign = s3.store.client.create_multipart_upload(Bucket=s3.bucket, Key="db/other")
    s3.store.put(s3.at("db/vod_20200101_000001.dump.zst"), b"on its way")
    s3_shelf = shelves(both).s3
    assert s3_shelf is not None
    s3_shelf.abort_unfinished(datetime(2000, 1, 1, tzinfo=UTC))
    assert uploads(s3) == {begun["UploadId"], foreign["UploadId"]}
    made(database, both)  # to moto all of them began in 2010
    assert uploads(s3) == {foreign["UploadId"]}
    assert "db/vod_20200101_000001.dump.zst" in kept(s3)


def kept(s3: S3) -> list[str]:
    return s3.keys("db/vod_")


def uploads(s3: S3) -> set[str]:
    found = s3.store.client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads", [])
    return {one["UploadId"] for one in found}


def test_a_delete_that_s3_refuses_is_claimed_nowhere(
    database: Database, both: Settings, s3: S3
) -> None:
    name = shelve(both.backup_directory, 3000 * DAY).name
    s3_shelf = shelves(both).s3
    assert s3_shelf is not None
    (entry,) = LocalShelf(both.backup_directory).entries()
    assert entry.manifest is not None
    s3_shelf.add(
        both.backup_directory / name,
        entry.manifest,
        storage_class="STANDARD_IA",
        progress=lambda _done: None,
        should_stop=lambda: False,
    )
    for _ in range(2):
        made(database, both)
    s3.faults(Fault(operation="DeleteObject", code="AccessDenied", status=403))
    done = made(database, both)
    assert [failure.partition(":")[0] for failure in done.not_removed] == [f"{name} (s3)"]
    with pytest.raises(PartlyDone) as caught:
        prune(database, both, actor="me", reason=None)
    assert caught.value.exit == 3
    assert f"{name} (s3): deleting" in caught.value.message
    assert f"db/{name}" in kept(s3)
    with database.transaction() as connection:
        claimed = [(line.target, line.before) for line in audit.find(connection)]
    assert (name, {"place": "s3", "size_bytes": entry.size_bytes}) not in claimed
    s3.faults()
    assert [one.place for one in prune(database, both, actor="me", reason=None)] == ["s3"]
    assert f"db/{name}" not in kept(s3)


# --- versions -----------------------------------------------------------------------------------


def test_an_old_pg_dump_makes_no_backup_at_all(
    database: Database, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docker-postgres-backup-local #63, django-pgclone PR #38: empty dumps for months."""
    tools = tmp_path / "bin"
    tools.mkdir()
    script(tools, "pg_dump", "echo 'pg_dump (PostgreSQL) 12.22'")
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    monkeypatch.setattr(pg_tools, "_PLACES", ())
    old = old_ones(folder)
    with over_tcp(database.dsn) as dsn:
        settings = Settings(db_dsn=dsn, backup_dir=folder)
        with pytest.raises(Refused) as caught:
            made(database, settings)
    assert (caught.value.code, caught.value.exit) == ("pg_tools_missing", 6)
    assert "the newest here is of version 12" in caught.value.message
    assert "postgresql-client-18" in caught.value.hint
    assert names(folder) == old
    assert "version 12" in str(standing(database).last_problem)


def test_a_backup_of_a_newer_server_is_refused_before_anything_happens(place: Place) -> None:
    name = place.back_up().name
    path = place.backups / "manifests" / f"{name}.json"
    path.write_text(path.read_text().replace('"server_version": 18', '"server_version": 19'))
    with pytest.raises(Refused) as caught:
        place.restore(replace=True)
    assert caught.value.code == "server_too_old"
    assert place.databases() == [place.name]


# --- Glacier, keys ------------------------------------------------------------------------------


def test_a_backup_in_a_slow_archive_class_says_so_and_changes_nothing(place: Place, s3: S3) -> None:
    """zerobyte #348: asked again and again for ever."""
    where = {
        "backup_s3_url": s3.at("db/"),
        "backup_storage_class": "GLACIER",
        **{name: getattr(s3.settings(), name) for name in AWS},
    }
    name = place.back_up(**where).name
    (place.backups / name).unlink()
    s3.faults()
    with pytest.raises(Refused, match="archive class") as caught:
        place.restore(name, replace=True, settings=place.settings(**where))
    assert caught.value.code == "archived"
    assert s3.seen().count("GetObject") == 2  # the manifest, and once the backup
    assert place.vods() == [1, 2, 3]


AWS = ("aws_access_key_id", "aws_secret_access_key", "aws_region", "aws_endpoint_url")


def test_a_key_that_was_changed_is_used_the_next_time(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """amazon-s3-data-replication-hub-plugin #87: 403 for days until a restart."""
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    settings = Settings(aws_region="us-east-1", aws_endpoint_url=s3.endpoint)
    used = []
    for key in ("AKIAOLDOLDOLDOLDOLD1", KEY_ID):
        text = f"[default]\naws_access_key_id={key}\naws_secret_access_key={SECRET}\n"
        file.write_text(text)
        credentials = open_store(settings).client._request_signer._credentials
        used.append(credentials.access_key)
    assert used == ["AKIAOLDOLDOLDOLDOLD1", KEY_ID]


# --- S3 while a backup is restored --------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(operation="GetObject", key="db/vod", code="SlowDown", status=503), VodtenderError),
        (Fault(operation="GetObject", key="db/vod", code="AccessDenied", status=403), AuthExpired),
        (Fault(operation="GetObject", key="db/vod", code="NoSuchKey", status=404), NotFound),
        (Fault(operation="List", code="InvalidAccessKeyId", status=403), AuthExpired),
        (Fault(operation="List", code="NoSuchBucket", status=404), NotFound),
    ],
)
def test_whatever_s3_answers_a_restore_changes_nothing(
    untouched: Place,
    s3: S3,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    kind: type[VodtenderError],
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    shelve_in(s3, untouched.backups)
    settings = untouched.settings(
        backup_s3_url=s3.at("db/"),
        backup_dir=untouched.directory / "none",
        **{name: getattr(s3.settings(), name) for name in AWS},
    )
    s3.faults(fault)
    with pytest.raises(kind):
        untouched.restore(replace=True, settings=settings)
    assert untouched.vods() == [1, 2, 3]
    assert untouched.databases() == [untouched.name]


def shelve_in(s3: S3, folder: Path) -> None:
    """Something small that S3 lists as a backup."""
    manifest = shelve(folder, DAY)
    settings = s3.settings(backup_s3_url=s3.at("db/"), backup_dir=folder)
    shelf = shelves(settings).s3
    assert shelf is not None
    shelf.add(
        folder / manifest.name,
        manifest,
        storage_class="STANDARD_IA",
        progress=lambda _done: None,
        should_stop=lambda: False,
    )


# --- the server under the restore ---------------------------------------------------------------


@pytest.mark.parametrize("old_script", [False, True])
def test_a_server_that_ends_meanwhile_is_not_held_against_the_backup(
    untouched: Place, old_script: bool
) -> None:
    wanted = str(untouched.good_plain_dump()) if old_script else untouched.good_backup().name

    def ends(phase: str, done: int, _total: int) -> None:
        if phase == "restoring" and done:
            wait_until(lambda: ended(untouched) > 0, 10)

    with pytest.raises(DatabaseUnavailable, match="connection"):
        untouched.restore(wanted, replace=True, tell=ends)
    assert untouched.vods() == [1, 2, 3]
    assert untouched.databases() == [untouched.name]


def ended(place: Place) -> int:
    with place.connect() as connection:
        found = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE starts_with(application_name, 'vodtender') AND starts_with(datname, %s)"
            " AND datname <> %s",
            (place.name, place.name),
        )
        return len(found.fetchall())
