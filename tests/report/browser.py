"""A real browser for tests, driven over the pipe of its DevTools protocol: no driver, no port, no network."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_BROWSER = "no browser: apt-get install chromium"
PATIENCE_S = 120
KEYS = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


class Tab:
    """One page of a browser."""

    def __init__(self, commands: int, answers: int) -> None:
        self.commands, self.answers = commands, answers
        self.unread, self.number, self.session = b"", 0, None
        self.errors: list[str] = []
        """Uncaught exceptions of scripts, since the tab was opened."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime"):
            self.call(f"{domain}.enable")
        self.size(1100, 800)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol and its result (https://chromedevtools.github.io/devtools-protocol)."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.unread:
                data = os.read(self.answers, 1 << 20)
                assert data, "the browser has ended"
                self.unread += data
            text, self.unread = self.unread.split(b"\0", 1)
            answer = json.loads(text)
            if answer.get("method") == "Runtime.exceptionThrown":
                details = answer["params"]["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description") or details["text"])
            if answer.get("id") == self.number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def open(self, url: str) -> None:
        """Load a page, and wait until its script has drawn its view."""
        self.call("Page.navigate", url="about:blank")  # else a new hash is no new page
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && document.body.dataset.drawn !== undefined")

    def js(self, expression: str) -> Any:
        """The value of an expression, as JSON."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.js(f"Boolean({expression})"):
            assert time.monotonic() < deadline, f"still not so: {expression}\n{self.errors}"
            time.sleep(0.02)

    def press(self, key: str) -> None:
        """Press and release a key; wait until the address that it led to is drawn."""
        code = {"windowsVirtualKeyCode": KEYS[key]} if key in KEYS else {}
        text = {"Enter": "\r"}.get(key, "" if key in KEYS else key)
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, **code)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, **code)
        self.settle()

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)
        self.settle()

    def choose(self, element: str, value: str) -> None:
        """Choose an option of a select."""
        found = f"document.getElementById({json.dumps(element)})"
        self.js(f"{found}.value = {json.dumps(value)}; {found}.dispatchEvent(new Event('change'))")
        self.settle()

    def click(self, selector: str) -> None:
        """Click the first element that a CSS selector finds."""
        self.js(f"document.querySelector({json.dumps(selector)}).click()")
        self.settle()

    def settle(self) -> None:
        """Wait until the view of the current address is drawn."""
        self.js(
            "new Promise(done => setTimeout(done, 0))"
        )  # a new hash is told to the page in a task of its own
        self.wait("document.body.dataset.drawn === location.hash")

    def text(self, selector: str = "body") -> str:
        """The visible text of the first element that a CSS selector finds."""
        return str(self.js(f"document.querySelector({json.dumps(selector)}).innerText"))

    def texts(self, selector: str) -> list[str]:
        """The visible text of every element that a CSS selector finds."""
        return list(self.js(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.innerText)"))

    def size(self, width: int, height: int) -> None:
        """Of the window, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    def dark(self, on: bool) -> None:
        """What the system says it prefers."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path) -> None:
        """What the window shows, as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """A headless Chromium with an empty profile, ended at the end of the block."""
    assert CHROMIUM, NO_BROWSER
    to_read, commands = os.pipe()
    answers, to_write = os.pipe()
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (to_read, to_write)]

    def attach() -> None:  # Chromium reads commands from descriptor 3 and answers on 4
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    process = subprocess.Popen(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank",
        ],
        preexec_fn=attach, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,  # noqa: PLW1509
    )  # fmt: skip
    for fd in (to_read, to_write, *high):
        os.close(fd)
    try:
        yield Tab(commands, answers)
    finally:
        process.terminate()
        process.wait(30)
        os.close(commands)
        os.close(answers)
