"""Another family of procedural tasks, on strings and integers, and programs made wrong by a small change."""

from collections.abc import Callable
from random import Random
from typing import Any

from rewardranker.problems.problem import Problem

_Step = tuple[str, str, Callable[[Any, int], Any]]
"""What is asked, the line of code, what it computes; {k} is the parameter."""

_STRING: tuple[_Step, ...] = (
    ("make it upper case", "s = s.upper()", lambda s, k: s.upper()),
    ("make it lower case", "s = s.lower()", lambda s, k: s.lower()),
    ("swap the case of its letters", "s = s.swapcase()", lambda s, k: s.swapcase()),
    ("reverse it", "s = s[::-1]", lambda s, k: s[::-1]),
    ("drop its first {k} characters", "s = s[{k}:]", lambda s, k: s[k:]),
    ("keep its first {k} characters", "s = s[:{k}]", lambda s, k: s[:k]),
    ("keep its last {k} characters", "s = s[-{k}:]", lambda s, k: s[-k:]),
    ("repeat it {k} times", "s = s * {k}", lambda s, k: s * k),
    ("sort its characters", "s = ''.join(sorted(s))", lambda s, k: "".join(sorted(s))),
    ("remove the blanks", "s = s.replace(' ', '')", lambda s, k: s.replace(" ", "")),
    ("replace every a by o", "s = s.replace('a', 'o')", lambda s, k: s.replace("a", "o")),
    ("put {k} in front", "s = '{k}' + s", lambda s, k: str(k) + s),
    ("put {k} at the end", "s = s + '{k}'", lambda s, k: s + str(k)),
)
_STRING_ENDS: tuple[_Step, ...] = (
    ("return it", "return s", lambda s, k: s),
    ("return its length", "return len(s)", lambda s, k: len(s)),
    ("count how often it has an e", "return s.count('e')", lambda s, k: s.count("e")),
    ("return the number of different characters", "return len(set(s))", lambda s, k: len(set(s))),
)
_INTEGER: tuple[_Step, ...] = (
    ("add {k}", "n = n + {k}", lambda n, k: n + k),
    ("subtract {k}", "n = n - {k}", lambda n, k: n - k),
    ("multiply by {k}", "n = n * {k}", lambda n, k: n * k),
    ("divide by {k} rounding down", "n = n // {k}", lambda n, k: n // k),
    ("take the remainder by {k}", "n = n % {k}", lambda n, k: n % k),
    ("square it", "n = n * n", lambda n, k: n * n),
    ("take the absolute value", "n = abs(n)", lambda n, k: abs(n)),
    ("halve it if it is even", "n = n // 2 if n % 2 == 0 else n", lambda n, k: n // 2 if n % 2 == 0 else n),
    ("limit it to at most {k}", "n = min(n, {k})", min),
)
_INTEGER_ENDS: tuple[_Step, ...] = (
    ("return it", "return n", lambda n, k: n),
    (
        "return the sum of its digits",
        "return sum(map(int, str(abs(n))))",
        lambda n, k: sum(map(int, str(abs(n)))),
    ),
    ("say whether it is even", "return n % 2 == 0", lambda n, k: n % 2 == 0),
    ("return the number of its digits", "return len(str(abs(n)))", lambda n, k: len(str(abs(n)))),
)
_WORDS = ("", "a", "Code review", "banana SPLIT", "see the tree", "Eleven elephants", "x y z", "aAbBeE")
_NUMBERS = (0, 1, -1, 7, 12, -35, 99, 240)
_CHANGES = (
    *(("+", "-"), ("*", "+"), ("//", "%"), ("==", "!="), ("<", "<="), (">", ">="), ("[:", "["), ("abs", "")),
    *(("upper", "lower"), ("min", "max"), ("sum", "len"), ("sorted", "reversed")),
)


def other_problems(count: int, seed: int) -> list[Problem]:
    """Tasks of two to four steps on a string or an integer, each with its reference program."""
    rng = Random(f"other/{seed}")
    problems: dict[str, Problem] = {}
    while len(problems) < count:
        of_strings = rng.random() < 0.5
        steps, ends, name = (_STRING, _STRING_ENDS, "s") if of_strings else (_INTEGER, _INTEGER_ENDS, "n")
        chosen = [*rng.sample(steps, rng.randint(1, 3)), rng.choice(ends)]
        parameters = [rng.randint(2, 9) for _ in chosen]
        parts = list(zip(chosen, parameters, strict=True))
        text = " , then ".join(asked.format(k=k) for (asked, _, _), k in parts)
        cases = []
        for value in _WORDS if of_strings else _NUMBERS:
            result: Any = value
            for (_, _, function), k in parts:
                result = function(result, k)
            cases.append(f"assert f({value!r}) == {result!r}")
        prompt = f'def f({name}):\n    """{text[0].upper()}{text[1:]}."""\n'
        problems[prompt] = Problem(
            id=f"other/{len(problems)}",
            language="python",
            prompt=prompt,
            tests="\n".join(cases) + "\n",
            entry_point="f",
            reference="".join(f"    {line.format(k=k)}\n" for (_, line, _), k in parts),
        )
    return list(problems.values())


def changed_programs(text: str, rng: Random, count: int) -> list[str]:
    """Up to `count` programs that differ from `text` in a digit, an operator, or a line left out or moved."""
    lines = text.splitlines(keepends=True)
    found = set()
    for i, line in enumerate(lines):
        before, after = "".join(lines[:i]), "".join(lines[i + 1 :])
        if len(lines) > 1:
            found.add(before + after)
        if i:
            found.add("".join(lines[: i - 1]) + line + lines[i - 1] + after)
        for old, new in (*_CHANGES, *((new, old) for old, new in _CHANGES if new)):
            if old in line:
                found.add(before + line.replace(old, new, 1) + after)
        for place in (j for j, character in enumerate(line) if character.isdigit()):
            digit = (int(line[place]) + rng.randint(1, 8)) % 10
            found.add(before + line[:place] + str(digit) + line[place + 1 :] + after)
    found.discard(text)
    return rng.sample(sorted(found), min(count, len(found)))
