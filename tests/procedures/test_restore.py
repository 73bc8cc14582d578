"""Restoring: backups of every form, and what must never happen on the way."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.backups import shelve, standing
from tests.postgres import overwrite
from tests.restoring import Place
from tests.rows import add_worker
from tests.s3 import S3, Fault
from vodtender.clients import pg_tools, zstd
from vodtender.clients.dump import DamagedBackupError
from vodtender.errors import Locked, NotFound, Refused, Stopped, Transient, VodtenderError
from vodtender.procedures import backup_standing
from vodtender.procedures.scratch import open_server
from vodtender.store.database import Database

_RIGHTS = """
    SELECT relname::text, grantee::regrole::text, privilege_type, is_grantable FROM pg_class,
        aclexplode(relacl)
    WHERE relnamespace = 'public'::regnamespace AND grantee::regrole::text <> 'vod'
    UNION ALL
    SELECT relname || '.' || attname, grantee::regrole::text, privilege_type, is_grantable
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid, aclexplode(attacl)
    UNION ALL
    SELECT 'public', grantee::regrole::text, privilege_type, is_grantable FROM pg_namespace,
        aclexplode(nspacl) WHERE nspname = 'public' AND grantee::regrole::text IN ('reader', 'gone')
    ORDER BY 1, 2, 3
"""
PERSON = "a backup's text: \\. \\restrict äöü\nand a second line"


# --- what is read ---------------------------------------------------------------------------


def test_a_backup_takes_the_place_of_what_is_there_which_is_kept(place: Place) -> None:
    made = place.back_up()
    place.add(4)
    place.do("DELETE FROM vods WHERE twitch_vod_id = '1'")
    done = place.restore(replace=True)
    assert place.vods() == [1, 2, 3]
    assert (done.source.name, done.rows["vods"]) == (made.name, 3)
    assert done.aside is not None
    assert place.databases() == [place.name, done.aside]
    assert place.vods(done.aside) == [2, 3, 4]
    assert done.loss is not None
    assert done.loss.vods is not None
    assert (done.loss.vods.unknown, done.loss.vods.returned) == (("4",), ("1",))
    assert [present.rows is not None for present in place.asked_of] == [True]


def test_what_was_there_is_dumped_before_and_latest_does_not_mean_that_dump(place: Place) -> None:
    made = place.good_backup()
    place.add(4)
    done = place.restore(replace=True)
    assert done.safety is not None
    assert place.restore(replace=True).source.name == made.name
    place.restore(done.safety, replace=True)
    assert place.vods() == [1, 2, 3, 4]


def test_which_backups_there_are_is_known_after_a_restore_too(place: Place) -> None:
    made = [place.back_up().name, place.back_up().name]
    place.restore(made[0], replace=True)
    with place.connect() as connection:
        found = connection.execute("SELECT name FROM backup_runs ORDER BY id").fetchall()
    assert [row[0] for row in found] == made


def test_where_files_were_archived_since_the_backup_is_known_after_a_restore_too(
    place: Place,
) -> None:
    insert = (
        "INSERT INTO archived_files (vod_id, place, size_bytes, sha256, crc32)"
        " VALUES (%s, %s, 1, 'ab', 1)"
    )
    place.do(insert, "1", "/old/1.mp4")
    made = place.back_up()
    place.do("UPDATE archived_files SET place = '/new/1.mp4'")
    place.do(insert, "2", "s3://archive/2.mp4")
    place.restore(made.name, replace=True)
    with place.connect() as connection:
        found = connection.execute("SELECT vod_id, place FROM archived_files ORDER BY 1").fetchall()
    assert found == [("1", "/new/1.mp4"), ("2", "s3://archive/2.mp4")]


def test_a_backup_is_found_by_its_name_as_a_file_and_as_the_latest(
    place: Place, tmp_path: Path
) -> None:
    made = place.good_backup()
    path = place.backups / made.name
    for wanted in (made.name, str(path), "latest"):
        found = place.restore(wanted, replace=True, dry_run=True)
        assert (found.source.name, found.rows["vods"]) == (made.name, 3)
    elsewhere = tmp_path / "renamed"
    elsewhere.write_bytes(path.read_bytes())
    place.do("DELETE FROM vods")
    assert place.restore(str(elsewhere)).rows["vods"] == 3
    assert place.vods() == [1, 2, 3]


def test_the_plain_dump_of_the_old_script_is_restored(place: Place) -> None:
    place.do("UPDATE vods SET title = %s", PERSON)
    packed = place.plain_dump()
    unpacked = packed.with_suffix("")
    unpacked.write_bytes(gzip.decompress(packed.read_bytes()))
    place.do("DELETE FROM vods")
    place.restore(str(packed), dry_run=True)
    place.restore(str(unpacked))
    assert place.vods() == [1, 2, 3]
    with place.connect() as connection:
        assert connection.execute("SELECT DISTINCT title FROM vods").fetchall() == [(PERSON,)]


def test_a_dump_from_before_psql_had_restrict_is_restored(place: Place) -> None:
    path = place.good_plain_dump()
    text = gzip.decompress(path.read_bytes())
    assert b"\n\\restrict" in text
    lines = [line for line in text.split(b"\n") if b"restrict" not in line]
    path.write_bytes(gzip.compress(b"\n".join(lines)))
    place.do("DELETE FROM vods")
    place.restore(path.name)
    assert place.vods() == [1, 2, 3]


def test_a_database_that_is_empty_needs_no_replace_and_leaves_nothing(place: Place) -> None:
    place.good_backup()
    place.do("DELETE FROM vods")
    done = place.restore()
    assert (done.aside, done.safety, place.asked_of) == (None, None, [])
    assert place.databases() == [place.name]


def test_a_database_that_is_gone_is_made_anew(place: Place) -> None:
    place.good_backup()
    with psycopg.connect(place.admin_dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(place.name))
        )
    assert place.restore().aside is None
    assert place.vods() == [1, 2, 3]


def test_a_backup_in_s3_is_restored_by_name_and_by_address(place: Place, s3: S3) -> None:
    where = {"backup_s3_url": s3.at("database/"), **_keys(s3)}
    made = place.back_up(**where)
    for path in place.backups.rglob("*"):
        if path.is_file():
            path.unlink()
    settings = place.settings(**where)
    address = f"s3://{s3.bucket}/database/{made.name}"
    for wanted in ("latest", made.name):
        found = place.restore(wanted, settings=settings, replace=True, dry_run=True)
        assert found.source.where == address
    place.do("DELETE FROM vods")
    assert place.restore(address, settings=settings).source.where == address
    assert place.vods() == [1, 2, 3]


def test_the_restored_database_knows_no_daemon_and_asks_youtube_first(place: Place) -> None:
    database = Database(lambda: place.dsn)
    add_worker(database, "dead-since")
    database.close()
    place.back_up()
    place.do("DELETE FROM vods; DELETE FROM workers")
    place.restore()
    with place.connect() as connection:
        assert connection.execute("SELECT count(*) FROM workers").fetchall() == [(0,)]
        assert connection.execute("SELECT bool_and(recheck) FROM vods").fetchall() == [(True,)]
        assert connection.execute("SELECT action, actor FROM audit").fetchall() == [
            ("restore", "test")
        ]


def test_settings_and_rights_of_the_old_database_stay(place: Place) -> None:
    place.good_backup()
    name = sql.Identifier(place.name)
    with psycopg.connect(place.admin_dsn, autocommit=True) as connection:
        for statement in (
            "ALTER DATABASE {} SET work_mem TO '7MB'",
            "REVOKE ALL ON DATABASE {} FROM PUBLIC",
        ):
            connection.execute(sql.SQL(statement).format(name))
    place.restore(replace=True)
    with place.connect() as connection:
        assert connection.execute("SHOW work_mem").fetchall() == [("7MB",)]
        row = connection.execute(
            "SELECT has_database_privilege('public', current_database(), 'CONNECT')"
        ).fetchall()
        assert row == [(False,)]


@pytest.mark.parametrize("form", ["custom", "plain"])
def test_rights_of_other_roles_stay_and_roles_that_are_gone_are_named(
    place: Place, form: str
) -> None:
    with psycopg.connect(place.admin_dsn, autocommit=True) as admin:
        for role in ("reader", '"a Grafana"', "gone"):
            admin.execute(f"CREATE ROLE {role}".encode())
        try:
            for statement in (
                'GRANT SELECT ON vods, kv TO reader, "a Grafana"',
                "GRANT UPDATE (priority) ON vods TO reader WITH GRANT OPTION",
                "GRANT USAGE ON SCHEMA public TO reader, gone",
                "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader",
                "GRANT SELECT ON vods TO gone",
                "REVOKE TRUNCATE ON kv FROM vod",
            ):
                place.do(statement)
            made = place.back_up().name if form == "custom" else str(place.plain_dump())
            with place.connect() as connection:
                before = connection.execute(_RIGHTS).fetchall()
            with psycopg.connect(place.admin_dsn, dbname=place.name, autocommit=True) as inside:
                inside.execute("DROP OWNED BY gone")
            admin.execute("DROP ROLE gone")
            done = place.restore(made, replace=True)
            with place.connect() as connection:
                after = connection.execute(_RIGHTS).fetchall()
            assert after == [row for row in before if row[1] != "gone"]
            assert {row[1] for row in after} >= {"reader", '"a Grafana"'}
            assert (done.rights.missing, done.rights.failed) == (("gone",), ())
            place.do("CREATE TABLE later ()")
            with place.connect() as connection:
                row = connection.execute("SELECT has_table_privilege('reader', 'later', 'SELECT')")
                assert row.fetchone() == (True,)
        finally:
            for name in place.databases():
                with psycopg.connect(place.admin_dsn, dbname=name, autocommit=True) as inside:
                    inside.execute('DROP OWNED BY reader, "a Grafana"')
            admin.execute('DROP ROLE reader, "a Grafana"')
            admin.execute("DROP ROLE IF EXISTS gone")


_ODD = r"""
    CREATE SCHEMA "Odd;";
    CREATE TABLE "Odd;"."ta ble" (a text UNIQUE, "b;" int NOT NULL, c int4range,
        CONSTRAINT "both ""of"" them;" PRIMARY KEY (a, "b;"),
        CONSTRAINT later UNIQUE ("b;") DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT covers UNIQUE ("b;") INCLUDE (a), EXCLUDE USING gist (c WITH &&));
    INSERT INTO "Odd;"."ta ble" VALUES ('', 1), (E'\\\\.\n\\\\', 2), ('x', 3);
    CREATE INDEX "i;" ON "Odd;"."ta ble" ("b;") WITH (fillfactor = 70)
        WHERE a <> E'CREATE INDEX; \n''--';
    ALTER TABLE "Odd;"."ta ble" CLUSTER ON "both ""of"" them;";
    ALTER TABLE "Odd;"."ta ble" REPLICA IDENTITY USING INDEX "both ""of"" them;";
    COMMENT ON CONSTRAINT "both ""of"" them;" ON "Odd;"."ta ble" IS E'of;\n--\n-- Name: two';
    COMMENT ON INDEX "Odd;"."i;" IS 'CREATE INDEX; of it';
    CREATE STATISTICS "Odd;".known ON a, "b;" FROM "Odd;"."ta ble";
    CREATE RULE two AS ON DELETE TO "Odd;"."ta ble" DO (NOTIFY a; NOTIFY b;);
    CREATE TABLE parted (id int, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE INDEX parted_by_at ON parted (at);
    INSERT INTO parted VALUES (1, '2026-05-05');
    CREATE TABLE child (id int PRIMARY KEY, parent int, at date,
        FOREIGN KEY (parent, at) REFERENCES parted);
    INSERT INTO child VALUES (1, 1, '2026-05-05');
    CREATE MATERIALIZED VIEW seen AS SELECT * FROM child;
    CREATE UNIQUE INDEX seen_id ON seen (id);
    CREATE TABLE bare ();
    CREATE TABLE single (a text);
    INSERT INTO single VALUES (''), (E'\\.'), (NULL);
"""
_ODD_ROWS = (
    'SELECT * FROM "Odd;"."ta ble" ORDER BY 2',
    "SELECT * FROM parted",
    "SELECT * FROM child",
    "SELECT * FROM seen",
    "SELECT * FROM single ORDER BY 1",
    "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid",
)


def test_whatever_an_operator_has_added_is_as_it_was(place: Place) -> None:
    place.do(_ODD)

    def contents() -> list[object]:
        made = pg_tools.run(pg_tools.embedded(), "pg_dump", ["--schema-only"], dsn=place.dsn)
        with place.connect() as connection:
            rows = [connection.execute(query.encode()).fetchall() for query in _ODD_ROWS]
        return [*(line for line in made.splitlines() if not line.startswith("\\")), *rows]

    before = contents()
    place.restore(place.back_up().name, replace=True)
    assert contents() == before
    with place.connect() as connection:
        known = connection.execute("SELECT DISTINCT tablename::text FROM pg_stats").fetchall()
        assert {row[0] for row in known} >= {"vods", "ta ble", "parted", "parted_1", "seen"}


def test_what_the_rows_do_not_bear_is_told_without_them(place: Place) -> None:
    place.do("ALTER TABLE vods DROP CONSTRAINT vods_twitch_vod_id_key")
    place.add(3)
    made = place.back_up()
    dump = b"".join(zstd.blocks(place.backups / made.name))
    index = b"CREATE INDEX vods_by_state ON public.vods USING btree (state, id);"
    unique = b"CREATE UNIQUE INDEX x ON public.vods USING btree (twitch_vod_id)"
    assert dump.count(index) == 1
    path = place.directory / "elsewhere.dump"
    path.write_bytes(dump.replace(index, unique.ljust(len(index) - 1) + b";"))
    with pytest.raises(DamagedBackupError, match="23505: could not create unique") as caught:
        place.restore(str(path), replace=True)
    assert "Key" not in caught.value.message
    assert place.databases() == [place.name]


# --- what is refused --------------------------------------------------------------------------


def test_a_database_that_is_not_empty_stays_without_replace(untouched: Place) -> None:
    untouched.good_backup()
    with pytest.raises(Refused) as refusal:
        untouched.restore()
    assert refusal.value.code == "not_empty"
    assert "--replace" in refusal.value.hint
    _nothing_happened(untouched)


def test_while_a_daemon_is_alive_nothing_is_restored(untouched: Place) -> None:
    untouched.good_backup()
    database = Database(lambda: untouched.dsn)
    add_worker(database, "worker-7")
    with pytest.raises(Refused, match="worker-7") as refusal:
        untouched.restore(replace=True)
    assert refusal.value.code == "daemon_alive"
    _nothing_happened(untouched)
    database.close()


def test_a_wait_ends_with_the_last_daemon(place: Place) -> None:
    place.good_backup()
    database = Database(lambda: place.dsn)
    add_worker(database, "worker-7")
    database.close()

    def gone(text: str) -> None:
        place.notes.append(text)
        place.do("DELETE FROM workers")

    place.restore(replace=True, wait=True, note=gone)
    assert place.notes[0] == "waiting for worker-7 to end"


def test_a_daemon_that_comes_meanwhile_keeps_its_database(untouched: Place) -> None:
    untouched.good_backup()

    def comes(phase: str, _done: int, _total: int) -> None:
        if phase == "bringing up to date":
            untouched.do(
                "INSERT INTO workers"
                " (worker_id, host, pid, version, directory_id, directory, channels)"
                " VALUES ('late', 'h', 1, '1', 'd', '/d', '{}') ON CONFLICT DO NOTHING"
            )

    with pytest.raises(Refused, match="late"):
        untouched.restore(replace=True, tell=comes)
    _nothing_happened(untouched)


def test_what_is_not_confirmed_is_not_done(untouched: Place) -> None:
    untouched.good_backup()

    def no(*_: object) -> None:
        raise Refused("no")

    with pytest.raises(Refused, match="no"):
        untouched.restore(replace=True, confirm=no)
    _nothing_happened(untouched)


def _broken(place: Place, how: str) -> Path:
    made = place.good_backup()
    path = place.backups / made.name
    data = path.read_bytes()
    other = place.directory / path.name
    if how == "truncated":
        other.write_bytes(data[: len(data) // 2])
    elif how == "flipped":
        at = len(data) // 2
        other.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
    elif how == "empty":
        other.write_bytes(b"")
    elif how == "empty inside":
        packer = zstd.compressor()
        other.write_bytes(packer.compress(b"") + packer.flush())
    elif how == "text":
        other.write_bytes(gzip.compress(b"pg_dump: error: connection failed\n"))
    elif how == "empty gzip":
        other.write_bytes(gzip.compress(b""))
    elif how == "no rows":  # what a cut at a row's end looks like
        plain = gzip.decompress(place.good_plain_dump().read_bytes())
        other.write_bytes(gzip.compress(plain[: plain.index(b"COPY public.vods")]))
    elif how == "half gzip":
        plain_packed = place.good_plain_dump().read_bytes()
        other.write_bytes(plain_packed[: len(plain_packed) // 2])
    elif how == "flipped gzip":
        flipped = bytearray(place.good_plain_dump().read_bytes())
        flipped[len(flipped) // 2] ^= 4
        other.write_bytes(flipped)
    return other


@pytest.mark.parametrize("beside_its_manifest", [True, False])
@pytest.mark.parametrize(
    "how",
    [
        *("truncated", "flipped", "empty", "empty inside", "text", "empty gzip"),
        *("no rows", "half gzip", "flipped gzip"),
    ],
)
def test_a_broken_backup_changes_nothing(
    untouched: Place, how: str, beside_its_manifest: bool
) -> None:
    path = _broken(untouched, how)
    if beside_its_manifest:
        os.replace(path, untouched.backups / path.name)
        path = untouched.backups / path.name
    with pytest.raises(DamagedBackupError):
        untouched.restore(str(path), replace=True)
    _nothing_happened(untouched)


def test_a_backup_that_holds_other_rows_than_its_manifest_says_changes_nothing(
    untouched: Place,
) -> None:
    made = untouched.good_backup()
    manifest = untouched.backups / "manifests" / f"{made.name}.json"
    manifest.write_text(manifest.read_text().replace('"vods": 3', '"vods": 4'))
    with pytest.raises(DamagedBackupError, match="vods: 4 and now 3"):
        untouched.restore(replace=True)
    _nothing_happened(untouched)


_GO_SCHEMA = """
    CREATE TABLE vods (id serial PRIMARY KEY, twitch_vod_id text UNIQUE, title text,
        downloaded_path text, youtube_url text, processed boolean DEFAULT false);
    CREATE TABLE chat_messages (id serial, vod_id text);
    CREATE TABLE kv (key text PRIMARY KEY, value text);
"""


@pytest.mark.parametrize(
    ("statements", "refused_as"),
    [
        (_GO_SCHEMA, ("go_backup", "the Go system")),
        ("CREATE TABLE shop (id int)", ("foreign_backup", "shop")),
        ("SELECT", ("foreign_backup", "none at all")),
    ],
)
@pytest.mark.parametrize("form", ["plain", "custom"])
def test_another_programs_dump_is_refused_by_name(
    untouched: Place,
    empty_database_dsn: str,
    form: str,
    statements: str,
    refused_as: tuple[str, str],
) -> None:
    code, says = refused_as
    with psycopg.connect(empty_database_dsn, autocommit=True) as connection:
        connection.execute(statements.encode())
    path = untouched.directory / "vod_20251020_020000.dump"
    tools = pg_tools.embedded()
    pg_tools.run(tools, "pg_dump", [f"--format={form}", f"--file={path}"], dsn=empty_database_dsn)
    with pytest.raises(Refused, match=says) as refusal:
        untouched.restore(str(path), replace=True)
    assert refusal.value.code == code
    _nothing_happened(untouched)


def test_a_dump_that_would_start_programs_is_refused(untouched: Place) -> None:
    path = untouched.good_plain_dump()
    text = gzip.decompress(path.read_bytes())
    witness = untouched.directory / "witness"
    path.write_bytes(
        gzip.compress(text.replace(b"\nCOPY", b"\n\\! touch %s\nCOPY" % bytes(witness), 1))
    )
    with pytest.raises(Refused) as refusal:
        untouched.restore(str(path), replace=True)
    assert refusal.value.code == "foreign_backup"
    assert not witness.exists()
    _nothing_happened(untouched)


@pytest.mark.parametrize("wanted", ["latest", "vod_20200101_000000.dump.zst", "/no/such"])
def test_a_backup_that_is_nowhere_is_not_found(untouched: Place, wanted: str) -> None:
    with pytest.raises(NotFound, match=r"BACKUP_DIR, which is .* does not exist|no file /no"):
        untouched.restore(wanted, replace=True)
    _nothing_happened(untouched)


def test_trouble_with_s3_is_no_reason_to_take_another_backup(untouched: Place, s3: S3) -> None:
    where = {"backup_s3_url": s3.at("database/"), **_keys(s3)}
    made = untouched.back_up(**where)
    settings = untouched.settings(**where)
    s3.faults(Fault(operation="List", code="AccessDenied", status=403))
    with pytest.raises(VodtenderError) as error:
        untouched.restore(settings=settings, replace=True)
    assert error.value.exit == 4
    s3.faults(Fault(operation="GetObject", key=f"/{made.name}", flip=True))
    address = f"s3://{s3.bucket}/database/{made.name}"
    with pytest.raises((DamagedBackupError, Transient)):
        untouched.restore(address, settings=settings, replace=True)
    _nothing_happened(untouched)


def test_without_the_privilege_the_error_names_it(untouched: Place) -> None:
    untouched.good_backup()
    with pytest.raises(Refused, match="CREATEDB") as refusal:
        untouched.restore(replace=True, settings=untouched.settings(db_admin_dsn=None))
    assert refusal.value.code == "no_privilege"
    assert "DB_ADMIN_DSN" in refusal.value.hint
    _nothing_happened(untouched)


def test_a_role_that_may_create_databases_needs_no_administrator(place: Place) -> None:
    place.good_backup()
    with psycopg.connect(place.admin_dsn, autocommit=True) as connection:
        connection.execute("ALTER ROLE vod CREATEDB")
        try:
            place.restore(replace=True, settings=place.settings(db_admin_dsn=None))
        finally:
            connection.execute("ALTER ROLE vod NOCREATEDB")
    assert place.vods() == [1, 2, 3]


def test_one_restore_at_a_time(untouched: Place) -> None:
    untouched.good_backup()
    with open_server(untouched.settings()), pytest.raises(Locked):
        untouched.restore(replace=True)
    _nothing_happened(untouched)


def test_a_dry_run_checks_and_changes_nothing(untouched: Place) -> None:
    untouched.good_backup()
    assert untouched.restore(replace=True, dry_run=True).seconds is None
    with pytest.raises(Refused, match="not empty"):
        untouched.restore(dry_run=True)
    _nothing_happened(untouched)


def test_an_interruption_says_that_nothing_was_changed(untouched: Place) -> None:
    untouched.good_backup()

    def interrupt(phase: str, _done: int, _total: int) -> None:
        if phase == "restoring":
            raise KeyboardInterrupt

    with pytest.raises(Stopped, match="The database was not changed") as met:
        untouched.restore(replace=True, tell=interrupt)
    assert (met.value.exit, met.value.hint) == (130, "type it again")
    _nothing_happened(untouched)


# --- damage and death -------------------------------------------------------------------------


def test_a_database_that_cannot_be_dumped_is_kept_as_it_is(place: Place) -> None:
    place.good_backup()
    place.add(4)
    place.leave_only("vods", "vod_history", "workers")
    done = place.restore(replace=True)
    assert done.safety is None
    assert done.no_safety
    assert any("cannot be dumped" in text for text in place.notes)
    assert done.aside is not None
    assert place.vods(done.aside) == [1, 2, 3, 4]
    assert place.vods() == [1, 2, 3]


def damage(place: Place, table: str) -> None:
    """Overwrites the first page of a table on the disk."""
    overwrite(make_conninfo(place.admin_dsn, dbname=place.name), table, 0, b"\xff" * 512)


def test_rows_that_vanished_unnoticed_are_told_by_the_backup_which_can_be_restored_all_the_same(
    place: Place,
) -> None:
    place.do("INSERT INTO kv (key, value) SELECT n, 'v' FROM generate_series(1, 500) n")
    admin_dsn = make_conninfo(place.admin_dsn, dbname=place.name)
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute("CHECKPOINT")  # else vacuum vouches for none of them yet
        admin.execute("VACUUM kv")
    overwrite(admin_dsn, "kv", 8192, bytes(8192))
    old = shelve(place.backups, timedelta(days=400))
    made = place.back_up(backup_min_keep=1)
    lost = 500 - made.rows["kv"]
    assert made.lost == {"kv": lost}
    assert lost > 0
    assert (place.backups / old.name).exists()
    database = Database(lambda: place.dsn)
    told = backup_standing.document(standing(database), place.settings(), datetime.now(UTC))
    database.close()
    assert told["last_lack"] == f"kv: {lost} rows"
    done = place.restore(replace=True)
    assert done.rows["kv"] == 500 - lost
    assert f"warning: when it was made, rows were lost already: kv: {lost} rows" in place.notes


def test_of_a_damaged_database_what_can_be_read_is_taken_table_by_table(place: Place) -> None:
    place.good_backup()
    place.add(4)
    place.do("INSERT INTO kv (channel, key, value) VALUES ('c', 'mine', 'x')")
    told = ("workers", "backup_runs", "restore_drills", "archived_files", "schema_migrations")
    place.leave_only("vods", "vod_history", "kv", *told)
    damage(place, "vod_history")
    with pytest.raises(VodtenderError, match=r"A table cannot be read: .*vod_history|invalid page"):
        place.back_up()
    done = place.restore(replace=True)
    assert done.safety is None
    assert done.rescued is not None
    assert set(done.rescued.lost) == {"vod_history"}
    assert {"vods", "kv", "schema"} <= set(done.rescued.saved)
    assert any("not to be had: vod_history (" in text for text in place.notes)
    where = done.rescued.directory
    assert json.loads((where / "rescue.json").read_text())["lost"].keys() == {"vod_history"}
    assert not (where / "vod_history.dump.zst").exists()
    unpacked = b"".join(zstd.blocks(where / "vods.dump.zst", lambda _: None))
    reading = [str(done.rescued.reader), "--data-only", "--file=-"]
    rows = subprocess.run(reading, input=unpacked, check=True, capture_output=True).stdout.decode()
    assert "\n4\t" in rows or "\t4\t" in rows
    assert place.vods() == [1, 2, 3]
    assert done.aside is not None
    assert place.vods(done.aside) == [1, 2, 3, 4]


# --- small things -----------------------------------------------------------------------------


def _keys(s3: S3) -> dict[str, object]:
    known = s3.settings()
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_region", "aws_endpoint_url")
    return {name: getattr(known, name) for name in names}


def _nothing_happened(place: Place) -> None:
    assert place.vods() == [1, 2, 3]
    assert place.databases() == [place.name]
