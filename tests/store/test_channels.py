"""Which channels there are, and where the walk through a catalog goes on."""

from __future__ import annotations

from vodtender.store import channels
from vodtender.store.channels import Cursor
from vodtender.store.database import Connection


def test_a_channel_is_known_with_what_its_last_look_said(connection: Connection) -> None:
    channels.watch(connection, ["bob", "alice"])
    channels.watch(connection, ["alice"])
    channels.note_problem(connection, "alice", "Twitch answered 503")
    channels.listed(connection, "bob", user_id="42", whole=False)
    alice, bob = channels.all_channels(connection)
    assert (alice.channel, alice.problem, alice.listed_at) == ("alice", "Twitch answered 503", None)
    assert (bob.channel, bob.user_id, bob.catalogued_at) == ("bob", "42", None)
    assert bob.listed_at is not None
    channels.listed(connection, "alice", user_id=None, whole=True)
    alice, _ = channels.all_channels(connection)
    assert alice.problem is None
    assert alice.catalogued_at is not None


def test_a_cursor_is_kept_for_each_channel_and_kind(connection: Connection) -> None:
    assert channels.cursor_of(connection, "alice", "archive") is None
    channels.save_cursor(connection, "alice", "archive", Cursor("here", 100))
    channels.save_cursor(connection, "alice", "archive", Cursor("there", 200))
    assert channels.cursor_of(connection, "alice", "archive") == Cursor("there", 200)
    assert channels.cursor_of(connection, "alice", "upload") is None
    channels.save_cursor(connection, "alice", "archive", None)
    assert channels.cursor_of(connection, "alice", "archive") is None
