"""Sessions and their cookies."""

from __future__ import annotations

import pytest

from openpipe_report.server.visitors.cookies import read_cookie, write_cookie
from openpipe_report.server.visitors.sessions import LIFETIME, MAX_SESSIONS, Sessions
from openpipe_report.server.visitors.visitor import Visitor


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_session():
    """A session has its key until it ends or is closed; an id is told to nobody else."""
    clock = Clock()
    sessions = Sessions(clock)
    first, second = sessions.open(b"k1"), sessions.open(b"k2")
    assert len(first) >= 43
    assert first != second
    assert (sessions.find_key(first), sessions.find_key(second)) == (b"k1", b"k2")
    assert sessions.find_key("") is sessions.find_key("x") is None
    sessions.close(first)
    sessions.close("x")
    assert sessions.find_key(first) is None
    clock.now += LIFETIME
    assert sessions.find_key(second) is None


def test_bound():
    """The oldest session makes room for a new one."""
    sessions = Sessions()
    ids = [sessions.open(b"k") for _ in range(MAX_SESSIONS + 1)]
    assert sessions.find_key(ids[0]) is None
    assert sessions.find_key(ids[1]) == sessions.find_key(ids[-1]) == b"k"


@pytest.mark.parametrize(
    "host, name",
    [(b"localhost:8417", "openpipe-report-8417"), (b"logs.example", "openpipe-report")],
)
def test_cookie(host, name):
    """A cookie is for its port, for no script and no other site."""
    headers = {b"host": host}
    written = write_cookie(headers, "abc")
    assert written == f"{name}=abc; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"
    sent = f"other=1; {name}=abc; {name}-9=z".encode()
    assert read_cookie({**headers, b"cookie": sent}) == "abc"
    assert read_cookie(headers) == ""
    assert "Max-Age=0" in write_cookie(headers, "")


def test_secure_cookie():
    """Over https the cookie is for https only."""
    headers = {b"host": b"logs.example", b"origin": b"https://logs.example"}
    assert write_cookie(headers, "abc").endswith("; SameSite=Strict; Secure")


def test_token():
    """A token is its session's alone, and not the session's id."""
    one, other = Visitor("a"), Visitor("b")
    assert one.owns(one.token)
    assert not one.owns(other.token)
    assert not one.owns("")
    assert not one.owns("\ud800")
    assert one.token not in {"a", Visitor().token}
