"""`rewardranker rank`: candidates in the order of their scores."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rewardranker.cli.options import check_out

if TYPE_CHECKING:
    from rewardranker.evaluation.best_of_n import RankedCandidate
    from rewardranker.problems.extraction import Extracted
    from rewardranker.problems.problem import Problem

_SHOWN = 25
"""Problems in the table."""
_PLACES = 10
"""Candidates of each that it names."""


def rank(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="[PROBLEMS...] CANDIDATES",
            help="Candidates: MultiPL-E's completions or results (file or folder), HumanEval's or EvalPlus' "
            "samples, published pools, rows with problem_id and text. Before them the files of their "
            "problems, where these are not in the same file.",
        ),
    ],
    ranker: Annotated[
        str,
        typer.Option(
            "--ranker",
            help="Folder of a ranker, or of any scalar reward model; or the URL of one that a server "
            "computes, which ends in /score, /rerank or /classify.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Where to write the ordered candidates (JSON lines).")
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="Candidates are a chat's answers: take the programs out of them.")
    ] = False,
    syntax: Annotated[
        bool, typer.Option(help="Put what does not parse last (needs the extra 'syntax').")
    ] = True,
    model: Annotated[str | None, typer.Option(help="The server's name for the ranker.")] = None,
    policy: Annotated[str, typer.Option(help="Which policy's candidates, where there are several.")] = "",
    temperature: Annotated[
        float | None, typer.Option(help="Candidates of which temperature, where there are several.", min=0)
    ] = None,
) -> None:
    """Order candidates, best first for each problem: a table, and with -o rows with score and rank.

    What does not parse ranks last, and its row says "parses": false (null: not judged in its language).

    Example: rewardranker rank completions/ --ranker runs/demo/2-reward/model -o ranked.jsonl

    Example: rewardranker rank problems.jsonl samples.jsonl --ranker http://127.0.0.1:8000/score
    """
    from math import isfinite

    from rewardranker.evaluation.best_of_n import rank_all
    from rewardranker.files import write_jsonl
    from rewardranker.models.load import load_ranker

    if out is not None:
        check_out(out)
    rows, problems, candidates = _read(inputs, chat, policy, temperature)
    scorer = load_ranker(ranker, model=model)
    found = rank_all(problems, candidates, scorer, syntax=syntax, what="score")
    if out is not None:
        ordered = [
            {
                **rows[c.index],
                # What the ranker can't read, for it exceeds its context, has none.
                "score": c.score if isfinite(c.score) else None,
                "probability": c.probability,
                "parses": c.parses,
                "rank": c.rank,
            }
            for group in found.values()
            for c in group
        ]
        write_jsonl(out, ordered)
    _show(found, rows)
    wrote = f"; wrote {out}" if out is not None else ""
    typer.echo(f"ranked {len(rows)} candidates of {len(found)} problems{wrote}", err=True)
    if broken := sum(c.parses is False for group in found.values() for c in group):
        typer.echo(f"{broken} candidates do not parse (broken) and rank last", err=True)


def _read(
    inputs: list[Path], chat: bool, policy: str, temperature: float | None
) -> "tuple[list[dict[str, Any]], list[Problem], list[Extracted]]":
    """Rows as they are written again, with their problems and programs."""
    from dataclasses import asdict

    from rewardranker.evaluation.existing import chosen, read_existing
    from rewardranker.problems.completions import read_completions
    from rewardranker.problems.extraction import Extracted, extract_candidate
    from rewardranker.problems.loaders import load_problems

    *files, path = inputs
    if files and path.is_file() and _is_rows(path):
        known = load_problems(*files)
        rows = [_plain(row) for row in read_completions(path, known)]
        drawn_as = [(str(row.get("policy") or ""), _number(row.get("temperature"))) for row in rows]
        if policy or temperature is not None:
            rows = [rows[i] for i in chosen(drawn_as, path, policy, temperature)]
        elif len(several := sorted({f"{p} at {t:g}" if t is not None else p for p, t in drawn_as})) > 1:
            typer.echo(
                f"{path}: candidates of {', '.join(several)} are ranked together; "
                "--policy and --temperature choose",
                err=True,
            )
    else:
        given = read_existing(path, *files, policy=policy, temperature=temperature)
        known = given.problems
        unknown = ("score", "probability")
        rows = [
            {k: v for k, v in asdict(c).items() if k == "text" or (v not in (None, "") and k not in unknown)}
            for c in given.candidates
        ]
    by_id = {p.id: p for p in known}
    problems = [by_id[row["problem_id"]] for row in rows]
    candidates = [Extracted(row["text"], row.get("whole") is True) for row in rows]
    if chat:
        candidates = [extract_candidate(c.text, p) for c, p in zip(candidates, problems, strict=True)]
        rows = [
            {**row, "answer": row["text"], "text": c.text, "whole": c.whole}
            for row, c in zip(rows, candidates, strict=True)
        ]
    return rows, problems, candidates


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON can have it: without what a table does not know (NaN), times and the like in words."""
    from math import isfinite

    def value(v: Any) -> Any:
        return v if v is None or isinstance(v, (str, int, float, list, dict)) else str(v)

    return {k: value(v) for k, v in row.items() if not isinstance(v, float) or isfinite(v)}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _is_rows(path: Path) -> bool:
    """Whether each row is a candidate, which keeps its other fields."""
    from rewardranker.errors import UserError
    from rewardranker.problems.rows import read_rows

    try:
        _, row = next(iter(read_rows(path)), ("", {"text": ""}))
    except UserError:  # one JSON document, or nothing that can be read: told of by whoever reads it all
        return False
    return not {"text", "completion"}.isdisjoint(row) and "solution" not in row and "tests" not in row


def _show(found: "dict[str, list[RankedCandidate]]", rows: list[dict[str, Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("problem", "n", "broken", "score", "P(right)", "best first", box=SIMPLE_HEAD)
    for column in table.columns[1:5]:
        column.justify = "right"
    for problem_id, group in list(found.items())[:_SHOWN]:
        best = group[0]
        order = " ".join(str(rows[c.index].get("index", c.index)) for c in group[:_PLACES])
        table.add_row(
            Text(problem_id),
            str(len(group)),
            str(sum(c.parses is False for c in group)),
            f"{best.score:.3f}",
            "" if best.probability is None else f"{best.probability:.2f}",
            order + (" ..." if len(group) > _PLACES else ""),
        )
    Console().print(table)
    if len(found) > _SHOWN:
        typer.echo(f"... and {len(found) - _SHOWN} more problems")
