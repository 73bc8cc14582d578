"""How many connections a server should take."""

from __future__ import annotations

import pytest

from vodtender.model.connections import Demand


def demand(**changes: int) -> Demand:
    values = {
        "max_connections": 100,
        "reserved": 3,
        "in_use": 12,
        "others": 2,
        "daemons": 1,
        "per_daemon": 10,
    }
    return Demand(**(values | changes))


def test_a_server_with_room_is_left_as_it_is() -> None:
    assert demand().raise_to is None
    assert not demand().is_nearly_full


def test_daemons_that_could_ask_for_more_than_there_is_want_a_larger_server() -> None:
    crowded = demand(daemons=10)
    # 3 reserved, 10 x (10 + 2) for the daemons, 2 others, 10 for people: 135
    assert crowded.raise_to == 140


def test_the_reserve_is_nobodys_to_use() -> None:
    assert demand().usable == 97
    assert demand(in_use=78).is_nearly_full
    assert not demand(in_use=77).is_nearly_full


@pytest.mark.parametrize("in_use", [78, 97, 100])
def test_a_server_that_is_nearly_full_is_to_get_half_as_much_again(in_use: int) -> None:
    raised = demand(in_use=in_use, others=0).raise_to
    assert raised is not None
    assert raised % 10 == 0
    assert raised >= 3 + in_use * 1.5 - 1


def test_without_a_daemon_there_is_room_for_one() -> None:
    assert demand(daemons=0).needed == demand(daemons=1).needed
