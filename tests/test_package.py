import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import rewardranker

HEAVY = ("torch", "transformers")


def loaded_after(code: str) -> set[str]:
    """Which of HEAVY a fresh interpreter has imported after `code`."""
    script = f"import sys\n{code}\nprint('LOADED', *(m for m in {HEAVY} if m in sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stdout.rsplit("LOADED", 1)[1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import rewardranker; dir(rewardranker)",
        "from rewardranker import Problem, Candidate, PreferenceGroup, Verdict, load_problems, execute",
        "import rewardranker.recipe, rewardranker.run, rewardranker.execution",
        "sys.argv = ['rewardranker', '--help']\n"
        "from rewardranker.cli import main\n"
        "try: main()\n"
        "except SystemExit as e: assert not e.code, e.code",
    ],
)
def test_light_things_import_no_learning_library(code: str) -> None:
    assert loaded_after(code) == set()


@pytest.mark.parametrize("name", rewardranker.__all__)
def test_every_public_name_resolves_and_is_documented(name: str) -> None:
    value = getattr(rewardranker, name)
    assert name == "__version__" or value.__doc__
    assert name in dir(rewardranker)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = rewardranker.nonsense


def test_the_version_is_said_once() -> None:
    assert version("rewardranker") == rewardranker.__version__


def test_types_are_shipped() -> None:
    assert (Path(rewardranker.__file__).parent / "py.typed").exists()
