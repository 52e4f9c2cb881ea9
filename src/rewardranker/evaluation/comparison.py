"""Two evaluations of the same problems: paired interval, McNemar's test, the problems that flipped."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rewardranker.errors import UserError
from rewardranker.evaluation import metrics
from rewardranker.evaluation.selection import Outcome
from rewardranker.problems.problem import task_of
from rewardranker.tables import read_table


@dataclass(frozen=True, slots=True)
class Flip:
    """A problem that one system solves and the other doesn't."""

    problem_id: str
    a: float
    """How often the first system solves it."""
    b: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """System a minus system b, problem by problem."""

    selector_a: str
    selector_b: str
    problems: int
    a: float
    """Mean share of problems solved."""
    b: float
    difference: float
    ci95: tuple[float, float]
    """Paired bootstrap over tasks; one task in several languages is drawn as one."""
    p_value: float
    """McNemar's exact test on the flips; one task in several languages counts once."""
    only_a: list[Flip]
    """Problems that a solves more often than not and b doesn't, the largest difference first."""
    only_b: list[Flip]

    def as_json(self) -> dict[str, Any]:
        """The fields as they are written to a file."""
        return asdict(self)


def read_outcomes(folder: Path, selector: str) -> dict[str, Outcome]:
    """What one selector came to in the folder of an evaluation, by problem.

    Raises:
        UserError: the folder is none of an evaluation, or that selector was not measured there.
    """
    path = folder / "outcomes.parquet"
    if not path.is_file():
        raise UserError(
            f"{folder}: no outcomes.parquet in it; give a folder that `rewardranker evaluate` wrote"
        )
    rows = read_table(path, Outcome)
    found = {row.problem_id: row for row in rows if row.selector == selector}
    if not found:
        known = ", ".join(dict.fromkeys(row.selector for row in rows))
        raise UserError(f"{folder}: no selector {selector!r} in it; it has {known}")
    return found


def compare_outcomes(
    a: dict[str, Outcome], b: dict[str, Outcome], *, names: Sequence[str] = ("A", "B"), resamples: int = 2000
) -> Comparison:
    """Compare two systems on the same problems; every problem counts alike.

    `metrics.flips` says when a system solves a problem.

    Raises:
        UserError: the problems differ; the message names some.
    """
    for one, other, name, other_name in ((a, b, *names), (b, a, *reversed(names))):
        if missing := [i for i in one if i not in other]:
            raise UserError(
                f"{other_name} lacks {len(missing)} of the {len(one)} problems of {name}, such as "
                f"{missing[0]}; a paired comparison needs the same problems: evaluate both on one file"
            )
    ids = list(a)
    pairs = [(a[i].value, b[i].value) for i in ids]
    tasks = [task_of(i, a[i].language) for i in ids]
    values_a, values_b = [x for x, _ in pairs], [y for _, y in pairs]
    paired = metrics.paired_difference(
        values_a, values_b, metrics.clustered_weights(tasks, resamples, seed=0)
    )
    flipped = metrics.flips(values_a, values_b)
    only_a, only_b = (
        sorted(
            (Flip(i, *pair) for i, pair, f in zip(ids, pairs, flipped, strict=True) if f == side),
            key=lambda f: -abs(f.a - f.b),
        )
        for side in (1, -1)
    )
    return Comparison(
        selector_a=next(iter(a.values())).selector,
        selector_b=next(iter(b.values())).selector,
        problems=len(ids),
        a=sum(x for x, _ in pairs) / len(pairs),
        b=sum(y for _, y in pairs) / len(pairs),
        difference=paired.difference,
        ci95=paired.ci95,
        p_value=metrics.mcnemar_of_tasks(flipped, tasks),
        only_a=only_a,
        only_b=only_b,
    )
