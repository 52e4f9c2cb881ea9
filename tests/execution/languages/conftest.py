"""Programs of one language, one after the other in one slot; skipped where its toolchain is not installed."""

from collections.abc import Iterator

import pytest

from rewardranker.execution.languages import find_language
from rewardranker.execution.languages.language import Language
from rewardranker.execution.pool import Pool, Program
from rewardranker.execution.verdict import Verdict


class Runner:
    """Runs programs in a language."""

    def __init__(self, language: Language, pool: Pool) -> None:
        self.language, self._pool = language, pool

    def __call__(self, source: str) -> Verdict:
        ((_, verdict),) = self._pool.run([Program(self.language.name, source)])
        return verdict


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest, isolation: None) -> Iterator[Runner]:
    """A runner of the language that the test is parametrised with."""
    language = find_language(request.param)
    assert language is not None
    if missing := language.missing():
        pytest.skip(f"{language.name} needs {missing[0].name}: make toolchains LANGUAGES={language.name}")
    with Pool(timeout_s=2.0, memory_mb=512, workers=1) as pool:
        yield Runner(language, pool)
