"""Micro tasks in English: several paraphrases for every node, several styles for every sentence."""

from random import Random

from rewardranker.problems.micro.tree import Expression, Filter, Map, Predicate, Rearrange, Reduce, Step, Task

_PLURAL = ("numbers", "values", "elements", "entries")
_SINGULAR = {"numbers": "number", "values": "value", "elements": "element", "entries": "entry"}
_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

_PREDICATE = {
    "even": ("even {noun}", "{noun} divisible by two"),
    "odd": ("odd {noun}", "{noun} not divisible by two"),
    "positive": ("positive {noun}", "{noun} above zero"),
    "negative": ("negative {noun}", "{noun} below zero"),
    "greater": ("{noun} greater than {k}", "{noun} above {k}", "{noun} over {k}"),
    "at least": ("{noun} of at least {k}", "{noun} not below {k}", "{noun} no smaller than {k}"),
    "less": ("{noun} less than {k}", "{noun} below {k}", "{noun} under {k}"),
    "at most": ("{noun} of at most {k}", "{noun} not above {k}", "{noun} no larger than {k}"),
    "multiple": ("multiples of {k} among the {noun}", "{noun} divisible by {k}"),
    "not multiple": ("{noun} not divisible by {k}", "{noun} that {k} does not divide"),
    "equal": ("{noun} equal to {k}", "{noun} that are exactly {k}"),
    "not equal": ("{noun} different from {k}", "{noun} other than {k}"),
}
_NEGATION = {
    "even": "odd",
    "odd": "even",
    "greater": "at most",
    "at most": "greater",
    "less": "at least",
    "at least": "less",
    "multiple": "not multiple",
    "not multiple": "multiple",
    "equal": "not equal",
    "not equal": "equal",
}
_KEEP = ("keep the {what}", "retain only the {what}", "discard all but the {what}", "select the {what}")
_DROP = ("drop the {what}", "remove the {what}", "filter out the {what}", "discard the {what}")

_EXPRESSION = {
    "square": ("square {each}", "replace {each} by its square", "multiply {each} by itself"),
    "absolute": (
        "take the absolute value of {each}",
        "drop the sign of {each}",
        "replace {each} by its magnitude",
    ),
    "negate": ("negate {each}", "flip the sign of {each}", "replace {each} by its opposite"),
    "add": ("add {k} to {each}", "increase {each} by {k}", "shift {each} up by {k}"),
    "subtract": ("subtract {k} from {each}", "decrease {each} by {k}", "shift {each} down by {k}"),
    "subtract from": ("subtract {each} from {k}", "replace {each} by {k} minus it"),
    "multiply": ("multiply {each} by {k}", "scale {each} by {k}", "replace {each} by {k} times itself"),
    "divide": (
        "floor divide {each} by {k}",
        "replace {each} by its quotient by {k}",
        "divide {each} by {k} rounding down",
    ),
    "modulo": ("take {each} modulo {k}", "replace {each} by its remainder by {k}", "reduce {each} mod {k}"),
    "cap": (
        "cap {each} at {k}",
        "limit {each} to at most {k}",
        "replace {each} by the smaller of it and {k}",
    ),
    "floor": (
        "raise {each} to at least {k}",
        "bound {each} below by {k}",
        "replace {each} by the larger of it and {k}",
    ),
}

_REARRANGE = {
    "reverse": ("reverse the list", "flip the order", "put the elements back to front"),
    "sort": ("sort ascending", "order from small to large", "arrange the values in increasing order"),
    "sort descending": (
        "sort descending",
        "order from large to small",
        "arrange the values in decreasing order",
    ),
    "sort by magnitude": ("sort by magnitude", "order by absolute value", "arrange by distance from zero"),
    "distinct": ("remove duplicates", "keep the first copy of each value", "drop repeated elements"),
    "first": ("take the first {k}", "keep only the leading {k} elements", "cut the list after {k} values"),
    "last": ("take the last {k}", "keep only the trailing {k} elements", "retain the final {k} values"),
    "drop first": ("drop the first {k}", "skip the leading {k} elements", "remove {k} values from the front"),
    "drop last": ("drop the last {k}", "skip the trailing {k} elements", "remove {k} values from the back"),
    "every": (
        "take every {k} th element",
        "keep one in {k} starting with the first",
        "step through the list by {k}",
    ),
    "rotate left": (
        "rotate left by {k}",
        "move the first {k} to the end",
        "shift the list left cyclically by {k}",
    ),
    "differences": (
        "take consecutive differences",
        "replace the list by its successive gaps",
        "subtract each element from the next",
    ),
    "neighbour sums": (
        "add neighbouring elements",
        "sum each adjacent pair",
        "replace the list by sums of neighbours",
    ),
    "running totals": ("take running totals", "replace each value by the sum so far", "accumulate the list"),
    "append": ("append {k}", "add {k} at the end", "put {k} after the last element"),
    "prepend": ("prepend {k}", "insert {k} at the front", "put {k} before the first element"),
}

_REDUCE = {
    "list": ("return the list", "give back the result", "return what remains"),
    "sum": ("return the sum", "give the total", "add everything up"),
    "count": ("return the count", "report how many remain", "give the length"),
    "maximum": (
        "return the maximum or 0",
        "give the largest value or 0 if empty",
        "report the biggest else 0",
    ),
    "minimum": (
        "return the minimum or 0",
        "give the smallest value or 0 if empty",
        "report the least else 0",
    ),
    "count distinct": (
        "return the number of distinct values",
        "count the different values",
        "report how many unique values there are",
    ),
    "count where": ("return how many {what} there are", "count the {what}", "report the number of {what}"),
    "sum where": ("return the sum of the {what}", "give the total of the {what}", "add up the {what}"),
}

_REORDERED = ("{b} but only after you {a}", "before you {b} , {a}", "{b} , having first done this : {a}")


def render(task: Task, rng: Random, *, number_words: float = 0.1, reordered: float = 0.15) -> str:
    """The task as a text of one or more sentences.

    Args:
        task: what to say.
        rng: chooses among paraphrases.
        number_words: share of parameters written as words.
        reordered: share of texts that name two steps in the reverse of their order of execution.
    """

    def number(k: int) -> str:
        return _NUMBER_WORDS[k] if rng.random() < number_words else str(k)

    def what(predicate: Predicate) -> str:
        phrase = rng.choice(_PREDICATE[predicate.name])
        return phrase.format(noun=rng.choice(_PLURAL), k=number(predicate.k))

    def each(condition: Predicate | None) -> str:
        determiner, noun = rng.choice(("each", "every")), _SINGULAR[rng.choice(_PLURAL)]
        if condition is None:
            return f"{determiner} {noun}"
        phrases = [p for p in _PREDICATE[condition.name] if "among" not in p and " are " not in p]
        return f"{determiner} {rng.choice(phrases)}".format(noun=noun, k=number(condition.k))

    def expression(node: Expression, condition: Predicate | None) -> str:
        return rng.choice(_EXPRESSION[node.name]).format(each=each(condition), k=number(node.k))

    def say(part: Step | Reduce) -> str:
        if isinstance(part, Filter):
            opposite = _NEGATION.get(part.predicate.name)
            if opposite and rng.random() < 0.5:
                return rng.choice(_DROP).format(what=what(Predicate(opposite, part.predicate.k)))
            return rng.choice(_KEEP).format(what=what(part.predicate))
        if isinstance(part, Map):
            return expression(part.expression, part.condition)
        if isinstance(part, Rearrange):
            return rng.choice(_REARRANGE[part.name]).format(k=number(part.k))
        target = what(part.predicate) if part.predicate else ""
        return rng.choice(_REDUCE[part.name]).format(what=target)

    *body, last = [say(part) for part in (*task.steps, task.reducer)]
    if len(body) >= 2 and rng.random() < reordered:
        i = rng.randrange(len(body) - 1)
        body[i : i + 2] = [rng.choice(_REORDERED).format(a=body[i], b=body[i + 1])]
    if not body:
        return _capitalised(last) + "."
    style = rng.randrange(4)
    if style == 0:
        text = " , then ".join(body) + " , and " + last
    elif style == 1:
        text = ". ".join(_capitalised(b) for b in body) + ". " + _capitalised(last)
    elif style == 2:
        text = "first " + " ; next ".join(body) + " ; finally " + last
    else:
        text = " , ".join(body) + " and then " + last
    return _capitalised(text) + "."


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]
