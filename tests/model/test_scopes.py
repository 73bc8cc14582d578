"""Which permissions are enough."""

from __future__ import annotations

import pytest

from vodtender.model.scopes import YOUTUBE, missing_twitch, missing_youtube

UPLOAD = f"{YOUTUBE}.upload"
READONLY = f"{YOUTUBE}.readonly"


@pytest.mark.parametrize(
    ("granted", "playlist", "missing"),
    [
        ((YOUTUBE,), False, ()),
        ((YOUTUBE,), True, ()),
        ((f"{YOUTUBE}.force-ssl", "openid"), True, ()),
        ((UPLOAD, READONLY), False, ()),
        ((UPLOAD, READONLY), True, (YOUTUBE,)),
        ((UPLOAD,), False, (YOUTUBE,)),
        ((READONLY,), False, (YOUTUBE,)),
        ((), False, (YOUTUBE,)),
    ],
)
def test_an_upload_must_be_seen_as_well_as_made(
    granted: tuple[str, ...], playlist: bool, missing: tuple[str, ...]
) -> None:
    assert missing_youtube(granted, playlist=playlist) == missing


def test_twitch_has_to_give_what_the_settings_want() -> None:
    assert missing_twitch(("chat:read",), ("chat:read", "chat:edit")) == ("chat:edit",)
    assert missing_twitch(("chat:edit", "chat:read"), ("chat:read",)) == ()
