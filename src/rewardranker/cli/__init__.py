"""The command line: one file a command; each parses, calls, prints. `main` turns errors into exit codes."""

import os
import sys

import typer

from rewardranker.cli.compare import compare
from rewardranker.cli.demo import demo
from rewardranker.cli.doctor import doctor
from rewardranker.cli.evaluate import evaluate
from rewardranker.cli.execute import execute
from rewardranker.cli.export import export
from rewardranker.cli.mine import mine
from rewardranker.cli.rank import rank
from rewardranker.cli.recipes import recipes, validate
from rewardranker.cli.run import run
from rewardranker.cli.sample import sample
from rewardranker.cli.serve import serve
from rewardranker.cli.study import study
from rewardranker.cli.train import train_ppo, train_reward, train_sft
from rewardranker.cli.view import view
from rewardranker.errors import UserError
from rewardranker.problems.public import is_public

app = typer.Typer(
    name="rewardranker",
    help="Train a ranker that picks the right program out of N samples, and keep making it better.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(demo)
app.command()(run)
app.command()(validate)
app.command()(execute)
app.command()(sample)
app.command("train-sft")(train_sft)
app.command("train-reward")(train_reward)
app.command("train-ppo")(train_ppo)
app.command()(mine)
app.command()(rank)
app.command()(evaluate)
app.command()(compare)
app.command()(study)
app.command()(export)
app.command()(serve)
app.command()(view)
app.command()(doctor)
app.add_typer(recipes, name="recipes")


def main() -> None:
    """Run the command line. Exit codes: 0 done, 2 the user's input is wrong, 1 our fault, 130 interrupted."""
    # Before torch loads its OpenMP library: threads that wait spin for a tenth of a millisecond, not for ten.
    # On idle cores that is as fast; beside other busy processes training took a hundred times longer without.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    # A compiled kernel is kept for every shape of batch; the default of 1,024 of them takes gigabytes.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    # Read when huggingface_hub is imported. Models are local; to name a public data set is to ask for it.
    if not any(map(is_public, sys.argv[1:])):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        app()
    except UserError as e:
        sys.stderr.write(f"rewardranker: {e}\n")
        sys.exit(2)
    except SystemExit as e:
        if e.code == 130:  # what typer makes of Ctrl-C
            sys.stderr.write("interrupted; give the same command again: what it has kept is not done twice\n")
        raise
