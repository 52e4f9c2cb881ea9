"""The languages whose programs can be run: one declarative definition each."""

from rewardranker.execution.languages.bash import BASH
from rewardranker.execution.languages.cpp import CPP
from rewardranker.execution.languages.csharp import CSHARP
from rewardranker.execution.languages.d import D
from rewardranker.execution.languages.go import GO
from rewardranker.execution.languages.haskell import HASKELL
from rewardranker.execution.languages.java import JAVA
from rewardranker.execution.languages.javascript import JAVASCRIPT
from rewardranker.execution.languages.language import Language
from rewardranker.execution.languages.lua import LUA
from rewardranker.execution.languages.ocaml import OCAML
from rewardranker.execution.languages.perl import PERL
from rewardranker.execution.languages.php import PHP
from rewardranker.execution.languages.python import PYTHON
from rewardranker.execution.languages.r import R
from rewardranker.execution.languages.racket import RACKET
from rewardranker.execution.languages.ruby import RUBY
from rewardranker.execution.languages.rust import RUST
from rewardranker.execution.languages.scala import SCALA
from rewardranker.execution.languages.typescript import TYPESCRIPT
from rewardranker.problems.languages import canonical_language

USUAL = (PYTHON, CPP, JAVA, PHP, TYPESCRIPT, CSHARP, BASH, JAVASCRIPT, RUBY)
"""Those whose toolchains `make toolchains` installs when it is not told which."""
LANGUAGES = (*USUAL, GO, RUST, PERL, LUA, R, OCAML, HASKELL, RACKET, D, SCALA)


def find_language(name: str) -> Language | None:
    """The language called `name` (or one of its other names), if its programs can be run; or None.

    Example:
        >>> find_language("py").name
        'python'
    """
    try:
        canonical = canonical_language(name)
    except ValueError:
        return None
    return next((language for language in LANGUAGES if language.name == canonical), None)
