"""Google's error answers, as its APIs send them.

Source: https://developers.google.com/youtube/v3/docs/errors and recorded answers in public
issue threads of Google's client libraries.
"""

from __future__ import annotations

from typing import Any

from tests.sandbox.wire import Response

_QUOTA = (
    "The request cannot be completed because you have exceeded your "
    '<a href="/youtube/v3/getting-started#quota">quota</a>.'
)

# reason → status, domain, message, further fields of the inner error, further fields outside
_KNOWN: dict[str, tuple[int, str, str, dict[str, str], dict[str, Any]]] = {
    "quotaExceeded": (403, "youtube.quota", _QUOTA, {}, {}),
    "dailyLimitExceeded": (403, "usageLimits", "Daily Limit Exceeded", {}, {}),
    "rateLimitExceeded": (
        403,
        "youtube.quota",
        "The request cannot be completed because a rate limit was exceeded.",
        {},
        {},
    ),
    "uploadLimitExceeded": (
        400,
        "youtube.video",
        "The user has exceeded the number of videos they may upload.",
        {"location": "body.", "locationType": "other"},
        {},
    ),
    "insufficientPermissions": (
        403,
        "global",
        "Request had insufficient authentication scopes.",
        {},
        {
            "status": "PERMISSION_DENIED",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
                    "domain": "googleapis.com",
                    "metadata": {"service": "youtube.googleapis.com"},
                }
            ],
        },
    ),
    "authError": (
        401,
        "global",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login "
        "cookie or other valid authentication credential.",
        {"location": "Authorization", "locationType": "header"},
        {"status": "UNAUTHENTICATED"},
    ),
    "youtubeSignupRequired": (401, "youtube.header", "Unauthorized", {}, {}),
    "forbidden": (403, "youtube.common", "Forbidden", {}, {}),
    "accessNotConfigured": (
        403,
        "usageLimits",
        "YouTube Data API v3 has not been used in this project before or it is disabled.",
        {"extendedHelp": "https://console.developers.google.com"},
        {"status": "PERMISSION_DENIED"},
    ),
    "invalidTitle": (
        400,
        "youtube.video",
        "The request metadata specifies an invalid or empty video title.",
        {"location": "body.snippet.title", "locationType": "other"},
        {},
    ),
    "invalidDescription": (
        400,
        "youtube.video",
        "The request metadata specifies an invalid video description.",
        {"location": "body.snippet.description", "locationType": "other"},
        {},
    ),
    "invalidTags": (
        400,
        "youtube.video",
        "The request metadata specifies invalid video keywords.",
        {"location": "body.snippet.tags", "locationType": "other"},
        {},
    ),
    "invalidCategoryId": (
        400,
        "youtube.video",
        "The request metadata specifies an invalid category ID.",
        {"location": "body.snippet.categoryId", "locationType": "other"},
        {},
    ),
    "invalidVideoMetadata": (400, "youtube.video", "The request metadata is invalid.", {}, {}),
    "badRequest": (400, "global", "Invalid request.", {}, {"status": "INVALID_ARGUMENT"}),
    "playlistNotFound": (
        404,
        "youtube.playlistItem",
        "The playlist identified with the request's <code>playlistId</code> parameter "
        "cannot be found.",
        {"location": "playlistId", "locationType": "parameter"},
        {},
    ),
    "videoNotFound": (
        404,
        "youtube.video",
        "The video that you are trying to update cannot be found.",
        {},
        {},
    ),
    "notFound": (404, "global", "Not Found", {}, {}),
    "backendError": (503, "global", "Backend Error", {}, {"status": "UNAVAILABLE"}),
    "internalError": (500, "global", "Internal error encountered.", {}, {"status": "INTERNAL"}),
}


def response(reason: str, message: str | None = None) -> Response:
    """The answer for one of Google's reasons; an unknown reason is a KeyError."""
    status, domain, usual, inner, outer = _KNOWN[reason]
    text = message or usual
    error = {"message": text, "domain": domain, "reason": reason, **inner}
    body = {"error": {"code": status, "message": text, "errors": [error], **outer}}
    headers = {}
    if reason == "insufficientPermissions":
        headers["WWW-Authenticate"] = (
            'Bearer realm="https://accounts.google.com/", error="insufficient_scope"'
        )
    elif status == 401:
        headers["WWW-Authenticate"] = (
            'Bearer realm="https://accounts.google.com/", error="invalid_token"'
        )
    return Response.of_json(body, status, headers)
