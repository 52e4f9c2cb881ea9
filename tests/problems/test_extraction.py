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
        ("def f(): 1\n```\nThe function f is 1:\n```\nf()\n```\nBye.", "f", "def f(): 1\n"),
        ("Here:\n```\ndef f(): 1\n", "f", "def f(): 1\n"),
        # prose that speaks of the function, or shows how it begins
        ("The body of the function f:\n```py\nreturn 1\n```", "f", "return 1\n"),
        ("The body of the function f:\n```py\nreturn 1\n", "f", "return 1\n"),
        ("The body of\n\n    def f():\n\n```py\nreturn 1\n```", "f", "return 1\n"),
        ("x = 1", "f", "x = 1"),
        ("", "f", ""),
        ("```\n```", "f", ""),
    ],
)
def test_which_block_is_the_answer(answer: str, entry_point: str, program: str) -> None:
    assert extract_program(answer, "python", entry_point) == program


@pytest.mark.parametrize("language", ["python", "cpp", "java", "go", "javascript", "rust", "ruby", ""])
@pytest.mark.parametrize(
    "usage",
    [
        "assert f(1, 2) == 3",
        "assert f(1, 2) == 3\nassert f(0, 0) in {0, 1}\nassert (f(1, 1) == 2\n    and f(2, 1) == 3)",
        ">>> f(1, 2)\n3\n>>> f(1, 1)\n{2}",
        "# Test the function f\nf(1, 2)",
        'print("Testing function f")\nprint(f(1, 2))',
        "if f(1, 2) != 3 {\n}",
        "while not f(1, 2) {\n}",
        "const wanted = 3;\nawait f(1, 2)\nfor (const x of []) {\n}",
        "int got = f(1, 2);\nif (got == 3) {\n}",
    ],
)
def test_usage_in_a_block_of_its_own_is_not_the_program(usage: str, language: str) -> None:
    program = "// a\nfunc f(a int, b int) int {}\n" if language == "go" else "def f(a, b): 1\n"
    answer = f"```{language}\n{program}```\nTest:\n```{language}\n{usage}\n```\n"
    assert extract_program(answer, language, "f") == program


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


@pytest.mark.parametrize(
    ("language", "prompt", "program"),
    [
        (
            "python",
            'def f(\n    a: int,\n    b: int,\n) -> int:\n    """Sum."""\n',
            "def f(\n    a: int,\n    b: int,\n) -> int:\n    return a + b\n",
        ),
        (
            "rust",
            "/// Sum.\nfn f(\n    a: u8,\n    b: u8,\n) -> u8 {\n",
            "fn f(\n    a: u8,\n    b: u8,\n) -> u8 {\n}\n",
        ),
        ("haskell", "-- | Sum.\nf :: Int -> Int\nf a =", "f :: Int -> Int\nf a = a\n"),
        ("perl", "# Sum.\nsub f {\n    my($a) = @_;\n", "sub f {\n    my($a) = @_;\n    $a\n}\n"),
    ],
)
def test_a_signature_of_several_lines_begins_a_program_of_its_own(
    language: str, prompt: str, program: str
) -> None:
    problem = Problem("p", language, prompt, "", STOP_TOKENS[language], "f")
    assert extract_candidate(f"```\n{program}```", problem) == Extracted(program, whole=True)


def test_words_of_a_docstring_are_not_the_signature() -> None:
    for quotes in ('"""', "'''"):
        prompt = f"def f(x):\n    {quotes}\n    function f(x) is x\n    {quotes}\n"
        found = extract_candidate("```\ndef f(x):\n    return x\n```", Problem("p", "python", prompt, ""))
        assert found == Extracted("    return x\n")


@pytest.mark.parametrize("beginning", ["", SIGNATURE, PROBLEM.prompt])
@pytest.mark.parametrize(
    "usage",
    [
        "",
        "\nprint(f([1]))\n",
        "\n# Usage\nassert f([1]) == 3\n",
        "\ndef main():\n    print(f(input()))\n\nmain()\n",
        "\nif __name__ == '__main__':\n    def one(): ...\n",
    ],
)
def test_helpers_after_the_function_stay_and_what_it_does_not_use_goes(beginning: str, usage: str) -> None:
    helped = "    return one(xs)\n\n# the first\ndef one(xs):\n    return Two(xs)\n\nclass Two: ..."
    for body in (helped, "    return max(\n        xs)"):
        found = extract_candidate(f"```python\n{beginning}{body}{usage or chr(10)}```", PROBLEM)
        assert not found.whole and found.text.removeprefix("\n").rstrip("\n") == body


@pytest.mark.parametrize(
    ("problem", "helper", "usage"),
    [
        (CPP, "}\n\nint g(int x) {\n    return x;", "\n}\n\nint main() {\n    f(1);\n}"),
        (CPP, "}\nint g(int x) { return x;", " }"),
        (JAVA, "    }\n\n    private static int g(int x) {\n        return x;", "\n    }\n}"),
        (JAVA, "    }\n    static int g(int x) { return x;", "}\n}"),
        ("csharp", "    }\n\n    static int g(int x)\n    {\n        return x;", "\n    }\n}"),
        ("php", "}\n// Help\nfunction g($x) {\n    return $x;\n}", "\n\n// Usage\necho f(1);"),
        ("javascript", "}\n// Help\nconst g = (x) => x;", "\n\n// Usage\nconst x = f(1);"),
        ("typescript", "}\n/* Help */\nfunction g(x: any) {\n    return x;\n}", "\n// Usage\nf(1);"),
        ("rust", "}\n\npub fn g(x: u8) -> u8 {\n    x", "\n}\n\nfn main() {\n    f(1);\n}"),
        ("go", "}\n\nfunc g(x int) int {\n\treturn x\n}\n", "\nfunc main() {\n\tf(1)\n}"),
        ("bash", "}\n\ng() {\n    echo $1", "\n}\n\nf 1"),
        ("ruby", "end\n\ndef g(x)\n  x\nend", "\n\nputs f(1)"),
        ("racket", ")\n; Help\n(define (g x) x)", "\n(define h (f 1))"),
    ],
)
def test_helpers_after_the_function_stay_in_every_language(
    problem: Problem | str, helper: str, usage: str
) -> None:
    if isinstance(problem, str):
        prompts = {"php": "<?php\n", "racket": "#lang racket\n", "csharp": "class P {\n    // f\n    "}
        problem = Problem("p", problem, f"{prompts.get(problem, '')}f {{\n", "", STOP_TOKENS[problem], "f")
    kept = f"        g(1)\n{helper}"
    found = extract_candidate(f"```\n{problem.prompt}{kept}{usage}\n```", problem)
    assert found.text.rstrip() == kept.rstrip() and not found.whole


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
        ("csharp", "class P {\n long F(long a) {\n", "class Q {\n static long F(long a) => a + 1;\n}"),
        ("dart", "int f(int a) {\n", "int one() => 1;\nint f(int a) => a;"),
        ("go", "func f(a int) int {\n", "type T int\nfunc (t *T) f(a int) (int, error) { return a }"),
        ("rust", "fn f(a: u8) -> u8 {\n", "use x;\n#[inline] pub(crate) const fn f(a: u8) -> u8 { a }"),
        ("ocaml", "let f (a : int) : int =", "let rec g a = f a\nand f a = a"),
        ("typescript", "function f(a: any) {\n", "class C {\n  static async f(a: any) {\n  }\n}"),
        ("javascript", "function f(a){\n", "const g = 1;\nexport default async function f(a) {}"),
        ("php", "<?php\nfunction f($a) {\n", "<?php function f($a) { return g(); }"),
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
        f"```\n{SIGNATURE}    a\n" + "def a(): b\n#\n" * 10_000,
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
