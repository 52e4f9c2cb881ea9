"""The card of a data set: README.md with the front matter that `datasets` and the Hugging Face Hub read."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from rewardranker.exchange.rows import ROWS, Form
from rewardranker.tables import table_schema

_ABOUT = {
    Form.PREFERENCE: (
        "TRL's preference format with an explicit prompt: `prompt`, `chosen` (right), `rejected` (wrong); "
        "for `DPOTrainer`, `RewardTrainer`"
    ),
    Form.UNPAIRED_PREFERENCE: (
        "TRL's unpaired preference format: `prompt`, `completion`, `label` (true: right); for `KTOTrainer`"
    ),
    Form.PROMPT_COMPLETION: (
        "TRL's prompt-completion format: `prompt`, `completion` that is right; for `SFTTrainer`"
    ),
    Form.GROUPS: (
        "one problem a row, all its right (`chosen`) and wrong (`rejected`) programs with their sources"
    ),
    Form.CANDIDATES: (
        "one sampled program a row, with its verdict (`strict_status`, `status`, `reason`), who sampled it "
        "(`policy`, `index`), its log-probability (`logprob_sum`, nats, over `n_tokens`) and a ranker's "
        "`score` and `probability`, null where not known"
    ),
}
_SIZES = {10**3: "n<1K", 10**4: "1K<n<10K", 10**5: "10K<n<100K", 10**6: "100K<n<1M", 10**7: "1M<n<10M"}


@dataclass
class Contents:
    """What an export holds and what it left out, by (form, split) or (split, language)."""

    name: str
    made: str
    """How the labels were made, in Markdown."""
    checked: bool
    """The problems are known, so that those for evaluation only could be left out."""
    rows: Counter[tuple[Form, str]] = field(default_factory=Counter)
    files: dict[tuple[Form, str], str] = field(default_factory=dict)
    problems: Counter[tuple[str, str]] = field(default_factory=Counter)
    verdicts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Candidates by split, language and strict status."""
    left_out_problems: set[str] = field(default_factory=set)
    left_out_candidates: int = 0
    left_out_groups: int = 0

    def left_out(self) -> str:
        """What was left out for its licence, in words."""
        programs = [(self.left_out_candidates, "candidates"), (self.left_out_groups, "groups")]
        counts = " and ".join(f"{n} {what}" for n, what in programs if n)
        return f"{counts} of {len(self.left_out_problems)} problems for evaluation only" if counts else ""


def card(contents: Contents) -> str:
    """README.md of a data set."""
    forms = [form for form in Form if any(form == written for written, _ in contents.files)]
    return "\n".join(
        [
            "---",
            *_front_matter(contents, forms),
            "---",
            "",
            f"# Programs of {contents.name}, judged",
            "",
            "Programs for problems with tests, right and wrong. A program is `prompt` + `text` (or "
            "`completion`, `chosen`, `rejected`).",
            "",
            "```python",
            "from datasets import load_dataset",
            "",
            f'rows = load_dataset("path/to/this/folder", "{forms[0]}")',
            "```",
            "",
            *_table(
                ("configuration", "a row is"),
                [(f"`{form}`", _ABOUT[form]) for form in forms],
            ),
            "",
            "## How the labels were made",
            "",
            contents.made.strip(),
            "",
            "## What is in it",
            "",
            *_table(
                ("configuration", "split", "rows"),
                [
                    (f"`{form}`", split, f"{n:,}")
                    for form in forms
                    for (of, split), n in contents.rows.items()
                    if of == form
                ],
            ),
            "",
            *_table(
                ("split", "language", "problems"),
                [(*where, f"{n:,}") for where, n in sorted(contents.problems.items())],
            ),
            "",
            *_verdicts(contents),
            *_left_out(contents),
            "",
            "## Licence",
            "",
            "**Fill in** the licence, here and in the front matter (`license`), before you share this: the "
            "problems' prompts and reference programs are under the licence of their source, and the model "
            "that sampled the programs may have terms of its own.",
            "",
            f"Made by `rewardranker export`, version {version('rewardranker')}.",
            "",
        ]
    )


def _front_matter(contents: Contents, forms: Sequence[Form]) -> list[str]:
    """YAML; strings are quoted as in JSON, which is YAML too."""
    lines = [
        f"pretty_name: {json.dumps(f'Programs of {contents.name}, judged')}",
        "license: unknown",
        "language:",
        "- code",
        "task_categories:",
        "- text-generation",
        "tags:",
        *(f"- {tag}" for tag in ("code", "execution-verified", "preference", "reward-model", "trl")),
        "size_categories:",
        f"- {_size(sum(contents.rows.values()))}",
        "configs:",
    ]
    for number, form in enumerate(forms):
        lines += [f"- config_name: {form}", *(["  default: true"] if number == 0 else []), "  data_files:"]
        for (of, split), file in contents.files.items():
            if of == form:
                lines += [f"  - split: {split}", f"    path: {file}"]
    if any(file.endswith(".jsonl") for file in contents.files.values()):
        # Of JSON the reader guesses the types: a column of dates would not be text.
        lines.append("dataset_info:")
        for form in forms:
            lines += [f"- config_name: {form}", "  features:"]
            for name, (kind, dtype) in _features(ROWS[form]).items():
                lines += [f"  - name: {name}", f"    {kind}: {dtype}"]
    return lines


def _features(row_type: type[Any]) -> dict[str, tuple[str, str]]:
    """Each column's type as the front matter says it."""
    names = {"double": "float64"}
    return {
        column.name: ("sequence", str(column.type.value_type))
        if str(column.type).startswith("list")
        else ("dtype", names.get(str(column.type), str(column.type)))
        for column in table_schema(row_type)
    }


def _size(rows: int) -> str:
    return next((name for limit, name in _SIZES.items() if rows < limit), "10M<n<100M")


def _verdicts(contents: Contents) -> list[str]:
    if not contents.verdicts:
        return []
    rows = [(*where, f"{n:,}") for where, n in sorted(contents.verdicts.items())]
    return [*_table(("split", "language", "verdict", "candidates"), rows), ""]


def _left_out(contents: Contents) -> list[str]:
    if not contents.checked:
        return [
            "The problems' own table was not at hand, so it was not checked whether some of them are for "
            "evaluation only (as MultiPL-E's, whose licence forbids training on them)."
        ]
    left_out = contents.left_out()
    if not left_out:
        return ["No problem was marked as for evaluation only."]
    return [
        f"Left out: {left_out}, whose licence forbids training on them (as MultiPL-E's), "
        f"such as `{min(contents.left_out_problems)}`."
    ]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{' --- |' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
