"""The person at the terminal while a service is asked for a permission.

What they are shown goes to stderr as it is: the address and the code are meant to be used.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time

from vodtender.cli.output import note
from vodtender.log import printable

_LONGEST_LINE = 65536


class Terminal:
    """See `procedures.login.Person`."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._listens = sys.stdin.isatty()

    def open(self, url: str) -> None:
        """Shows the page, in a browser too if there is one here."""
        _show(f"To let vodtender in at {self._service}, open this page in a browser:")
        _show()
        _show(f"  {url}")
        _show()
        if self._listens:
            _show(
                "Where the browser is on another machine, it ends at a page that does not open: "
                "paste that page's address here."
            )
        if _has_browser():
            import webbrowser

            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    def enter(self, url: str, code: str) -> None:
        """Shows where to enter which code."""
        _show(f"To let vodtender in at {self._service}, open {url}")
        _show(f"in any browser and enter the code {code}")

    def typed(self) -> str | None:
        """A line that was typed meanwhile."""
        if not self._listens or not select.select([sys.stdin], [], [], 0)[0]:
            return None
        # Not by sys.stdin, which could be holding back a line already.
        line = os.read(sys.stdin.fileno(), _LONGEST_LINE)
        self._listens = bool(line)
        return line.decode("utf-8", "replace").strip() or None

    def tell(self, text: str) -> None:
        """A line on stderr."""
        note(text)

    def wait(self, seconds: float) -> None:
        """Sleeps."""
        time.sleep(seconds)


def _show(text: str = "") -> None:
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


def _has_browser() -> bool:
    """One with a window of its own: a browser in the terminal would be in the way."""
    if sys.platform == "darwin":
        return True
    return any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))
