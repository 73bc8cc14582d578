"""As whom the server runs, when vodtender runs as root: PostgreSQL refuses to.

Nothing on disk is opened up for it. Where the server's user could not reach its data or the
binaries (`/root` is 0700), the server keeps one capability instead; where root may not change
its user (a container without CAP_SETUID), a user namespace is tried.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Debian policy keeps 30000-59999 free of users, and rootless containers map up to 65535.
_FIRST_UID = 54320
_LAST_UID = 54399

_CAP_CHOWN = 0
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAP_KILL = 5
_CAP_SETGID = 6
_CAP_SETUID = 7
_CAP_SETPCAP = 8
# The last to stop what then belongs to another user.
_CAPABILITIES_TO_CHANGE_USER = frozenset({_CAP_SETUID, _CAP_SETGID, _CAP_CHOWN, _CAP_KILL})


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom a binary is started; without `uid` as whoever we are."""

    uid: int | None = None
    gid: int | None = None
    capability: int | None = None
    namespace: bool = False

    @property
    def owner_uid(self) -> int:
        """Owner that the server's files must have, as seen from here."""
        return os.geteuid() if self.uid is None or self.namespace else self.uid

    @property
    def owner_gid(self) -> int:
        return os.getegid() if self.gid is None or self.namespace else self.gid


def choose(directory: Path, binaries: Path, *others: Path) -> Identity:
    """As whom to run the server that lives in `directory` and walks to `others`, too."""
    if os.geteuid() != 0:
        return Identity()
    status = directory.stat()
    uid, gid = (status.st_uid, status.st_gid) if status.st_uid else (_free_uid(), 0)
    gid = gid or uid
    held = _held_capabilities()
    if not held >= _CAPABILITIES_TO_CHANGE_USER or not _is_mapped(uid, gid):
        return Identity(uid=uid, gid=gid, namespace=True)
    if _reaches(uid, (directory, binaries / "postgres", *others)):
        return Identity(uid=uid, gid=gid)
    executable = (binaries / "postgres").stat().st_mode & stat.S_IXOTH
    wanted = (*((_CAP_DAC_READ_SEARCH,) if executable else ()), _CAP_DAC_OVERRIDE)
    capability = next((number for number in wanted if number in held), None)
    if capability is None or _CAP_SETPCAP not in held:
        return Identity(uid=uid, gid=gid, namespace=True)
    return Identity(uid=uid, gid=gid, capability=capability)


def creator(identity: Identity) -> Identity:
    """As whom to run `initdb` for a server that will run as `identity`.

    Unlike the server it insists on a user with a name; what it made is handed over afterwards.
    """
    uid = os.geteuid() if identity.uid is None else identity.uid
    if _has_name(uid):
        return identity
    named = next((user for user in pwd.getpwall() if user.pw_name == "nobody"), None)
    if named is None:
        return identity
    if identity.uid is None or identity.namespace:
        return Identity(uid=named.pw_uid, gid=named.pw_gid, namespace=True)
    return Identity(uid=named.pw_uid, gid=named.pw_gid, capability=identity.capability)


def hand_over(path: Path, identity: Identity) -> None:
    """Make everything at `path` belong to the server's user; links are not followed."""
    uid, gid = identity.owner_uid, identity.owner_gid
    if os.geteuid() != 0 or path.lstat().st_uid == uid:
        return
    for parent, folders, files in os.walk(path):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                os.chown(os.path.join(parent, name), uid, gid, follow_symlinks=False)
    # Last, so that a hand-over cut short is taken up again.
    os.chown(path, uid, gid, follow_symlinks=False)


def match_owner(path: Path, directory: Path) -> None:
    """As root, let a file made in an ordinary user's directory be that user's."""
    status = directory.stat()
    if os.geteuid() == 0 and status.st_uid != 0 and path.lstat().st_uid != status.st_uid:
        os.chown(path, status.st_uid, status.st_gid, follow_symlinks=False)


def _free_uid() -> int:
    """A number that nobody else runs under; `nobody` is shared with other daemons."""
    return next((uid for uid in range(_FIRST_UID, _LAST_UID) if not _has_name(uid)), _LAST_UID)


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _held_capabilities() -> set[int]:
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("CapEff:"):
                bits = int(line.split()[1], 16)
                return {number for number in range(64) if bits >> number & 1}
    except OSError:
        pass
    return set(_CAPABILITIES_TO_CHANGE_USER)  # root of a system without capabilities


def _is_mapped(uid: int, gid: int) -> bool:
    """Whether this user namespace knows both numbers; a rootless container's may not."""
    for name, number in (("uid_map", uid), ("gid_map", gid)):
        try:
            lines = Path(f"/proc/self/{name}").read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        ranges = [tuple(int(field) for field in line.split()) for line in lines]
        if not any(first <= number < first + count for first, _, count in ranges):
            return False
    return True


def _reaches(uid: int, paths: Iterable[Path]) -> bool:
    """Whether `uid` may walk to each path: every parent lets it through."""
    for path in paths:
        for parent in path.resolve().parents:
            status = parent.stat()
            bit = stat.S_IXUSR if status.st_uid == uid else stat.S_IXOTH
            if not status.st_mode & bit:
                return False
        if path.is_file() and not path.stat().st_mode & stat.S_IXOTH:
            return False
    return True
