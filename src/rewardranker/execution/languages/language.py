"""What a language is to the sandbox: its tools, how its programs are built and run, how failure is read."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rewardranker.execution.sandbox.isolation import NODE_MODULES, PATH


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that must be on this machine for programs of a language to run."""

    name: str
    """Name of an executable in /usr, an absolute path, or /node_modules/ and the name of an npm package."""
    package: str
    manager: Literal["apt", "npm"]
    needed_by: str = ""
    """Only programs in which this pattern is found need it; empty: all."""

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"{' '.join(INSTALL[self.manager])} {self.package}"

    def path(self) -> Path | None:
        """Where it is on this machine; None where programs in a slot could not see it."""
        if self.name.startswith(NODE_MODULES):
            path = node_modules() / self.name.removeprefix(NODE_MODULES).lstrip("/")
        else:
            path = Path(shutil.which(self.name, path=PATH) or self.name)
        return path if path.is_absolute() and path.exists() else None

    def is_here(self) -> bool:
        """Whether it is on this machine, where programs in a slot can see it."""
        return self.path() is not None


@dataclass(frozen=True, slots=True)
class Prebuilt:
    """What is made once for a version of a toolchain, and seen read-only in every sandbox: "{prebuilt}"."""

    sources: Mapping[str, str]
    """Files of ours, which stay beside what is made of them."""
    commands: tuple[tuple[str, ...], ...]
    """What makes the rest, in the folder of the sources."""


@dataclass(frozen=True, slots=True)
class Language:
    """A language whose programs can be run.

    A program is written into files, built (if there is a build command) and run, all inside a slot. In
    commands, "{prebuilt}" and "{node_modules}" stand for folders (`compilers.prebuilt.fill_in`). It has
    run to its end if the process that was started has sent the key of the run (32 hexadecimal digits) on
    descriptor 63, once and nothing else. What sends it must not be the candidate's: an epilogue or a launcher
    among `files`. A failed assertion that would not end the program sends something else, which spoils it.
    """

    name: str
    """As in `problems.languages`, which knows the other names it goes by."""
    tools: tuple[Tool, ...] = ()
    version_command: tuple[str, ...] = ()
    """Prints the version of the toolchain."""
    files: Callable[[str, str], Mapping[str, str]] = lambda source, key: {"program": source}
    """Source and key to the files, by their paths in the directory where everything runs.

    That is the working directory, and its place differs between kinds of isolation: launchers and commands
    name files in it by relative paths.
    """
    key_is_in_files: bool = False
    """Whether the key stands in the files; otherwise the launcher reads it from descriptor 63."""
    build: tuple[str, ...] = ()
    """Command that compiles; empty: nothing to compile."""
    build_options: Callable[[str], tuple[str, ...]] = lambda source: ()
    """Further arguments of `build` which for this source make it cheaper and change nothing else."""
    warm: tuple[str, ...] = ()
    """Command of a compiler that compiles one program after the other (`compilers.compiler`) and says of each
    what `build` says, at less cost; empty: there is none."""
    prebuilt: Prebuilt | None = None
    """What `build_options`, `warm` and `run` need."""
    run: tuple[str, ...] = ()
    """Command that runs; "{memory_mb}" stands for the limit. Empty: a fork of the slot's own interpreter."""
    environment: Mapping[str, str] = field(default_factory=dict)
    reserves_memory: bool = False
    """Whether its runtime reserves far more addresses than it uses: then the memory it uses is limited."""
    syntax_error_mark: str = ""
    """MultiPL-E calls a program that exits with an error a syntax error when its output contains this.

    Empty, without a build command: it calls none so.
    """
    failure_marks: tuple[str, ...] = ()
    """MultiPL-E calls a program failed when its output contains one of these, whatever the exit code."""
    stderr_is_failure: bool = False
    """Whether MultiPL-E calls a program failed that prints anything on stderr, whatever the exit code."""
    error_line: str = ""
    """Pattern of the first line of an error output that says what is wrong; empty: the last line does."""

    def missing(self, source: str | None = None) -> list[Tool]:
        """The tools that are not here; those that only some programs need count if `source` needs them.

        Without `source`, all count.
        """
        return [
            tool
            for tool in self.tools
            if (source is None or re.search(tool.needed_by, source)) and not tool.is_here()
        ]

    def version(self) -> str:
        """Version of the toolchain that is here: the first that its command prints, and what that is "on"."""
        done = subprocess.run(
            self.version_command,
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": PATH, "HOME": "/"},
            stdin=subprocess.DEVNULL,
        )
        found = re.search(r"\d+(\.\d+)+[^\s()]*( on .*)?", done.stdout + done.stderr)
        return found[0].strip() if found else ""


def node_modules() -> Path:
    """Folder of the npm packages that programs see as /node_modules.

    Example:
        >>> node_modules().parts[-2:]
        ('rewardranker', 'node_modules')
    """
    data = os.environ.get("XDG_DATA_HOME") or Path("~/.local/share").expanduser()
    return Path(data, "rewardranker", "node_modules")


INSTALL = {
    "apt": ("sudo", "apt-get", "install", "--yes", "--no-install-recommends"),
    "npm": ("npm", "install", "--no-audit", "--no-fund", "--prefix", str(node_modules().parent)),
}
"""Commands to which packages are appended."""


def apt(name: str, package: str, needed_by: str = "") -> Tool:
    """A tool of a Debian package."""
    return Tool(name, package, "apt", needed_by)


def npm(package: str, version: str, needed_by: str = "") -> Tool:
    """A package of npm, in the version that everything here is tested with."""
    return Tool(f"{NODE_MODULES}/{package}", f"{package}@{version}", "npm", needed_by)
