# ruff: noqa: E501 - tables of programs
TESTS = """
test_humaneval <- function() {
    candidate <- f
    stopifnot(isTRUE(all.equal(candidate(1), 2)))
}
test_humaneval()"""
WRONG = "f <- function(x) x"

ENDINGS = {
    "right": ("f <- function(x) {\n  x + 1\n}" + TESTS, "passed"),
    "wrong": (WRONG + TESTS, "failed"),
    "empty": ("", "passed"),
    "raises": ("stop('why')", "failed"),
    "exit code": ("quit(status = 3)", "failed"),
    "does not parse": ("f <- function( {" + TESTS, "failed"),
    "variables of those names": (
        "c <- 1; list <- 2; own <- 3; run <- 4; stopifnot(sum(c(c, list)) == 3)",
        "passed",
    ),
    "caught": ("x <- tryCatch(stop('a'), error = function(e) 1)\nstopifnot(x == 1)", "passed"),
    "warns": ("as.numeric('a')", "passed"),
    "generics": (
        "setClass('A', representation(x = 'numeric'))\nstopifnot(new('A', x = 1)@x == 1)\nprint.b <- function(x) cat('b')\nstructure(1, class = 'b')",
        "passed",
    ),
    "last line is a comment": ("x <- 1 # one", "passed"),
    "loop": ("while (TRUE) {}", "timeout"),
    "too much memory": ("x <- 1:1e6 + 0; while (TRUE) x <- c(x, x)", "failed"),
}

FAKED_ENDINGS = {
    name: program + "\n" + TESTS
    for name, program in {
        "quit": "f <- function(x) quit(status = 0)",
        "quit at the top": "q('no')",
        "error option": "options(error = quote(quit('no', 0)))\n" + WRONG,
        "last": ".Last <- function() q('no', 0, runLast = FALSE)\nq('no', 1)",
        "finalizer": "reg.finalizer(globalenv(), function(e) quit('no', 0), onexit = TRUE)\nquit('no', 0)",
        "stopifnot of its own": "stopifnot <- function(...) NULL\n" + WRONG,
        "stopifnot attached": "attach(list(stopifnot = function(...) NULL))\n" + WRONG,
        "stopifnot of base": "unlockBinding('stopifnot', baseenv())\nassign('stopifnot', function(...) NULL, baseenv())\n"
        + WRONG,
        "all.equal of its own": "all.equal <- function(...) TRUE\n" + WRONG,
        "all.equal for numbers": "all.equal.numeric <- function(...) TRUE\n" + WRONG,
        "the tests are swallowed": "makeActiveBinding('test_humaneval', function(v) function() NULL, globalenv())",
        "every descriptor": "for (n in 3:63) try(utils::write.socket(structure(list(socket = n), class = 'socket'), strrep('a', 32)), silent = TRUE)\nquit('no')",
        "looks at the frames": """
look <- function(v) if (is.character(v)) for (k in grep('^[0-9a-f]{32}$', v, value = TRUE))
  utils::write.socket(structure(list(socket = 63L), class = 'socket'), k)
for (frame in sys.frames()) for (name in setdiff(ls(frame), c('expr', 'p'))) try(look(get(name, frame)), silent = TRUE)
for (call in sys.calls()) look(as.character(unlist(as.list(call))))
quit('no')""",
    }.items()
}

MESSAGES = {
    "cat('out\\n')\nf <- function() stop('why')\nf()\n": ("out\n", "Error in f() : why"),
    "x <- 1\ny <- = 2\n": ("program.R:2:6: unexpected '='",),
}
REASONS = {
    "stop('why')": "Error in eval(expression, globalenv()) : why",
    WRONG + TESTS: "isTRUE(all.equal(candidate(1), 2)) is not TRUE",
}
