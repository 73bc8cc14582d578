"""The command line as a whole, when things go wrong: what it says, to whom, and how it ends.

Whatever happens, there is an exit status of the documented table, a sentence that says what
happened and what to type next, and no traceback for anybody who did not ask for one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.archive import VIDEO, Archive
from tests.cli.commands import Type, in_a_shell
from tests.clients.ytdlp.fetches import wait_until
from tests.rows import add_worker
from vodtender.cli.main import COMMANDS, command
from vodtender.clients.postgres.server import EmbeddedServer

ROOT = Path(__file__).parents[2]
PASSWORD = "correct-horse-battery"
REFUSING = f"postgresql://vod:{PASSWORD}@127.0.0.1:1/vod"

NEEDING_THE_DATABASE = [
    ("run", "--once"),
    ("status",),
    ("vods",),
    ("vods", "show", "1"),
    ("add", "1"),
    ("retry", "1"),
    ("reprocess", "1", "--yes"),
    ("skip", "1"),
    ("cancel", "1"),
    ("priority", "1", "5"),
    ("resolve", "1", "--uploaded", VIDEO, "--yes"),
    ("breaker", "status"),
    ("breaker", "reset"),
    ("breaker", "trip"),
    ("pause",),
    ("resume",),
    ("drain",),
    ("prune", "--yes"),
    ("auth", "login", "youtube", "--device"),
    ("auth", "import", "youtube", "login.json"),
    ("auth", "status"),
    ("auth", "refresh", "youtube"),
    ("auth", "logout", "youtube", "--yes"),
    ("auth", "rekey", "--yes"),
    ("migrate",),
    ("audit",),
    ("vacuum",),
    ("db", "sizes"),
    ("db", "connections"),
    ("db", "kill-idle", "--yes"),
    ("db", "check"),
    ("db", "shell"),
    ("chat", "status"),
    ("chat", "gaps"),
    ("chat", "export", "1"),
    ("chat", "record", "--vod", "1"),
    ("archive", "--yes"),
    ("archive", "list"),
    ("archive", "fetch", "1"),
    ("archive", "verify"),
    ("backup",),
    ("backup", "keep", "latest"),
]
NEEDING_NOTHING = [
    ("config", "check"),
    ("config", "show"),
    ("config", "example"),
    ("db", "restart"),
    ("backup", "list"),
    ("backup", "verify"),
    ("backup", "prune"),
    ("export", "s3-lifecycle"),
]
NEEDING_A_BACKUP_FIRST = [("restore", "latest")]
NEEDING_THE_EMBEDDED_SERVER = [("backup", "base")]


def leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with the words that call it."""
    for name in node.list_commands(None) if hasattr(node, "list_commands") else ():
        below = node.get_command(None, name)
        yield from leaves(below, (*path, name))
    if not hasattr(node, "list_commands") or getattr(node, "invoke_without_command", False):
        yield path, node


LEAVES = {path: node for path, node in leaves(command()) if path}


def takes_json(words: tuple[str, ...]) -> bool:
    path = max((path for path in LEAVES if words[: len(path)] == path), key=len)
    return any("--json" in parameter.opts for parameter in LEAVES[path].params)


def the_error(text: str) -> dict[str, Any]:
    """What stands on stderr under --json: one object and nothing else."""
    said = json.loads(text)
    assert set(said) == {"error", "message", "hint", "runbook", "exit"}
    assert said["message"]
    return dict(said)


# --- a wrong command line ---------------------------------------------------------------


def test_the_lists_above_name_every_command() -> None:
    named = [
        *NEEDING_THE_DATABASE,
        *NEEDING_NOTHING,
        *NEEDING_A_BACKUP_FIRST,
        *NEEDING_THE_EMBEDDED_SERVER,
    ]
    assert {path for path in LEAVES if not any(one[: len(path)] == path for one in named)} == set()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("nonsense",), "No such command 'nonsense'."),
        (("statsu",), "Did you mean 'status'?"),
        (("breaker", "rest"), "Did you mean 'reset'?"),
        (("--nonsense",), "No such option: --nonsense"),
        (("pause", "--nonsense"), "No such option: --nonsense"),
        (("pause", "--config", "x.yaml"), "it goes before the command: vodtender --config"),
        (("pause", "now"), "unexpected extra argument"),
        (("vods", "show"), "Missing argument"),
        (("audit", "--limit"), "requires an argument"),
        (("audit", "--limit", "many"), "a valid integer"),
        (("--config",), "requires an argument"),
        (("--config", "/nowhere/x.yaml", "pause"), "/nowhere/x.yaml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_command_line_exits_with_2_and_says_what_is_wrong(
    type_in: Type, words: tuple[str, ...], complaint: str
) -> None:
    ran = type_in(*words)
    assert (ran.status, ran.out) == (2, "")
    assert complaint in ran.err
    assert "hint: " in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("words", [(), ("breaker",), ("config",), ("auth",)], ids=" ".join)
def test_without_a_command_the_help_is_shown_on_stderr_and_the_status_is_2(
    type_in: Type, words: tuple[str, ...]
) -> None:
    ran = type_in(*words)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("Usage: vodtender")
    assert ran.err.splitlines()[-2] == "error: A command is missing."


@pytest.mark.parametrize("words", [("pause", "--nonsense"), ("nonsense",)], ids=" ".join)
def test_with_json_a_wrong_command_line_is_one_object(
    type_in: Type, words: tuple[str, ...]
) -> None:
    ran = type_in(*words, "--json")
    said = the_error(ran.err)
    assert (ran.status, ran.out, said["error"], said["exit"]) == (2, "", "usage", 2)


# --- help -------------------------------------------------------------------------------

HELP = """
import contextlib, io, json, sys
from vodtender.cli.main import run
HEAVY = ("psycopg", "psycopg_pool", "rich", "yt_dlp", "googleapiclient", "google", "requests",
    "apscheduler", "uvicorn", "starlette", "prometheus_client", "cryptography", "boto3",
    "pydantic", "yaml", "hypothesis")
for words in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = run([*words, "--help"])
    heavy = [name for name in HEAVY if name in sys.modules]
    print(json.dumps([status, said.getvalue(), heavy]))
"""


def test_every_command_has_a_help_that_loads_nothing_heavy(tmp_path: Path) -> None:
    paths = [[], *([name] for name in COMMANDS), *map(list, LEAVES)]
    done = subprocess.run(
        [sys.executable, "-c", HELP, json.dumps(paths)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for path, (status, text, heavy) in zip(paths, answers, strict=True):
        assert status == 0, path
        assert text.startswith(" ".join(["Usage: vodtender", *path])), path
        assert "completion" not in text, path
        assert len(text.splitlines()) > 4, path
        assert heavy == [], path


# --- the database -----------------------------------------------------------------------


@pytest.fixture
def refused(type_in: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Type:
    """Commands type where no database answers."""
    monkeypatch.setenv("DB_DSN", REFUSING)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HTTP_ADDR", "127.0.0.1:0")
    (tmp_path / "login.json").write_text('{"refresh_token": "r", "client_id": "c"}')
    return type_in


@pytest.mark.parametrize("words", NEEDING_THE_DATABASE, ids=" ".join)
def test_with_the_database_down_each_command_exits_with_5(
    refused: Type, words: tuple[str, ...]
) -> None:
    ran = refused(*words)
    assert ran.status == 5, ran
    assert "error: The database cannot be reached: " in ran.err
    assert "Connection refused" in ran.err
    assert "hint: check that it runs, and that DB_DSN and DB_PASSWORD are right" in ran.err
    assert "Traceback" not in ran.err
    assert PASSWORD not in ran.err + ran.out


MAKING_A_DATABASE = [
    *(("run",), ("add",), ("migrate",), ("auth", "login"), ("auth", "import"), ("chat", "record")),
]


def test_in_a_directory_without_a_database_only_what_may_come_first_makes_one(
    type_in: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DB_DSN")
    asking = [
        words
        for words in (*NEEDING_THE_DATABASE, ("db", "restart", "--yes"), ("restore", "latest"))
        if words[:1] not in MAKING_A_DATABASE and words[:2] not in MAKING_A_DATABASE
    ]
    assert ("backup",) in asking
    for words in asking:
        ran = type_in(*words)
        if words[0] != "restore":
            assert ran.status == 5, (words, ran)
            assert f"DATA_DIR, which is {tmp_path / 'data'}, holds none" in ran.err, words
            assert "hint: name the settings: vodtender --config FILE" in ran.err, words
        assert not (tmp_path / "data").exists(), words
    assert type_in("migrate").status == 0
    assert type_in("vods").status == 0


@pytest.mark.parametrize(
    "words", [words for words in NEEDING_THE_DATABASE if takes_json(words)], ids=" ".join
)
def test_with_the_database_down_and_json_the_error_is_one_object(
    refused: Type, words: tuple[str, ...]
) -> None:
    ran = refused(*words, "--json")
    said = the_error(ran.err)
    assert (ran.status, said["error"], said["exit"]) == (5, "database_unavailable", 5)
    assert PASSWORD not in ran.err + ran.out


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Something that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_database_that_does_not_answer_is_not_waited_for_longer_than_was_said(
    type_in: Type, monkeypatch: pytest.MonkeyPatch, silent_port: int
) -> None:
    dsn = f"postgresql://vod:{PASSWORD}@127.0.0.1:{silent_port}/vod?connect_timeout=2"
    monkeypatch.setenv("DB_DSN", dsn)
    began = time.monotonic()
    ran = type_in("breaker", "status")
    assert ran.status == 5
    assert "timeout" in ran.err
    assert time.monotonic() - began < 8


def test_a_database_that_does_not_exist_exits_with_5_and_is_named(
    archive: Archive, type_in: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_DSN", make_conninfo(archive.dsn, dbname="nowhere"))
    ran = type_in("pause")
    assert ran.status == 5
    assert 'database "nowhere" does not exist' in ran.err


def test_a_wrong_password_exits_with_5_and_is_not_repeated(
    archive: Archive,
    type_in: Type,
    monkeypatch: pytest.MonkeyPatch,
    postgres_server: EmbeddedServer,
) -> None:
    """The embedded server trusts everybody, but it is taught to ask this role."""
    with psycopg.connect(postgres_server.admin_dsn, autocommit=True) as admin:
        admin.execute("CREATE ROLE careful LOGIN PASSWORD 'another one'")
        row = admin.execute("SHOW hba_file").fetchone()
        assert row is not None
        rules = Path(row[0])
        before = rules.read_text()
        rules.write_text("local all careful scram-sha-256\n" + before)
        admin.execute("SELECT pg_reload_conf()")
        wait_until(
            lambda: bool(
                admin.execute(
                    "SELECT FROM pg_hba_file_rules WHERE user_name = '{careful}'"
                ).fetchall()
            )
        )
        monkeypatch.setenv("DB_DSN", make_conninfo(archive.dsn, user="careful", password=PASSWORD))
        try:
            wait_until(lambda: "authentication failed" in type_in("pause").err)
            ran = type_in("pause")
        finally:
            rules.write_text(before)
            admin.execute("SELECT pg_reload_conf()")
            admin.execute("DROP ROLE careful")
    assert ran.status == 5
    assert "DB_PASSWORD" in ran.err
    assert PASSWORD not in ran.err


# --- tracebacks -------------------------------------------------------------------------


def test_debug_shows_the_traceback_without_secrets(refused: Type) -> None:
    ran = refused("--debug", "pause")
    assert ran.status == 5
    assert ran.err.startswith("Traceback (most recent call last):")
    assert ran.err.splitlines()[-1].startswith("hint: ")
    assert PASSWORD not in ran.err
    in_json = json.loads(refused("--debug", "pause", "--json").err)
    assert in_json["traceback"].startswith("Traceback")


@pytest.fixture
def spoilt(type_in: Type, monkeypatch: pytest.MonkeyPatch, database_dsn: str) -> Type:
    """Commands type into a database that somebody has altered under our feet."""
    with psycopg.connect(database_dsn) as connection:
        connection.execute("ALTER TABLE audit RENAME COLUMN actor TO somebody")
    monkeypatch.setenv("DB_DSN", database_dsn)
    return type_in


def test_an_internal_error_is_one_sentence_and_how_to_see_more(spoilt: Type) -> None:
    ran = spoilt("audit")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("error: Internal error: UndefinedColumn: ")
    assert "vodtender --debug" in ran.err
    assert "Traceback" not in ran.err
    said = the_error(spoilt("audit", "--json").err)
    assert (said["error"], said["exit"]) == ("internal", 1)


def test_an_internal_error_with_debug_shows_where(spoilt: Type) -> None:
    ran = spoilt("--debug", "audit")
    assert ran.status == 1
    assert "Traceback" in ran.err
    assert "UndefinedColumn" in ran.err


# --- DATA_DIR ---------------------------------------------------------------------------


@pytest.fixture
def file_for_directory(tmp_path: Path) -> Path:
    path = tmp_path / "a-file"
    path.touch()
    return path


NEEDING_DATA_DIR = [("run", "--once"), ("prune", "--yes")]


@pytest.mark.parametrize("words", NEEDING_DATA_DIR, ids=" ".join)
def test_a_data_dir_that_cannot_be_one_exits_with_2_and_is_named(
    type_in: Type,
    monkeypatch: pytest.MonkeyPatch,
    file_for_directory: Path,
    words: tuple[str, ...],
) -> None:
    monkeypatch.setenv("HTTP_ADDR", "127.0.0.1:0")
    for path in (file_for_directory, file_for_directory / "data"):
        monkeypatch.setenv("DATA_DIR", str(path))
        ran = type_in(*words)
        assert (ran.status, ran.out) == (2, "")
        assert f"DATA_DIR {path} cannot be written: " in ran.err
        assert "hint: set DATA_DIR" in ran.err


def test_without_a_dsn_a_bad_data_dir_fails_every_command(
    type_in: Type, monkeypatch: pytest.MonkeyPatch, file_for_directory: Path
) -> None:
    monkeypatch.delenv("DB_DSN")
    monkeypatch.setenv("DATA_DIR", str(file_for_directory))
    ran = type_in("pause", "--json")
    assert ran.status == 2
    assert the_error(ran.err)["error"] == "data_dir"


@pytest.fixture
def mounted(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A small disk of its own, mounted with the options that the test asks for."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", request.param, "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("mounted", ["size=1m,ro"], indirect=True)
@pytest.mark.parametrize("words", NEEDING_DATA_DIR, ids=" ".join)
def test_a_read_only_disk_exits_with_2(
    archive: Archive,
    type_in: Type,
    monkeypatch: pytest.MonkeyPatch,
    mounted: Path,
    words: tuple[str, ...],
) -> None:
    monkeypatch.setenv("DATA_DIR", str(mounted / "data"))
    monkeypatch.setenv("HTTP_ADDR", "127.0.0.1:0")
    ran = type_in(*words)
    assert ran.status == 2
    assert "Read-only file system" in ran.err


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(b"x" * 4096):
            pass
    assert shutil.disk_usage(disk).free == 0


@pytest.mark.parametrize("mounted", ["size=1m"], indirect=True)
def test_pruning_a_full_disk_works_since_that_makes_room(
    archive: Archive, type_in: Type, monkeypatch: pytest.MonkeyPatch, mounted: Path
) -> None:
    monkeypatch.setenv("DATA_DIR", str(mounted))
    assert type_in("prune").status == 0
    fill(mounted)
    ran = type_in("prune")
    assert (ran.status, ran.err) == (0, "")


@pytest.mark.parametrize("mounted", ["size=1m"], indirect=True)
def test_an_embedded_database_on_a_full_disk_says_that_the_disk_is_full(
    type_in: Type, monkeypatch: pytest.MonkeyPatch, mounted: Path
) -> None:
    monkeypatch.delenv("DB_DSN")
    monkeypatch.setenv("DATA_DIR", str(mounted))
    fill(mounted)
    ran = type_in("migrate", "--json")
    said = the_error(ran.err)
    assert ran.status in {2, 5}
    assert "is full" in said["message"] or "no space" in said["message"].lower()


@pytest.mark.parametrize("mounted", ["size=64k"], indirect=True)
def test_output_to_a_full_disk_exits_with_1_and_says_why(
    archive: Archive, mounted: Path, tmp_path: Path
) -> None:
    fill(mounted)
    with (mounted / "filler").open("ab") as full:
        done = shell(archive, tmp_path, "config", "show", stdout=full)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == b"error: The system refuses: No space left on device."


# --- streams ----------------------------------------------------------------------------


def shell(
    archive: Archive, directory: Path, *words: str, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    return python(archive, directory, "-m", "vodtender", *words, **options)


def python(
    archive: Archive, directory: Path, *words: str, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DB_DSN": archive.dsn}
    environ |= options.pop("env", {})
    return subprocess.run(
        [sys.executable, *words],
        env=environ,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
        **options,
    )


def piped(archive: Archive, directory: Path, line: str) -> subprocess.CompletedProcess[bytes]:
    """A line for bash, in which `vodtender` is the command."""
    script = f'vodtender() {{ "{sys.executable}" -m vodtender "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", script],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DB_DSN": archive.dsn},
        cwd=directory,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "line",
    [
        "vodtender config show | head -1; exit ${PIPESTATUS[0]}",
        "vodtender config example | true; exit ${PIPESTATUS[0]}",
        "vodtender config show --json | head -c 1; exit ${PIPESTATUS[0]}",
        "vodtender config show >&-",
        "vodtender config show 2>&-",
        "vodtender config show >&- 2>&-",
    ],
)
def test_nobody_who_reads_is_no_failure(archive: Archive, tmp_path: Path, line: str) -> None:
    done = piped(archive, tmp_path, line)
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_error_that_nobody_reads_has_its_status_all_the_same(
    archive: Archive, tmp_path: Path
) -> None:
    assert piped(archive, tmp_path, "vodtender nonsense 2>&-").returncode == 2
    assert piped(archive, tmp_path, "vodtender nonsense >/dev/full").returncode == 2
    assert piped(archive, tmp_path, "vodtender nonsense 2>/dev/full").returncode == 2
    assert piped(archive, tmp_path, "vodtender db 2>/dev/full").returncode == 2


# --- Ctrl-C -----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_ctrl_c_in_the_middle_exits_with_130(
    archive: Archive, tmp_path: Path, options: tuple[str, ...]
) -> None:
    add_worker(archive.database, "w")
    archive.add("1")
    archive.claim("1", "w")
    process = subprocess.Popen(
        [sys.executable, "-m", "vodtender", "drain", "--wait", *options],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DB_DSN": archive.dsn},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def is_told() -> bool:
        with archive.connection() as connection:
            return bool(connection.execute("SELECT FROM workers WHERE draining").fetchall())

    wait_until(is_told)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    if options:
        assert the_error(err)["error"] == "interrupted"
    else:
        assert err.splitlines()[-1] == "error: Interrupted."


# --- surroundings -----------------------------------------------------------------------

SHOW_TWICE = """
import sys
from vodtender.cli.main import run
statuses = [run(["vods", "show", "1"]), print(end="\\0"), run(["vods", "--json"])]
sys.exit(statuses != [0, None, 0])
"""
EMOJI = "🎮 Ärger in „Ω“ 日本 \u202e\x1b[2J"


@pytest.mark.parametrize(
    "surroundings",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"LANG": "xx_YY.UTF-8"},
    ],
    ids=str,
)
def test_titles_of_any_script_are_shown_in_any_locale(
    archive: Archive, tmp_path: Path, surroundings: dict[str, str]
) -> None:
    archive.add("1", "failed", title=EMOJI, problem=EMOJI)
    done = python(archive, tmp_path, "-c", SHOW_TWICE, stdout=subprocess.PIPE, env=surroundings)
    assert (done.returncode, done.stderr) == (0, b"")
    shown, between, listed = done.stdout.partition(b"\0")
    assert between
    assert b"\x1b" not in shown
    assert EMOJI in json.loads(listed.decode("utf-8"))["vods"][0].values()


def test_a_reason_in_bytes_that_are_no_text_is_kept_legibly(
    archive: Archive, tmp_path: Path
) -> None:
    words: list[Any] = ["pause", "--reason", b"disk \xff is full \xf0\x9f\x92\xbe"]
    done = shell(archive, tmp_path, *words, stdout=subprocess.PIPE, env={"LC_ALL": "C.UTF-8"})
    assert (done.returncode, done.stderr) == (0, b"")
    (line,) = archive.audit()
    assert line.reason == "disk \\xff is full 💾"


def test_neither_a_home_nor_a_user_is_needed(archive: Archive, tmp_path: Path) -> None:
    """`in_a_shell` sets neither HOME nor USER."""
    ran = in_a_shell(archive, tmp_path, "pause")
    assert (ran.status, ran.err) == (0, "")
    (line,) = archive.audit()
    assert line.actor.endswith(f"@{socket.gethostname()}")


def test_a_working_directory_that_is_gone_is_no_obstacle(archive: Archive, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = piped(archive, gone, f'rmdir "{gone}"; vodtender breaker status')
    assert (done.returncode, done.stderr) == (0, b"")
