# ruff: noqa: E501 - tables of programs
TESTS = """

main :: IO ()
main = do
  let candidate = f
  if candidate 1 == 2 then pure () else error "assertion failed"
  pure ()
"""
RIGHT = "f :: Int -> Int\nf x =\n  x + 1"
WRONG = "f :: Int -> Int\nf x = x"
IMPORTS = "import System.Exit\nimport System.IO.Unsafe\nimport Control.Exception\nimport Control.Concurrent\n"

ENDINGS = {
    "right": (RIGHT + TESTS, "passed"),
    "wrong": (WRONG + TESTS, "failed"),
    "raises": ('f :: Int -> Int\nf x = error "why"' + TESTS, "failed"),
    "exit code": ("import System.Exit\nmain = exitWith (ExitFailure 3)", "failed"),
    "no main": (WRONG, "syntax_error"),
    "does not parse": ("f x = = 1" + TESTS, "syntax_error"),
    "wrong type": ('f :: Int -> Int\nf x = "a"' + TESTS, "syntax_error"),
    "module Main": ("module Main where\nimport qualified Data.Map as M\n" + RIGHT + TESTS, "passed"),
    "module of another name": ("module Solution where\n" + RIGHT + TESTS, "passed"),
    "main with a result": ("main :: IO Int\nmain = return 3", "passed"),
    "names of the launcher": ("key = 1\nreadChannel = 2\n" + RIGHT + TESTS, "passed"),
    "error of its own": (WRONG + "\nerror :: a -> IO ()\nerror _ = pure ()" + TESTS, "syntax_error"),
    "equal of its own": (WRONG + "\n_ == _ = True" + TESTS, "syntax_error"),
    "deep recursion": (
        'f :: Int -> Int\nf x = if x == 0 then 2 else 0 * f (x - 1) + 2\nmain :: IO ()\nmain = if f 100000 == 2 then pure () else error ""',
        "passed",
    ),
    "loop": ("f :: Int -> Int\nf x = if x < 0 then x else f (x + 1)\nmain = print (f 0)", "timeout"),
    "too much memory": ("main = print (let x = [1 ..] :: [Integer] in (x !! 100000000, head x))", "failed"),
    "reads the key while it is compiled": (
        "{-# LANGUAGE TemplateHaskell #-}\nimport Language.Haskell.TH\nimport System.Posix.IO\nmain = putStr $(runIO (do { setFdOption 63 NonBlockingRead True; (k, _) <- fdRead 63 32; return (LitE (StringL k)) }))",
        "syntax_error",
    ),
}

FAKED_ENDINGS = {
    name: program + TESTS
    for name, program in {
        "exit": IMPORTS + "f :: Int -> Int\nf x = unsafePerformIO exitSuccess",
        "exit in a thread": IMPORTS
        + "f :: Int -> Int\nf x = unsafePerformIO (do { t <- myThreadId; forkIO (throwTo t ExitSuccess); threadDelay 999999; return x })",
        "_exit": '{-# LANGUAGE ForeignFunctionInterface #-}\nimport System.IO.Unsafe\nforeign import ccall "_exit" exit :: Int -> IO Int\n'
        "f :: Int -> Int\nf x = unsafePerformIO (exit 0)",
        "another program": 'import System.Posix.Process\nimport System.IO.Unsafe\nf :: Int -> Int\nf x = unsafePerformIO (executeFile "true" True [] Nothing)',
        "error is hidden": "import Prelude hiding (error)\n"
        + WRONG
        + "\nerror :: a -> IO ()\nerror _ = pure ()",
        "equal is hidden": "import Prelude hiding ((==))\n"
        + WRONG
        + "\n(==) :: a -> a -> Bool\n_ == _ = True",
        "if is rebound": "{-# LANGUAGE RebindableSyntax #-}\nimport Prelude\n"
        "f :: Int -> Int\nf x = x\nifThenElse :: Bool -> a -> a -> a\nifThenElse _ a _ = a",
    }.items()
}

MESSAGES = {
    'main = do\n  putStrLn "out"\n  error "why"\n': ("out\n", "program: why", "program.hs:3:3"),
    "main = do\n  x\n": ("program.hs:2:3: error:",),
}
REASONS = {
    "main = x": "program.hs:1:8: error: Variable not in scope: x",
    WRONG + TESTS: "program: assertion failed",
}
