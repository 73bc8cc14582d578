"""What the daemon counts, under the names that the runbook's dashboards and alerts use.

Those have no labels, so that the runbook's arithmetic matches. Gauges that are read from the
database when somebody asks are in `daemon/`.
"""

from __future__ import annotations

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()

_DURATIONS = (10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 57600)
_LATENCIES = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300)
_REQUESTS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def _counter(name: str, meaning: str) -> Counter:
    return Counter(name, meaning, registry=REGISTRY)


downloads_started = _counter("vod_downloads_started", "Downloads begun, retries included.")
downloads_succeeded = _counter("vod_downloads_succeeded", "Downloads that are complete.")
downloads_failed = _counter("vod_downloads_failed", "Tries of a download that failed.")
uploads_started = _counter("vod_uploads_started", "Uploads begun or gone on with.")
uploads_succeeded = _counter("vod_uploads_succeeded", "Videos that YouTube holds whole.")
uploads_failed = _counter("vod_uploads_failed", "Tries of an upload that failed.")
breaker_failures = _counter(
    "vod_circuit_breaker_failures", "Failures that circuit breakers have counted."
)
breaker_changes = Counter(
    "circuit_breaker_state_changes",
    "Changes of circuit breakers.",
    ["from", "to"],
    registry=REGISTRY,
)
processing_cycles = _counter("vod_processing_cycles", "Looks for work.")
db_errors = _counter("vod_db_errors", "Failures of the database or of the way to it.")
files_removed = _counter("vod_files_removed", "Local files that retention has removed.")
discovered = _counter("vod_discovered", "VODs that were new when they were listed.")
download_seconds = Histogram(
    "vod_download_duration_seconds",
    "How long complete downloads took.",
    buckets=_DURATIONS,
    registry=REGISTRY,
)
upload_seconds = Histogram(
    "vod_upload_duration_seconds",
    "How long complete uploads took.",
    buckets=_DURATIONS,
    registry=REGISTRY,
)
http_request_seconds = Histogram(
    "http_request_duration_seconds",
    "How long our own answers to HTTP requests took.",
    ["method", "route", "status"],
    buckets=_REQUESTS,
    registry=REGISTRY,
)
chat_messages = Counter(
    "chat_messages_recorded",
    "Messages of chats that are stored.",
    ["channel"],
    registry=REGISTRY,
)
chat_reconnections = _counter(
    "chat_reconnections", "Connections to a chat that took the place of another."
)
chat_refused = _counter("vod_chat_messages_refused", "Messages that the database would not have.")
chat_lost = _counter(
    "vod_chat_messages_lost", "Messages that neither the database nor the disk took."
)
chat_gaps = _counter("vod_chat_gaps", "Times in which a chat was not heard.")
chat_latency_seconds = Histogram(
    "vod_chat_latency_seconds",
    "From the moment at which messages are heard until they are stored.",
    buckets=_LATENCIES,
    registry=REGISTRY,
)
chat_rate = Gauge(
    "vod_chat_messages_per_second",
    "Messages stored per second, over the last ten seconds.",
    ["channel"],
    registry=REGISTRY,
)
