import io

import pytest
from rich.console import Console

from rewardranker import progress


def test_without_a_terminal_lines_come_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY_S", -1.0)
    with progress.stage("1-reward"), progress.task("scoring", total=4) as bar:
        bar.advance(note="loss 0.5")
        bar.advance(3)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("1-reward · scoring  1/4  ") and first.endswith("loss 0.5")
    assert second.startswith("1-reward · scoring  4/4  0 s left  loss 0.5")
    assert (bar.done, bar.total) == (4, 4)


def test_quick_work_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.task("scoring", total=2) as bar:
        bar.advance(2)
    assert capsys.readouterr().err == ""


def test_stages_nest_and_end_with_their_block() -> None:
    with progress.stage("outer"):
        with pytest.raises(ValueError, match="inside"), progress.stage("inner"):
            with progress.task("t", 1) as bar:
                assert bar.name == "inner · t"
            raise ValueError("inside")
        with progress.task("t", 1) as bar:
            assert bar.name == "outer · t"
    with progress.task("t", 1) as bar:
        assert bar.name == "t"


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=screen, force_terminal=True, width=100))
    with progress.task("scoring", total=2) as bar:
        bar.advance(2, note="loss 0.5")
    assert "scoring" in screen.getvalue() and "2/2" in screen.getvalue() and "loss 0.5" in screen.getvalue()


def test_an_error_inside_a_task_passes_through() -> None:
    with pytest.raises(KeyError), progress.task("scoring", total=2):
        raise KeyError
