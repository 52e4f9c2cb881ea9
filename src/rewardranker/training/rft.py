"""Rejection-sampling fine-tuning: the generator learns from the programs of its own that passed.

RFT (Yuan et al., arXiv 2308.01825) is SFT on more examples, so this file only chooses them; `train_sft`
trains.
"""

from collections import defaultdict
from collections.abc import Sequence
from random import Random

from rewardranker.problems.candidate import ExecutedCandidate
from rewardranker.problems.problem import Problem


def rft_examples(
    problems: Sequence[Problem], candidates: Sequence[ExecutedCandidate], max_per_problem: int, seed: int
) -> list[tuple[str, str]]:
    """(prompt, completion) of the training problems' references and distinct passing candidates.

    Args:
        problems: all problems of the run; only the splits "reference" and "pool" are used.
        candidates: executed candidates of those problems, from any policy.
        max_per_problem: at most so many passing candidates a problem, drawn at random beyond.
        seed: decides the draw.
    """
    passed: dict[str, dict[str, None]] = defaultdict(dict)  # a set that keeps its order
    for candidate in candidates:
        if candidate.passed:
            passed[candidate.problem_id][candidate.text] = None
    rng = Random(seed)
    examples: list[tuple[str, str]] = []
    for problem in problems:
        if problem.split not in ("reference", "pool"):
            continue
        found = [text for text in passed[problem.id] if text != problem.reference]
        if problem.reference is not None:
            examples.append((problem.prompt, problem.reference))
        examples += [(problem.prompt, text) for text in rng.sample(found, min(max_per_problem, len(found)))]
    return examples
