"""Programming languages under one name each, whatever a data set or a user calls them."""

_ALIASES = {
    "ada": ("adb",),
    "bash": ("sh", "shell"),
    "clojure": ("clj",),
    "cpp": ("c++",),
    "csharp": ("cs", "c#"),
    "d": ("humaneval_to_dlang.py",),
    "dart": (),
    "elixir": ("ex",),
    "go": ("golang", "go_test.go"),
    "haskell": ("hs",),
    "java": (),
    "javascript": ("js",),
    "julia": ("jl",),
    "lua": (),
    "ocaml": ("ml",),
    "perl": ("pl",),
    "php": (),
    "python": ("py", "python3"),
    "r": ("humaneval_to_r.py",),
    "racket": ("rkt",),
    "ruby": ("rb",),
    "rust": ("rs",),
    "scala": (),
    "swift": (),
    "typescript": ("ts",),
}
# "go_test.go" and "humaneval_to_*.py" are names in MultiPL-E's files.
_CANONICAL = {alias: name for name, aliases in _ALIASES.items() for alias in (name, *aliases)}


def canonical_language(name: str) -> str:
    """The one name of a language: "py" -> "python", "go_test.go" (MultiPL-E's for Go) -> "go".

    Raises:
        ValueError: no language is called so; the message lists those that are known.
    """
    try:
        return _CANONICAL[name.lower()]
    except KeyError:
        raise ValueError(f"unknown language {name!r}; known: {', '.join(_ALIASES)}") from None
