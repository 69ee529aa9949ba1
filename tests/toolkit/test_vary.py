"""Vary: extended, never replaced."""

from __future__ import annotations

import pytest

from vanilla import Response
from vanilla.toolkit.vary import vary


@pytest.mark.parametrize(
    ("before", "added", "after"),
    [
        pytest.param([], ["Origin"], [b"Origin"], id="first"),
        pytest.param(["Accept"], [b"Origin"], [b"Accept, Origin"], id="one_more"),
        pytest.param(["Accept, origin"], ["Origin"], [b"Accept, origin"], id="there_already_in_any_case"),
        pytest.param(["Accept", "Cookie"], ["Origin"], [b"Accept, Cookie, Origin"], id="several_lines"),
        pytest.param([" , ,"], ["Origin"], [b"Origin"], id="empty_elements"),
        pytest.param([], ["Origin", "Cookie", "origin"], [b"Origin, Cookie"], id="several_names"),
        pytest.param(["*"], ["Origin"], [b"*"], id="everything"),
        pytest.param([], [], [], id="nothing"),
        pytest.param(["X-Origin"], ["Origin"], [b"X-Origin, Origin"], id="a_name_that_ends_in_it"),
    ],
)
def test_names_are_added_once(before: list, added: list, after: list) -> None:
    response = Response()
    response.reply(200, headers=[("Vary", value) for value in before])
    vary(response, *added)
    assert [value for name, value in response.headers() if name.lower() == b"vary"] == after


def test_before_there_is_an_answer_it_cannot_be_said() -> None:
    with pytest.raises(RuntimeError, match="no whole head"):
        vary(Response(), "Origin")
