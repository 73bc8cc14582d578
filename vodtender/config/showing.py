"""What an operator is shown of the settings in effect: every one, no secret."""

from __future__ import annotations

from dataclasses import dataclass

from vodtender.config.declaration import Declared
from vodtender.config.redaction import MASK, redact
from vodtender.config.service_forms import mask_dsn
from vodtender.config.settings import DECLARED, Settings


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting; `value` is text as in a settings file, None when it is unset."""

    name: str
    value: str | None
    origin: str


def shown(settings: Settings) -> list[Shown]:
    """Every setting, in the order of the declarations."""
    return [
        Shown(name, _value(name, declared, settings), settings.origin(name))
        for name, declared in DECLARED.items()
    ]


def _value(name: str, declared: Declared, settings: Settings) -> str | None:
    value = getattr(settings, name.lower())
    if value is None:
        # A limit that was turned off says so; what nobody set says nothing.
        return None if settings.origin(name) == "default" else declared.form.write(None)
    if name.endswith("_DSN"):
        return redact(mask_dsn(value))
    return MASK if declared.secret else redact(declared.form.write(value))
