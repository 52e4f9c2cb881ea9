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
}
