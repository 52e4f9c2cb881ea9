"""Programs of one language, one after the other in one slot; skipped where its toolchain is not installed."""

from collections.abc import Callable, Iterator

import pytest

from rewardranker.execution.languages import find_language
from rewardranker.execution.pool import Pool, Program
from rewardranker.execution.verdict import Verdict


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest, isolation: None) -> Iterator[Callable[[str], Verdict]]:
    """Runs a program in the language that the test file names as LANGUAGE."""
    language = find_language(request.module.LANGUAGE)
    assert language is not None
    if missing := language.missing():
        pytest.skip(f"{language.name} needs {missing[0].name}: make toolchains, or {missing[0].install}")
    with Pool(timeout_s=2.0, workers=1) as pool:

        def run_one(source: str) -> Verdict:
            ((_, verdict),) = pool.run([Program(language.name, source)])
            return verdict

        yield run_one
