"""A ranker by its name: a folder or the URL of a server."""

from pathlib import Path
from typing import TYPE_CHECKING

from rewardranker.models.scores import Ranker

if TYPE_CHECKING:
    import torch


def load_ranker(
    source: Path | str,
    *,
    model: str | None = None,
    dtype: "torch.dtype | None" = None,
    timeout_s: float = 300.0,
    attempts: int = 5,
) -> Ranker:
    """The ranker at `source`: one of this project, a scalar reward model of others, or a server's.

    Args:
        source: a folder that `rewardranker train-reward` or `export` wrote, or that holds a sequence
            classifier with one label; or a URL that ends in /score, /rerank or /classify.
        model: a server's name for it; see `RemoteRanker`.
        dtype: of the weights of a folder; None: as the folder has them on a GPU, float32 on a CPU.
        timeout_s: for an answer of a server.
        attempts: of a request to a server.

    Raises:
        UserError: there is no ranker.
    """
    if str(source).startswith(("http://", "https://")):
        from rewardranker.models.remote_ranker import RemoteRanker

        return RemoteRanker(str(source), model, timeout_s=timeout_s, attempts=attempts)
    from rewardranker.models.ranker import RewardRanker
    from rewardranker.models.sequence import SequenceRanker

    path = Path(source)
    # What is no model at all is told of by the one that says how to make a ranker.
    foreign = (path / "config.json").is_file() and not (path / "rewardranker.json").is_file()
    return (SequenceRanker if foreign else RewardRanker).from_pretrained(path, dtype=dtype)
