"""Haskell: compiled with a module of ours that runs the program's `main`.

MultiPL-E interprets (runghc); compiled, the key is not in reach of what a program runs while it is compiled.
The tests need `error` to be the Prelude's, which only a program that hides that one can have changed.
"""

import re

from rewardranker.execution.languages.language import Language, apt

_LAUNCHER = """module RewardRanker (main) where
import Foreign
import Foreign.C
import System.IO
import qualified %s as Program

foreign import ccall unsafe "read" readChannel :: CInt -> Ptr Word8 -> CSize -> IO CLong
foreign import ccall unsafe "write" writeChannel :: CInt -> Ptr Word8 -> CSize -> IO CLong

main :: IO ()
main = allocaBytes 32 $ \\key -> do
  _ <- readChannel 63 key 32
  _ <- Program.main
  hFlush stdout
  %s
"""
_SEND = "writeChannel 63 key 32 >> return ()"
_MODULE = re.compile(r"^module\s+([\w.]+)", re.M)
_UNTRUSTED = re.compile(r"^(error|pure)\b|^\(\s*==\s*\)|^\S+\s*==[^\n]*=|\bRebindableSyntax\b|\bCPP\b", re.M)


def _files(source: str, _: str) -> dict[str, str]:
    module = _MODULE.search(source)
    send = "return ()" if _UNTRUSTED.search(source) else _SEND
    return {
        "program.hs": source,
        "RewardRanker.hs": _LAUNCHER % (module[1] if module else "Main", send),
    }


HASKELL = Language(
    name="haskell",
    tools=(apt("ghc", "ghc"),),
    version_command=("ghc", "--version"),
    files=_files,
    build=(
        *("ghc", "-v0", "-O0", "-package-env", "-", "-main-is", "RewardRanker"),
        *("program.hs", "RewardRanker.hs", "-o", "program"),
    ),
    run=("./program",),
    reserves_memory=True,
    error_line=r"program: .*|\S+\.hs:\d+:\d+: error:.+|    \S.*",
)
