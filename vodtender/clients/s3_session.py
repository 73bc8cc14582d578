"""Multipart uploads under way: begun anew, or found where an earlier try was cut off."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from vodtender.clients.s3_answers import is_code
from vodtender.model.s3_location import S3Location

_PART_BYTES = 8 * 1024**2
_LARGE_PART_BYTES = 16 * 1024**2
_LARGE_BYTES = 128 * 1024**2
"""From here on larger parts are worth their memory: a request costs as much CPU as sending a
megabyte."""
_MOST_PARTS = 10_000


@dataclass(slots=True)
class Session:
    """An upload under way. `whole`: the store keeps a CRC32 of the whole object."""

    id: str
    part_bytes: int
    whole: bool
    there: dict[int, dict[str, Any]] = field(default_factory=dict)


class Sessions:
    """Those of one object, which is to have so many bytes. Raises what botocore does."""

    def __init__(self, client: Any, at: S3Location, size_bytes: int) -> None:
        self._client = client
        self._at = at
        self._where = {"Bucket": at.bucket, "Key": at.key}
        self._size = size_bytes

    def begin(self, storage_class: str, metadata: dict[str, str]) -> Session:
        """A new one, with a CRC32 of the whole object where the store knows that."""
        part_bytes = self._part_bytes()
        asked = {**self._where, "StorageClass": storage_class, "Metadata": metadata}
        try:
            said = self._client.create_multipart_upload(
                **asked, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
            )
        except ClientError as error:
            if not is_code(error, "NotImplemented", "InvalidArgument", "InvalidRequest"):
                raise
            said = self._client.create_multipart_upload(**asked)
        return Session(said["UploadId"], part_bytes, said.get("ChecksumType") == "FULL_OBJECT")

    def _part_bytes(self) -> int:
        part_bytes = _PART_BYTES if self._size < _LARGE_BYTES else _LARGE_PART_BYTES
        while part_bytes * _MOST_PARTS < self._size:
            part_bytes *= 2
        return part_bytes

    def unfinished(self, storage_class: str) -> Session | None:
        """The newest upload to this key that was cut off and can be gone on with. Whatever else
        was begun nobody goes on with: it would only cost."""
        try:
            said = self._client.list_multipart_uploads(Bucket=self._at.bucket, Prefix=self._at.key)
        except ClientError as error:
            if is_code(error, "AccessDenied", "NotImplemented"):
                return None  # a key that may only write need not be able to list
            raise
        mine = [one for one in said.get("Uploads", []) if one["Key"] == self._at.key]
        # Some stores say STANDARD of all.
        known = (storage_class, "STANDARD")
        mine = [one for one in mine if one.get("StorageClass", "STANDARD") in known]
        found: Session | None = None
        for one in sorted(mine, key=lambda one: one["Initiated"], reverse=True):
            session = self._with_parts(one)
            if found is None and session is not None:
                found = session
            else:
                self.forget(one["UploadId"])
        return found

    def _with_parts(self, said: dict[str, Any]) -> Session | None:
        """What was begun, with its parts; None when nobody knows how long those are."""
        there: dict[int, dict[str, Any]] = {}
        pages = self._client.get_paginator("list_parts")
        for page in pages.paginate(**self._where, UploadId=said["UploadId"]):
            there |= {part["PartNumber"]: part for part in page.get("Parts", [])}
        if there and 1 not in there:
            return None
        part_bytes = there[1]["Size"] if there else self._part_bytes()
        return Session(
            said["UploadId"], part_bytes, said.get("ChecksumType") == "FULL_OBJECT", there
        )

    def forget(self, upload_id: str) -> None:
        """Leaves nothing of an upload that no later try can use."""
        with suppress(BotoCoreError, ClientError):  # the bucket's rules end it at last
            self._client.abort_multipart_upload(**self._where, UploadId=upload_id)
