"""YouTube's Data API for one account.

Reference: https://developers.google.com/youtube/v3/docs
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from vodtender.clients import http
from vodtender.clients.youtube import library
from vodtender.clients.youtube.library import Error as LibraryError
from vodtender.clients.youtube.library import HttpError
from vodtender.clients.youtube.reading import (
    as_object,
    channel_of,
    items_of,
    moment_of,
    status_of,
    text_of,
    video_of,
)
from vodtender.clients.youtube.refusals import LOGIN, reasons, refusal
from vodtender.clients.youtube.transport import TokenSource, Transport
from vodtender.clients.youtube.uploading import Uploading
from vodtender.errors import AuthExpired, RateLimited, Rejected, Transient
from vodtender.model.video_metadata import VideoMetadata, carries
from vodtender.model.youtube_answers import Channel, SessionState, VideoStatus

READ_UNITS = 1
WRITE_UNITS = 50
PAGE_SIZE = 50

# YouTube may think for a while after the last chunk.
_READ_TIMEOUT_SECONDS = 120.0

_Prepare = Callable[[library.Service], Any]
"""Makes one of the library's requests."""

# Something in between may answer `{}`, which must not pass for "there is no such video".
_ANY_OF = frozenset({"kind", "items", "pageInfo", "id"})


def _utc_now() -> datetime:
    return datetime.now(UTC)


class YouTube:
    """One account's channel. Safe to use from several threads.

    Every method raises the five answers of `vodtender.errors` and nothing foreign.
    `on_units` is told of quota units as they are spent, refused requests included; `on_limit`
    of every answer that concerns all uploads of the account and not the request alone.
    """

    def __init__(
        self,
        token: TokenSource,
        *,
        session: requests.Session | None = None,
        clock: Callable[[], datetime] = _utc_now,
        on_units: Callable[[int], None] = lambda _units: None,
        on_limit: Callable[[RateLimited | AuthExpired], None] = lambda _answer: None,
        upload_cost_units: int = 1600,
        login: str = LOGIN,
    ) -> None:
        """`login` is the command that logs the account in."""
        self._clock = clock
        self._on_units = on_units
        self._on_limit = on_limit
        self._upload_cost_units = upload_cost_units
        self._login = login
        ours = session or http.session(read_timeout_seconds=_READ_TIMEOUT_SECONDS)
        self._transport = Transport(ours, token)
        self._uploading = Uploading(self._transport, clock, login)

    # --- uploads ------------------------------------------------------------------------

    def open_session(self, metadata: VideoMetadata, size_bytes: int, mime: str) -> str:
        """Creates an upload session and returns its URI, which is a secret. Sends no video.

        A lost answer is `Transient`: a session without bytes is no video.
        """
        self._on_units(self._upload_cost_units)
        with self._limits_told():
            return self._uploading.open_session(metadata, size_bytes, mime)

    def ask_session(self, uri: str, size_bytes: int) -> SessionState:
        """How far a session is. Changes nothing and costs nothing.

        Raises:
            Uncertain: the session is complete and the answer does not name the video.
        """
        with self._limits_told():
            return self._uploading.ask(uri, size_bytes)

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
        rate_limit: int | None = None,
    ) -> str:
        """Sends the file from byte `start` on, and returns the video's id.

        `on_progress` is told after each chunk how many bytes YouTube holds; `on_last` is called
        before a chunk is sent that can complete the upload, and what it raises is passed on.
        `rate_limit` is in bytes a second. Memory does not grow with the file or the chunk.

        Raises:
            Uncertain: the last byte was sent and the answer is lost, unreadable or a 5xx.
            Transient: it broke off before; the session is still good, so ask it first. With
                code `session_gone` it is not, and with `file_changed` or `file_missing` it is not
                to be gone on with: a new one is needed.
            Rejected: what YouTube says.
            Stopped: `should_stop` became true; the session is still good.
        """
        with self._limits_told():
            return self._uploading.send(
                uri,
                path,
                size_bytes,
                start,
                chunk_bytes=chunk_bytes,
                on_progress=on_progress,
                on_last=on_last,
                should_stop=should_stop,
                rate_limit=rate_limit,
            )

    # --- videos and playlists -----------------------------------------------------------

    def video_status(self, video_id: str) -> VideoStatus | None:
        """What has become of a video; None if the channel's owner does not see it (any more)."""
        answer = self._ask(
            "asking for a video's status",
            lambda service: service.videos.list(part="status,contentDetails", id=video_id),
        )
        for item in items_of(answer):
            if text_of(item, "id") in (video_id, None):
                return status_of(video_id, item)
        return None

    def find_uploads(self, marker: str, not_before: datetime, max_pages: int) -> Iterator[str]:
        """The videos among the channel's own uploads whose description has `marker` as a line.

        Newest first, until a page holds only uploads from before `not_before`, or after
        `max_pages` pages of 50. None proves nothing: a fresh upload can be missing for a while.
        """
        for page in self._uploads(max_pages):
            descriptions = self._descriptions(page)
            for item in page:
                found = video_of(item)
                if found and carries(descriptions.get(found, ""), marker):
                    yield found
            moments = [moment_of(text_of(item.get("snippet"), "publishedAt")) for item in page]
            if all(moment is not None and moment < not_before for moment in moments):
                return

    def _descriptions(self, page: list[dict[str, Any]]) -> dict[str, str]:
        """By video; those that the listing leaves out are asked for."""
        found = {video_of(item): text_of(item.get("snippet"), "description") for item in page}
        left_out = [video_id for video_id, text in found.items() if video_id and text is None]
        if left_out:
            answer = self._ask(
                "asking for the descriptions of the channel's uploads",
                lambda service: service.videos.list(
                    part="snippet", id=",".join(left_out), maxResults=PAGE_SIZE
                ),
            )
            for item in items_of(answer):
                found[text_of(item, "id")] = text_of(item.get("snippet"), "description")
        return {video_id: text for video_id, text in found.items() if video_id and text}

    def add_to_playlist(self, playlist_id: str, video_id: str) -> None:
        """Puts the video on the playlist, once however often it is called.

        Raises:
            Rejected: `playlist_not_found`, or what YouTube says.
        """
        what = "adding a video to a playlist"
        present = self._ask(
            what,
            lambda service: service.playlist_items.list(
                part="contentDetails",
                playlistId=playlist_id,
                videoId=video_id,
                maxResults=PAGE_SIZE,
            ),
            of_uploads=False,
        )
        details = [as_object(item.get("contentDetails")) for item in items_of(present)]
        if any(text_of(detail, "videoId") == video_id for detail in details):
            return
        resource = {"kind": "youtube#video", "videoId": video_id}
        body = {"snippet": {"playlistId": playlist_id, "resourceId": resource}}
        try:
            self._ask(
                what,
                lambda service: service.playlist_items.insert(part="snippet", body=body),
                units=WRITE_UNITS,
                of_uploads=False,
            )
        except Rejected as error:
            if error.code != "video_already_in_playlist":
                raise

    def channel(self) -> Channel:
        """The account's own channel: asked anew each time, as somebody may log in with another
        one at any time.

        Raises:
            AuthExpired: `no_channel` if it has none, `scope_missing` if it may not be asked.
        """
        answer = self._ask(
            "asking for the account's channel",
            lambda service: service.channels.list(part="snippet,contentDetails", mine=True),
        )
        return channel_of(answer, self._login)

    def _uploads(self, max_pages: int) -> Iterator[list[dict[str, Any]]]:
        """The items of the channel's uploads playlist, page by page."""
        playlist_id = self.channel().uploads_playlist_id
        page_token: str | None = None
        for _ in range(max_pages):
            try:
                answer = self._list_page(playlist_id, page_token)
            except Rejected as error:
                if error.code in ("playlist_not_found", "not_found"):
                    return  # how YouTube puts it that nothing was ever uploaded
                raise
            page = items_of(answer)
            if page:
                yield page
            page_token = text_of(answer, "nextPageToken")
            if not page_token:
                return

    def _list_page(self, playlist_id: str, page_token: str | None) -> dict[str, Any]:
        return self._ask(
            "looking through the channel's uploads",
            lambda service: service.playlist_items.list(
                part="snippet,contentDetails",
                playlistId=playlist_id,
                maxResults=PAGE_SIZE,
                pageToken=page_token,
            ),
        )

    # --- one exchange -------------------------------------------------------------------

    def _ask(
        self,
        what: str,
        request: _Prepare,
        *,
        units: int = READ_UNITS,
        of_uploads: bool = True,
    ) -> dict[str, Any]:
        """Executes one request of the library, and puts what goes wrong in our words."""
        with self._limits_told(of_uploads=of_uploads):
            return self._answer(what, request, units)

    def _answer(self, what: str, request: _Prepare, units: int) -> dict[str, Any]:
        prepared = request(library.service())
        self._on_units(units)
        try:
            answer = prepared.execute(http=self._transport, num_retries=0)
        except HttpError as error:
            status = int(error.resp.status)
            if status == 404 and "playlistNotFound" in reasons(error.content):
                raise Rejected(
                    f"{what}: the playlist does not exist or belongs to another account",
                    hint="correct YT_PLAYLIST_ID",
                    code="playlist_not_found",
                ) from error
            if "videoAlreadyInPlaylist" in reasons(error.content):
                raise Rejected(
                    f"{what}: it is there already", code="video_already_in_playlist"
                ) from error
            raise refusal(
                status,
                error.resp,
                error.content,
                now=self._clock(),
                what=what,
                login=self._login,
            ) from error
        except requests.RequestException as error:
            raise http.answer_for(error, what=what) from error
        except (LibraryError, ValueError, RecursionError, AttributeError, TypeError) as error:
            raise Transient(f"{what}: YouTube's answer is unreadable", code="garbled") from error
        if not isinstance(answer, dict) or _ANY_OF.isdisjoint(answer):
            raise Transient(f"{what}: YouTube's answer is unreadable", code="garbled")
        return answer

    @contextmanager
    def _limits_told(self, *, of_uploads: bool = True) -> Iterator[None]:
        """Not everybody who may upload may change a playlist."""
        try:
            yield
        except (RateLimited, AuthExpired) as answer:
            if of_uploads or isinstance(answer, RateLimited):
                self._on_limit(answer)
            raise
