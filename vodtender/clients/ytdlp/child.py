"""The child process: `python -m vodtender.clients.ytdlp.child`. See `process` for its parent.

Reads one JSON request from its standard input, and later perhaps new rate limits, and answers
with JSON lines on its standard output. It lives no longer than the other end of its standard
input: when that closes, it ends itself and everything it has started.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
import threading
from typing import Any, BinaryIO

from vodtender.clients.ytdlp.rate import RateLimit
from vodtender.clients.ytdlp.wire import RATE_LIMIT, Speaker
from vodtender.errors import VodtenderError

_FAILED = 1


def main() -> None:
    """Serve one request and exit: 0 after a result, 1 after a typed error."""
    speaker = Speaker(os.dup(1))
    # Whatever a library prints goes to the log of last words, never between the lines.
    os.dup2(2, 1)
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        os._exit(_FAILED)
    request = json.loads(line)
    rate_limit = RateLimit(request[RATE_LIMIT])
    listening = (sys.stdin.buffer, rate_limit)
    threading.Thread(target=_hear_the_parent, args=listening, daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(int(request["niceness"]))
    # Threads may still be waiting in the network for what nobody needs.
    os._exit(serve(request, speaker, rate_limit))


def serve(request: dict[str, Any], speaker: Speaker, rate_limit: RateLimit) -> int:
    """Says all that there is to say to a request. The exit status."""
    try:
        _work(request, speaker, rate_limit)
    except BaseException as error:
        speaker.error(_answer(error, request))
        return _FAILED
    return 0


def _work(request: dict[str, Any], speaker: Speaker, rate_limit: RateLimit) -> None:
    if request["mode"] == "check":
        from vodtender.clients.ytdlp import arguments

        arguments.options(request["extra_args"])
        speaker.result("fine")
        return
    gc.disable()  # to look for garbage among what is being loaded takes an eighth of the time
    import stamina.instrumentation

    from vodtender.clients.ytdlp.fetching import Fetch, open_twitch

    gc.freeze()
    gc.enable()
    stamina.instrumentation.set_on_retry_hooks(())
    if request["mode"] == "fetch":
        Fetch(request, speaker, rate_limit).run()
        return
    twitch = open_twitch(request, speaker)
    if request["mode"] == "list":
        for kind in request["kinds"]:
            for entry in twitch.channel(request["channel"], kind, request["limit"]):
                speaker.say({"type": "entry", **entry})
        speaker.result("listed")
    elif request["mode"] == "live":
        speaker.result("looked", stream=twitch.live(request["channel"]))
    else:
        vod = twitch.vod(request["vod_id"])
        speaker.result(
            "probed",
            title=vod.title,
            length_seconds=vod.length_seconds,
            is_live=vod.is_live,
            format_id=vod.format_id,
        )


def _answer(error: BaseException, request: dict[str, Any]) -> VodtenderError:
    if isinstance(error, VodtenderError):
        return error
    import traceback

    from vodtender.clients.ytdlp import answers

    traceback.print_exception(error, file=sys.stderr)
    sys.stderr.flush()
    return answers.meaning(error, has_cookies=request["cookies_path"] is not None)


def _hear_the_parent(stdin: BinaryIO, rate_limit: RateLimit) -> None:
    """Takes new limits until the parent has ended, and then ends everything."""
    for line in stdin:
        with contextlib.suppress(ValueError, KeyError):
            rate_limit.set(json.loads(line)[RATE_LIMIT])
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(_FAILED)


if __name__ == "__main__":
    main()
