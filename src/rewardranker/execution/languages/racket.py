"""Racket: a launcher requires the program's module, as `racket program.rkt` does.

A failed check of rackunit ends nothing; it prints. MultiPL-E takes anything on stderr for a failure, and the
launcher counts: if the program names rackunit, checks must have been made, and none failed or been diverted.
"""

from rewardranker.execution.languages.language import Language, apt

_LAUNCHER = """(module launcher '#%kernel
  (#%require '#%foreign)
  (define-values (call)
    (lambda (name key)
      ((ffi-call (ffi-obj name (ffi-lib #f)) (list _int32 _bytes _int64) _int64) 63 key 32)))
  (define-values (run)
    (lambda (path)
      (if (module-declared? (list 'submod path 'configure-runtime) #t)
          (dynamic-require (list 'submod path 'configure-runtime) #f)
          (void))
      (dynamic-require path #f)
      (if (module-declared? (list 'submod path 'main) #t)
          (dynamic-require (list 'submod path 'main) #f)
          (void))))
  (let-values ([(key) (make-bytes 32)]
               [(path) (path->complete-path "program.rkt")]
               [(state)
                (if USES_RACKUNIT
                    (let-values ([(around) (dynamic-require 'rackunit 'current-check-around)]
                                 [(handler) (dynamic-require 'rackunit 'current-check-handler)]
                                 [(enabled) (dynamic-require 'rackunit/log 'test-log-enabled?)]
                                 [(log) (dynamic-require 'rackunit/log 'test-log)])
                      (lambda () (list (car (log)) (> (cdr (log)) 0) (around) (handler) (enabled))))
                    (lambda () '(0 #t)))])
    (call #"read" key)
    (let-values ([(rest) (cddr (state))])
      (run path)
      (flush-output (current-output-port))
      (call #"write" (if (equal? (state) (list* 0 #t rest)) key (make-bytes 32))))))
"""

RACKET = Language(
    name="racket",
    tools=(apt("racket", "racket"),),
    version_command=("racket", "--version"),
    files=lambda source, _: {
        "program.rkt": source,
        "launcher.rkt": _LAUNCHER.replace("USES_RACKUNIT", "#t" if "rackunit" in source else "#f"),
    },
    run=("racket", "launcher.rkt"),
    error_line=r"\S.*",
    syntax_error_mark="read-syntax",
    stderr_is_failure=True,
)
