# ruff: noqa: E501 - tables of programs
HEAD = "#lang racket\n\n"
TESTS = """
(require rackunit)

(define (test-humaneval)

  (let (( candidate f))
    (check-within (candidate 1) 2 0.001)
    (check-within (candidate 2) 3 0.001)
))

(test-humaneval)"""
WRONG = "(define (f x) x)"

ENDINGS = {
    "right": (HEAD + "(define (f x)\n  (+ x 1))" + TESTS, "passed"),
    "wrong": (HEAD + WRONG + TESTS, "failed"),
    "raises in a check": (HEAD + '(define (f x) (error "why"))' + TESTS, "failed"),
    "empty": (HEAD, "passed"),
    "raises": (HEAD + '(error "why")', "failed"),
    "exit code": (HEAD + "(exit 3)", "failed"),
    "prints on stderr": (HEAD + '(eprintf "x")', "failed"),
    "does not parse": (HEAD + "(define (f x", "syntax_error"),
    "unbound": (HEAD + "(define (f x) y)" + TESTS, "failed"),
    "is printed": (HEAD + "'a", "passed"),
    "main": (HEAD + '(module+ main (display "main"))', "passed"),
    "main fails": (HEAD + "(module+ main (exit 1))", "failed"),
    "last line is a comment": (HEAD + "(define x 1) ; one", "passed"),
    "loop": (HEAD + "(let loop () (loop))", "timeout"),
    "too much memory": (HEAD + "(let loop ([l '()]) (loop (cons (make-bytes 1000000 1) l)))", "failed"),
}

FAKED_ENDINGS = {
    name: HEAD + program + TESTS
    for name, program in {
        "exit": "(define (f x) (exit 0))",
        "exit at the top": "(exit)\n" + WRONG,
        "exit when it is compiled": "(begin-for-syntax (exit 0))",
        "executor": "(executable-yield-handler void)\n(define (f x) (exit 0))",
        "plumber": "(plumber-add-flush! (current-plumber) (lambda (h) (void)))\n(exit 0)\n" + WRONG,
        "exception handler": "(uncaught-exception-handler (lambda (e) (exit 0)))\n(define (f x) (exit 0))",
        "silenced": "(current-error-port (open-output-nowhere))\n" + WRONG,
        "checks are not made": "(require (only-in rackunit current-check-around))\n(current-check-around void)\n"
        + WRONG,
        "later checks are not made": "(require (only-in rackunit current-check-around))\n(define (f x) (current-check-around void) 2)",
        "failures are not told": "(require (only-in rackunit current-check-handler))\n(current-check-handler void)\n"
        + WRONG,
        "failures are not counted": "(require (only-in rackunit current-check-handler) rackunit/log)\n(current-check-handler void)\n(test-log-enabled? #f)\n"
        + WRONG,
        "the tests are swallowed": WRONG
        + "\n(define-syntax-rule (define (name . a) . b) (define-values (name) void))",
        "every descriptor": """(require ffi/unsafe)
(define write (get-ffi-obj "write" #f (_fun _int _bytes _size -> _ssize)))
(for ([n (in-range 3 64)]) (write n (make-bytes 32 97) 32))
(exit 0)
(define (f x) x)""",
        "another program": """(require ffi/unsafe)
((get-ffi-obj "execl" #f (_fun _path _path _pointer -> _int)) "/bin/true" "true" #f)
(define (f x) x)""",
    }.items()
}

MESSAGES = {
    HEAD + '(displayln "out")\n(define (f x)\n  (car x))\n(f 1)\n': ("out\n", "car: contract violation"),
    HEAD + "(define x 1)\n(define y": ("program.rkt:4:0: read-syntax",),
    HEAD + WRONG + TESTS: ("FAILURE", "program.rkt:9:4"),
}
REASONS = {HEAD + WRONG + TESTS: "a failed assertion", HEAD + '(error "why")': "why"}
