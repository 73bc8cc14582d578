"""Rules for a bucket that go with what vodtender does in it.

Old backups are removed by vodtender, not by a rule: a rule knows of no last good backup, and
would go on removing while no new ones come.
"""

from __future__ import annotations

from typing import Any

from vodtender.config.settings import Settings
from vodtender.errors import SettingsError
from vodtender.model.s3_location import S3Location

_UNFINISHED_DAYS = 7


def rules(settings: Settings) -> dict[str, dict[str, Any]]:
    """By bucket, as `aws s3api put-bucket-lifecycle-configuration` takes them. Unfinished
    uploads go after a week, and in buckets that keep versions those of removed objects.

    Raises SettingsError when neither BACKUP_S3_URL nor ARCHIVE_S3_URL is set.
    """
    places = (
        ("backups", settings.backup_s3_url, settings.backup_retention_days),
        ("archive", settings.archive_s3_url, settings.backup_retention_days),
    )
    found: dict[str, dict[str, Any]] = {}
    for name, prefix, days in places:
        if prefix is not None:
            bucket = found.setdefault(prefix.bucket, {"Rules": []})
            bucket["Rules"].append(_rule(name, prefix, days))
    if not found:
        raise SettingsError(
            "No bucket is set, so there are no rules for one.",
            hint="set BACKUP_S3_URL or ARCHIVE_S3_URL",
            code="no_bucket_set",
        )
    return found


def _rule(name: str, prefix: S3Location, days: int) -> dict[str, Any]:
    return {
        "ID": f"vod-tender-{name}",
        "Status": "Enabled",
        "Filter": {"Prefix": prefix.key},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _UNFINISHED_DAYS},
        "NoncurrentVersionExpiration": {"NoncurrentDays": days},
    }
