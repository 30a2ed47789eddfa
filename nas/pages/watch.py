"""A search's page, served on this machine alone while the search runs.

The server gives one thing, the page at /, to who asks for it by this machine's own name: another site whose name was
made to lead here (DNS rebinding) gets nothing. A page is made when it is asked for and the ledger has grown, and takes
no more than a tenth of a core: the search wants the rest.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

from nas.errors import UserError
from nas.ledger import FILE
from nas.model import EXPLAINED, METRICS, MODEL
from nas.pages.page import Search, opened, page, state, waiting
from nas.space import Space

HERE = "127.0.0.1"
PORT = 80  # that of HTTP
SHARE = 0.1  # of the time, at most, for making pages
PATIENCE = 10.0  # seconds that a browser may take to say what it wants


class Watched:
    """The page of a folder, made anew when its files have changed."""

    def __init__(
        self,
        folder: Path,
        space: Space | None = None,
        beside: Sequence[Path] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.space, self.beside, self.clock = folder, space, beside, clock
        self._lock = Lock()
        self._seen: object = None
        self._page, self._due = "", 0.0
        self._shown: Search | None = None  # what the page shows

    def page(self) -> str:
        """The page as of now, or of a moment ago."""
        with self._lock:  # one page at a time, however many look
            now = self.clock()
            seen = (_stamps(self.folder, self.beside), self._shown and state(self._shown))
            if seen != self._seen and now >= self._due:
                try:
                    self._seen, self._page = seen, self._made()
                finally:
                    ended = self.clock()
                    self._due = ended + (ended - now) / SHARE
            return self._page

    def _made(self) -> str:
        self._shown = None
        if not (self.folder / FILE).is_file():
            return waiting(self.folder, f"There is no search yet: {FILE} is looked for again and again.")
        try:
            search = opened(self.folder, self.space)
            if not search.trials:
                return waiting(self.folder, "The search has begun; no trial has finished yet.")
            self._shown = search
            return page(search, self.beside, live=True)
        except UserError as error:
            return waiting(self.folder, f"{error}.")


def _stamps(folder: Path, beside: Sequence[Path]) -> list[tuple[int, int] | None]:
    """Size and time of change of the files that a page is made from; None for one that is not there."""
    own = [folder / name for name in (FILE, f"{MODEL}/{METRICS}", f"{MODEL}/{EXPLAINED}")]
    return [_stamp(file) for file in [*own, *(other / FILE for other in beside)]]


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def server(watched: Watched, port: int) -> ThreadingHTTPServer:
    """A server of this page on 127.0.0.1, not running yet; port 0 for any that is free.

    Raises UserError if the port is taken, or not this user's to take.
    """
    try:
        return _Server((HERE, port), _handler(watched))
    except OSError as error:
        raise UserError(
            f"--port: found {port} taken or not allowed ({error.strerror}), expected a free one; name another, or 0 "
            "for any that is free"
        ) from None


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # who is still reading when it ends is no reason to stay

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle is nothing to tell of; any other error is a fault of ours."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def is_here(host: str | None, port: int) -> bool:
    """Whether who asks at this port by this name, a request's Host, means this machine; of PORT browsers say none."""
    name, _, asked = (host or "").partition(":")
    return name in (HERE, "localhost") and asked in (str(port), *[""] * (port == PORT and host == name))


def _handler(watched: Watched) -> type[BaseHTTPRequestHandler]:
    class Page(BaseHTTPRequestHandler):
        """Answers GET of / and nothing else."""

        timeout = PATIENCE

        def do_GET(self) -> None:
            """The page, to a browser on this machine; nothing where it has it already."""
            port = self.connection.getsockname()[1]
            if not is_here(self.headers.get("Host"), port):
                self._answer(HTTPStatus.FORBIDDEN, b"this page is for this machine alone\n")
            elif self.path != "/":
                self._answer(HTTPStatus.NOT_FOUND, b"there is one page: /\n")
            else:
                body = watched.page().encode()
                tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
                same = self.headers.get("If-None-Match") == tag
                self._answer(HTTPStatus.NOT_MODIFIED if same else HTTPStatus.OK, b"" if same else body, tag)

        def _answer(self, status: HTTPStatus, body: bytes, tag: str = "") -> None:
            self.send_response(status)
            kind = "text/html" if status == HTTPStatus.OK else "text/plain"
            for name, value in (
                ("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(body))), ("ETag", tag),
                ("Cache-Control", "no-cache"), ("X-Content-Type-Options", "nosniff"),
                ("Content-Security-Policy", "frame-ancestors 'none'"), ("Cross-Origin-Resource-Policy", "same-origin"),
            ):  # fmt: skip
                if value:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def version_string(self) -> str:
            return "nas"

        def log_message(self, format: str, *args: object) -> None:
            """The terminal is for the search."""

    return Page
