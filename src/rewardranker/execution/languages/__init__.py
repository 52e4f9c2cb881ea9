"""The languages whose programs can be run: one declarative definition each."""

from rewardranker.execution.languages.language import Language
from rewardranker.execution.languages.python import PYTHON

LANGUAGES = (PYTHON,)


def find_language(name: str) -> Language | None:
    """The language called `name` (its name or an alias), or None.

    Example:
        >>> find_language("py").name
        'python'
    """
    return next(
        (language for language in LANGUAGES if name == language.name or name in language.aliases), None
    )
