"""Finds the settings: environment first, then `vodtender.yaml`, then the defaults.

The file is the one given by `--config`, else by VODTENDER_CONFIG, else `vodtender.yaml` in the
working directory if there is one. An empty value counts as unset, wherever it stands. Every
problem is reported, not only the first.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vodtender.config import checks, yaml_file
from vodtender.config.declaration import Declared
from vodtender.config.forms import did_you_mean
from vodtender.config.redaction import hide, redact
from vodtender.config.service_forms import dsn_passwords
from vodtender.config.settings import DECLARED, Settings
from vodtender.config.yaml_file import Entry
from vodtender.errors import SettingsError

CONFIG_VARIABLE = "VODTENDER_CONFIG"
DEFAULT_FILE = Path("vodtender.yaml")
ENVIRONMENT = "environment"

_SHOWN_LENGTH = 60
_LARGEST_SECRET_BYTES = 64 * 1024
_OUR_PREFIX = re.compile(
    r"(TWITCH|YT|YOUTUBE|YTDLP|CIRCUIT|DOWNLOAD|UPLOAD|RETAIN|RETENTION|BACKFILL|BACKUP|ARCHIVE"
    r"|RESTORE|VOD|CHAT)_"
)
_OTHERS = frozenset(
    {
        *("VOD_ID", "VOD_FILE", "RETENTION_DAYS", "YOUTUBE_UPLOAD_OWNERSHIP"),
    }
)
"""Names of the Go system and of the runbook's scripts: near to ours, and not misspelt."""


@dataclass(slots=True)
class _Findings:
    """What has been found so far."""

    entries: dict[str, Entry] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def load(environ: Mapping[str, str], config_path: Path | None = None) -> Settings:
    """The settings in effect.

    Every secret among them is registered with `redaction.hide`.

    Raises:
        SettingsError: something is unknown, of the wrong form, impossible or contradictory;
            the message names all of it, each with its file and line or its variable.
    """
    path = config_file(environ, config_path)
    found = _Findings()
    document = yaml_file.read(path) if path else yaml_file.Document({}, [])
    found.problems += document.problems
    found.problems += _unknown_keys(document.entries)
    for name, declared in DECLARED.items():
        _find(name, declared, environ, document.entries, found)
    _parse(found)
    settings = _settled(found)
    if found.problems:
        raise _error(found.problems)
    found.warnings += _misspelt(environ)
    if path is not None:
        found.warnings += _exposed(path, document.entries)
    return replace(settings, warnings=tuple(found.warnings))


def config_file(environ: Mapping[str, str], config_path: Path | None) -> Path | None:
    """Which file counts; None if there is none to read."""
    if config_path is not None:
        return config_path
    if named := environ.get(CONFIG_VARIABLE, "").strip():
        return Path(os.path.expanduser(named))
    # Unlike Path.exists, this raises nothing where the working directory may not be searched.
    return DEFAULT_FILE if os.path.exists(DEFAULT_FILE) else None


def _unknown_keys(entries: Mapping[str, Entry]) -> list[str]:
    secret_files = {f"{name}_FILE" for name, declared in DECLARED.items() if declared.secret}
    known = [*DECLARED, *sorted(secret_files)]
    problems = []
    for name, entry in entries.items():
        if name in known:
            continue
        suggestion = did_you_mean(name.replace("-", "_"), known, likeness=0.6)
        problems.append(f"{entry.origin}: there is no setting {_shown(name)}{suggestion}")
    return problems


def _find(
    name: str,
    declared: Declared,
    environ: Mapping[str, str],
    entries: Mapping[str, Entry],
    found: _Findings,
) -> None:
    """Takes the entry that counts for one setting, following NAME_FILE for a secret."""
    names = (name, f"{name}_FILE") if declared.secret else (name,)
    of_environment = {n: Entry(environ[n], ENVIRONMENT) for n in names if n in environ}
    for source in (of_environment, entries):
        present = {n: source[n] for n in names if n in source and source[n].is_set}
        if len(present) == 2:
            origin = present[name].origin
            found.problems.append(f"{origin}: {name} and {name}_FILE are both set: only one may be")
        elif name in present:
            found.entries[name] = present[name]
        elif present:
            _follow(name, present[f"{name}_FILE"], found)
        if present:
            return


def _follow(name: str, entry: Entry, found: _Findings) -> None:
    """Reads a secret from the file that NAME_FILE names, without the line's end."""
    variable = f"{name}_FILE"
    if not isinstance(entry.value, str):
        found.problems.append(f"{entry.origin}: {variable}: expected a path")
        return
    path = Path(os.path.expanduser(entry.value.strip()))
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_SECRET_BYTES + 1)
        text = data.decode("utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = "not UTF-8" if isinstance(error, UnicodeError) else _reason(error)
        found.problems.append(f"{entry.origin}: {variable}: {path} cannot be read: {reason}")
        return
    if not text.strip() or len(data) > _LARGEST_SECRET_BYTES:
        what = "is empty" if not text.strip() else "is too large for a secret"
        found.problems.append(f"{entry.origin}: {variable}: {path} {what}")
        return
    found.entries[name] = Entry(text, f"{entry.origin} ({variable})")


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


def _parse(found: _Findings) -> None:
    # All secrets are known before the first message is made: one may stand in another's value.
    for name, entry in found.entries.items():
        if DECLARED[name].secret and isinstance(entry.value, str):
            of_dsn = dsn_passwords(entry.value) if name.endswith("_DSN") else (entry.value,)
            for secret in of_dsn:
                hide(secret)
    for name, entry in found.entries.items():
        declared = DECLARED[name]
        try:
            found.values[name] = _read(declared, entry.value)
        except ValueError as error:
            shown = "" if declared.secret else f" is {_shown(entry.value)}"
            found.problems.append(f"{entry.origin}: {name}{shown}: {error}")


def _read(declared: Declared, value: str | tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return declared.form.read(value)
    if declared.form.read_items is None:
        raise ValueError(f"expected {declared.form.expected}, not a list")
    return declared.form.read_items(value)


def _shown(value: str | tuple[str, ...]) -> str:
    """A bad value as it may be shown: short, on one line, without secrets."""
    text = redact(value if isinstance(value, str) else ", ".join(value))
    if len(text) > _SHOWN_LENGTH:
        text = text[:_SHOWN_LENGTH] + "…"
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in quoted)


def _settled(found: _Findings) -> Settings:
    """The settings, with what is wrong between them added to the problems."""
    origins = dict.fromkeys(DECLARED, "default")
    origins.update({name: found.entries[name].origin for name in found.values})
    attributes = {name.lower(): value for name, value in found.values.items()}
    settings = Settings(**attributes, origins=origins)
    misread = found.entries.keys() - found.values.keys()
    for finding in checks.contradictions(settings):
        if not misread.intersection(finding.names):
            found.problems.append(_located(finding, origins))
    found.warnings += [_located(finding, origins) for finding in checks.oddities(settings)]
    return settings


def _located(finding: checks.Finding, origins: Mapping[str, str]) -> str:
    places = dict.fromkeys(origins[name] for name in finding.names if origins[name] != "default")
    text = finding.text
    if len(finding.names) == 1 and finding.names[0] not in text:
        text = f"{finding.names[0]}: {text}"
    return f"{', '.join(places) or 'default'}: {text}"


def _error(problems: list[str]) -> SettingsError:
    count = len(problems)
    message = problems[0]
    if count > 1:
        message = "\n".join([f"{count} settings are wrong, so nothing was started:", *problems])
    return SettingsError(
        message,
        hint="vodtender config example shows every setting; vodtender config check tests them",
    )


def _misspelt(environ: Mapping[str, str]) -> list[str]:
    known = [*DECLARED, *(f"{name}_FILE" for name, one in DECLARED.items() if one.secret)]
    warnings = []
    for name in sorted(environ):
        if name in known or name in _OTHERS or not environ[name]:
            continue
        if not _OUR_PREFIX.match(name):
            continue
        if suggestion := did_you_mean(name, known, likeness=0.8):
            warnings.append(f"{ENVIRONMENT}: {name} is no setting{suggestion}")
    return warnings


def _exposed(path: Path, entries: Mapping[str, Entry]) -> list[str]:
    """Whether others on this machine can read the secrets in the file, or replace it."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return []
    secrets = [name for name, entry in entries.items() if entry.is_set and DECLARED.get(name)]
    if stat.S_ISREG(mode) and mode & 0o004 and any(DECLARED[name].secret for name in secrets):
        return [f"{path}: everybody on this machine can read its secrets; chmod 600 {path}"]
    if stat.S_ISREG(mode) and mode & 0o002:
        return [f"{path}: everybody on this machine can change it; chmod go-w {path}"]
    return []
