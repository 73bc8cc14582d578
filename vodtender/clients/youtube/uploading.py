"""The resumable upload: open a session, ask it, send the file.

Protocol: https://developers.google.com/youtube/v3/guides/using_resumable_upload_protocol
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests

from vodtender.clients import http
from vodtender.clients.youtube.library import HttpError, HttpRequest, MediaUploadSizeError, service
from vodtender.clients.youtube.media import FileStream, FileUpload, Throttle, WatchedFile
from vodtender.clients.youtube.reading import VIDEO_ID
from vodtender.clients.youtube.refusals import reasons, refusal
from vodtender.clients.youtube.transport import Transport
from vodtender.errors import Answer, Rejected, Stopped, Transient, Uncertain, VodtenderError
from vodtender.model.video_metadata import VideoMetadata
from vodtender.model.youtube_answers import SessionAt, SessionDone, SessionGone, SessionState

_RANGE = re.compile(r"(?:bytes[= ])?0-(\d{1,18})", re.ASCII | re.IGNORECASE)
_STALLED_CHUNKS = 3
_INCOMPLETE = 308
_GONE = (404, 410)


class Uploading:
    """Upload sessions of one account."""

    def __init__(
        self,
        transport: Transport,
        clock: Callable[[], datetime],
        login: str,
    ) -> None:
        self.transport = transport
        self._clock = clock
        self._login = login

    def open_session(self, metadata: VideoMetadata, size_bytes: int, mime: str) -> str:
        """See `YouTube.open_session`."""
        what = "opening an upload session"
        request = self.insert(metadata.body(), metadata.parts(), FileUpload(size_bytes, mime, -1))
        headers = {
            **request.headers,
            "x-upload-content-type": mime,
            "x-upload-content-length": str(size_bytes),
        }
        try:
            response, content = self.transport.request(
                request.uri, method="POST", body=request.body, headers=headers
            )
        except requests.RequestException as error:
            raise http.answer_for(error, what=what) from error
        if response.status >= 300:
            raise self.refused(response, content, what)
        location = str(response.get("location", "")).strip()
        uri: str = urljoin(request.uri, location)
        if not location or not uri.startswith("https://"):
            raise Transient(f"{what}: YouTube's answer names no session", code="garbled")
        return uri

    def ask(self, uri: str, size_bytes: int) -> SessionState:
        """See `YouTube.ask_session`."""
        what = "asking an upload session how far it is"
        try:
            response, content = self.transport.request(
                uri, method="PUT", headers={"content-range": f"bytes */{size_bytes}"}
            )
        except requests.RequestException as error:
            raise http.answer_for(error, what=what) from error
        if response.status == _INCOMPLETE:
            return SessionAt(_received(response, size_bytes, what))
        if response.status < 300:
            return SessionDone(_video_id(content, what))
        if response.status in _GONE or (response.status == 400 and not reasons(content)):
            return SessionGone()
        raise self.refused(response, content, what)

    def refused(self, response: Any, content: bytes, what: str) -> Answer:
        """What an answer that is no success means."""
        now = self._clock()
        return refusal(response.status, response, content, now=now, what=what, login=self._login)

    def send(
        self,
        uri: str,
        path: Path,
        size_bytes: int,
        start: int,
        *,
        chunk_bytes: int,
        on_progress: Callable[[int], None],
        on_last: Callable[[], None],
        should_stop: Callable[[], bool],
        rate_limit: int | None,
    ) -> str:
        """See `YouTube.send`."""
        with WatchedFile(path, size_bytes) as file:
            stream = FileStream(file, size_bytes, Throttle(rate_limit), should_stop)
            sending = _Sending(self, uri, stream, start, chunk_bytes)
            while sending.video_id is None:
                if should_stop():
                    raise Stopped("the upload was stopped; what YouTube has is kept")
                file.check()
                if sending.next_is_last:
                    on_last()
                sending.step()
                on_progress(sending.received_bytes)
            return sending.video_id

    def insert(self, body: dict[str, Any], part: str, media: FileUpload) -> HttpRequest:
        try:
            return service().videos.insert(part=part, body=body, media_body=media)
        except MediaUploadSizeError as error:
            raise Rejected(
                "the file is larger than YouTube takes (256 GB)",
                hint="set YT_SPLIT=1 to upload it in parts, then: vodtender retry VOD",
                code="too_large",
            ) from error


class _Sending:
    """One run of chunks into one session."""

    def __init__(
        self, uploading: Uploading, uri: str, stream: FileStream, start: int, chunk_bytes: int
    ) -> None:
        self._uploading = uploading
        self._uri = uri
        self._stream = stream
        self._size_bytes = stream.size_bytes
        self._chunk_bytes = chunk_bytes
        self._stalled = 0
        self._token_renewed = False
        self._status: int | None = None
        self.video_id: str | None = None
        self._continue_from(start)

    def _continue_from(self, received_bytes: int) -> None:
        """What YouTube holds is known: nothing beyond it can have taken effect."""
        self.received_bytes = received_bytes
        self._stream.reached_bytes = received_bytes
        media = FileUpload(self._size_bytes, "video/*", self._chunk_bytes, self._stream)
        self._request = self._uploading.insert({}, "snippet", media)
        self._request.resumable_uri = self._uri
        self._request.resumable_progress = received_bytes

    @property
    def next_is_last(self) -> bool:
        """Whether the next chunk can complete the upload."""
        return self.received_bytes + self._chunk_bytes >= self._size_bytes

    def step(self) -> None:
        """One chunk, after which `received_bytes` or `video_id` is further, or an error."""
        if self.received_bytes >= self._size_bytes:
            self._ask_again()
            return
        try:
            _, resource = self._request.next_chunk(http=self, num_retries=0)
        except HttpError as error:
            self._refused(error)
            return
        except requests.RequestException as error:
            raise self._broken(error) from error
        except (ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
            raise self._unreadable() from error
        if resource is not None:
            self.video_id = _id_of(resource, "ending the upload")
            return
        self._advance(self._request.resumable_progress)

    def request(self, *args: Any, **kwargs: Any) -> Any:
        """Called by the library; remembers the status, which its errors do not always carry."""
        self._status = None
        response, content = self._uploading.transport.request(*args, **kwargs)
        self._status = response.status
        if response.status == _INCOMPLETE and "range" in response:
            # The library takes what stands behind the hyphen, whatever stands before.
            received = _received(response, self._size_bytes, "sending the video")
            response["range"] = f"0-{received - 1}"
        return response, content

    @property
    def _all_sent(self) -> bool:
        return self._stream.reached_bytes >= self._size_bytes

    def _advance(self, received_bytes: int) -> None:
        if received_bytes > max(self._stream.reached_bytes, self.received_bytes):
            raise self._unreadable()
        if received_bytes > self.received_bytes:
            self._stalled = 0
            self._token_renewed = False
        else:
            self._stalled += 1
        self.received_bytes = received_bytes
        self._request.resumable_uri = self._uri  # a new one could not be stored from here
        if self._stalled >= _STALLED_CHUNKS:
            raise Transient(
                f"YouTube keeps only {received_bytes} of {self._size_bytes} bytes, "
                "however often the rest is sent",
                code="no_progress",
            )

    def _ask_again(self) -> None:
        state = self._uploading.ask(self._uri, self._size_bytes)
        if isinstance(state, SessionDone):
            self.video_id = state.video_id
        elif isinstance(state, SessionAt) and state.received_bytes < self._size_bytes:
            self._continue_from(state.received_bytes)
        elif isinstance(state, SessionGone) and not self._all_sent:
            raise _expired()
        else:
            raise _lost("YouTube has every byte and names no video")

    def _refused(self, error: HttpError) -> None:
        status = int(error.resp.status)
        if status == 401 and not self._token_renewed:
            # The transport has renewed the token meanwhile, and could not send the chunk again.
            self._token_renewed = True
            self._ask_again()
            return
        if status < 300:
            raise _lost(f"YouTube answered {status} without naming the video") from error
        answer: VodtenderError = _expired()
        if status not in _GONE:
            answer = self._uploading.refused(error.resp, error.content, "sending the video")
        if self._all_sent and isinstance(answer, Transient):
            raise _lost(f"YouTube answered {status} to the last chunk", answer.code) from error
        raise answer from error

    def _broken(self, error: requests.RequestException) -> VodtenderError:
        return http.answer_for(error, what="sending the video", may_take_effect=self._all_sent)

    def _unreadable(self) -> VodtenderError:
        if self._all_sent or (self._status is not None and self._status < 300):
            return _lost("YouTube's answer to the last chunk is unreadable", "garbled")
        return Transient("sending the video: YouTube's answer is unreadable", code="garbled")


def _expired() -> Transient:
    return Transient("sending the video: the upload session has expired", code="session_gone")


def _lost(message: str, code: str = "answer_lost") -> Uncertain:
    return Uncertain(
        f"{message}: the upload may be complete",
        hint="it is settled by asking YouTube; if that cannot tell: vodtender resolve VOD"
        " --uploaded VIDEO | --not-uploaded",
        code=code,
    )


def _received(response: Any, size_bytes: int, what: str) -> int:
    """Bytes held, from the Range header; without one, none."""
    value = response.get("range")
    if value is None:
        return 0
    match = _RANGE.fullmatch(value.strip())
    received = int(match[1]) + 1 if match else -1
    if not 0 <= received <= size_bytes:
        raise Transient(f"{what}: YouTube's answer is unreadable", code="garbled")
    return received


def _video_id(content: bytes, what: str) -> str:
    try:
        return _id_of(json.loads(content), what)
    except (ValueError, RecursionError) as error:
        raise _lost(f"{what}: done, and the answer is unreadable", "garbled") from error


def _id_of(resource: object, what: str) -> str:
    video_id = resource.get("id") if isinstance(resource, dict) else None
    if not isinstance(video_id, str) or not VIDEO_ID.fullmatch(video_id):
        raise _lost(f"{what}: the answer names no video", "garbled")
    return video_id
