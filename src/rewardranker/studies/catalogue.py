"""The studies by name, in the order in which they build on one another."""

from collections.abc import Callable

from rewardranker.recipe import Recipe
from rewardranker.studies import (
    alignment,
    architecture,
    cost,
    iterations,
    negatives,
    peft,
    pretraining,
    scaling,
    sensitivity,
    table1,
)
from rewardranker.studies.study import Study

STUDIES: dict[str, Callable[[Recipe], Study]] = {
    "iterations": iterations.study,
    "negatives": negatives.study,
    "alignment": alignment.study,
    "peft": peft.study,
    "sensitivity": sensitivity.study,
    "pretraining": pretraining.study,
    "architecture": architecture.study,
    "scaling": scaling.study,
    "cost": cost.study,
    "table1": table1.study,
}

RECIPES = {"table1": "micro-table1"}
"""What a study varies, of those that don't vary micro-study."""
