"""Install what languages need and this machine lacks: python -m rewardranker.execution.toolchains go rust"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from rewardranker.errors import UserError
from rewardranker.execution.languages import LANGUAGES, USUAL, find_language
from rewardranker.execution.languages.language import INSTALL, Language


def chosen(names: Sequence[str]) -> list[Language]:
    """The languages called `names`; "all" stands for all, and no name for the usual ones.

    Raises:
        UserError: no language is called so.
    """
    if not names:
        return list(USUAL)
    if list(names) == ["all"]:
        return list(LANGUAGES)
    languages = []
    for name in names:
        language = find_language(name)
        if language is None:
            known = ", ".join(language.name for language in LANGUAGES)
            raise UserError(f"no programs in {name!r} can be run; known: all, {known}")
        languages.append(language)
    return languages


def commands(languages: Sequence[Language]) -> list[list[str]]:
    """The commands that install what is missing, in order; none if everything is here."""
    tools = [tool for language in languages for tool in language.missing()]
    packages = {
        manager: list(dict.fromkeys(tool.package for tool in tools if tool.manager == manager))
        for manager in INSTALL
    }
    if packages["npm"] and not shutil.which("npm"):
        packages["apt"].append("npm")
    return [[*command, *packages[manager]] for manager, command in INSTALL.items() if packages[manager]]


def main(names: Sequence[str]) -> None:
    """Run them for the languages called `names`; as root without sudo."""
    for command in commands(chosen(names)):
        if os.geteuid() == 0 and command[0] == "sudo":
            del command[0]
        print(*command, flush=True)  # noqa: T201
        subprocess.run(command, check=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
