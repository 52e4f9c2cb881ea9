"""docs/how-to/serve.md as it is written: its command serves, its examples ask."""

import doctest
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from servers import Scripted

from rewardranker.models.ranker import RewardRanker

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "serve.md"
BODIES = ["return a + b", "return a - b", "return b", "return a +"]


def free(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) != 0


def test_the_page_on_serving_works_as_written(
    ranker: RewardRanker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolation: None
) -> None:
    if not (free(8000) and free(8001)):
        pytest.skip("ports 8000 and 8001 are what the page names; stop what listens there")

    def reply(server: Scripted, request: dict[str, Any], handler: Any) -> dict[str, Any]:
        texts = [f"```python\ndef add(a, b):\n    {body}\n```" for body in BODIES * 2][: request["n"]]
        choices = [
            {"index": i, "message": {"content": t}, "finish_reason": "stop"} for i, t in enumerate(texts)
        ]
        return {"choices": choices, "usage": {"prompt_tokens": 9, "completion_tokens": 20 * len(texts)}}

    ranker.save(tmp_path / "runs" / "demo" / "2-reward" / "model")
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text("utf-8")
    (command,) = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    program, *arguments = shlex.split(command)
    assert program == "rewardranker"
    main = "from rewardranker.cli import main; main()"
    with Scripted(reply, 8001):
        server = subprocess.Popen([sys.executable, "-c", main, *arguments], stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        assert any(line.startswith("serving on http://127.0.0.1:8000") for line in server.stderr)
        try:
            examples = doctest.DocTestParser().get_doctest(text, {}, "serve.md", "serve.md", 0)
            report: list[str] = []
            doctest.DocTestRunner(verbose=False).run(examples, out=report.append)
        finally:
            server.terminate()
            server.communicate(timeout=60)
        assert not report, "".join(report)
        assert server.returncode == 0
