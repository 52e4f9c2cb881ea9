"""`rewardranker serve`: ranking and best-of-N over HTTP."""

import os
from pathlib import Path
from typing import Annotated

import typer


def serve(
    ranker: Annotated[
        str,
        typer.Option(
            "--ranker",
            help="Folder of a ranker, ours or of others, or a URL: vLLM's /score, /rerank, asked with "
            "OPENAI_API_KEY.",
        ),
    ],
    generator: Annotated[
        Path | None, typer.Option("--generator", help="Folder of a Hugging Face causal LM that samples.")
    ] = None,
    upstream: Annotated[
        str | None,
        typer.Option(
            "--upstream",
            metavar="URL",
            help="An OpenAI-compatible server that samples, up to /v1; OPENAI_API_KEY is its key.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="The upstream's model; it is served by this name."),
    ] = None,
    host: Annotated[str, typer.Option("--host")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 8000,
    best_of: Annotated[
        int, typer.Option("--best-of", min=1, max=128, help="Candidates, where a request doesn't say.")
    ] = 8,
    queue: Annotated[
        int, typer.Option("--queue", min=1, help="Requests in work or waiting; others get 429.")
    ] = 64,
    api_key: Annotated[
        str,
        typer.Option(
            "--api-key",
            envvar="REWARDRANKER_API_KEY",
            show_envvar=True,
            help="What requests must bear; other users of the machine see an option, not the variable.",
        ),
    ] = "",
    max_request_mb: Annotated[float, typer.Option("--max-request-mb", min=0.001)] = 4.0,
    upstream_timeout: Annotated[
        float,
        typer.Option(
            "--upstream-timeout",
            min=0.1,
            help="Seconds for an answer of the upstream, or of the ranker's URL.",
        ),
    ] = 120.0,
    workers: Annotated[
        int,
        typer.Option("--workers", min=0, help="Sandboxes for visible tests; 0: as many as suit the machine."),
    ] = 0,
    log_prompts: Annotated[
        bool, typer.Option("--log-prompts", help="Have prompts and answers in the log.")
    ] = False,
) -> None:
    """Serve a ranker: order candidates that clients bring, and answer with the best of N samples.

    /rerank, /v1/rerank, /v2/rerank, /infinity/rerank and /score need the ranker alone; with --generator or
    --upstream there are /v1/chat/completions and /v1/completions too. Ctrl-C or SIGTERM finishes what is in
    flight.

    Example: rewardranker serve --ranker RANKER --upstream http://localhost:8001/v1 --model qwen
    """
    from rewardranker.errors import UserError

    if generator is not None and upstream is not None:
        raise UserError("--generator and --upstream: give one of them, candidates come from one place")
    if (upstream is None) != (model is None):
        raise UserError("--upstream and --model belong together: the URL of a server, and its model's name")
    # For a library of torch, which keeps kernels and buffers of the last 1,024 shapes that a thread computed.
    # Those of requests hardly recur: with each the server grew by some MB, to 600 in the end.
    os.environ.setdefault("LRU_CACHE_CAPACITY", "16")
    try:
        from rewardranker.serving import server
    except ImportError as e:
        raise UserError(f"serving needs {e.name}: pip install 'rewardranker[serve]'") from e

    server.serve(
        ranker,
        generator=generator,
        upstream=(upstream, model) if upstream and model else None,
        host=host,
        port=port,
        best_of=best_of,
        queue=queue,
        api_key=api_key,
        most_bytes=int(max_request_mb * 2**20),
        upstream_timeout_s=upstream_timeout,
        workers=workers,
        log_prompts=log_prompts,
        say=lambda line: typer.echo(line, err=True),
    )
