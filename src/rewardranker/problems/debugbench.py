"""DebugBench (Tian et al. 2024, arXiv 2401.04621): LeetCode solutions, and the same with bugs by GPT-4.

A ranker must learn the bugs, not how the file was made, and as published the label can be read off the
layout: every buggy program begins and ends with a line break and no right one does, and comments were lost
(in 8 to 18 % of the pairs) but never added. So both sides are put into one layout, without comments.
What remains is in the bugs themselves: 59 % of the buggy Python programs do not parse.
"""

import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from rewardranker.errors import UserError
from rewardranker.files import read_text
from rewardranker.problems.languages import canonical_language
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.problems.rows import Record, parse_rows, validate

_FILE = re.compile(r"(python3|cpp|java)_(.+)\.json")
"""How a file of the benchmark is called: language_bug.json."""
_COMMENT = {
    "python": re.compile(
        r'("""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')|#[^\n]*'
    ),
    "cpp": re.compile(r'("(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')|//[^\n]*|/\*[\s\S]*?\*/'),
}
"""A string literal (group 1, kept) or a comment."""
_COMMENT["java"] = _COMMENT["cpp"]


class Row(Record):
    """What is used of an item; `content` holds the solution and is left alone."""

    slug: str
    description: str
    examples: list[str]
    constraints: str
    oracle_code: str
    buggy_code: str


def read_debugbench(path: Path, language: str | None = None) -> list[PreferenceGroup]:
    """One group for each language and problem: the LeetCode solutions against all their buggy versions.

    Args:
        path: the repository as a folder or .tar.gz, or one file of its `benchmark` folder.
        language: only this one; None for all.

    Raises:
        UserError: nothing of DebugBench is there, or nothing in `language`, or a file isn't as published.
    """
    if language is not None:
        try:
            language = canonical_language(language)
        except ValueError as e:
            raise UserError(str(e)) from e
    groups: dict[str, tuple[Row, dict[str, str], dict[str, str]]] = {}
    languages = set()
    for file, text in _files(path):
        prefix, bug = _name(file)
        row_language = canonical_language(prefix)
        languages.add(row_language)
        if language is not None and row_language != language:
            continue
        for where, item in parse_rows(text, file):
            row = validate(Row, item, where)
            _, chosen, rejected = groups.setdefault(f"{row_language}/{row.slug}", (row, {}, {}))
            chosen.setdefault(normalise(row.oracle_code, row_language), "leetcode")
            rejected.setdefault(normalise(row.buggy_code, row_language), bug)
    if not languages:
        raise UserError(f"{path}: no file of DebugBench in it (such as benchmark/python3_double.json)")
    if not groups:
        raise UserError(f"{path}: nothing in {language}; it has {', '.join(sorted(languages))}")
    return [_group(key, *parts) for key, parts in groups.items()]


def normalise(code: str, language: str) -> str:
    """`code` without comments, blank lines, trailing blanks, tabs and Markdown fences."""
    code = _COMMENT[language].sub(lambda match: match[1] or "", code)
    lines = (line.rstrip().expandtabs(4) for line in code.splitlines())
    return "".join(line + "\n" for line in lines if line and not line.startswith("```"))


def _group(key: str, row: Row, chosen: dict[str, str], rejected: dict[str, str]) -> PreferenceGroup:
    # One Java bug changed nothing; two commented the whole program out.
    wrong = {code: bug for code, bug in rejected.items() if code and code not in chosen}
    return PreferenceGroup(
        problem_id=key,
        prompt=_prompt(row, key.partition("/")[0]),
        chosen=tuple(chosen),
        rejected=tuple(wrong),
        chosen_sources=tuple(chosen.values()),
        rejected_sources=tuple(wrong.values()),
        source="debugbench",
    )


def _prompt(row: Row, language: str) -> str:
    """The statement as a comment of the language, so that prompt + program is one file."""
    statement = "\n\n".join([row.description, *row.examples, row.constraints]).strip()
    if language == "python":
        return '"""\n' + statement.replace("\\", "\\\\").replace('"""', '\\"\\"\\"') + '\n"""\n'
    return "/*\n" + statement.replace("*/", "* /") + "\n*/\n"


def _name(file: str) -> tuple[str, str]:
    match = _FILE.fullmatch(PurePosixPath(file).name)
    if match is None:
        raise UserError(f"{file}: rename it to <language>_<bug>.json, as in DebugBench (python3_double.json)")
    return match[1], match[2]


def _files(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of the benchmark's files."""
    if path.is_dir():
        for file in sorted(path.rglob("*.json")):
            if _FILE.fullmatch(file.name):
                yield str(file), read_text(file)
    elif path.name.endswith((".tar.gz", ".tgz")):
        try:
            with tarfile.open(path) as archive:
                for member in sorted(archive.getmembers(), key=lambda m: m.name):
                    data: Any = archive.extractfile(member)
                    if data is not None and _FILE.fullmatch(PurePosixPath(member.name).name):
                        yield f"{path}/{member.name}", data.read().decode()
        except OSError as e:
            raise UserError(f"{path}: cannot read it ({e.strerror or e})") from e
        except (tarfile.TarError, EOFError, zlib.error, UnicodeDecodeError) as e:
            raise UserError(f"{path}: not a readable .tar.gz ({e})") from e
    else:
        yield str(path), read_text(path)
