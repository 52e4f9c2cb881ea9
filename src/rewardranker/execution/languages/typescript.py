"""TypeScript: compiled as MultiPL-E does, by the pinned compiler, then run as JavaScript is."""

from pathlib import Path

from rewardranker.execution.languages.javascript import ERROR_LINE, LAUNCHER, LODASH, NODE, RUN
from rewardranker.execution.languages.language import Language, Prebuilt, node_modules, npm

_SERVICE = Path(__file__).parents[1] / "compilers" / "services" / "typescript.js"
_VERSIONS = f"require('{node_modules()}/typescript/package.json').version + ' on node ' + process.version"
_ARGUMENTS = ("--target", "esnext", "program.ts")
# A snapshot can only be used with the flags that it was made with. Half of the usual stack, because what has
# become machine code needs less of it: what overflows in a fresh compiler overflows in this one.
_NODE = ("node", "--stack-size=492", "--max-old-space-size=512", "--initial-old-space-size=400")

TYPESCRIPT = Language(
    name="typescript",
    tools=(NODE, npm("typescript", "5.9.3"), LODASH),
    version_command=("node", "-p", _VERSIONS),
    files=lambda source, _: {"program.ts": source, "launcher.js": LAUNCHER},
    build=("node", "{node_modules}/typescript/bin/tsc", *_ARGUMENTS),
    warm=(*_NODE, "--snapshot-blob", "{prebuilt}/snapshot.blob"),
    prebuilt=Prebuilt(
        sources={"typescript.js": _SERVICE.read_text()},
        commands=(
            (
                *(*_NODE, "--snapshot-blob", "snapshot.blob", "--build-snapshot", "typescript.js"),
                *("{node_modules}/typescript/lib", *_ARGUMENTS),
            ),
        ),
    ),
    run=RUN,
    reserves_memory=True,
    error_line=rf".*error TS.*|{ERROR_LINE}",
)
