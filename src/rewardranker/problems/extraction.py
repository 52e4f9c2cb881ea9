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
from itertools import islice

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
    r"\b(?:def|class|function\*?|func|fn|fun|sub|let|rec|and|val|var|const|define|struct)[ \t(]+$"
)
"""Before a name that is being defined: def f, let rec f, (define (f, ..."""
_BOUND = re.compile(r"[ \t]*(?:=[ \t]*(?:lambda|function|async)\b|<-|::[ \t]|\(\))")
"""After a name that begins its line: f = lambda, f <- function, f :: Int -> Int, f() {"""
_TYPE = re.compile(
    r"[ \t]*(?!(?:return|else|new|await|throw|case)\b)[\w:<>\[\],.&*?!() \t]*[\w>\])][ \t&*]*(?<!\w)"
)
_BODY = re.compile(r"[ \t]*\([^;{}]{0,400}\)[^;(){}]{0,100}(?:\{|\Z)")
"""Before and after a name that has its type in front: static std::vector<int> f(int a) {"""
_MOST_USES = 1000
"""Of a name, looked at to find its definition: an answer can't take more than its share of time."""
_BLOCK_COMMENT = re.compile(r'"""[\s\S]*?"""|/\*[\s\S]*?\*/|\(\*[\s\S]*?\*\)')
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

    An answer with one fence at its end, because its beginning was put into the model's mouth, is what stands
    before it.

    Args:
        answer: untrusted.
        language: canonical name; empty: any.
        entry_point: name of the function asked for; empty: not known.

    Example:
        >>> extract_program("Use it:\\n```\\nf(1)\\n```\\nHere:\\n```py\\ndef f(x): ...\\n```", "python", "f")
        'def f(x): ...\\n'
    """
    blocks = [block for block in fenced_blocks(answer) if block.code.strip()]
    before = re.split(r"^[ \t]*(?:`{3}|~{3})", answer, maxsplit=1, flags=re.MULTILINE)
    if len(before) == 2 and (
        not blocks
        or (
            len(blocks) == 1
            and _definition(before[0], entry_point) is not None
            and _definition(blocks[0].code, entry_point) is None
        )
    ):
        return before[0]
    if not blocks:
        return answer
    labelled = [block for block in blocks if language and _language(block.tag) == language]
    plain = [block for block in blocks if not block.tag or (not language and block.tag not in _NO_PROGRAM)]
    unknown = [block for block in blocks if block.tag not in _NO_PROGRAM and not _language(block.tag)]
    blocks = labelled or plain or unknown or blocks
    if defining := [block for block in blocks if _definition(block.code, entry_point) is not None]:
        return defining[-1].code
    return max(blocks, key=lambda block: len(block.code.strip())).code


def extract_candidate(answer: str, problem: Problem) -> Extracted:
    """The program in an answer to `problem`, as what follows its prompt wherever that can be had.

    A program that begins with the prompt, or with its signature and nothing else that is new, becomes the
    completion after it, at the prompt's depth and cut at the problem's stop tokens. Another that defines the
    function asked for is a whole program: it gets the prompt's imports that it lacks, and loses closing
    braces that the tests bring. What defines nothing is a body; a fenced one is moved to the prompt's depth.

    Args:
        answer: of a chat, or a completion; untrusted.
        problem: what it answers.

    Example:
        >>> problem = Problem("p", "python", "def f(x):\\n", "assert f(1) == 2", ("\\nprint",))
        >>> extract_candidate("```python\\ndef f(x):\\n    return x + 1\\nprint(f(1))\\n```", problem).text
        '    return x + 1'
    """
    name = problem.entry_point or _last_defined(problem.prompt)
    found = extract_program(answer, problem.language, name)
    beginning = problem.prompt.rstrip()
    if beginning and found.startswith(beginning):
        return Extracted(problem.truncate(_after_blanks(problem.prompt, found[len(beginning) :])))
    if (rest := _after_signature(found, problem.prompt, name)) is not None:
        return Extracted(problem.truncate(rest))
    fenced = found is not answer
    start = _definition(found, name)
    if start is not None and not _in_a_body(found, start, fenced):
        return Extracted(_whole(textwrap.dedent(found), problem), whole=True)
    return Extracted(problem.truncate(_at_depth(found, problem) if fenced else answer))


def _language(tag: str) -> str:
    try:
        return canonical_language(_RELATED.get(tag, tag))
    except ValueError:
        return ""


def _definition(code: str, name: str) -> int | None:
    """Where the line begins that defines `name`; None: no line does, as far as can be told."""
    if not name:
        return None
    for use in islice(re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", code), _MOST_USES):
        start = code.rfind("\n", 0, use.start()) + 1
        before, after = code[max(start, use.start() - 200) : use.start()], code[use.end() : use.end() + 600]
        if (
            _KEYWORD.search(before)
            or (not before.strip() and _BOUND.match(after))
            or (before.strip() and _TYPE.fullmatch(before) and _BODY.match(after))
        ):
            return start
    return None


def _last_defined(prompt: str) -> str:
    """The name that the prompt's last definition gives; empty: none is recognised."""
    for line in reversed(_BLOCK_COMMENT.sub("", prompt).splitlines()):
        if not _COMMENT.match(line):
            for name in re.findall(r"[A-Za-z_]\w*", line):
                if _definition(line, name) is not None:
                    return str(name)
    return ""


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


def _after_signature(program: str, prompt: str, name: str) -> str | None:
    """What follows the prompt's signature in `program`, as deep as in the prompt.

    None: it is not there, or something stands before it that the prompt doesn't have.
    """
    prompt_lines = prompt.splitlines()
    head = [line for line in prompt_lines if not _COMMENT.match(line) and _definition(line, name) is not None]
    if not head:
        return None
    known = {_squeezed(line) for line in prompt_lines}
    lines = program.splitlines(keepends=True)
    for i, line in enumerate(lines):
        if _squeezed(line) == _squeezed(head[-1]):
            return _shifted("".join(lines[i + 1 :]), _depth(head[-1]) - _depth(line))
        if (
            _squeezed(line) not in known
            and not _COMMENT.match(line)
            and not _WRAPPER.fullmatch(line.rstrip())
        ):
            return None
    return None


def _whole(program: str, problem: Problem) -> str:
    has = {line.strip() for line in program.splitlines()}
    lacks = [
        line for line in problem.prompt.splitlines() if _PREAMBLE.fullmatch(line) and line.strip() not in has
    ]
    program = "".join(f"{line}\n" for line in lacks) + program
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
