"""Cold and warm compilers; without isolation (`isolation`) nothing is run."""

from collections.abc import Callable, Iterator

import pytest
from builds import Build, Cold, Warm, toolchain


@pytest.fixture(scope="module")
def cold(isolation: None) -> Iterator[Cold]:
    cold = Cold()
    yield cold
    cold.close()


@pytest.fixture(scope="module")
def warm(request: pytest.FixtureRequest, isolation: None) -> Iterator[Warm]:
    """The warm compiler of the language that the test file names as LANGUAGE."""
    warm = Warm(toolchain(request.module.LANGUAGE))
    yield warm
    warm.close()


@pytest.fixture(scope="module")
def plain(request: pytest.FixtureRequest, warm: Warm) -> tuple[str, Build | None]:
    """The program PLAIN of the test file and what it becomes when nothing was compiled before."""
    return request.module.PLAIN, warm.build(request.module.PLAIN)


@pytest.fixture
def compare(cold: Cold, warm: Warm, plain: tuple[str, Build | None]) -> Callable[..., Build | None]:
    """Builds a program both ways and asserts that all is the same, and that it leaves nothing to the next.

    Returns what was built, None if it was left to the cold compiler.
    """

    def compare_one(source: str, *, against_cold: bool = False) -> Build | None:
        built = warm.build(source)
        if built is not None and against_cold:
            assert built == cold.build(warm.language, source)
        next_source, expected = plain
        assert expected is not None
        assert warm.build(next_source) == expected
        return built

    return compare_one
