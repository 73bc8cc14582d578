"""Turns whatever goes wrong into a message and an exit status; no traceback reaches anybody
who did not ask for one."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable

import typer

from vodtender.errors import Exit, VodtenderError

# typer does not export the classes that its own errors descend from.
_ClickError = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def guarded(command: Callable[[], object], arguments: list[str]) -> int:
    """Runs a command and returns its exit status."""
    as_json = "--json" in arguments
    debug = "--debug" in arguments
    try:
        done = command()
        sys.stdout.flush()
        return done if isinstance(done, int) else Exit.DONE
    except typer.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted\n")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _close_stdout()
        return Exit.DONE
    except VodtenderError as error:
        if debug:
            traceback.print_exc()
        _tell(error, as_json=as_json)
        return error.exit
    except Exception as error:
        return _other(error, as_json=as_json, debug=debug)


def _other(error: Exception, *, as_json: bool, debug: bool) -> int:
    if isinstance(error, _ClickError):
        usage = VodtenderError(_usage_text(error), hint=_usage_hint(error), code="usage")
        usage.exit = Exit.USAGE
        _tell(usage, as_json=as_json)
        return Exit.USAGE
    if debug:
        traceback.print_exc()
    internal = VodtenderError(
        f"Internal error: {type(error).__name__}: {error}",
        hint="" if debug else "run it again as `vodtender --debug …` and report what it shows",
        code="internal",
    )
    _tell(internal, as_json=as_json)
    return Exit.FAILED


def _tell(error: VodtenderError, *, as_json: bool) -> None:
    from vodtender.log import printable, redact

    if as_json:
        said = {
            "error": error.code,
            "message": redact(error.message),
            "hint": redact(error.hint),
            "runbook": error.runbook,
            "exit": int(error.exit),
        }
        sys.stderr.write(json.dumps(said, ensure_ascii=False) + "\n")
        return
    lines = [f"error: {line}" for line in redact(error.message).splitlines()[:1]]
    lines += [f"       {line}" for line in redact(error.message).splitlines()[1:]]
    if error.hint:
        lines += [f"hint: {line}" for line in redact(error.hint).splitlines()]
    if error.runbook:
        lines.append(f"runbook: vodtender runbook {error.runbook}")
    sys.stderr.write("".join(printable(line) + "\n" for line in lines))


def _usage_text(error: Exception) -> str:
    formatted = getattr(error, "format_message", None)
    return str(formatted() if formatted is not None else error)


def _usage_hint(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"see: {getattr(context, 'command_path', 'vodtender')} --help"


def _close_stdout() -> None:
    """Nobody reads any more; Python would complain once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
