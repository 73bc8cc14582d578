"""What lines of a chat mean."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox import irc_lines
from vodtender.model import chat, irc
from vodtender.model.chat import ChatMessage, Emote, Heard, Mark
from vodtender.model.chat_patterns import ChatReader, Plain

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
HEARD = Heard(AT, "abc", 7)
SENT_MS = 1_777_000_000_123


def said(text: str, heard: Heard = HEARD) -> ChatMessage | Mark | None:
    line = irc.parse(text)
    assert line is not None
    return chat.read(line, heard, text)


def privmsg(text: str = "hello", command: str = "PRIVMSG", **tags: str) -> str:
    given = {
        **irc_lines.message_tags(1, "bob", "5", SENT_MS),
        **{name.replace("_", "-"): value for name, value in tags.items()},
    }
    return f"@{irc_lines.tags_text(given)} :bob!bob@bob.tmi.twitch.tv {command} #chan :{text}"


def test_a_message_has_all_that_twitch_says_of_it() -> None:
    found = said(
        privmsg("Kappa hi", emotes="25:0-4", bits="100", reply_parent_msg_id="parent", color="#FF0")
    )
    assert found == ChatMessage(
        message_id=irc_lines.message_id(1),
        timestamp=datetime.fromtimestamp(SENT_MS / 1000, UTC),
        username="bob",
        message="Kappa hi",
        kind="privmsg",
        user_id=irc_lines.message_tags(1, "bob", "5", 0)["user-id"],
        display_name="Bob",
        color="#FF0",
        badges="subscriber/12,premium/1",
        emotes="25:0-4",
        reply_to="parent",
        bits=100,
    )


def test_an_action_is_told_from_what_is_done() -> None:
    found = said(privmsg("\x01ACTION waves\x01"))
    assert isinstance(found, ChatMessage)
    assert (found.message, found.is_action) == ("waves", True)


def test_a_usernotice_has_its_system_message_and_parameters() -> None:
    text = privmsg(
        "thanks",
        "USERNOTICE",
        login="alice",
        msg_id="resub",
        system_msg="alice subscribed",
        msg_param_months="5",
    )
    found = said(text)
    assert isinstance(found, ChatMessage)
    assert (found.kind, found.username, found.message) == ("usernotice", "alice", "thanks")
    assert (found.notice, found.system_message) == ("resub", "alice subscribed")
    assert json.loads(found.details or "") == {"months": "5"}


def test_marks_say_what_is_taken_back() -> None:
    one = said("@target-msg-id=x-1;tmi-sent-ts=1777000000123 :s CLEARMSG #chan :hello")
    user = said("@ban-duration=600;tmi-sent-ts=1777000000123 :s CLEARCHAT #chan :bob")
    banned = said("@tmi-sent-ts=1777000000123 :s CLEARCHAT #chan :bob")
    everything = said(":s CLEARCHAT #chan")
    marks = [mark for mark in (one, user, banned, everything) if isinstance(mark, Mark)]
    assert [(m.target_id, m.username, m.ban_seconds) for m in marks] == [
        ("x-1", None, None),
        (None, "bob", 600),
        (None, "bob", 0),
        (None, None, None),
    ]
    assert len({mark.mark_id for mark in marks}) == 4


def test_without_twitchs_id_a_message_has_one_that_lasts() -> None:
    bare = ":bob!bob@bob PRIVMSG #chan :hello"
    first, again = said(bare), said(bare)
    other = said(bare, Heard(AT, "abc", 8))
    assert isinstance(first, ChatMessage)
    assert first == again
    assert first.timestamp == AT
    assert isinstance(other, ChatMessage)
    assert other.message_id != first.message_id


def test_without_twitchs_id_two_connections_know_the_same_message_by_its_time() -> None:
    text = "@tmi-sent-ts=1777000000123 :bob!bob@bob PRIVMSG #chan :hello"
    first, second = said(text), said(text, Heard(AT, "other", 99))
    assert first == second


def test_what_does_not_fit_an_index_does_not_get_there() -> None:
    found = said(privmsg(id="x" * 5000).replace(":bob!", f":{'b' * 3000}!"))
    assert isinstance(found, ChatMessage)
    assert len(found.message_id) < 100
    assert len(found.username) == 100


def test_a_time_that_makes_no_sense_is_none() -> None:
    for sent in ("", "-5", "abc", "0", "9" * 30, "٣"):
        found = said(privmsg(tmi_sent_ts=sent))
        assert isinstance(found, ChatMessage)
        assert found.timestamp == AT


def test_lines_with_too_little_in_them_are_nothing() -> None:
    assert said("PRIVMSG #chan") is None
    assert said("USERNOTICE") is None
    assert said("CLEARMSG #chan :x") is None
    assert said("JOIN #chan") is None


def test_emotes_have_their_places() -> None:
    assert chat.emotes_in("25:0-4,12-16/1902:6-10") == [
        Emote("25", 0, 5),
        Emote("1902", 6, 11),
        Emote("25", 12, 17),
    ]
    assert chat.emotes_in(None) == chat.emotes_in("x:y-z/:1-2/:") == []
    assert chat.badges_in("subscriber/12,bits/100") == [("subscriber", "12"), ("bits", "100")]


def in_full(plain: Plain) -> ChatMessage:
    *tags, nick, said = plain
    id_, sent, *rest = (irc.tag_value(one) for one in tags)
    user_id, display_name, color, badges, emotes, reply_to = (one or None for one in rest)
    return ChatMessage(
        id_,
        datetime.fromtimestamp(int(sent) / 1000, UTC),
        nick,
        said,
        "privmsg",
        user_id,
        display_name,
        color,
        badges,
        emotes,
        reply_to,
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["PRIVMSG", "USERNOTICE", "CLEARCHAT"]),
            st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8")),
            st.dictionaries(
                st.sampled_from(
                    ["id", "bits", "tmi_sent_ts", "emotes", "x", "reply_parent_msg_id", "color"]
                ),
                st.text(st.characters(codec="utf-8"), max_size=120),
            ),
            st.randoms(use_true_random=False),
        ),
        max_size=12,
    )
)
def test_the_fast_way_finds_what_the_other_finds(
    lines: list[tuple[str, str, dict[str, str], random.Random]],
) -> None:
    reader = ChatReader()
    for command, text, tags, chance in lines:
        line = privmsg(text, command, **tags)
        head, _, rest = line[1:].partition(" ")
        items = head.split(";")
        if chance.random() < 0.3:
            chance.shuffle(items)
        line = f"@{';'.join(items)} {rest}"
        alone, later = said(line), said(line, Heard(AT, "abc", 8))
        found = [one for one in (alone, later) if one is not None]
        plain, others = reader.read([line, line], HEARD)
        assert [*others, *(in_full(one) for one in plain)] == found


def test_what_a_flood_consists_of_is_read_the_fast_way() -> None:
    reader = ChatReader()
    answer = privmsg(reply_parent_msg_id="9", reply_parent_msg_body="well; \\ said")
    reader.read([privmsg(), answer], HEARD)
    plain, others = reader.read([privmsg("¯\\_(ツ)_/¯"), answer, privmsg("ünï 🎉")], HEARD)
    assert [one[-1] for one in plain] == ["¯\\_(ツ)_/¯", "hello", "ünï 🎉"]
    assert plain[1][7] == "9"
    assert others == []


def test_what_a_person_writes_cannot_pass_for_tags() -> None:
    reader = ChatReader()
    reader.read([privmsg()], HEARD)
    head = privmsg().partition(" ")[0]
    cut = head[: head.index(";color")]
    line = f"{cut} :eve!eve@x PRIVMSG #chan :a{head[len(cut) :]} :bob!b@b PRIVMSG #chan :forged"
    plain, others = reader.read([line], HEARD)
    assert (plain, others) == ([], [said(line)])
