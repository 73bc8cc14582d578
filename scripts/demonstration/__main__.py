"""`scripts/demo`: the steps, one after the other."""

from __future__ import annotations

import argparse
import base64
import fcntl
import json
import os
import shlex
import shutil
import sys
from pathlib import Path

from scripts.demonstration.processes import Failed, Interrupted, Runner
from scripts.outside import ROOT, SandboxBroken, sandbox
from vodtender.config.settings import DECLARED

VODTENDER = [sys.executable, "-m", "vodtender"]
_INTERRUPTED = 130
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "TERM", "COLORTERM", "NO_COLOR", "LANG", "LC_ALL")


def main() -> int:
    options = _options()
    place = _Place(options.directory.absolute())
    place.root.mkdir(parents=True, exist_ok=True)
    with (place.root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"scripts/demo: another demo is at work in {place.root}", file=sys.stderr)
            return 1
        try:
            with Runner(ROOT, _environment(), lock.fileno()) as runner:
                _Demo(place, runner, "demo-quick" if options.quick else "demo").run()
        except Interrupted:
            print("\nscripts/demo: interrupted; nothing is left running", file=sys.stderr)
            return _INTERRUPTED
        except (Failed, SandboxBroken) as failure:
            print(f"scripts/demo: {failure}", file=sys.stderr)
            return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Shows vodtender at work against a Twitch and a YouTube"
        " that are played on this machine.",
    )
    parser.add_argument("--quick", action="store_true", help="as fast as it goes")
    parser.add_argument(
        "--directory", type=Path, default=ROOT / "demo-data", help="where everything is put"
    )
    return parser.parse_args()


def _environment() -> dict[str, str]:
    """Nothing of the caller's settings: no channel, database or account of his is touched."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1"}


class _Place:
    """What lies where under the demo's directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = root / "vodtender.yaml"
        self.files = root / "data"
        self.uploads = root / "youtube"
        self.credentials = root / "youtube-credentials.json"
        self.report = root / "sandbox-report.json"


class _Demo:
    def __init__(self, place: _Place, runner: Runner, scenario: str) -> None:
        self._place = place
        self._runner = runner
        self._scenario = scenario

    def run(self) -> None:
        self._clear()
        _say("A Twitch and a YouTube of our own start on this machine.")
        self._runner.stop_if_asked()
        with sandbox(
            self._scenario,
            self._runner.environment,
            uploads=self._place.uploads,
            credentials=self._place.credentials,
            report=self._place.report,
        ) as world:
            self._write_settings(world)
            _say("vodtender gets the right to upload to the channel.")
            self._vodtender(world, "auth", "import", "youtube", str(self._place.credentials))
            _say("vodtender carries the VODs over. Ctrl-C ends it at a safe point.")
            self._vodtender(world, "run", "--drain")
            _say("This is how it stands.")
            self._vodtender(world, "status")
        self._check()
        self._tell()

    def _clear(self) -> None:
        """Begins anew; a database that a killed demo has left running is stopped first."""
        if (self._place.files / "postgres").exists():
            old = {"DATA_DIR": str(self._place.files), "VODTENDER_CONFIG": os.devnull}
            self._runner.run([*VODTENDER, "migrate"], old, quiet=True)
        for path in (self._place.files, self._place.uploads):
            shutil.rmtree(path, ignore_errors=True)
        self._place.report.unlink(missing_ok=True)

    def _write_settings(self, world: dict[str, str]) -> None:
        """The demo's settings as a file, good for a look around afterwards, too."""
        settings = {
            **{name: value for name, value in world.items() if name in DECLARED},
            "DATA_DIR": str(self._place.files),
            "HTTP_ADDR": "127.0.0.1:0",
            "BACKFILL_AUTOCLEAN": "0",
            "ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode(),
        }
        lines = [f"{name.lower()}: {json.dumps(value)}\n" for name, value in settings.items()]
        self._place.settings.touch()
        self._place.settings.chmod(0o600)
        self._place.settings.write_text("".join(lines), encoding="utf-8")

    def _vodtender(self, world: dict[str, str], *arguments: str) -> None:
        settings = {"VODTENDER_CONFIG": str(self._place.settings)}
        self._runner.run([*VODTENDER, *arguments], world | settings)

    def _check(self) -> None:
        """What the sandbox saw must be as it should. Raises Failed."""
        report = json.loads(self._place.report.read_text(encoding="utf-8"))
        for name in ("complaints", "unexpected", "crashes"):
            if report[name]:
                raise Failed(f"the sandbox has {name}: {report[name]}")
        titles = [video["title"] for video in report["videos"]]
        if not titles or len(titles) != len(set(titles)):
            raise Failed(f"not every VOD is on YouTube once: {titles}")

    def _tell(self) -> None:
        place = self._place
        settings = shlex.quote(str(place.settings))
        print(
            f"""
Where everything is:
  the files       {_near(place.files)}/*.mp4
  the database    {_near(place.files)}/postgres   (PostgreSQL; it runs while vodtender does)
  the uploads     {_near(place.uploads)}/   (what YouTube has received)
  the settings    {_near(place.settings)}

Look around (what was played as Twitch and YouTube is gone, so there is nothing to run):
  export PATH={shlex.quote(str(ROOT / ".venv" / "bin"))}:$PATH VODTENDER_CONFIG={settings}
  vodtender vods
  vodtender vods show 2300000002
  vodtender db shell
The real thing: see README.md."""
        )


def _near(path: Path) -> str:
    """From the checkout, if it is in it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _say(text: str) -> None:
    bold = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    print(f"\n\x1b[1m{text}\x1b[0m" if bold else f"\n{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
