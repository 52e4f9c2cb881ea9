"""Python: run by the interpreter that runs RewardRanker, standard library only.

A program runs in a fork of the slot's fork server: no interpreter is started. See `sandbox.child`.
"""

import sys

from rewardranker.execution.languages.language import Language

PYTHON = Language(
    name="python",
    version_command=(sys.executable, "--version"),
    syntax_error_mark="SyntaxError",
)
