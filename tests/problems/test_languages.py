import pytest

from rewardranker.execution.languages import LANGUAGES
from rewardranker.problems.languages import canonical_language


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("py", "python"),
        ("Python", "python"),
        ("go_test.go", "go"),
        ("cs", "csharp"),
        ("sh", "bash"),
        ("C++", "cpp"),
    ],
)
def test_canonical_language(name: str, canonical: str) -> None:
    assert canonical_language(name) == canonical
    assert canonical_language(canonical) == canonical


def test_an_unknown_language_is_told_with_the_known() -> None:
    with pytest.raises(ValueError, match="unknown language 'cobol'; known: ada, bash, clojure"):
        canonical_language("cobol")


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_problems_and_the_sandbox_call_a_language_the_same(language) -> None:  # type: ignore[no-untyped-def]
    assert canonical_language(language.name) == language.name
