"""A browser that tests look at pages with: Debian's Chromium without a window, spoken to through a pipe."""

from __future__ import annotations

import base64
import fcntl
import io
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from controllers.q_learning import QLearning
from controllers.random_search import RandomSearch
from nas.data import load, native
from nas.network import Network
from nas.pool import Job, Serial
from nas.reward import Result
from nas.search import search
from search_spaces.chain import Chain

DIGITS = native("digits")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Browser:
    """One page in Chromium, by its DevTools protocol: what it asks for, what it complains of, how it looks."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        there, self._out = _high(os.pipe())
        self._in, back = _high(os.pipe())
        words = [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
            "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        shell = f'exec "$@" 3<&{there} 4>&{back} {there}<&- {back}>&-'
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", shell, "bash", *words], pass_fds=(there, back), stderr=subprocess.DEVNULL
        )
        os.close(there)
        os.close(back)
        self._number, self._read = 0, b""
        self.events: list[dict[str, Any]] = []
        page = next(one for one in self._send("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self._session = self._send("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def open(self, address: str, width: int = 1280, dark: bool = False) -> None:
        """Load a page in a window so wide, and wait until it is there."""
        self.events.clear()
        self.look(width, dark)
        self.send("Emulation.setFocusEmulationEnabled", enabled=True)  # else a page without a window has no focus
        self.send("Page.navigate", url=address)
        self.wait(lambda: any(event["method"] == "Page.loadEventFired" for event in self.events))

    def look(self, width: int, dark: bool) -> None:
        """Another width of the window, pixels, and scheme of colours."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def run(self, script: str) -> Any:
        """What an expression gives in the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, of: str = "html") -> np.ndarray[Any, Any]:
        """How the first element of this selector looks: uint8 (height, width, 3)."""
        script = f"(() => {{const b = document.querySelector({json.dumps(of)}).getBoundingClientRect(); return " \
                 "{x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height, scale: 1}})()"  # fmt: skip
        shot = self.send("Page.captureScreenshot", format="png", clip=self.run(script), captureBeyondViewport=True)
        return np.array(Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB"))

    def complaints(self) -> list[str]:
        """What the console would show in red or yellow since the page was opened."""
        self.run("0")  # all that came before its answer is here then
        entries = [e["params"]["entry"] for e in self.events if e["method"] == "Log.entryAdded"]
        thrown = [e["params"]["exceptionDetails"] for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        said = [e["params"] for e in self.events if e["method"] == "Runtime.consoleAPICalled"]
        return [json.dumps(one) for one in (*entries, *thrown, *said)]

    def asked(self) -> list[str]:
        """Addresses of all that was asked for since then, what is within the page left out."""
        self.run("0")
        found = [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [address for address in found if not address.startswith("data:")]

    def wait(self, so: Callable[[], bool], seconds: float = 30) -> None:
        """Until it is so."""
        until = time.monotonic() + seconds
        while not so():
            assert time.monotonic() < until, "it did not come to be so"
            self.send("Runtime.evaluate", expression="new Promise(done => setTimeout(done, 30))", awaitPromise=True)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command to the page, and its answer; events that come before it are kept."""
        return self._send(method, sessionId=self._session, **parameters)

    def _send(self, method: str, sessionId: str | None = None, **parameters: Any) -> dict[str, Any]:  # noqa: N803
        self._number += 1
        to = {} if sessionId is None else {"sessionId": sessionId}
        message = json.dumps({"id": self._number, "method": method, "params": parameters} | to)
        os.write(self._out, message.encode() + b"\0")
        while (answer := self._message()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            read = os.read(self._in, 1 << 20)
            assert read, "Chromium has ended"
            self._read += read
        message, _, self._read = self._read.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


def _high(pipe: tuple[int, int]) -> tuple[int, int]:
    """The same ends under numbers above those that Chromium wants, 3 and 4."""
    first, second = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in pipe)
    for end in pipe:
        os.close(end)
    return first, second


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all tests."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: `make chromium` installs Debian's, as root")
    found = Browser(tmp_path_factory.mktemp("chromium"))
    yield found
    found.close()


# --- searches to look at ---


def judged(job: Job) -> Result:
    """In place of training: the more 1s and 2s among a network's answers, the better, by lot too; every tenth fails."""
    luck = random.Random(job.seed).random()
    if luck < 0.1:
        return Result(error="diverged: the loss is nan")
    share = sum(answer in (1, 2) for answer in job.answers) / len(job.answers)
    accuracy = round(0.5 * share + 0.3 * luck + 0.1, 4)
    candidate = Chain().on(DIGITS).replay(job.answers)
    assert isinstance(candidate.network, Network)
    costs = candidate.network.costs(DIGITS)
    assert costs is not None
    return Result((accuracy,), (1.0,), costs.params, costs.madds, 0.5, precision="float32")


def searched(folder: Path, kind: type[Any] = QLearning, trials: int = 60, seed: int = 0) -> Path:
    """A search of Chain by the real loop, with `judged` for training; its folder."""
    data = load("digits", images=100)

    def pool(_: object) -> Serial:
        return Serial(judged)

    for _ in search(Chain(), kind, data, folder, trials=trials, seed=seed, pool=pool, device="cpu"):
        pass
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a search of 60 trials by Q-learning; not to be written to."""
    return searched(tmp_path_factory.mktemp("search") / "one")


@pytest.fixture(scope="session")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a search of 200 trials, enough for choices to explain the rewards for sure; not to be written to."""
    return searched(tmp_path_factory.mktemp("search") / "long", RandomSearch, 200)
