"""How a setting is declared: once, as a field of `Settings`, with everything there is to know."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field
from typing import Any, TypeVar, cast

from vodtender.config.forms import Form

T = TypeVar("T")

_METADATA = "setting"


@dataclass(frozen=True, slots=True)
class Declared:
    """What is known of one setting beside its name.

    `default` is as an operator would write it; None means that it is unset by default, and
    then `example` is what `config example` shows.
    """

    form: Form[Any]
    default: str | None
    meaning: str
    group: str
    example: str
    secret: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Settings that belong together; their declarations are made through it."""

    title: str

    def setting(self, form: Form[T], default: str, meaning: str) -> T:
        """A setting that always has a value."""
        declared = Declared(form, default, meaning, self.title, default, False)
        return cast(T, _field(declared, form.read(default)))

    def optional(
        self, form: Form[T], meaning: str, *, example: str, secret: bool = False
    ) -> T | None:
        """A setting that is None until somebody sets it. A secret never shows in a repr, and
        can be read from a file that `NAME_FILE` names."""
        declared = Declared(form, None, meaning, self.title, example, secret)
        return cast(T | None, _field(declared, None))


def _field(declared: Declared, default: object) -> object:
    return field(default=default, repr=not declared.secret, metadata={_METADATA: declared})


def declared(cls: type) -> dict[str, Declared]:
    """The settings that a class declares, by their names in capitals, in order."""
    fields = cls.__dataclass_fields__  # type: ignore[attr-defined]
    return {
        name.upper(): one.metadata[_METADATA]
        for name, one in fields.items()
        if _METADATA in one.metadata and one.default is not MISSING
    }
