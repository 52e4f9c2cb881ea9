"""`rewardranker serve`: what the best of 10 costs beside sampling alone, and many clients at once.

    python benchmarks/serving.py [-o FOLDER] [--rounds N] [--width N] [--layers N] [--problems N] [--tokens N]
        [--seconds S] [--clients N ...] [--cpu]

Latency: /v1/completions with best_of 10 over a socket, one request at a time; the same candidates drawn by
`Generator.rollouts` in this process, without a server and without a ranker; and those scored naively, each
with its prompt in a padded batch of plain transformers (the faster of batches of 1 and 10). Generator and
ranker (scalar) are of one size; prompts have 150 to 250 tokens. Rounds alternate. With --cpu, CPU seconds of
whoever computes: for a busy machine.

Throughput: so many clients, each with one request after the other, for some seconds: best of 10 of short
programs, and /rerank of 10 candidates. Memory is the server's, its peak so far.
"""

import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from peers.serve import CPU, clock
from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from rewardranker.problems.problem import Problem
from side_by_side import (
    PEERS,
    alternate,
    best,
    characters,
    describe,
    make_generator,
    parse,
    parser,
    started,
    write,
)

CANDIDATES = 10
# Random characters are no programs, and a parser takes long over errors: in Bash nothing is parsed.
BODY = {"best_of": CANDIDATES, "language": "bash"}
SHORT = 16
"""Tokens of a program where many clients ask at once."""


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, int]]:
    """URL and process of a server of the models in `folder`."""
    main = "from rewardranker.cli import main; main()"
    models = ["--ranker", folder / "ranker", "--generator", folder / "generator"]
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", main, "serve", "--port", "0", "--queue", "64", *models], stderr=log
        )
        try:
            while not (found := re.search(r"^serving on (\S+):", (folder / "log").read_text(), re.MULTILINE)):
                if process.poll() is not None:
                    sys.exit((folder / "log").read_text())
                time.sleep(0.1)
            yield found[1], process.pid
        finally:
            process.terminate()
            process.wait()


def used(pid: int) -> float:
    """Seconds as of `clock`, of another process."""
    if CPU not in os.environ:
        return time.perf_counter()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int, field: str) -> float:
    """VmRSS, resident now, or VmHWM, the most so far."""
    found = re.search(rf"^{field}:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def latency(url: str, pid: int, folder: Path, problems: int, tokens: int, rounds: int) -> dict[str, Any]:
    """Seconds a problem of the three sides, as rates of problems a second."""
    rng = random.Random(0)
    prompts = [characters(rng, rng.randint(150, 250)) for _ in range(problems)]
    generator = Generator.from_pretrained(folder / "generator")

    def sample() -> list[str]:
        texts = []
        for i, prompt in enumerate(prompts):
            (rollouts,) = generator.rollouts(
                [Problem(f"seed {i}", "", prompt, "")],
                n=CANDIDATES,
                temperature=1.0,
                max_new_tokens=tokens,
                seed=0,
                batch_size=512,
            )
            texts += [prompt + r.text for r in sorted(rollouts, key=lambda r: r.index)]
        return texts

    def sampling() -> float:
        start = clock()
        sample()
        return problems / (clock() - start)

    with (
        httpx.Client(timeout=600) as client,
        started(sys.executable, PEERS / "sequence_classifier.py") as worker,
    ):

        def served() -> float:
            start = used(pid)
            for i, prompt in enumerate(prompts):
                body = {**BODY, "prompt": prompt, "max_tokens": tokens, "seed": i}
                client.post(f"{url}/v1/completions", json=body).raise_for_status()
            return problems / (used(pid) - start)

        (folder / "texts.json").write_text(json.dumps([f"<bos>{text} <eos>" for text in sample()]))

        def scoring(setting: dict[str, Any]) -> float:
            texts, model = str(folder / "texts.json"), str(folder / "ranker")
            return float(worker.ask(model=model, texts=texts, onednn=False, **setting)["seconds"])

        def naive() -> float:
            start = clock()
            sample()
            return problems / (clock() - start + scoring(setting))

        setting = best("batch", (1, CANDIDATES), lambda s: 1 / scoring(s))
        served()
        found = alternate(rounds, ours=served, peer=sampling, naive=naive)
    return {**found, "setting": setting}


async def load(
    url: str, path: str, bodies: list[dict[str, Any]], clients: int, seconds: float
) -> dict[str, Any]:
    """What `clients` at once get in so many seconds."""
    times: list[float] = []
    statuses: Counter[int] = Counter()
    end = time.perf_counter() + seconds

    async def one(http: httpx.AsyncClient, number: int) -> None:
        turn = number
        while time.perf_counter() < end:
            start = time.perf_counter()
            answer = await http.post(url + path, json=bodies[turn % len(bodies)])
            times.append(time.perf_counter() - start)
            statuses[answer.status_code] += 1
            turn += clients

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    start = time.perf_counter()
    async with httpx.AsyncClient(timeout=600, limits=limits) as http:
        await asyncio.gather(*(one(http, number) for number in range(clients)))
    took = time.perf_counter() - start
    p50, p95, p99 = np.percentile(times, [50, 95, 99])
    return {
        "path": path,
        "clients": clients,
        "per_second": len(times) / took,
        "p50": float(p50),
        "p95": float(p95),
        "p99": float(p99),
        "statuses": dict(statuses),
    }


def throughput(url: str, pid: int, clients: list[int], seconds: float) -> list[dict[str, Any]]:
    rng = random.Random(1)
    prompts = [characters(rng, rng.randint(150, 250)) for _ in range(64)]
    completing = [{**BODY, "prompt": p, "max_tokens": SHORT} for p in prompts]
    ranking = [
        {"query": p, "documents": [characters(rng, rng.randint(100, 200)) for _ in range(CANDIDATES)]}
        for p in prompts
    ]
    rows = []
    for path, bodies in (("/v1/completions", completing), ("/rerank", ranking)):
        for count in clients:
            rows.append(
                asyncio.run(load(url, path, bodies, count, seconds)) | {"peak_mb": memory_mb(pid, "VmHWM")}
            )
            print(rows[-1], flush=True)
    return rows


def page(report: dict[str, Any]) -> list[str]:
    f = report["latency"]
    ratios = [a / b for a, b in zip(f["rates"]["peer"], f["rates"]["ours"], strict=True)]
    lines = [
        "# Serving",
        "",
        f"`{report['command']}`. Best of {CANDIDATES} of at most {report['tokens']} tokens, prompts of 150 "
        f"to 250, generator and scalar ranker each a Llama of width {report['width']} with "
        f"{report['layers']} layers. {report['problems']} problems one after the other, medians of "
        f"{report['rounds']} alternating rounds (in brackets the lowest and highest ratio of a round).",
        "",
        "| s a problem: served, best of 10 | sampling alone | sampling, then scored naively | its setting "
        "| served / sampling | naive / sampling |",
        "|" + " --- |" * 6,
        f"| {1 / f['ours']:.3f} | {1 / f['peer']:.3f} | {1 / f['naive']:.3f} | {describe(f['setting'])} "
        f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
        f"| {f['peer'] / f['naive']:.2f} |",
        "",
        f"Many clients, each with one request after the other for {report['seconds']:g} s by the wall clock; "
        f"completions are best of {CANDIDATES} of at most {SHORT} tokens, /rerank orders {CANDIDATES} "
        "candidates of 100 to 200.",
        "",
        "| route | clients | requests a second | p50, s | p95 | p99 | statuses | server's peak, MB |",
        "|" + " --- |" * 8,
    ]
    for r in report["throughput"]:
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(r["statuses"].items()))
        lines.append(
            f"| {r['path']} | {r['clients']} | {r['per_second']:.1f} | {r['p50']:.3f} | {r['p95']:.3f} "
            f"| {r['p99']:.3f} | {statuses} | {r['peak_mb']:.0f} |"
        )
    return lines


def main() -> None:
    arguments = parser(__doc__, "serving")
    arguments.add_argument("--problems", type=int, default=8)
    arguments.add_argument("--tokens", type=int, default=128, help="of a candidate, at most")
    arguments.add_argument("--seconds", type=float, default=20.0, help="of each load")
    arguments.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    a, report = parse(arguments)
    generator = make_generator(a.width, a.layers, a.tokens / 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generator.save(folder / "generator")
        RewardRanker.from_generator(generator, "scalar", seed=0).save(folder / "ranker")
        with server(folder) as (url, pid):
            report["latency"] = latency(url, pid, folder, a.problems, a.tokens, a.rounds)
            report["throughput"] = throughput(url, pid, a.clients, a.seconds)
    write(a.out, "serving", report, page(report))


if __name__ == "__main__":
    main()
