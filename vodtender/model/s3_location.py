"""Where something lies in a store that speaks S3: `s3://bucket/key`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html, and what other
# stores allow besides (underscores, capitals).
_URL = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,62})(?:/(?P<key>.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True, order=True)
class S3Location:
    """A bucket, and in it a key, or a prefix that ends with a slash (or is empty: all of it)."""

    bucket: str
    key: str = ""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises ValueError when it is no such address."""
        match = _URL.fullmatch(url.strip())
        key = (match["key"] or "") if match else ""
        if match is None or key.startswith("/") or "//" in key or not key.isprintable():
            raise ValueError("expected an address such as s3://bucket/prefix/")
        return cls(match["bucket"], key)

    @classmethod
    def parse_prefix(cls, url: str) -> Self:
        """The same for what others lie under: a key gets its slash at the end."""
        found = cls.parse(url)
        if found.key and not found.key.endswith("/"):
            return cls(found.bucket, found.key + "/")
        return found

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    def __truediv__(self, name: str) -> S3Location:
        """What lies under this prefix by that name."""
        return S3Location(self.bucket, self.key + name)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"
