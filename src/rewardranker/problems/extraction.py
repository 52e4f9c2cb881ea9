"""Programs out of what models answer: from a chat's fences, or from a completion that repeats its prompt.

Which block of several is the answer, public evaluators don't agree on: LiveCodeBench takes the last,
bigcode-evaluation-harness and lm-eval the first, EvalPlus the longest run of lines that parses. Here:

1. Blocks labelled as another language, or as no program ("text", "console", ...), are set aside, and so are
   unlabelled ones where others are labelled as the language asked for; never all of them.
2. Of those that define the entry point, the last: a model that answers twice corrects itself.
3. Where none does, or no entry point is known, the longest: usage and output are shorter than the program.

Without a fence the whole answer is the program: prose that nothing sets apart stays, and does not parse.
"""

import re
import textwrap
from dataclasses import dataclass
from itertools import islice, pairwise

from rewardranker.problems.languages import canonical_language
from rewardranker.problems.loaders import HUMANEVAL_STOP
from rewardranker.problems.problem import Problem

_FENCE = re.compile(r"([ \t]*)(`{3,}(?=[^`]*$)|~{3,})[ \t]*(.*)")
_NO_PROGRAM = frozenset(
    {"text", "txt", "plain", "plaintext", "console", "output", "stdout", "log", "diff", "patch"}
    | {"json", "yaml", "xml", "html", "markdown", "md"}
)
_RELATED = {
    "c": "cpp",
    "cc": "cpp",
    "cxx": "cpp",
    "jsx": "javascript",
    "mjs": "javascript",
    "node": "javascript",
    "tsx": "typescript",
    "scheme": "racket",
    "ipython": "python",
    "dlang": "d",
}
"""Words after a fence that are not names of the language elsewhere in this package."""
_KEYWORD = re.compile(
    r"(?:^|[(){}\[\]=>:;!]|(?<!\w)(?:@\w+|abstract|async|declare|default|export|extern|fileprivate|final|inline"
    r"|internal|local|mutating|open|override|overriding|php|private|protected|pub|public|static|unsafe)[ \t])"
    r"[ \t]*(?:(?:class|const|def|define|enum|fn|fun|func|function\*?|let|rec|struct|sub|type|val|var)"
    r"[ \t(]+)+$"
)
"""Before a name that is being defined: def f, let rec f, (define (f, export async function f, ...

Nothing else may stand before the keyword: "# Test the function f" defines nothing."""
_BOUND = re.compile(r"[ \t]*(?:=[ \t]*(?:lambda|function|async)\b|<-|::[ \t]|\(\))")
"""After a name that begins its line: f = lambda, f <- function, f :: Int -> Int, f() {"""
_TYPED = frozenset({"", "cpp", "csharp", "d", "dart", "go", "java", "javascript", "typescript"})
"""Languages where no keyword may stand before the name: long f(long a) {, async f(a) {; empty: not known."""
_TYPE = re.compile(
    r"[ \t]*(?!>|(?:and|assert|await|case|defer|delete|elif|else|for|go|if|in|match|new|not|or|print|raise"
    r"|return|switch|throw|typeof|unless|until|while|yield)\b)"
    r"[\w:<>\[\],.&*?!() \t]*[\w>\])][ \t&*]*(?<!\w)"
)
_BODY = re.compile(r"[ \t]*\([^;{}]{0,400}\)[^;(){}=]{0,100}(?:\{|=>)")
"""Before and after a name that has its type in front: static std::vector<int> f(int a) {"""
_MOST_USES = 1000
"""Of a name, looked at to find its definition: an answer can't take more than its share of time."""
_BLOCK_COMMENT = re.compile(r"\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3}|/\*[\s\S]*?\*/|\(\*[\s\S]*?\*\)")
_PREAMBLE = re.compile(r"(?:from|import|#include|using|use|require|library|open|package|<\?php)\b.*")
_COMMENT = re.compile(r"[ \t]*(?:#(?!include)|//|/?\*|--|;|\(\*|<\?php|\"\"\"|'''|$)")
_WRAPPER = re.compile(
    r"[ \t]*(?:public[ \t]+|final[ \t]+|static[ \t]+)*(?:class|object)[ \t]+\w+[ \t]*\{?[ \t]*"
)

STOP_TOKENS = {
    "python": HUMANEVAL_STOP,
    "cpp": ("\n}",),
    "java": ("\n    }\n",),
    "php": ("\nfunction", "\n?>", "\n//", "\n#"),
    "typescript": ("\nfunction ", "\n/*", "\n//", "\nclass"),
    "csharp": ("\n    }\n",),
    "bash": ("\n}",),
    "javascript": ("\nfunction ", "\n/*", "\n//", "\nconsole.log"),
    "ruby": ("\nclass", "\ndef", "\n#", "\n\n"),
    "go": ("\nfunc", "struct", "\n// "),
    "rust": ("\n}",),
    "perl": ("\nsub", "\n#", "\n\n"),
    "lua": ("\nlocal", "\nfunction", "\n--", "\n\n"),
    "r": ("\n#", "\n```"),
    "ocaml": ("\n\n", "\n(*", "\ntype", "\nlet"),
    "haskell": ("\n\n", "\n{-", "\n-- |", "\n--", "\ntype", "\ndata", "\nnewtype"),
    "racket": ("\n(define ", "\n#|", "\n;", "\n("),
    "d": ("\n\n", "\nvoid", "\nbool", "\nint"),
    "scala": ("\n    }\n",),
}
"""Where a function's body ends when no problem says so: MultiPL-E's, for Python HumanEval's. Some cut before
the brace that closes the body, and some cut programs with an empty line: a problem's own are better."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of Markdown."""

    tag: str
    """The word after the opening fence, in lower case; empty: none."""
    code: str
    """What it holds, without the fences and their indentation; ends with a line break unless empty."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """The program of an answer, as a candidate of its problem."""

    text: str
    """What follows the problem's prompt; the program without its tests where `whole`."""
    whole: bool = False
    """The answer is a program of its own, which does not continue the prompt."""

    def program(self, problem: Problem) -> str:
        """What judges it: `text`, after the prompt unless it is whole, with the problem's tests."""
        return f"{self.text}\n{problem.tests}" if self.whole else problem.program(self.text)


def chat_question(prompt: str) -> str:
    """A user's turn that asks for the program that `prompt` begins."""
    return (
        "Complete this program. Answer with all of it in one code block, beginning as it does here.\n\n"
        f"```\n{prompt.rstrip()}\n```"
    )


def fenced_blocks(answer: str) -> list[Block]:
    """The blocks between fences of three or more backticks or tildes, by CommonMark's rules (0.31.2, 4.5).

    A fence may be indented by any depth, as in a list; so much is taken off the lines between. A block that
    is not closed reaches to the end.

    Example:
        >>> fenced_blocks("Sure:\\n```Python\\nx = 1\\n```\\nDone.")
        [Block(tag='python', code='x = 1\\n')]
    """
    blocks: list[Block] = []
    fence = indent = tag = ""
    lines: list[str] = []
    for line in answer.splitlines(keepends=True):
        found = _FENCE.fullmatch(line.rstrip())
        if not fence:
            if found:
                indent, fence, info = found.groups()
                tag, lines = re.split(r"[\s{},:]", info.lstrip("{. "), maxsplit=1)[0].lower(), []
        elif found and found[2][0] == fence[0] and len(found[2]) >= len(fence) and not found[3]:
            blocks.append(Block(tag, "".join(lines)))
            fence = ""
        else:
            own = len(line) - len(line.lstrip(" \t"))
            lines.append(line[min(own, len(indent)) :])
    if fence:
        blocks.append(Block(tag, "".join(lines)))
    return blocks


def extract_program(answer: str, language: str = "", entry_point: str = "") -> str:
    """The program in a chat answer; the answer itself where nothing is fenced.

    An answer whose first fence closes, because its beginning was put into the model's mouth, is what stands
    before it.

    Args:
        answer: untrusted.
        language: canonical name; empty: any.
        entry_point: name of the function asked for; empty: not known.

    Example:
        >>> extract_program("Use it:\\n```\\nf(1)\\n```\\nHere:\\n```py\\ndef f(x): ...\\n```", "python", "f")
        'def f(x): ...\\n'
    """

    def defines(code: str) -> bool:
        return _definition(code, entry_point, language) is not None

    blocks = [block for block in fenced_blocks(answer) if block.code.strip()]
    before, *others = re.split(r"^[ \t]*(?:`{3}|~{3})", answer, flags=re.MULTILINE)
    begun = len(others) % 2 == 1 and defines(before)
    if not blocks or (begun and not any(defines(block.code) for block in blocks)):
        return before
    labelled = [block for block in blocks if language and _language(block.tag) == language]
    plain = [block for block in blocks if not block.tag or (not language and block.tag not in _NO_PROGRAM)]
    unknown = [block for block in blocks if block.tag not in _NO_PROGRAM and not _language(block.tag)]
    blocks = labelled or plain or unknown or blocks
    if defining := [block for block in blocks if defines(block.code)]:
        return defining[-1].code
    return max(blocks, key=lambda block: len(block.code.strip())).code


def extract_candidate(answer: str, problem: Problem) -> Extracted:
    """The program in an answer to `problem`, as what follows its prompt wherever that can be had.

    A program that begins with the prompt, or with its signature and nothing else that is new, becomes the
    completion after it, at the prompt's depth and cut at the problem's stop tokens: a fenced one after the
    last helper that it uses. Another that defines the function asked for is a whole program: it gets the
    prompt's imports that it lacks, and loses closing braces that the tests bring. What defines nothing is a
    body; a fenced one is moved to the prompt's depth.

    Args:
        answer: of a chat, or a completion; untrusted.
        problem: what it answers.

    Example:
        >>> problem = Problem("p", "python", "def f(x):\\n", "assert f(1) == 2", ("\\nprint",))
        >>> extract_candidate("```python\\ndef f(x):\\n    return x + 1\\nprint(f(1))\\n```", problem).text
        '    return x + 1'
    """
    name = problem.entry_point or _last_defined(problem.prompt, problem.language)
    found = extract_program(answer, problem.language, name)
    fenced = found != answer
    beginning = problem.prompt.rstrip()
    if beginning and found.startswith(beginning):
        rest = _after_blanks(problem.prompt, found[len(beginning) :])
    elif (after := _after_signature(found, problem, name)) is not None:
        rest = after
    else:
        start = _definition(found, name, problem.language)
        if start is not None and not _in_a_body(found, start, fenced):
            return Extracted(_whole(textwrap.dedent(found), problem), whole=True)
        rest = _at_depth(found, problem) if fenced else answer
    return Extracted(_with_helpers(rest, problem, name) if fenced else problem.truncate(rest))


def _language(tag: str) -> str:
    try:
        return canonical_language(_RELATED.get(tag, tag))
    except ValueError:
        return ""


def _definition(code: str, name: str, language: str) -> int | None:
    """Where the line begins that defines `name`; None: no line does, as far as can be told."""
    if not name:
        return None
    uses = islice(re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", code), _MOST_USES)
    return next((_line_of(use) for use in uses if _is_defined(use, language)), None)


def _defined(line: str, language: str) -> str:
    """The first name that a line of code defines; empty: none is recognised."""
    uses = re.finditer(r"[A-Za-z_]\w*", _opened(line[:1000]))
    return next((use[0] for use in uses if _is_defined(use, language)), "")


def _opened(line: str) -> str:
    """A line whose body may be opened by the next, or by the answer, with its body opened."""
    return f"{line} {{"


def _is_defined(use: re.Match[str], language: str) -> bool:
    """Whether the name that `use` matched is defined there."""
    code = use.string
    before = code[max(_line_of(use), use.start() - 200) : use.start()]
    after = code[use.end() : use.end() + 600]
    if not before.strip():
        return _BOUND.match(after) is not None
    return (
        _KEYWORD.search(before) is not None
        or (language == "ocaml" and before.strip() == "and")
        or (language in _TYPED and _TYPE.fullmatch(before) is not None and _BODY.match(after) is not None)
    )


def _line_of(use: re.Match[str]) -> int:
    return use.string.rfind("\n", 0, use.start()) + 1


def _lines_of_code(program: str) -> list[str]:
    return [line for line in program.splitlines() if not _COMMENT.match(line)]


def _last_defined(prompt: str, language: str) -> str:
    """The name that the prompt's last definition gives; empty: none is recognised."""
    lines = reversed(_lines_of_code(_BLOCK_COMMENT.sub("", prompt)))
    return next((name for line in lines if (name := _defined(line, language))), "")


def _in_a_body(code: str, start: int, fenced: bool) -> bool:
    """Whether `code` begins inside a function, so that what it defines at `start` is something else."""
    first = _depth(next((line for line in code.splitlines() if line.strip()), ""))
    if fenced:  # all of it may be indented
        return 0 < first < _depth(code[start:].split("\n", 1)[0])
    return first > 0 or code.count("}", 0, start) > code.count("{", 0, start)


def _after_blanks(prompt: str, rest: str) -> str:
    """`rest`, which followed the prompt without its last blanks, as what follows all of it."""
    blanks = prompt[len(prompt.rstrip()) :]
    for n in range(len(blanks), 0, -1):
        if rest.startswith(blanks[:n]):
            return rest[n:]
    return rest


def _after_signature(program: str, problem: Problem, name: str) -> str | None:
    """What follows the prompt's signature in `program`, as deep as in the prompt.

    None: it is not there, it is not the prompt's last line of code (it has several, or the body begins in the
    prompt), or something stands before it that the prompt doesn't have.
    """
    signature = "".join(_lines_of_code(_BLOCK_COMMENT.sub("", problem.prompt))[-1:])
    if _definition(_opened(signature), name, problem.language) is None:
        return None
    known = {_squeezed(line) for line in problem.prompt.splitlines()}
    lines = program.splitlines(keepends=True)
    for i, line in enumerate(lines):
        if _squeezed(line) == _squeezed(signature):
            return _shifted("".join(lines[i + 1 :]), _depth(signature) - _depth(line))
        if (
            _squeezed(line) not in known
            and not _COMMENT.match(line)
            and not _WRAPPER.fullmatch(line.rstrip())
        ):
            return None
    return None


def _with_helpers(rest: str, problem: Problem, name: str) -> str:
    """`rest` up to the first stop token after the last definition that it uses.

    Not all of it: what a model adds besides, tests of its own or a `main`, may fail or wait for input.
    """
    stop = "|".join(map(re.escape, problem.stop_tokens))
    cuts = [found.start() for found in re.finditer(f"(?={stop})", rest)] if stop else []
    ends = [*cuts, len(rest)]
    kept, used = ends[0], _words(rest[: ends[0]])
    body = next((line for line in rest.splitlines() if line.strip()), "")
    for begin, end in pairwise(ends):
        outer = [line for line in _lines_of_code(rest[begin:end]) if _depth(line) < max(1, _depth(body))]
        if any(_defined(line, problem.language) in used for line in outer if name not in _words(line)):
            used |= _words(rest[kept:end])
            kept = end
    return _without_last_braces(rest, problem) if cuts and kept == len(rest) else rest[:kept]


def _words(code: str) -> set[str]:
    return {word for line in _lines_of_code(code) for word in re.findall(r"\w+", line)}


def _whole(program: str, problem: Problem) -> str:
    has = {line.strip() for line in program.splitlines()}
    lacks = [
        line for line in problem.prompt.splitlines() if _PREAMBLE.fullmatch(line) and line.strip() not in has
    ]
    return _without_last_braces("".join(f"{line}\n" for line in lacks) + program, problem)


def _without_last_braces(program: str, problem: Problem) -> str:
    """`program` without the closing braces that the tests bring."""
    for _ in range(problem.tests.count("}") - problem.tests.count("{")):
        if program.rstrip().endswith("}"):
            program = program.rstrip()[:-1]
    return program


def _at_depth(body: str, problem: Problem) -> str:
    """A fenced body as what follows the prompt: no less deep than it, or a stop token might cut it."""
    last = problem.prompt.rstrip().rsplit("\n", 1)[-1]
    opens = last.endswith((":", "{"))
    first = next((line for line in body.splitlines() if line.strip()), "")
    begin = "\n" if opens and not problem.prompt.endswith("\n") else ""
    return begin + _shifted(body, max(0, _depth(last) + (4 if opens else 0) - _depth(first)))


def _squeezed(line: str) -> str:
    return "".join(line.split())


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _shifted(code: str, by: int) -> str:
    return (
        textwrap.indent(code, " " * by)
        if by >= 0
        else re.sub(rf"^ {{1,{-by}}}", "", code, flags=re.MULTILINE)
    )
