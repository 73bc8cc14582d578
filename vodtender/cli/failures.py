"""Turns whatever goes wrong into a message and an exit status; no traceback reaches anybody
who did not ask for one."""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

import typer

from vodtender.errors import Exit, UsageError, VodtenderError

# typer does not export the classes that its own errors descend from.
_ClickError = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
_BEFORE_THE_COMMAND = ("--config", "--debug")


def guarded(command: Callable[[], object], arguments: list[str]) -> int:
    """Runs a command and returns its exit status."""
    as_json = "--json" in arguments
    debug = "--debug" in arguments
    with _usable_streams(as_json=as_json):
        try:
            done = command()
            sys.stdout.flush()
            return done if isinstance(done, int) else Exit.DONE
        except typer.Exit as error:
            return error.exit_code
        except BrokenPipeError:
            _close(sys.stdout)
            return Exit.DONE
        except (Exception, KeyboardInterrupt) as error:
            ours = _in_our_words(error, debug=debug)
            trace = traceback.format_exc() if debug else ""
            if not _takes_output(sys.stdout):
                _close(sys.stdout)
            with suppress(OSError):  # the exit status says it still
                if type(error).__name__ == "NoArgsIsHelpError" and not as_json:
                    sys.stderr.write(f"{error}\n\n")
                _tell(ours, trace, as_json=as_json)
            if not _takes_output(sys.stderr):
                _close(sys.stderr)
            return ours.exit


def _in_our_words(error: BaseException, *, debug: bool) -> VodtenderError:
    if isinstance(error, VodtenderError):
        return error
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        interrupted = VodtenderError("Interrupted.", code="interrupted")
        interrupted.exit = Exit.INTERRUPTED
        return interrupted
    if isinstance(error, _ClickError):
        return _misused(error)
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return VodtenderError(
            f"The system refuses: {error.strerror}{where}.",
            hint="where the output goes to a file, its disk may be full" if not where else "",
            code="system",
        )
    return VodtenderError(
        f"Internal error: {type(error).__name__}: {error}",
        hint="" if debug else "run it again as `vodtender --debug …` and report what it shows",
        code="internal",
    )


def _misused(error: BaseException) -> UsageError:
    formatted = getattr(error, "format_message", None)
    text = str(formatted() if formatted is not None else error)
    if type(error).__name__ == "NoArgsIsHelpError":  # its text is the whole help
        text = "A command is missing."
    path = getattr(getattr(error, "ctx", None), "command_path", "vodtender")
    early = getattr(error, "option_name", None)
    if early in _BEFORE_THE_COMMAND and path != "vodtender":
        return UsageError(text, hint=f"it goes before the command: vodtender {early} …")
    return UsageError(text, hint=f"see: {path} --help")


def _tell(error: VodtenderError, trace: str, *, as_json: bool) -> None:
    from vodtender.log import printable, redact

    message, hint, trace = (redact(text) for text in (error.message, error.hint, trace))
    if as_json:
        said = {
            "error": error.code,
            "message": message,
            "hint": hint,
            "runbook": error.runbook,
            "exit": int(error.exit),
        }
        if trace:
            said["traceback"] = trace
        sys.stderr.write(json.dumps(said, ensure_ascii=False) + "\n")
        return
    first, *more = message.splitlines() or [""]
    lines = [*trace.splitlines(), f"error: {first}", *(f"       {line}" for line in more)]
    lines += [f"hint: {line}" for line in hint.splitlines()]
    sys.stderr.write("".join(printable(line) + "\n" for line in lines))


# --- streams ------------------------------------------------------------------------------


@contextmanager
def _usable_streams(*, as_json: bool) -> Iterator[None]:
    """Whatever the caller has made of stdout and stderr, one can write to them: closed ones
    lead nowhere, and a locale without a title's characters gets them escaped. JSON is UTF-8
    everywhere; what is left to escape there (bytes of file names) is valid JSON, too."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                encoding = "utf-8" if as_json else stream.encoding
                stream.reconfigure(encoding=encoding, errors="backslashreplace")
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def _takes_output(stream: TextIO) -> bool:
    try:
        stream.flush()
    except OSError:
        return False
    return True


def _close(stream: TextIO) -> None:
    """Nobody reads any more; Python would complain once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
