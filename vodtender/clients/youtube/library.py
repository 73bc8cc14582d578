"""What we use of Google's client library, loaded without what nobody uses.

The library loads httplib2, of which it gets no more from us than a class for answers (see
`transport`). httplib2 loads a grammar of login challenges, which alone would take a third of
the time in which all this is loaded.
"""

from __future__ import annotations

import importlib
import sys
import threading
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NoReturn


class _LoadedWhenUsed(ModuleType):
    """Stands in for a module until somebody asks for something in it."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


sys.modules.setdefault("httplib2.auth", _LoadedWhenUsed("httplib2.auth"))

import httplib2  # type: ignore[import-untyped]  # noqa: E402
from googleapiclient.errors import Error, HttpError, MediaUploadSizeError  # noqa: E402
from googleapiclient.http import HttpRequest, MediaUpload  # noqa: E402

__all__ = [
    "Error",
    "HttpError",
    "HttpRequest",
    "MediaUpload",
    "MediaUploadSizeError",
    "Service",
    "httplib2",
    "service",
]


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of the API that we use. Their requests go through nothing by themselves: they
    are told, `execute(http=…)`."""

    channels: Any
    playlist_items: Any
    videos: Any


class _Nobody:
    """In the place of a client that all requests would go through."""

    credentials = None

    def request(self, *_args: object, **_options: object) -> NoReturn:
        raise NotImplementedError


_made: list[Service] = []
_making = threading.Lock()


def service() -> Service:
    """The API as the library knows it. Made when first needed, and once for all accounts: that
    takes a while, and for each part again more than a request."""
    with _making:
        if not _made:
            from googleapiclient.discovery import build

            built = build(
                "youtube", "v3", http=_Nobody(), static_discovery=True, cache_discovery=False
            )
            _made.append(Service(built.channels(), built.playlistItems(), built.videos()))
        return _made[0]
