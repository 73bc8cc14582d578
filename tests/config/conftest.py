"""Secrets that a test registers are forgotten after it."""

from __future__ import annotations

import pytest

from vodtender.config import redaction


@pytest.fixture(autouse=True)
def _no_hidden_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_hidden", ())
