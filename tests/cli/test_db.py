"""`vodtender db`, as it is typed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.cli.commands import Ran
from tests.clients.ytdlp.fetches import wait_until
from tests.maintained import Maintained
from tests.postgres import overwrite
from tests.sandbox.world import World
from tests.soak.daemon import Daemon, command
from tests.terminal import Terminal
from vodtender.cli.main import run
from vodtender.clients.postgres import processes
from vodtender.clients.postgres.place import Place
from vodtender.clients.postgres.server import acquire, running_dsn
from vodtender.store import audit
from vodtender.store.database import connect

Type = Callable[..., Ran]


@pytest.fixture
def type_in(
    maintained: Maintained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Type:
    for name, value in maintained.environ().items():
        monkeypatch.setenv(name, value)

    def typed(*arguments: str) -> Ran:
        capsys.readouterr()
        status = run(list(arguments))
        said = capsys.readouterr()
        return Ran(int(status), said.out, said.err)

    return typed


@contextmanager
def idle(maintained: Maintained, count: int = 1, **parameters: str) -> Iterator[list[int]]:
    """Somebody's connections, that have done nothing for a while."""
    with ExitStack() as stack:
        opened = [
            psycopg.connect(maintained.dsn, autocommit=True, **parameters)  # type: ignore[arg-type]
            for _ in range(count)
        ]
        for connection in opened:
            stack.callback(connection.close)
            connection.execute("SELECT 1")
        yield [connection.info.backend_pid for connection in opened]


def lives(maintained: Maintained, pid: int) -> bool:
    return bool(maintained.value(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"))


# --- sizes ------------------------------------------------------------------------------------


def test_sizes_shows_the_biggest_first_and_the_whole(maintained: Maintained, type_in: Type) -> None:
    maintained.execute(
        "INSERT INTO kv (key, value) SELECT n, repeat('x', 500) FROM generate_series(1, 5000) n"
    )
    maintained.execute("ANALYZE kv")
    ran = type_in("db", "sizes")
    assert (ran.status, ran.err) == (0, "")
    assert ran.lines[1].split()[:2] == ["kv", "5000"]
    assert ran.lines[-1].startswith("The database takes ")

    document = type_in("db", "sizes", "--json").document
    first = document["tables"][0]
    assert first["name"] == "kv"
    parts = first["table_bytes"] + first["index_bytes"] + first["toast_bytes"]
    assert parts == first["total_bytes"] > 2_500_000
    assert document["total_bytes"] == maintained.value(
        "SELECT pg_database_size(current_database())"
    )
    assert {"kv_pkey", "vods_pkey"} <= {index["name"] for index in document["indexes"]}


def test_sizes_does_not_wait_for_who_rewrites_a_table(
    maintained: Maintained, type_in: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vodtender.store.impatience.LOOKING_SECONDS", 0.1)
    with maintained.transaction("LOCK TABLE kv"):
        ran = type_in("db", "sizes")
    assert ran.status == 8
    assert "vodtender db connections" in ran.err


# --- connections ------------------------------------------------------------------------------


def test_connections_are_counted_by_state_and_program(
    maintained: Maintained, type_in: Type
) -> None:
    with idle(maintained, 3, application_name="leaky"):
        document = type_in("db", "connections", "--json").document
        ran = type_in("db", "connections")
    (leaky,) = [one for one in document["connections"] if one["application"] == "leaky"]
    assert (leaky["connections"], leaky["state"], leaky["client"]) == (3, "idle", "local")
    assert document["max_connections"] == 50
    assert document["usable"] == 47
    assert document["in_use"] >= 4
    assert ran.status == 0
    assert any(line.split()[:2] == ["3", "idle"] and "leaky" in line for line in ran.lines)
    assert "of 47 are in use" in ran.out


def test_where_daemons_could_ask_for_more_than_there_is_it_says_what_to_set(
    type_in: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_MAX_OPEN_CONNS", "90")
    ran = type_in("db", "connections")
    wanted = type_in("db", "connections", "--json").document["raise_to"]
    assert wanted >= 103
    assert f"ALTER SYSTEM SET max_connections = {wanted}" in ran.err


def test_a_dump_that_holds_back_vacuum_is_named(maintained: Maintained, type_in: Type) -> None:
    snapshot = ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT 1")
    with maintained.transaction(*snapshot, application_name="vodtender pg_dump") as dump:
        ran = type_in("db", "connections")
        assert f"a dump holds back vacuum for 0 s: pid {dump.info.backend_pid}" in ran.err


def test_a_server_that_takes_nobody_more_still_answers_the_administrator(
    maintained: Maintained, type_in: Type
) -> None:
    maintained.execute("ALTER ROLE vod CONNECTION LIMIT 0", admin=True)
    try:
        ran = type_in("db", "connections")
        refused = type_in("db", "sizes")
    finally:
        maintained.execute("ALTER ROLE vod CONNECTION LIMIT -1", admin=True)
    assert ran.status == 0
    assert "connected as the administrator, since otherwise" in ran.err
    assert "too many connections" in ran.err
    assert refused.status == 5


def test_connections_are_shown_of_a_database_without_any_table(
    empty_database_dsn: str, tmp_path: Path
) -> None:
    environ = {**os.environ, "DB_DSN": empty_database_dsn}
    done = command("db", "connections", "--json", environ=environ, directory=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["daemons"] == 0
    with psycopg.connect(empty_database_dsn) as connection:
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert row.fetchone() == (0,)


# --- kill-idle --------------------------------------------------------------------------------


def test_kill_idle_ends_what_is_idle_and_nothing_else(
    maintained: Maintained, type_in: Type
) -> None:
    with (
        idle(maintained, 2) as pids,
        maintained.transaction("SELECT 1") as open_one,
        psycopg.connect(maintained.admin_dsn, dbname="postgres") as elsewhere,
    ):
        rehearsal = type_in("db", "kill-idle", "--older-than", "0s", "--dry-run")
        assert all(lives(maintained, pid) for pid in pids)
        ran = type_in("db", "kill-idle", "--older-than", "0s", "--yes", "--reason", "leak")
        assert not any(lives(maintained, pid) for pid in pids)
        open_one.execute("SELECT 1")
        elsewhere.execute("SELECT 1")
    assert (rehearsal.status, ran.status) == (0, 0)
    assert all(str(pid) in ran.out and str(pid) in rehearsal.out for pid in pids)
    assert "state idle -> ended" in ran.out
    with connect(maintained.dsn) as connection:
        (line,) = audit.find(connection)
    assert (line.action, line.reason, len(line.before)) == ("db kill-idle", "leak", 2)


def test_kill_idle_leaves_what_is_not_idle_for_long(maintained: Maintained, type_in: Type) -> None:
    with idle(maintained) as (pid,):
        ran = type_in("db", "kill-idle", "--yes")
        assert lives(maintained, pid)
    assert (ran.status, ran.out) == (0, "nothing to do\n")
    assert maintained.value("SELECT count(*) FROM audit") == 0


def test_kill_idle_ends_open_transactions_only_when_told_to(
    maintained: Maintained, type_in: Type
) -> None:
    with psycopg.connect(maintained.dsn) as connection:
        connection.execute("SELECT 1")
        pid = connection.info.backend_pid
        type_in("db", "kill-idle", "--older-than", "0s", "--yes")
        assert lives(maintained, pid)
        ran = type_in(
            "db", "kill-idle", "--older-than", "0s", "--in-transaction", "--yes", "--json"
        )
        assert not lives(maintained, pid)
        connection.close()
    (change,) = ran.document["changes"]
    assert change["before"] == {"state": "idle in transaction"}


def test_kill_idle_asks_and_off_a_terminal_refuses(maintained: Maintained, type_in: Type) -> None:
    with idle(maintained) as (pid,):
        ran = type_in("db", "kill-idle", "--older-than", "0s")
        assert lives(maintained, pid)
    assert ran.status == 6
    assert "End 1 connection?" in ran.err


def test_a_daemon_whose_connections_are_ended_goes_on(
    maintained: Maintained, world: World, tmp_path: Path
) -> None:
    world.add_channel("alice")
    environ = {
        **os.environ, **world.env(), **world.settings(), **maintained.environ(),
        "YT_ENABLED": "0", "HTTP_ADDR": "127.0.0.1:0", "DATA_DIR": str(tmp_path / "data"),
    }  # fmt: skip
    daemon = Daemon(environ, tmp_path, tmp_path / "log")
    daemon.start()
    try:
        wait_until(lambda: has_idle_daemon(maintained), 60)
        ended = command(
            *("db", "kill-idle", "--older-than", "0s", "--yes", "--json"),
            environ=environ,
            directory=tmp_path,
        )
        assert ended.returncode == 0, ended.stderr
        assert len(json.loads(ended.stdout)["changes"]) >= 1
        vod = world.add_vod("alice", segment_count=2)
        added = command("add", vod.id, environ=environ, directory=tmp_path)
        assert added.returncode == 0, added.stderr
        wait_until(lambda: state(maintained, vod.id) == "complete", 60)
        assert daemon.status is None
        os.kill(daemon.pid, signal.SIGTERM)
        assert daemon.wait(30) == 0
    finally:
        if daemon.status is None:
            daemon.kill()


def has_idle_daemon(maintained: Maintained) -> bool:
    """Whether one is registered and has connections that it does not use."""
    if not maintained.value("SELECT to_regclass('workers') IS NOT NULL"):
        return False
    query = (
        "SELECT EXISTS (SELECT FROM workers) AND EXISTS (SELECT FROM pg_stat_activity WHERE"
        " application_name = 'vodtender' AND state = 'idle' AND datname = current_database())"
    )
    return bool(maintained.value(query))


def state(maintained: Maintained, vod_id: str) -> str:
    found = maintained.value(
        f"SELECT coalesce((SELECT download_state FROM vods WHERE twitch_vod_id = '{vod_id}'), '')"
    )
    return str(found)


# --- check ------------------------------------------------------------------------------------


def test_check_exits_with_0_where_all_is_well(type_in: Type) -> None:
    ran = type_in("db", "check")
    assert (ran.status, ran.err) == (0, "")
    assert len(ran.lines) == 12
    assert all(line.startswith("ok ") for line in ran.lines)
    assert type_in("db", "check", "--json").document["ok"] is True


def test_check_exits_with_1_where_anything_is_wrong_and_says_what_to_type(
    maintained: Maintained, type_in: Type
) -> None:
    maintained.execute("INSERT INTO vod_counts VALUES ('it''s', 'queued', 3)")
    ran = type_in("db", "check")
    assert ran.status == 1
    assert "WRONG   VODs are counted right" in ran.lines
    assert "        vod_counts, it's, queued: says 3 VODs and there are 0" in ran.lines
    (advice,) = [line for line in ran.err.splitlines() if "db shell" in line]
    environ = {**os.environ, **maintained.environ()}
    typed = advice.replace("vodtender", f"{sys.executable} -m vodtender", 1)
    subprocess.run(["sh", "-c", typed], env=environ, check=True, capture_output=True)
    assert type_in("db", "check").status == 0

    maintained.execute("INSERT INTO vod_counts VALUES ('x', 'queued', 1)")
    ran = type_in("db", "check", "--json")
    assert ran.status == 1
    (bad,) = [one for one in ran.document["checks"] if not one["ok"]]
    assert (bad["check"], len(bad["defects"])) == ("counts", 1)


def test_damage_is_called_damage_by_whoever_meets_it_and_does_not_end_the_check(
    maintained: Maintained, type_in: Type
) -> None:
    maintained.execute("INSERT INTO vods (twitch_vod_id, channel) VALUES ('1', 'alice')")
    overwrite(maintained.admin_dsn, "vods", 0, b"\xff" * 512)
    ran = type_in("vods")
    assert (ran.status, ran.out) == (5, "")
    assert "error: The database is damaged: invalid page in block 0" in ran.err
    assert "vodtender restore latest --replace" in ran.err
    ran = type_in("db", "check")
    assert ran.status == 1
    assert "WRONG   VODs are counted right" in ran.lines
    assert "WRONG   tables and indexes are sound inside (amcheck)" in ran.lines


# --- shell ------------------------------------------------------------------------------------


def test_shell_is_psql_on_the_database_with_its_exit_status(
    maintained: Maintained, tmp_path: Path
) -> None:
    environ = {**os.environ, "DB_DSN": f"{maintained.dsn} application_name=vodtender"}
    query = "SELECT current_user, current_database(), current_setting('application_name')"
    done = command("db", "shell", "--", "-Atc", query, environ=environ, directory=tmp_path)
    name = maintained.value("SELECT current_database()")
    assert (done.returncode, done.stdout) == (0, f"vod|{name}|psql\n")
    failed = command(
        *("db", "shell", "--", "-v", "ON_ERROR_STOP=1"),
        environ=environ,
        directory=tmp_path,
        said="SELECT nonsense;\n",
    )
    assert failed.returncode == 3


def test_the_password_is_in_psqls_environment_and_not_among_its_arguments(
    maintained: Maintained, tmp_path: Path
) -> None:
    """Under a stand-in psql, since the real one keeps nothing of either."""
    (tmp_path / "bin").mkdir()
    psql = tmp_path / "bin" / "psql"
    psql.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exec echo "psql (PostgreSQL) 18.1"\n'
        'echo "$@"\necho "$PGPASSWORD"\n'
    )
    psql.chmod(0o755)
    environ = {
        **os.environ,
        "PATH": f"{psql.parent}:{os.environ['PATH']}",
        "DB_DSN": f"{maintained.dsn} password=geheim",
    }
    done = command("db", "shell", environ=environ, directory=tmp_path)
    arguments, password = done.stdout.splitlines()
    assert password == "geheim"
    assert "geheim" not in arguments
    assert "dbname=" in arguments


def test_ctrl_c_in_the_shell_breaks_off_the_statement_and_not_the_shell(
    maintained: Maintained, tmp_path: Path
) -> None:
    environ = {**os.environ, **maintained.environ(), "PAGER": "cat"}
    with Terminal(
        [sys.executable, "-m", "vodtender", "db", "shell", "--", "-X"],
        environ=environ,
        directory=tmp_path,
    ) as terminal:
        terminal.wait_for("=> ")
        terminal.press("SELECT pg_sleep(60);\n")
        wait_until(
            lambda: maintained.value(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
                " AND state = 'active'"
            )
        )
        os.killpg(terminal.process.pid, signal.SIGINT)
        terminal.wait_for("canceling statement due to user request")
        terminal.press("\\q\n")
        assert terminal.wait() == 0


# --- restart ----------------------------------------------------------------------------------


def test_of_a_server_that_is_not_ours_the_command_is_printed(type_in: Type) -> None:
    ran = type_in("db", "restart")
    assert ran.status == 0
    assert [line.split("  #")[0] for line in ran.lines] == [
        "systemctl restart postgresql",
        "docker restart vod-postgres",
        "kubectl rollout restart statefulset/postgres -n vod-tender",
    ]
    assert "nothing was done" in ran.err
    assert type_in("db", "restart", "--json").document["restarted"] is False


def test_the_embedded_server_is_restarted_under_a_daemon_that_goes_on(
    world: World, tmp_path: Path
) -> None:
    world.add_channel("alice")
    environ = {
        **os.environ, **world.env(), **world.settings(),
        "YT_ENABLED": "0", "HTTP_ADDR": "127.0.0.1:0", "DATA_DIR": str(tmp_path / "data"),
    }  # fmt: skip
    environ.pop("DB_DSN", None)
    place = tmp_path / "data" / "postgres"
    daemon = Daemon(environ, tmp_path, tmp_path / "log")
    daemon.start()
    try:
        wait_until(lambda: running_dsn(place) is not None, 60)
        here = Maintained(running_dsn(place) or "", "")
        wait_until(lambda: has_idle_daemon(here), 60)
        asked = command("db", "restart", environ=environ, directory=tmp_path)
        assert asked.returncode == 6
        assert "1 daemon will lose its connections" in asked.stderr
        began = here.value("SELECT pg_postmaster_start_time()")
        done = command("db", "restart", "--yes", environ=environ, directory=tmp_path)
        assert done.returncode == 0, done.stderr
        assert here.value("SELECT pg_postmaster_start_time()") > began
        vod = world.add_vod("alice", segment_count=2)
        added = command("add", vod.id, environ=environ, directory=tmp_path)
        assert added.returncode == 0, added.stderr
        wait_until(lambda: state(here, vod.id) == "complete", 60)
        assert daemon.status is None
        assert here.value("SELECT action FROM audit ORDER BY id LIMIT 1") == "db restart"
    finally:
        daemon.kill()
        stop(place)


def test_an_embedded_server_that_does_not_run_is_started_and_ends_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.delenv("DB_DSN", raising=False)
    assert run(["db", "restart", "--yes"]) == 5
    assert not (tmp_path / "postgres").exists()
    with acquire(tmp_path / "postgres", durable=False):
        pass
    assert run(["db", "restart", "--dry-run"]) == 0
    assert "Nothing was changed" in capsys.readouterr().out
    assert running_dsn(tmp_path / "postgres") is None
    assert run(["db", "restart", "--yes"]) == 0
    assert "started_at none -> " in capsys.readouterr().out
    assert running_dsn(tmp_path / "postgres") is None


def test_an_embedded_server_that_hangs_is_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vodtender.clients.postgres.lifecycle._STOP_SECONDS", 0.3)
    monkeypatch.setattr("vodtender.clients.postgres.lifecycle._BREAK_OFF_SECONDS", 0.3)
    monkeypatch.setattr("vodtender.clients.postgres.server._PROBE_SECONDS", 0.3)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.delenv("DB_DSN", raising=False)
    with acquire(tmp_path / "postgres", durable=False) as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept (word text)")
        record = Place(tmp_path / "postgres").pid_file()
        assert record is not None
        os.kill(record.pid, signal.SIGSTOP)
        began = time.monotonic()
        assert run(["db", "restart", "--yes"]) == 0
        assert time.monotonic() - began < 20
        with psycopg.connect(server.dsn) as connection:
            connection.execute("SELECT * FROM kept")


def stop(place: Path) -> None:
    record = Place(place).pid_file()
    if record is not None:
        processes.interrupt(Place(place), record, signal.SIGINT)
