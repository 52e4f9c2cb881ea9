import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardranker.problems.micro.tree import (
    EXPRESSIONS,
    PREDICATES,
    REARRANGEMENTS,
    REDUCERS,
    Expression,
    Filter,
    Map,
    Predicate,
    Rearrange,
    Reduce,
    Task,
    compute,
)

INTEGERS = st.lists(st.integers(-20, 20), max_size=10)


@pytest.mark.parametrize(
    ("steps", "reducer", "expected"),
    [
        ((Filter(Predicate("even")),), Reduce("list"), [4, -2, 0]),
        ((Map(Expression("multiply", 3)),), Reduce("sum"), 3 * 9),
        ((Map(Expression("negate"), Predicate("greater", 3)),), Reduce("list"), [3, -4, -2, 0, 1, 3]),
        ((Rearrange("first", 2), Rearrange("reverse")), Reduce("list"), [4, 3]),
        ((Rearrange("last", 2),), Reduce("list"), [1, 3]),
        ((Rearrange("drop last", 4),), Reduce("maximum"), 4),
        ((Rearrange("distinct"),), Reduce("count"), 5),
        ((Rearrange("differences"),), Reduce("list"), [1, -6, 2, 1, 2]),
        ((Rearrange("running totals"),), Reduce("list"), [3, 7, 5, 5, 6, 9]),
        ((Rearrange("rotate left", 1),), Reduce("list"), [4, -2, 0, 1, 3, 3]),
        ((), Reduce("count where", Predicate("at most", 1)), 3),
        ((), Reduce("sum where", Predicate("odd")), 7),
    ],
)
def test_computes_what_the_words_say(steps, reducer, expected):
    assert compute(Task(steps, reducer), [3, 4, -2, 0, 1, 3]) == expected


@given(INTEGERS, st.integers(1, 9))
def test_a_predicate_and_its_negation_share_out_the_list(xs, k):
    from rewardranker.problems.micro.english import _NEGATION

    for name, opposite in _NEGATION.items():
        kept = compute(Task((Filter(Predicate(name, k)),), Reduce("count")), xs)
        dropped = compute(Task((Filter(Predicate(opposite, k)),), Reduce("count")), xs)
        assert kept + dropped == len(xs), (name, opposite)


@given(INTEGERS)
def test_nothing_changes_the_input(xs):
    before = list(xs)
    for name, (parameters, _) in REARRANGEMENTS.items():
        compute(Task((Rearrange(name, parameters[0] if parameters else 0),), Reduce("list")), xs)
    assert xs == before


def test_the_composition_leaves_parameters_out():
    def task(k: int) -> Task:
        return Task((Map(Expression("add", k), Predicate("less", k)), Rearrange("first", k)), Reduce("sum"))

    assert task(2).composition() == task(3).composition()
    assert task(2).parameters() == [2, 2, 2]
    assert task(2).composition() != Task(task(2).steps, Reduce("count")).composition()


def test_simplifications_leave_one_part_out():
    step = Map(Expression("add", 1), Predicate("even"))
    found = Task((step, Rearrange("sort")), Reduce("count where", Predicate("odd"))).simplifications()
    assert Task((Rearrange("sort"),), Reduce("count where", Predicate("odd"))) in found
    assert (
        Task((Map(Expression("add", 1)), Rearrange("sort")), Reduce("count where", Predicate("odd"))) in found
    )
    assert Task((step, Rearrange("sort")), Reduce("count")) in found
    assert len(found) == 4


def test_english_and_python_know_every_node():
    from rewardranker.problems.micro import english, python

    assert set(english._PREDICATE) == set(PREDICATES)
    assert set(english._EXPRESSION) == set(python._EXPRESSION) == set(EXPRESSIONS)
    assert set(english._REARRANGE) == set(python._REARRANGE) == set(REARRANGEMENTS)
    assert set(english._REDUCE) == set(python._REDUCE) == set(REDUCERS)
