"""`db check`: every kind of damage that it promises to see, made in a real database."""

from __future__ import annotations

from dataclasses import replace

from tests.maintained import Maintained
from tests.postgres import overwrite
from vodtender.procedures.integrity import Result, check
from vodtender.store.integrity import Defect

_VOD = "INSERT INTO vods (twitch_vod_id, channel) VALUES ('{}', 'alice')"


def look(maintained: Maintained) -> dict[str, Result]:
    with maintained.direct() as direct:
        return {result.check.name: result for result in check(direct, lambda _promise: None)}


def wrong(maintained: Maintained) -> dict[str, list[str]]:
    found = look(maintained)
    return {
        name: [defect.target for defect in result.defects]
        for name, result in found.items()
        if not result.is_good
    }


def behind_the_servers_back(maintained: Maintained, *statements: str) -> None:
    """With triggers and references off, as rows come out of a bad restore."""
    maintained.execute("SET session_replication_role = replica", *statements, admin=True)


def test_a_database_in_order_passes_every_check_and_none_is_skipped(
    maintained: Maintained,
) -> None:
    maintained.execute(_VOD.format(1), _VOD.format(2), "DELETE FROM vods WHERE twitch_vod_id = '1'")
    told: list[str] = []
    with maintained.direct() as direct:
        results = check(direct, told.append)
    assert [result for result in results if result.defects or result.skipped] == []
    assert told == [result.check.promise for result in results]
    assert maintained.value("SELECT count(*) FROM pg_extension WHERE extname = 'amcheck'") == 0


def test_an_id_that_is_null_is_seen_though_the_planner_knows_that_there_is_none(
    maintained: Maintained,
) -> None:
    maintained.execute(_VOD.format(1))
    attribute = "UPDATE pg_attribute SET attnotnull = {} WHERE attname = 'twitch_vod_id'"
    behind_the_servers_back(
        maintained, attribute.format("false"), "UPDATE vods SET twitch_vod_id = NULL",
        attribute.format("true"),
    )  # fmt: skip
    assert wrong(maintained)["nulls"] == ["vods.twitch_vod_id"]


def test_an_id_that_is_there_twice_is_seen_though_the_index_says_otherwise(
    maintained: Maintained,
) -> None:
    """The index is made to look away, for the second of two equal rows."""
    maintained.execute(_VOD.format(1), _VOD.format(2))
    maintained.execute(
        "UPDATE pg_index SET indisready = false"
        " WHERE indexrelid = 'vods_twitch_vod_id_key'::regclass",
        admin=True,
    )
    behind_the_servers_back(
        maintained, "UPDATE vods SET twitch_vod_id = '1', title = 'x' WHERE twitch_vod_id = '2'"
    )
    maintained.execute(
        "UPDATE pg_index SET indisready = true"
        " WHERE indexrelid = 'vods_twitch_vod_id_key'::regclass",
        admin=True,
    )
    found = look(maintained)
    assert found["duplicates"].defects == [
        Defect("vods (twitch_vod_id)", "1 values are there more than once")
    ]
    assert "restore NAME" in found["duplicates"].check.advice
    assert [defect.target for defect in found["pages"].defects] == ["index vods_twitch_vod_id_key"]


def test_a_reference_that_leads_nowhere_is_seen(maintained: Maintained) -> None:
    maintained.execute(_VOD.format(1))
    behind_the_servers_back(maintained, "DELETE FROM vods")
    found = wrong(maintained)
    assert found["references"] == ["vod_history, constraint vod_history_vod_id_fkey"]
    assert found["counts"] == ["vod_counts, alice, queued"]


def test_a_row_that_its_constraint_should_not_have_let_in_is_seen(maintained: Maintained) -> None:
    maintained.execute(
        _VOD.format(1),
        "ALTER TABLE vods ADD CONSTRAINT no_alice CHECK (channel <> 'alice') NOT VALID",
    )
    found = look(maintained)
    assert [one.target for one in found["constraints"].defects] == ["vods, constraint no_alice"]
    (unchecked,) = found["validated"].defects
    assert unchecked.mend == "ALTER TABLE vods VALIDATE CONSTRAINT no_alice"


def test_a_constraint_that_was_never_validated_can_be_by_what_is_said(
    maintained: Maintained,
) -> None:
    maintained.execute("ALTER TABLE kv ADD CONSTRAINT short CHECK (length(key) < 99) NOT VALID")
    (defect,) = look(maintained)["validated"].defects
    maintained.execute(defect.mend)
    assert wrong(maintained) == {}


def test_an_index_that_is_not_valid_is_seen(maintained: Maintained) -> None:
    maintained.execute("CREATE INDEX kv_by_value_ccnew3 ON kv (value)")
    maintained.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'kv_by_value_ccnew3'::regclass",
        admin=True,
    )
    found = look(maintained)["indexes"]
    assert "left of a broken reindexing" in found.defects[0].problem
    assert found.check.advice == "vodtender vacuum --reindex"


def test_counts_that_are_off_can_be_mended_by_what_is_said(maintained: Maintained) -> None:
    maintained.execute(_VOD.format(1), "INSERT INTO vod_counts VALUES ('alice', 'queued', 3)")
    (defect,) = look(maintained)["counts"].defects
    assert defect.problem == "says 4 VODs and there are 1"
    maintained.execute(*defect.mend.split("; "))
    assert wrong(maintained) == {}


def test_a_counter_that_a_restore_left_behind_is_seen_and_can_be_mended(
    maintained: Maintained,
) -> None:
    maintained.execute(
        "INSERT INTO vods (id, twitch_vod_id) OVERRIDING SYSTEM VALUE VALUES (7, '7')"
    )
    (defect,) = look(maintained)["sequences"].defects
    assert defect.target == "vods.id"
    maintained.execute(defect.mend, _VOD.format(8))
    assert wrong(maintained) == {}


def test_pages_that_the_disk_has_spoilt_are_seen_and_the_other_checks_still_made(
    maintained: Maintained,
) -> None:
    maintained.execute("INSERT INTO kv (key, value) SELECT n, 'v' FROM generate_series(1, 500) n")
    overwrite(maintained.admin_dsn, "kv", 8192 + 4000, bytes(range(256)))
    found = wrong(maintained)
    assert found["rows"] == ["kv"]
    assert "kv" in found["pages"]
    assert "references" not in found


def test_rows_that_vanished_with_a_page_of_zeros_are_seen_though_nothing_is_broken(
    maintained: Maintained,
) -> None:
    maintained.execute("INSERT INTO kv (key, value) SELECT n, 'v' FROM generate_series(1, 500) n")
    maintained.execute("CHECKPOINT", admin=True)  # else vacuum vouches for none of them yet
    maintained.execute("VACUUM kv")
    overwrite(maintained.admin_dsn, "kv", 8192, bytes(8192))
    lost = 500 - maintained.value("SELECT count(ctid) FROM kv")
    found = look(maintained)
    (defect,) = found["vanished"].defects
    assert defect == Defect("kv", f"{lost} rows are gone that its index knows")
    assert lost > 0
    assert "backup list" in found["vanished"].check.advice
    assert [name for name, one in found.items() if not one.is_good] == ["vanished"]


def test_without_a_superuser_the_pages_are_not_looked_at_and_that_is_said(
    maintained: Maintained,
) -> None:
    pages = look(replace(maintained, admin_dsn=""))["pages"]
    assert "DB_ADMIN_DSN" in pages.skipped
    assert pages.is_good


def test_amcheck_is_used_by_a_role_that_may_without_a_superuser(maintained: Maintained) -> None:
    maintained.execute(
        "CREATE EXTENSION amcheck",
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO vod",
        admin=True,
    )
    pages = look(replace(maintained, admin_dsn=""))["pages"]
    assert (pages.skipped, pages.defects) == ("", [])
