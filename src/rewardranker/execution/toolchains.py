"""Install what the languages need and this machine lacks: python -m rewardranker.execution.toolchains"""

import os
import shutil
import subprocess
from collections.abc import Sequence

from rewardranker.execution.languages import LANGUAGES
from rewardranker.execution.languages.language import INSTALL, Language


def commands(languages: Sequence[Language] = LANGUAGES) -> list[list[str]]:
    """The commands that install what is missing, in order; none if everything is here."""
    tools = [tool for language in languages for tool in language.missing()]
    packages = {
        manager: list(dict.fromkeys(tool.package for tool in tools if tool.manager == manager))
        for manager in INSTALL
    }
    if packages["npm"] and not shutil.which("npm"):
        packages["apt"].append("npm")
    return [[*command, *packages[manager]] for manager, command in INSTALL.items() if packages[manager]]


def main() -> None:
    """Run them; as root without sudo."""
    for command in commands():
        if os.geteuid() == 0 and command[0] == "sudo":
            del command[0]
        print(*command, flush=True)  # noqa: T201
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
