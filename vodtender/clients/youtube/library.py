"""What we use of Google's client library, loaded without what nobody uses.

The library loads httplib2, of which it gets no more from us than a class for answers (see
`transport`). httplib2 loads a grammar of login challenges, which alone would take a third of
the time in which all this is loaded.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


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
    "httplib2",
]
