"""TypeScript: compiled as MultiPL-E does, by the pinned compiler, then run as JavaScript is."""

from rewardranker.execution.languages.javascript import ERROR_LINE, LAUNCHER, LODASH, NODE, RUN
from rewardranker.execution.languages.language import Language, node_modules, npm

TYPESCRIPT = Language(
    name="typescript",
    tools=(NODE, npm("typescript", "5.9.3"), LODASH),
    version_command=("node", str(node_modules() / "typescript/bin/tsc"), "--version"),
    files=lambda source, _: {"program.ts": source, "launcher.js": LAUNCHER},
    build=("node", "{node_modules}/typescript/bin/tsc", "--target", "esnext", "program.ts"),
    run=RUN,
    reserves_memory=True,
    error_line=rf".*error TS.*|{ERROR_LINE}",
)
