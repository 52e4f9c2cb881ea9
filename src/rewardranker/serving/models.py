"""Which models are served, and by which names."""

from rewardranker.serving.errors import RequestError
from rewardranker.serving.schemas import ModelCard, ModelList


class Names:
    """The models that requests may name.

    Args:
        ranker: the ranker's name.
        source: the name of what samples; None: nothing does.
    """

    def __init__(self, ranker: str, source: str | None, created: int) -> None:
        self._known = [name for name in (source, ranker) if name is not None]
        self._created = created

    def list(self) -> ModelList:
        """All of them."""
        return ModelList(data=[ModelCard(id=name, created=self._created) for name in self._known])

    def check(self, named: str | None, served: str) -> None:
        """Refuse a name other than that of the model which a route uses.

        Raises:
            RequestError: 404, with the right name.
        """
        if named not in (None, served):
            raise RequestError(
                404, f"no model {named!r} answers here; its name is {served!r}", "model", "model_not_found"
            )
