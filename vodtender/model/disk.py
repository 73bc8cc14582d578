"""How much of a disk downloads leave free."""

from __future__ import annotations

_USUAL_RESERVE_BYTES = 1 << 30
_SHARE_OF_A_SMALL_DISK = 20


def reserve_bytes(wanted_bytes: int | None, total_bytes: int) -> int:
    """DISK_RESERVE as it is set; unset 1 GiB, or a twentieth of a disk of less than 20 GiB."""
    if wanted_bytes is not None:
        return wanted_bytes
    return min(_USUAL_RESERVE_BYTES, total_bytes // _SHARE_OF_A_SMALL_DISK)
