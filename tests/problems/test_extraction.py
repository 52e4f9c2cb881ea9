import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardranker.problems.extraction import (
    STOP_TOKENS,
    Block,
    Extracted,
    extract_candidate,
    extract_program,
    fenced_blocks,
)
from rewardranker.problems.languages import canonical_language
from rewardranker.problems.problem import Problem

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
PROBLEM = Problem(
    "p",
    "python",
    'from typing import List\n\ndef f(xs: List[int]) -> int:\n    """The def g of xs."""\n',
    "assert f([1]) == 1",
    STOP_TOKENS["python"],
)
SIGNATURE = "def f(xs: List[int]) -> int:\n"
CPP = Problem(
    "c",
    "cpp",
    "#include<assert.h>\nlong f(long x) {\n",
    "}\nint main() {\n    assert(f(1) == 2);\n}\n",
    ("\n}",),
)
JAVA = Problem(
    "j",
    "java",
    "import java.util.*;\nclass Problem {\n    public static long f(long x) {\n",
    "    }\n    public static void main(String[] args) {\n    assert(f(1l) == (2l));\n    }\n\n}\n",
    ("\n    }\n",),
)


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize(
    ("answer", "blocks"),
    [
        ("no fence", []),
        ("```\nx\n```", [Block("", "x\n")]),
        ("a\n```Python3 title=x\nx\n\ny\n```\nb", [Block("python3", "x\n\ny\n")]),
        ("```{.cpp}\nx\n```", [Block("cpp", "x\n")]),
        ("```c++\nx\n```\n~~~js\ny\n~~~", [Block("c++", "x\n"), Block("js", "y\n")]),
        ("````\n```\nx\n```\n````", [Block("", "```\nx\n```\n")]),
        ("~~~\n```\nx\n~~~", [Block("", "```\nx\n")]),
        ("```py\nx", [Block("py", "x")]),
        ("- one\n   ```\n   if x:\n     y\n  z\n   ```", [Block("", "if x:\n  y\nz\n")]),
        ("```py\r\nx\r\n```\r\n", [Block("py", "x\r\n")]),
        ("the ``` in a line", []),
        ("``` a `b` ```\nx", []),
        ("```py\nx = 1  # ```\n```", [Block("py", "x = 1  # ```\n")]),
    ],
)
def test_blocks_are_markdown_s(answer: str, blocks: list[Block]) -> None:
    assert fenced_blocks(answer) == blocks


@given(
    st.text(),
    st.text(),
    st.sampled_from(["```", "~~~~", "`````"]),
    st.sampled_from(["", "python", "py", "x"]),
)
def test_what_a_fence_wraps_is_the_program(prose: str, code: str, fence: str, tag: str) -> None:
    unfenced = prose.replace("`", "").replace("~", "")
    inside = code.replace("`", "").replace("~", "")
    answer = f"{unfenced}\n{fence}{tag}\n{inside}\n{fence}\n{unfenced}"
    expected = f"{inside}\n" if inside.strip() else f"{unfenced}\n"
    assert extract_program(answer, "python", "f") == expected


@given(
    st.text(st.sampled_from("`~ \n\tdef():{}=cx#/*\\\"'1é\r\x0c")),
    st.sampled_from(["python", "cpp", "java", "haskell", ""]),
    st.text(st.sampled_from("`~ \ndef():{}f"), max_size=30),
)
def test_no_answer_is_too_odd(answer: str, language: str, prompt: str) -> None:
    extract_program(answer, language, "f")
    found = extract_candidate(answer, Problem("p", language, prompt, "}\n", ("\n}",), "f"))
    assert isinstance(found.text, str)


@pytest.mark.parametrize(
    ("answer", "entry_point", "program"),
    [
        # of several that define it, the last
        ("```py\ndef f(): bug\n```\nWrong! Again:\n```py\ndef f(): 1\n```", "f", "def f(): 1\n"),
        # usage after it
        ("```py\ndef f(): 1\n```\n```py\nprint(f(), 'a long example')\n```", "f", "def f(): 1\n"),
        # not known: the longest
        ("```py\ndef f(): 1\n```\n```py\nf()\n```", "", "def f(): 1\n"),
        # labelled before unlabelled, output and shell aside
        ("```sh\npip install a-long-name\n```\n```py\nx\n```\n```\n1 2 3 4\n```", "", "x\n"),
        ("```text\nlonger than it\n```\n```\nx\n```", "", "x\n"),
        ("```solution\nx\n```\n```json\n{1: 22222}\n```", "", "x\n"),
        # better than nothing
        ("```java\nclass X {}\n```", "", "class X {}\n"),
        # the opening fence was in the prompt
        ("def f(): 1\n```", "f", "def f(): 1\n"),
        ("def f(): 1\n```\nIt returns 1.", "f", "def f(): 1\n"),
        ("Here:\n```\ndef f(): 1\n", "f", "def f(): 1\n"),
        ("x = 1", "f", "x = 1"),
        ("", "f", ""),
        ("```\n```", "f", ""),
    ],
)
def test_which_block_is_the_answer(answer: str, entry_point: str, program: str) -> None:
    assert extract_program(answer, "python", entry_point) == program


@pytest.mark.parametrize(
    "answer",
    [
        "    return xs[0]",
        PROBLEM.prompt + "    return xs[0]",
        f"Sure!\n```python\n{PROBLEM.prompt}    return xs[0]\n```\nBye.",
        "```\n    return xs[0]\n```",
        "```\nreturn xs[0]\n```",  # the body, moved to the left
        f"```\nfrom typing import List\n\n{SIGNATURE}    return xs[0]\n\nprint(f([1]))\n```",
        f"1. So:\n   ```\n   {SIGNATURE}       return xs[0]\n   ```",
        f"```\n  {SIGNATURE}      return xs[0]\n```",  # indented in its fence
        "    return xs[0]\n\ndef f(xs): pass",  # runs on
    ],
)
def test_an_answer_becomes_what_follows_the_prompt(answer: str) -> None:
    found = extract_candidate(answer, PROBLEM)
    assert found == Extracted(found.text) and found.text.rstrip() == "    return xs[0]"


def test_a_program_of_its_own_gets_the_imports_of_the_prompt() -> None:
    helped = "def head(xs):\n    return xs[0]\n\ndef f(xs: List[int]):\n    return head(xs)\n"
    found = extract_candidate(f"```py\n{helped}```", PROBLEM)
    assert found == Extracted(f"from typing import List\n{helped}", whole=True)
    assert found.program(PROBLEM) == f"from typing import List\n{helped}\nassert f([1]) == 1"
    assert extract_candidate(f"```py\n{found.text}```", PROBLEM) == found


def test_a_method_of_another_class_is_put_at_the_depth_where_its_stop_token_ends_it() -> None:
    body = "        return x + 1;"
    for answer in (
        f"```java\nclass Solution {{\n    public static long f(long x) {{\n{body}\n    }}\n}}\n```",
        "```java\npublic static long f(long x) {\n    return x + 1;\n}\n```",
    ):
        assert extract_candidate(answer, JAVA) == Extracted(body)


def test_a_whole_program_loses_the_braces_that_the_tests_bring() -> None:
    helper = "long one() {\n    return 1;\n}\n"
    found = extract_candidate(f"```cpp\n{helper}\nlong f(long x) {{\n    return x + one();\n}}\n```", CPP)
    assert found.whole
    assert squeezed(found.program(CPP)) == squeezed(
        f"#include<assert.h>{helper} long f(long x) {{ return x + one(); }}"
        " int main() { assert(f(1) == 2); }"
    )


@pytest.mark.parametrize(
    ("language", "prompt", "definition"),
    [
        ("javascript", "//f\nfunction f(a){\n", "const f = (a) => {\n  return a;\n};"),
        ("r", "f <- function(a) {", "g <- 1\nf<- function(a) {\n  a\n}"),
        ("racket", "(define (f a)\n", "(define one 1)\n(define (f a) a)"),
        ("rust", "fn f(a: isize) -> isize {\n", "fn one() -> isize { 1 }\nfn f(a: isize) -> isize { a }"),
        ("perl", "sub f {\n    my($a) = @_;\n", "sub one { 1 }\nsub f { $_[0] }"),
        ("ocaml", "let f (a : int) : int =", "let one = 1\nlet rec f a = a"),
        ("haskell", "f :: Int -> Int\nf a =", "import Data.List\n\nf :: Int -> Int\nf a = a"),
        ("go", "package f_test\nfunc f(a int) int {\n", "type T int\nfunc f(a int) int { return a }"),
        ("bash", "#!/bin/bash\n# $1 is a\nf() {\n", "one() {\n echo 1\n}\nf() {\n echo $1\n}"),
        ("cpp", "std::vector<int> f(int a) {\n", "#include <map>\nauto f(int a) -> V { return {a}; }"),
        ("csharp", "class P {\n    public long F(long a) {\n", "using X;\nclass Q {\n long F(long a) {\n"),
        ("d", "long f(long a) \n", "long one() { return 1; }\nlong f(long a)\n{\n    return a;\n}"),
    ],
)  # fmt: skip
def test_a_definition_is_known_in_every_language(language: str, prompt: str, definition: str) -> None:
    problem = Problem("p", language, prompt, "")
    assert extract_candidate(f"```\n{definition}\n```", problem).whole
    assert not extract_candidate("  return 1", problem).whole


def test_time_is_linear_in_what_is_answered() -> None:
    for answer in (
        "f(" * 200_000,
        "`" * 400_000,
        "a " * 200_000 + "f(",
        "f (" + "a" * 400_000,
        "```\n" * 100_000,
    ):
        extract_candidate(answer, CPP)
        extract_candidate(answer, PROBLEM)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent; it is not part of the project")
@pytest.mark.parametrize("name", ["cpp", "cs", "java", "js", "php", "sh", "ts"])
def test_right_programs_come_out_of_answers_as_they_were(name: str) -> None:
    lines = (DATA / "pools" / "multipl-e-gpt" / f"{name}.jsonl").read_text("utf-8").splitlines()
    for row in map(json.loads, lines[::5]):
        language = canonical_language(row["language"])
        problem = Problem("p", language, row["prompt"], row["tests"], STOP_TOKENS[language])
        wanted = problem.program(problem.truncate(row["completion"]))
        for answer in (
            row["completion"],
            f"Sure:\n```{name}\n{row['prompt']}{row['completion']}\n```\n```\nf(1)\n```",
        ):
            found = extract_candidate(answer, problem)
            assert squeezed(found.program(problem)) == squeezed(wanted)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent; it is not part of the project")
def test_stop_tokens_are_multipl_e_s() -> None:
    for path in (DATA / "multipl-e").glob("humaneval-*.jsonl"):
        row = json.loads(path.read_text("utf-8").split("\n", 1)[0])
        language = canonical_language(row["language"])
        if language != "python" and language in STOP_TOKENS:
            assert STOP_TOKENS[language] == tuple(row["stop_tokens"])
