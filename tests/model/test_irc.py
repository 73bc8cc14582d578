"""Lines of IRC."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vodtender.model import irc

_WORD = st.text(st.characters(exclude_characters=" \r\n\0:;=@!\\", codec="utf-8"), min_size=1)
_REST = st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"))
_VALUE = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


@given(
    tags=st.dictionaries(_WORD, _VALUE),
    source=st.one_of(st.just(""), _WORD),
    command=_WORD,
    middle=st.lists(_WORD, max_size=4),
    last=st.one_of(st.none(), _REST),
)
def test_what_is_written_is_read_back(
    tags: dict[str, str], source: str, command: str, middle: list[str], last: str | None
) -> None:
    params = middle if last is None else [*middle, last]
    written = irc.write(command, params, source=source, tags=tags)
    assert "\n" not in written
    assert irc.parse(written) == irc.Line(tags, source, command, params)
    assert irc.command_of(written.encode()) == command.encode()


@given(st.text())
def test_no_line_is_too_strange_to_be_parsed(text: str) -> None:
    line = irc.parse(text)
    assert line is None or line.command


@given(st.binary())
def test_nothing_is_too_strange_to_have_its_command_looked_for(data: bytes) -> None:
    assert b" " not in irc.command_of(data)


def test_the_command_is_the_one_that_is_parsed() -> None:
    for text in (
        "PING :x",
        ":a!b@c PRIVMSG #d :PING",
        "@x=1 :a PRIVMSG #b :c",
        "@x",
        ":y",
        "@x :y",
    ):
        line = irc.parse(text)
        assert irc.command_of(text.encode()) == (line.command.encode() if line else b"")


def test_a_message_of_twitch() -> None:
    line = irc.parse(
        r"@badges=;display-name=Some\sBody\:;odd\tag;end=\ :some!some@some.tmi PRIVMSG #chan :a :b "
    )
    assert line is not None
    assert line.tags == {"badges": "", "display-name": "Some Body;", "odd\\tag": "", "end": ""}
    assert (line.nick, line.params, line.last) == ("some", ["#chan", "a :b "], "a :b ")


def test_several_spaces_count_as_one() -> None:
    assert irc.parse(":server  CAP  *  ACK :x  y") == irc.Line(
        {}, "server", "CAP", ["*", "ACK", "x  y"]
    )
