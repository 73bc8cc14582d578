"""A short-lived program between vodtender and a PostgreSQL binary; run as a script.

PostgreSQL refuses to run as root, a child of a threaded process must not run Python between
fork and exec, and the server must outlive whoever starts it. So this small program becomes
the one that drops root, leaves the terminal and then turns into the binary:

    python -I -S exec_without_root.py '{"argv": [...], "detach": true, ...}'

With `leash` the binary ends when the process that started it does (prctl(2), Linux only).

How it drops root, with nothing opened up on disk:

* `uid`/`gid`: become that user. With `capability` it keeps this one (an ambient capability,
  capabilities(7)), because neither the data nor the binaries can be reached by that user when
  they lie under somebody's 0700 directory, `/root` for instance.
* `namespace`: a user namespace in which root's files belong to an ordinary number
  (user_namespaces(7)), for a root that may not change its user.

It imports nothing of vodtender, which an isolated interpreter could not find.
"""

from __future__ import annotations

import json
import os
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CLONE_NEWUSER = 0x10000000


def _become(uid: int, gid: int, capability: int | None) -> None:
    if capability is None:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: object) -> None:
        if getattr(libc, name)(*arguments) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")

    # Keeps the capability through setuid, and makes access(2) count it, with which initdb looks
    # at its neighbours.
    call("prctl", _PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    bit = 1 << capability
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)  # effective, permitted, inheritable
    call("capset", header, sets)
    call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _enter_namespace(uid: int, gid: int) -> None:
    import ctypes

    own_uid, own_gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {own_uid} 1"),
        ("gid_map", f"{gid} {own_gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _leash(parent: int) -> None:
    if sys.platform != "linux":
        return
    import ctypes
    import signal

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(126)  # it has died already


def main() -> None:
    order = json.loads(sys.argv[1])
    if order["detach"] and os.fork() != 0:
        # The server is nobody's child but init's: its starter need not live to reap it.
        os._exit(0)
    try:
        if order["namespace"]:
            _enter_namespace(order["uid"], order["gid"])
        elif order["uid"] is not None:
            _become(order["uid"], order["gid"], order["capability"])
        if order["leash"] is not None:
            _leash(order["leash"])
        os.umask(0o077)
        os.execv(order["argv"][0], order["argv"])  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"vodtender: cannot start {order['argv'][0]}: {error}\n")
        sys.stderr.flush()
        os._exit(126)


if __name__ == "__main__":
    main()
