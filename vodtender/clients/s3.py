"""A store that speaks S3: Amazon's, or any other behind AWS_ENDPOINT_URL.

Uploads are in `s3_upload`, what errors mean in `s3_answers`. Nothing counts as uploaded before
the store has been asked what it holds. A `Store` may be used from several threads.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from vodtender.clients.certificates import trusted_certificates
from vodtender.clients.s3_answers import answer_for, answers, is_code
from vodtender.config.settings import Settings
from vodtender.errors import NotFound, Refused, Stopped, Transient
from vodtender.model.s3_location import S3Location

CONNECTIONS = 16
_CONNECT_TIMEOUT_SECONDS = 15
_READ_TIMEOUT_SECONDS = 60
_ATTEMPTS = 5
_BLOCK_BYTES = 1 << 20
_LARGEST_COPY_BYTES = 5 * 1024**3
"""What one CopyObject takes; more goes in parts."""
_COPY_PART_BYTES = 1024**3

SLOW_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Amazon's classes whose objects must be asked for before they can be read."""

Progress = Callable[[int], object]
"""Told how many bytes have gone, in total."""


def _silent(_done_bytes: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Retrieval:
    """An archived object that was asked for: still on its way, or readable until `until`."""

    under_way: bool
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store says of an object. `crc32` is that of the whole object, if it keeps one;
    listings have neither that nor `retrieval` nor `metadata`."""

    at: S3Location
    size_bytes: int
    etag: str
    storage_class: str
    crc32: int | None = None
    retrieval: Retrieval | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def is_readable(self) -> bool:
        """Whether it can be had now, without asking for it first."""
        if self.storage_class not in SLOW_CLASSES:
            return True
        return self.retrieval is not None and not self.retrieval.under_way


@dataclass(frozen=True, slots=True)
class Received:
    """What came of a download."""

    size_bytes: int
    sha256: str
    crc32: int


class Store:
    """See the module. `client` is botocore's, for `s3_upload` only."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def put(self, at: S3Location, data: bytes, *, storage_class: str = "STANDARD") -> None:
        """A small object, whole or not at all; read back and compared."""
        with answers(f"writing {at}"):
            self.client.put_object(
                Bucket=at.bucket,
                Key=at.key,
                Body=data,
                StorageClass=storage_class,
                ChecksumCRC32=encoded(zlib.crc32(data)),
            )
        if self.get(at) != data:
            raise Transient(f"{at} does not hold what was written.", code="s3_damaged")

    def get(self, at: S3Location) -> bytes:
        """A small object. Raises NotFound."""
        return b"".join(self.stream(at))

    def head(self, at: S3Location) -> Stored | None:
        """What the store says of it; None when there is no such object."""
        try:
            said = self.client.head_object(Bucket=at.bucket, Key=at.key, ChecksumMode="ENABLED")
        except self.client.exceptions.ClientError as error:
            if is_code(error, "404", "NoSuchKey", "NotFound"):
                return None
            raise answer_for(error, f"looking at {at}") from error
        except BotoCoreError as error:
            raise answer_for(error, f"looking at {at}") from error
        return Stored(
            at=at,
            size_bytes=said["ContentLength"],
            etag=said.get("ETag", "").strip('"'),
            storage_class=said.get("StorageClass", "STANDARD"),
            crc32=_whole_crc32(said),
            retrieval=_retrieval(said.get("Restore")),
            metadata=said.get("Metadata", {}),
        )

    def listing(self, under: S3Location) -> Iterator[Stored]:
        """All objects whose keys begin with this one's, by key. Raises NotFound (bucket)."""
        with answers(f"listing {under}"):
            pages = self.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=under.bucket, Prefix=under.key):
                for said in page.get("Contents", []):
                    yield Stored(
                        at=S3Location(under.bucket, said["Key"]),
                        size_bytes=said["Size"],
                        etag=said.get("ETag", "").strip('"'),
                        storage_class=said.get("StorageClass", "STANDARD"),
                    )

    def delete(self, at: S3Location) -> None:
        """Removes it; nothing happens when there is none."""
        with answers(f"deleting {at}"):
            self.client.delete_object(Bucket=at.bucket, Key=at.key)

    def stream(self, at: S3Location) -> Iterator[bytes]:
        """The object's bytes. A connection that breaks is taken up again where it broke.

        Raises NotFound, Refused (code `archived`), Transient.
        """
        what = f"reading {at}"
        etag, done, size, failures = "", 0, 1, 0
        while done < size:
            asked: dict[str, str] = {"Range": f"bytes={done}-", "IfMatch": etag} if done else {}
            try:
                said = self.client.get_object(Bucket=at.bucket, Key=at.key, **asked)
                if not done:
                    etag, size = said["ETag"], said["ContentLength"]
                for block in said["Body"].iter_chunks(_BLOCK_BYTES):
                    done += len(block)
                    failures = 0
                    yield block
            except (BotoCoreError, self.client.exceptions.ClientError) as error:
                failures += 1
                answer = answer_for(error, what)
                if failures >= _ATTEMPTS or not isinstance(answer, Transient) or not etag:
                    raise answer from error
                continue
            if done < size:
                raise Transient(f"{what}: the answer ended too early.", code="s3_unreachable")

    def download(
        self,
        at: S3Location,
        path: Path,
        *,
        progress: Progress = _silent,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Received:
        """The object into a file (which is replaced), on the disk when this returns. Compared
        with the checksum that the store keeps, if it keeps one of the whole object.

        Raises NotFound, Refused (code `archived`), Transient, Stopped, OSError.
        """
        sha256, crc32, done = hashlib.sha256(), 0, 0
        with path.open("wb") as file:
            for block in self.stream(at):
                if should_stop():
                    raise Stopped(f"the download of {at} was stopped")
                file.write(block)
                sha256.update(block)
                crc32 = zlib.crc32(block, crc32)
                done += len(block)
                progress(done)
            file.flush()
            os.fsync(file.fileno())
        known = self.head(at)
        if known is not None and known.crc32 not in (None, crc32):
            raise Transient(f"{at} came damaged: its checksum differs.", code="s3_damaged")
        return Received(done, sha256.hexdigest(), crc32)

    def change_class(self, at: S3Location, storage_class: str) -> None:
        """Moves the object to another storage class. Raises NotFound, Refused (`archived`)."""
        found = self.head(at)
        if found is None:
            raise NotFound(f"There is no {at}.", code="no_object")
        if found.storage_class == storage_class:
            return
        from boto3.s3.transfer import TransferConfig, create_transfer_manager

        config = TransferConfig(
            multipart_threshold=_LARGEST_COPY_BYTES, multipart_chunksize=_COPY_PART_BYTES
        )
        with (
            answers(f"moving {at} to {storage_class}"),
            create_transfer_manager(self.client, config) as manager,
        ):
            manager.copy(
                {"Bucket": at.bucket, "Key": at.key},
                at.bucket,
                at.key,
                extra_args={"StorageClass": storage_class, "MetadataDirective": "COPY"},
            ).result()

    def ask_for(self, at: S3Location, *, tier: str, days: int) -> None:
        """Asks for an archived object, to be readable for so many days. Twice is once.

        Raises NotFound; Refused (code `s3_tier`) when the class does not know that tier.
        """
        request = {"Days": days, "GlacierJobParameters": {"Tier": tier}}
        try:
            self.client.restore_object(Bucket=at.bucket, Key=at.key, RestoreRequest=request)
        except self.client.exceptions.ClientError as error:
            if is_code(error, "RestoreAlreadyInProgress"):
                return
            if is_code(error, "GlacierExpeditedRetrievalNotAvailable", "InvalidArgument"):
                raise Refused(
                    f"{at} cannot be had with the tier {tier}.",
                    hint="try --tier Standard or --tier Bulk",
                    code="s3_tier",
                ) from error
            raise answer_for(error, f"asking for {at}") from error
        except BotoCoreError as error:
            raise answer_for(error, f"asking for {at}") from error

    def abort_unfinished(
        self, under: S3Location, *, before: datetime, only: Callable[[str], bool]
    ) -> list[S3Location]:
        """Removes the parts of uploads that were begun before that and never finished: they
        cost, and no listing shows them. `only`: of objects that are called so."""
        aborted = []
        with answers(f"looking for unfinished uploads under {under}"):
            pages = self.client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=under.bucket, Prefix=under.key):
                for said in page.get("Uploads", []):
                    at = S3Location(under.bucket, said["Key"])
                    if said["Initiated"] < before and at == under / at.name and only(at.name):
                        self.client.abort_multipart_upload(
                            Bucket=under.bucket, Key=said["Key"], UploadId=said["UploadId"]
                        )
                        aborted.append(at)
        return aborted


def open_store(settings: Settings) -> Store:
    """The store of the settings. Nothing is asked yet; credentials are looked up anew for each
    store, so open one for each piece of work. Raises SettingsError."""
    key = settings.aws_access_key_id
    with answers("opening S3"):
        session = botocore.session.get_session()
        session.register_component(
            "data_loader", _descriptions(session.get_config_variable("data_path"))
        )
        if key:
            session.set_credentials(key, settings.aws_secret_access_key, settings.aws_session_token)
        if settings.aws_region is not None:
            session.set_config_variable("region", settings.aws_region)
        client = session.create_client(
            "s3",
            endpoint_url=settings.aws_endpoint_url,
            verify=_verify(),
            config=_config(settings.aws_endpoint_url),
        )
    return Store(client)


@cache
def _descriptions(path: str | None) -> botocore.loaders.Loader:
    """Of what S3 understands: read once, for that takes a tenth of a second, and a store is opened
    for each piece of work."""
    return botocore.loaders.create_loader(path)


def _verify() -> str | None:
    """None: as the AWS tools decide it. They take no directory of certificates."""
    trusted = trusted_certificates()
    return trusted if isinstance(trusted, str) and Path(trusted).is_file() else None


def _config(endpoint: str | None) -> Config:
    s3: dict[str, object] = {}
    if endpoint is None or endpoint.startswith("https:"):
        s3["payload_signing_enabled"] = False  # TLS and the checksums see to it
    if endpoint is not None:
        s3["addressing_style"] = "path"  # a host name per bucket is Amazon's way
    retries: dict[str, object] = {}
    if not os.environ.get("AWS_MAX_ATTEMPTS"):
        retries["total_max_attempts"] = _ATTEMPTS
    if not os.environ.get("AWS_RETRY_MODE"):
        retries["mode"] = "standard"
    return Config(
        connect_timeout=_CONNECT_TIMEOUT_SECONDS,
        read_timeout=_READ_TIMEOUT_SECONDS,
        max_pool_connections=CONNECTIONS,
        # What boto3 would add of itself breaks stores that do not know it (boto3 #4392, #4435):
        # the checksums are sent by us, in headers that others ignore.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries=retries,
        s3=s3,
    )


def encoded(crc32: int) -> str:
    """A CRC32 as S3 writes it."""
    return base64.b64encode(crc32.to_bytes(4, "big")).decode("ascii")


def _whole_crc32(said: dict[str, Any]) -> int | None:
    """The CRC32 of the whole object; a multipart upload's may be one of checksums, `…-N`."""
    value = said.get("ChecksumCRC32", "")
    if not value or "-" in value or said.get("ChecksumType") == "COMPOSITE":
        return None
    return int.from_bytes(base64.b64decode(value), "big")


def _retrieval(restore: str | None) -> Retrieval | None:
    """Reads `ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"`."""
    if not restore:
        return None
    from email.utils import parsedate_to_datetime

    _, _, date = restore.partition('expiry-date="')
    until = parsedate_to_datetime(date.split('"')[0]) if date else None
    return Retrieval('ongoing-request="true"' in restore, until)
