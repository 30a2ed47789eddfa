"""The live page: who may ask for it and for what, and that it follows the ledger without losing its reader's place."""

from __future__ import annotations

import http.client
import itertools
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from controllers.random_search import RandomSearch
from nas.errors import UserError
from nas.ledger import FILE, Ledger
from nas.pages.watch import HERE, Watched, is_here, server
from nas.space import Candidate
from search_spaces import chain
from tests.nas.pages.conftest import Browser, searched


@contextmanager
def serving(watched: Watched) -> Iterator[int]:
    """The page on some port."""
    with server(watched, 0) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield running.server_address[1]
        finally:
            running.shutdown()
            thread.join()


def asked(port: int, method: str = "GET", path: str = "/", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(HERE, port, timeout=60)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


@pytest.fixture
def begun(folder: Path, tmp_path: Path) -> Path:
    """A folder with the first trials of a search."""
    return copied(folder, tmp_path / "one", 12)


def copied(folder: Path, out: Path, lines: int) -> Path:
    out.mkdir(exist_ok=True)
    (out / FILE).write_bytes(b"".join((folder / FILE).read_bytes().splitlines(keepends=True)[:lines]))
    return out


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 200), ("GET", "/ledger.jsonl", 404), ("GET", "/../../etc/passwd", 404), ("GET", "/?a", 404),
     ("POST", "/", 501), ("HEAD", "/", 501), ("PUT", "/", 501)],
)  # fmt: skip
def test_there_is_one_page_and_it_can_only_be_read(method: str, path: str, status: int, tmp_path: Path) -> None:
    with serving(Watched(tmp_path)) as port:
        assert asked(port, method, path).status == status


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", ""])
def test_who_asks_by_another_name_gets_nothing(host: str, tmp_path: Path) -> None:
    with serving(Watched(tmp_path)) as port:
        assert asked(port, Host=host).status == 403
        assert asked(port, Host=f"localhost:{port}").status == 200


def test_at_port_80_browsers_name_no_port() -> None:
    for host in ("127.0.0.1", "localhost", "localhost:80"):
        assert is_here(host, 80)
    for other in ("evil.example", "localhost:", "localhost:81", "", None):
        assert not is_here(other, 80)
    assert not is_here("localhost", 8080)


def test_it_listens_on_loopback_alone(tmp_path: Path) -> None:
    with server(Watched(tmp_path), 0) as running:
        assert running.server_address[0] == "127.0.0.1"


def test_what_has_not_changed_is_not_sent_again(tmp_path: Path) -> None:
    with serving(Watched(tmp_path)) as port:
        tag = asked(port).headers["ETag"]
        assert asked(port, If_None_Match=tag).status == 304


def test_a_port_in_use_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server((HERE, 0)) as taken, pytest.raises(UserError, match=r"--port: found \d+ taken"):
        server(Watched(tmp_path), taken.getsockname()[1])


def test_a_page_is_made_again_only_when_the_ledger_has_grown(folder: Path, begun: Path) -> None:
    times = iter(range(0, 10_000, 500))
    watched = Watched(begun, clock=lambda: next(times))
    first = watched.page()
    assert watched.page() is first
    copied(folder, begun, 13)
    for _ in range(12):  # making a page took 500 seconds by this clock: ten times as long it is left alone
        last = watched.page()
    assert "11 of 60 trials" in first
    assert "12 of 60 trials" in last


def test_making_pages_takes_a_tenth_of_the_time(folder: Path, begun: Path) -> None:
    times = iter([0.0, 1.0, 5.0, 10.9, 11.0, 11.5])
    watched = Watched(begun, clock=lambda: next(times))
    first = watched.page()  # from 0 to 1
    copied(folder, begun, 13)
    assert watched.page() is first  # at 5
    assert watched.page() is first  # at 10.9
    assert watched.page() is not first  # at 11


def test_a_folder_without_a_search_is_waited_for(folder: Path, tmp_path: Path) -> None:
    times = iter(range(0, 10_000, 100))
    watched = Watched(tmp_path / "none", clock=lambda: next(times) * 1000)
    assert "There is no search yet" in watched.page()
    copied(folder, tmp_path / "none", 1)
    texts = [watched.page() for _ in range(15)]
    assert "no trial has finished yet" in texts[-1]


def test_a_ledger_damaged_on_the_way_is_told_of_in_the_page(begun: Path) -> None:
    watched = Watched(begun)
    lines = (begun / FILE).read_bytes().splitlines(keepends=True)
    (begun / FILE).write_bytes(b"".join([*lines[:4], b"<b>spoilt</b>\n", *lines[5:]]))
    assert "line 5: found a damaged line" in watched.page()


def test_the_searches_beside_are_compared_with_as_soon_as_there_is_something_to_compare(
    folder: Path, tmp_path: Path
) -> None:
    times = iter(1e3**number for number in range(100))
    watched = Watched(tmp_path / "one", beside=[searched(tmp_path / "random", RandomSearch, 15)], clock=times.__next__)
    assert "There is no search yet" in watched.page()
    copied(folder, tmp_path / "one", 12)
    first = watched.page()
    assert 'id="comparison"' in first
    assert "After 11 networks" in first


def test_an_error_of_ones_own_code_is_told_in_the_terminal_and_the_page_is_not_tried_at_once_again(
    begun: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Chain(chain.Chain):
        def replay(self, answers: Sequence[int], trial: int | None = None) -> Candidate:
            raise RuntimeError("it cannot build")

    times = iter(range(1_000_000))
    watched = Watched(begun, Chain(), clock=lambda: next(times))
    with serving(watched) as port, pytest.raises(http.client.RemoteDisconnected):
        asked(port)
    assert "RuntimeError: it cannot build" in capfd.readouterr().err
    assert watched._due == pytest.approx(1 + 1 / 0.1)  # as after a page that took as long


def test_the_page_follows_the_search_and_its_reader_stays_where_he_is(
    browser: Browser, folder: Path, begun: Path
) -> None:
    times = iter(range(1_000_000))
    with serving(Watched(begun, clock=lambda: next(times) * 1e6)) as port:
        browser.open(f"http://{HERE}:{port}/", 360)
        assert "11 of 60 trials" in browser.run("document.querySelector('.about').innerText")
        browser.run("document.getElementById('each').open = true")
        browser.run("document.querySelectorAll('#best th button')[4].click()")
        browser.run("window.scrollTo(0, 1500)")
        copied(folder, begun, 61)
        browser.wait(lambda: " 60 trials" in browser.run("document.querySelector('.about').innerText"))
        assert browser.run("document.getElementById('each').open")
        assert browser.run("document.querySelectorAll('#best th')[4].getAttribute('aria-sort')") == "descending"
        assert browser.run("window.scrollY") == 1500
        assert browser.complaints() == []
        assert set(browser.asked()) == {f"http://{HERE}:{port}/"}
    browser.wait(lambda: "no longer served" in browser.run("document.getElementById('state').innerText"))


def test_a_page_that_was_opened_before_the_search_has_tables_that_can_be_sorted(
    browser: Browser, folder: Path, tmp_path: Path
) -> None:
    with serving(Watched(tmp_path / "one", clock=itertools.count(0, 10**6).__next__)) as port:
        browser.open(f"http://{HERE}:{port}/")
        assert "There is no search yet" in browser.run("document.body.innerText")
        copied(folder, tmp_path / "one", 61)
        browser.wait(lambda: browser.run("document.querySelectorAll('#best th button').length") > 0)
        browser.run("document.querySelectorAll('#best th button')[4].click()")
        assert browser.run("document.querySelectorAll('#best th')[4].getAttribute('aria-sort')") == "descending"
        assert browser.complaints() == []


def test_a_table_that_is_scrolled_sideways_and_what_has_the_focus_stay_so(
    browser: Browser, folder: Path, begun: Path
) -> None:
    with serving(Watched(begun, clock=itertools.count(0, 10**6).__next__)) as port:
        browser.open(f"http://{HERE}:{port}/", 390)
        browser.run("document.querySelectorAll('#best th button')[5].focus()")
        browser.run("document.querySelector('#networks .wide').scrollLeft = 130")
        copied(folder, begun, 61)
        browser.wait(lambda: " 60 trials" in browser.run("document.querySelector('.about').innerText"))
        assert browser.run("document.querySelector('#networks .wide').scrollLeft") == 130
        assert browser.run("document.activeElement.innerText") == "multiply-adds"
        browser.run("document.querySelector('#each summary').focus()")
        copied(folder, begun, 60)
        browser.wait(lambda: "59 of 60 trials" in browser.run("document.querySelector('.about').innerText"))
        assert browser.run("document.activeElement.innerText") == "Each question by itself"
        assert browser.complaints() == []


def said(browser: Browser) -> str:
    text: str = browser.run("document.getElementById('state').innerText")
    return text


def test_the_page_says_ended_when_the_last_trial_is_there_and_nobody_writes(
    browser: Browser, folder: Path, tmp_path: Path
) -> None:
    copied(folder, tmp_path / "one", 61)
    with serving(Watched(tmp_path / "one", clock=lambda: 0.0)) as port:
        with Ledger(tmp_path / "one"):
            browser.open(f"http://{HERE}:{port}/", 360)
            assert said(browser) == "live"
        browser.wait(lambda: said(browser) == "ended")
        with Ledger(tmp_path / "one"):  # nothing is in its way
            pass
    browser.wait(lambda: "no longer served" in said(browser))


def test_an_unfinished_search_is_live_while_someone_writes_and_else_stopped(begun: Path) -> None:
    watched = Watched(begun, clock=lambda: 0.0)
    assert 'id="state" data-so="stopped"' in watched.page()
    with Ledger(begun):
        assert 'id="state" data-so="live"' in watched.page()
    assert 'id="state" data-so="stopped"' in watched.page()
