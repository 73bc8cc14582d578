"""Gauges that are read from the database when somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vodtender.model.breaker import STATES, worst
from vodtender.model.vod import TO_DOWNLOAD, TO_UPLOAD
from vodtender.procedures import backup_standing, chat
from vodtender.store import archive, backups, breaker, overview, pause
from vodtender.store.database import clock

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from vodtender.pipeline.workplace import Workplace


class Gauges:
    """What cannot be counted in this process because others change it, too."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def text(self, timeout_seconds: float) -> bytes:
        """In Prometheus's text format. Raises DatabaseUnavailable."""
        from prometheus_client import CollectorRegistry, Gauge, generate_latest

        database = self._place.database
        with database.transaction(timeout_seconds=timeout_seconds) as connection:
            counts = overview.counts(connection)
            breakers = breaker.all_breakers(connection)
            backup = backup_standing.document(
                backups.standing(connection), self._place.settings, clock(connection)
            )
            archived = archive.totals(connection)
            paused = pause.get(connection) is not None
            chats = chat.status_in(connection, self._place.settings)
        registry = CollectorRegistry()

        def gauge(name: str, meaning: str, value: float) -> None:
            Gauge(name, meaning, registry=registry).set(value)

        total: dict[str, int] = {}
        by_state = Gauge(
            "vod_vods", "VODs by channel and state.", ["channel", "state"], registry=registry
        )
        for channel, states in counts.items():
            for state, number in states.items():
                by_state.labels(channel, state).set(number)
                total[state] = total.get(state, 0) + number
        gauge(
            "vod_queue_depth", "VODs to be downloaded.", sum(total.get(s, 0) for s in TO_DOWNLOAD)
        )
        gauge(
            "vod_upload_queue_depth",
            "VODs on disk on their way to YouTube.",
            sum(total.get(s, 0) for s in TO_UPLOAD),
        )
        state = worst([found.state for found in breakers.values()])
        gauge("vod_circuit_open", "1 while a circuit breaker is open.", state == "open")
        gauge("vod_circuit_breaker_state", "0 closed, 1 half-open, 2 open.", STATES.index(state))
        gauge("vod_paused", "1 while processing is paused.", paused)
        connected = Gauge(
            "vod_chat_connected",
            "1 while a recorder is in the channel's chat.",
            ["channel"],
            registry=registry,
        )
        a_minute = Gauge(
            "vod_chat_messages_per_minute",
            "Chat messages of the last minute.",
            ["channel"],
            registry=registry,
        )
        for one in chats.channels:
            connected.labels(one.channel).set(one.state == "recording")
            a_minute.labels(one.channel).set(one.messages_per_minute)
        _backups(backup, registry)
        gauge("vod_archived_files", "Good copies in the archive.", archived.files)
        gauge("vod_archived_bytes", "Bytes of the good copies.", archived.size_bytes)
        gauge("vod_archived_lost", "Copies that are lost or damaged.", archived.amiss)
        room = self._place.directory.room()
        gauge("vod_disk_free_bytes", "Free room on DATA_DIR's disk.", room.free_bytes)
        gauge("vod_disk_total_bytes", "Size of DATA_DIR's disk.", room.total_bytes)
        return generate_latest(registry)


def _backups(found: dict[str, Any], registry: CollectorRegistry) -> None:
    """What is not known has no sample: an alert for it asks for `absent`."""
    from prometheus_client import Gauge

    age = Gauge(
        "vod_backup_age_seconds", "Age of the last good backup.", ["place"], registry=registry
    )
    for place, name in (("local", "age_seconds"), ("s3", "s3_age_seconds")):
        if found[name] is not None:
            age.labels(place).set(found[name])
    drill = found["drill"]
    drill_failed = None if drill["at"] is None else drill["problem"] is not None
    for name, meaning, value in (
        ("vod_backup_rpo_seconds", "BACKUP_RPO.", found["rpo_seconds"]),
        ("vod_backup_overdue", "1 when none is young enough.", found["overdue"]),
        ("vod_backup_failed", "1 when the last try failed.", found["problem"] is not None),
        ("vod_backup_local_only", "1 when the last has no copy in S3.", found["local_only"]),
        ("vod_restore_drill_age_seconds", "Age of the last drill.", drill["age_seconds"]),
        ("vod_restore_drill_seconds", "Duration of the last drill.", drill["took_seconds"]),
        ("vod_restore_drill_failed", "1 when it failed.", drill_failed),
        ("vod_restore_rto_seconds", "RESTORE_RTO.", drill["rto_seconds"]),
    ):
        if value is not None:
            Gauge(name, meaning, registry=registry).set(value)
