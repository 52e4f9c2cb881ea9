"""The studies by name, in the order in which they build on one another."""

from rewardranker.studies import negatives, scaling, table1
from rewardranker.studies.study import Study

STUDIES: dict[str, Study] = {
    "scaling": scaling.STUDY,
    "negatives": negatives.STUDY,
    "table1": table1.STUDY,
}
