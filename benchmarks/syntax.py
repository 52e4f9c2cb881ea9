"""Which grammars may push a candidate down: right programs that tree-sitter rejects, wrong ones it catches.

Right programs are those that passed by others' labels or the sandbox's gold verdicts, the references of MBPP
and HumanEvalPack, accepted submissions (ConDefects, DebugBench), and what toolchains install of their own
libraries. A language is judged (`rewardranker.problems.syntax.JUDGED`) where fifty were found and at most one
in two hundred is rejected. Also: answers made of such programs, and whether the programs come out again.

usage: python benchmarks/syntax.py [--data ../shared/data] [-o docs/results/syntax.md]
"""

import argparse
import json
import random
import re
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from tree_sitter import Node, Parser
from tree_sitter_language_pack import get_language

from rewardranker.files import read_jsonl, write_text
from rewardranker.problems.debugbench import Row
from rewardranker.problems.extraction import STOP_TOKENS, extract_candidate
from rewardranker.problems.languages import canonical_language
from rewardranker.problems.problem import Problem
from rewardranker.problems.rows import parse_rows
from rewardranker.problems.syntax import _TYPEID, JUDGED, candidate_parses

LIBRARIES = {
    "perl": "/usr/share/perl/*/**/*.pm",
    "go": "/usr/share/go-*/src/**/*.go",
    "ruby": "/usr/lib/ruby/**/*.rb",
    "lua": "/usr/share/lua/**/*.lua",
    "ocaml": "/usr/lib/ocaml/**/*.ml",
    "racket": "/usr/share/racket/**/*.rkt",
    "d": "/usr/lib/ldc/**/*.d",
}
"""Where Debian's packages of toolchains put sources."""
CAUSES = {
    r"(?m)^(class \w+|\s*def \w+\(self.*\).*):": "Python in a file of Java: DebugBench has such rows",
    r"(?m)^ctypedef ": "Cython, submitted as Python",
    r"\$\{\w+:\$\w+": "Bash: the grammar does not know ${x:$i:1}",
    r"\$\{[\w@\[\]]+: -": "Bash: the grammar does not know ${x: -n}",
    r"\w\[\$\w+,\$\w+\]": "Bash: the grammar does not know x[$i,$j]",
}


def programs(data: Path) -> Iterator[tuple[str, str, str, str]]:
    """(set, language, status, program), the status as labelled."""
    for path in sorted((data / "gold").glob("*.jsonl.gz")):
        for _, row in read_jsonl(path):
            yield "gold", canonical_language(row["language"]), row["expected"], row["program"]
    for path in sorted((data / "pools" / "multipl-e-gpt").glob("*.jsonl")):
        for _, row in read_jsonl(path):
            program = f"{row['prompt']}{row['completion']}\n{row['tests']}"
            yield "GPT on MultiPL-E", canonical_language(row["language"]), row["status"], program
    for _, row in read_jsonl(data / "pools" / "codet_codegen16B_humaneval_even.jsonl.gz"):
        for text, status in zip(row["completions"], row["status"], strict=True):
            yield "CodeGen-16B on HumanEval", "python", status, f"{row['prompt']}{text}\n{row['test']}"
    for language in ("php", "javascript"):
        for _, row in read_jsonl(data / "pools" / f"polyhumaneval_{language}.jsonl.gz"):
            for c in row["candidates"]:
                begin = "<?php\n" if language == "php" and "<?" not in c["code"] else ""
                yield "PolyHumanEval", language, c["status"], begin + c["code"]
    for _, row in read_jsonl(data / "formats" / "mbpp" / "mbpp.jsonl"):
        yield "MBPP", "python", "passed", row["code"]
    for path in sorted((data / "formats" / "humanevalpack").glob("*.jsonl")):
        for _, row in read_jsonl(path):
            language = canonical_language(row["task_id"].split("/")[0])
            program = f"{row['prompt']}{row['canonical_solution']}\n{row['test']}"
            yield "HumanEvalPack", language, "passed", program
    with tarfile.open(data / "pairs" / "condefects.tar.gz") as archive:
        for member in archive:
            if "correctVersion" in member.name and (file := archive.extractfile(member)):
                language = "java" if member.name.endswith(".java") else "python"
                yield "ConDefects", language, "passed", file.read().decode("utf-8", "replace")
    with tarfile.open(data / "pairs" / "debugbench.tar.gz") as archive:
        seen = set()
        for member in archive:
            if member.name.startswith("benchmark/") and (file := archive.extractfile(member)):
                for _, item in parse_rows(file.read().decode(), member.name):
                    row = Row.model_validate(item)
                    language = canonical_language(
                        Path(member.name).name.split("_")[0].replace("python3", "py")
                    )
                    if row.oracle_code not in seen:
                        seen.add(row.oracle_code)
                        yield "DebugBench", language, "passed", row.oracle_code
    for path in sorted((data / "formats" / "multipl-e" / "completions").glob("*.json")):
        row = json.loads(path.read_text("utf-8"))
        if (language := canonical_language(row["language"])) in STOP_TOKENS:
            program = f"{row['prompt']}{row['completions'][0]}\n{row['tests']}"
            yield "MultiPL-E's tests of itself", language, "passed", program
    for language, pattern in LIBRARIES.items():
        files = [p for p in sorted(Path("/").glob(pattern[1:])) if p.stat().st_size < 20_000]
        files = [p for p in files if "testdata" not in p.parts]
        for path in random.Random(1).sample(files, min(300, len(files))):
            yield "installed libraries", language, "passed", path.read_text("utf-8", "replace")


def first_error(node: Node) -> Node | None:
    if node.is_error or node.is_missing:
        return node
    return next((e for child in node.children if child.has_error and (e := first_error(child))), None)


def reject(language: str, program: str) -> Node | None:
    """The first error of `program`, whether or not its language is judged."""
    text = _TYPEID.sub("x", program) if language == "cpp" else program
    root = Parser(get_language(language)).parse(text.encode("utf-8", "replace")).root_node
    return (first_error(root) or root) if root.has_error else None


def cause(program: str, error: Node) -> str:
    for pattern, why in CAUSES.items():
        if re.search(pattern, program):
            return why
    line = program.splitlines()[error.start_point.row : error.start_point.row + 1]
    return f"unexplained: `{(line or [''])[0].strip()[:60]}`".replace("|", "\\|")


def wrapped(problem: Problem, text: str) -> Iterator[tuple[str, str]]:
    """(how, answer): the program in the ways that models answer."""
    missing = problem.tests.count("}") - problem.tests.count("{")
    program = problem.prompt + text + {1: "\n}", 2: "\n    }\n}"}.get(missing, "")
    listed = "".join(f"   {line}\n" for line in program.splitlines())
    yield "completion", text
    yield "prompt repeated, no fence", program
    yield "labelled block, prose around", f"Sure:\n\n```{problem.language}\n{program}\n```\nIt works."
    yield "unlabelled block", f"```\n{program}\n```"
    yield "block that is not closed", f"Look:\n~~~~\n{program}"
    yield "only the closing fence", f"{program}\n```\nThis is it."
    yield "block in a list", f"1. Here:\n\n   ```\n{listed}   ```\n"
    yield "body only, in a block", f"The body:\n```\n{text}\n```"
    usage = f"Usage:\n```\nf(1)\n```\nIt prints:\n```text\n{'x' * 9999}\n```"
    yield "usage and output after it", f"```{problem.language}\n{program}\n```\n{usage}"


def extraction(data: Path) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    """How often the program that is judged is what it was, apart from blanks, for each way of answering."""
    same: Counter[tuple[str, str]] = Counter()
    n: Counter[str] = Counter()
    for path in sorted((data / "pools" / "multipl-e-gpt").glob("*.jsonl")):
        for _, row in read_jsonl(path):
            language = canonical_language(row["language"])
            problem = Problem("", language, row["prompt"], row["tests"], STOP_TOKENS[language])
            if row["passed"]:
                count(problem, row["completion"], same, n)
    for _, row in read_jsonl(data / "pools" / "codet_codegen16B_humaneval_even.jsonl.gz"):
        problem = Problem("", "python", row["prompt"], row["test"], STOP_TOKENS["python"], row["entry_point"])
        for text, label in zip(row["completions"], row["labels"], strict=True):
            if label:
                count(problem, problem.truncate(text), same, n)
    return same, n


def count(problem: Problem, text: str, same: Counter[tuple[str, str]], n: Counter[str]) -> None:
    wanted = problem.program(problem.truncate(text)).split()
    n[problem.language] += 1
    for how, answer in wrapped(problem, text):
        found = extract_candidate(answer, problem)
        same[how, problem.language] += found.program(problem).split() == wanted
        same["parses", problem.language] += candidate_parses(problem, found.text, found.whole) is not False


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/results/syntax.md"))
    options = parser.parse_args()
    n: Counter[tuple[str, str]] = Counter()
    rejected: Counter[tuple[str, str]] = Counter()
    sets: defaultdict[str, Counter[str]] = defaultdict(Counter)
    causes: Counter[tuple[str, str]] = Counter()
    for name, language, status, program in programs(options.data):
        kind = status if status in ("passed", "syntax_error") else "other"
        n[language, kind] += 1
        if kind == "passed":
            sets[language][name] += 1
        if error := reject(language, program):
            rejected[language, kind] += 1
            if kind == "passed":
                causes[language, cause(program, error)] += 1
    lines = [
        "# Which programs do not parse",
        "",
        "Made by `python benchmarks/syntax.py`. Right programs, and how many tree-sitter's grammar (language",
        "pack 0.13.0) rejects; programs with a syntax error by their compiler or interpreter, and how many",
        "of them it catches: what compilers refuse is mostly types and names, which a grammar does not see.",
        "",
        "| language | judged | right programs | rejected | syntax errors | caught | from |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for language in sorted(sets, key=lambda one: (one not in JUDGED, -n[one, "passed"])):
        origin = ", ".join(f"{name} {k}" for name, k in sets[language].most_common())
        lines.append(
            f"| {language} | {'yes' if language in JUDGED else 'no'} | {n[language, 'passed']} "
            f"| {rejected[language, 'passed']} | {n[language, 'syntax_error']} "
            f"| {rejected[language, 'syntax_error']} | {origin} |"
        )
    lines += ["", "Right programs that are rejected:", ""]
    lines += [f"- {language}, {k}: {why}" for (language, why), k in sorted(causes.items(), key=str)]
    same, answers = extraction(options.data)
    languages = sorted(answers)
    lines += [
        "",
        "## Programs out of answers",
        "",
        "Right programs of GPT and CodeGen-16B put into answers, and how many come out as they were, apart",
        "from blanks, so that the same program is judged.",
        "",
        f"| answer | {' | '.join(languages)} |",
        f"| --- |{' --- |' * len(languages)}",
        f"| programs | {' | '.join(str(answers[one]) for one in languages)} |",
    ]
    for how in dict.fromkeys(how for how, _ in same if how != "parses"):
        lines.append(f"| {how} | {' | '.join(str(same[how, one]) for one in languages)} |")
    ways = len({how for how, _ in same}) - 1
    failed = {one: ways * answers[one] - same["parses", one] for one in languages}
    lines.append(
        f"| said not to parse, of all answers | {' | '.join(str(failed[one]) for one in languages)} |"
    )
    write_text(options.out, "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
