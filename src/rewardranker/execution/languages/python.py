"""Python: run by the interpreter that runs RewardRanker, standard library only."""

import platform

from rewardranker.execution.languages.language import Language

PYTHON = Language(
    name="python",
    aliases=("py",),
    version=platform.python_version,
    syntax_error_mark="SyntaxError",
)
