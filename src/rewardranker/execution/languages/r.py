"""R: a launcher evaluates the program's expressions one after the other, as Rscript does.

R shows a program every variable and the frames of its callers, so the key is in none: `c` holds it while it
evaluates its next argument, which is the program. At the end, what the tests are made of must be R's own.
"""

from rewardranker.execution.languages.language import Language, apt

_LAUNCHER = r"""
local({
    own <- c("<-", "{", "(", "c", "list", "isTRUE", "all.equal", "identical", "stopifnot")
    originals <- lapply(own, get, envir = baseenv())
    is_unchanged <- function() {
        found <- lapply(own, get, envir = globalenv(), mode = "function")
        names <- ls(globalenv(), all.names = TRUE)
        identical(found, originals) && !any(startsWith(names, "all.equal.")) &&
            !any(vapply(names, bindingIsActive, NA, globalenv()))
    }
    run <- function(expressions) {
        for (expression in expressions) {
            result <- withVisible(eval(expression, globalenv()))
            if (result$visible) print(result$value)
        }
        if (!is_unchanged()) quit("no")
    }
    expressions <- parse("program.R")
    utils <- getNamespace("utils")
    .Call(utils$C_sockwrite, 63L, c(.Call(utils$C_sockread, 63L, 32L), run(expressions)))
})
"""

R = Language(
    name="r",
    tools=(apt("Rscript", "r-base-core"),),
    version_command=("Rscript", "--version"),
    files=lambda source, _: {"program.R": source, "launcher.R": _LAUNCHER},
    run=("Rscript", "launcher.R"),
    error_line=r"Error(?!.*: $).*|  \S.*",  # R breaks long ones after the colon
)
