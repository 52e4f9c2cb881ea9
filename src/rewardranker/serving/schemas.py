"""What requests and answers look like: as OpenAI, Cohere, Jina and vLLM have them."""

import json
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, JsonValue, model_validator

MOST = 128
"""Candidates of one request."""
_DOCUMENTS = 1000
"""Of one request to rank; as many as Cohere takes."""

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=MOST)]


class _Request(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False, use_attribute_docstrings=True)

    model: str | None = None
    """A name that /v1/models lists; without it the one there is."""

    @model_validator(mode="before")
    @classmethod
    def _can_be_sent_on(cls, data: Any) -> Any:
        """Python reads NaN and halves of characters as JSON; what comes later could not write them."""
        if not isinstance(data, bytes):  # of another content type, which is an error anyway
            json.dumps(data, allow_nan=False, ensure_ascii=False).encode()
        return data


class _Answer(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class Document(BaseModel):
    """A candidate as Cohere, Jina and LiteLLM may send it, and as answers show it."""

    text: str


class RerankRequest(_Request):
    """Candidates to order."""

    query: str
    """What to solve: the prompt."""
    documents: Annotated[list[str | Document], Field(min_length=1, max_length=_DOCUMENTS)]
    """Candidates: programs, or the rest of a program that the prompt begins."""
    top_n: Annotated[int, Field(ge=1)] | None = None
    """As many results at most; without it all."""
    return_documents: bool | None = False
    use_activation: bool | None = None
    """False: relevance scores are raw. Without it they are probabilities, where the ranker is calibrated."""

    @property
    def texts(self) -> list[str]:
        """The candidates."""
        return [d if isinstance(d, str) else d.text for d in self.documents]


class RerankResult(_Answer):
    """One candidate's place."""

    index: int
    """Its place in the request."""
    relevance_score: float
    """Calibrated probability that it is right, 0 for what exceeds the ranker's context; or the raw score."""
    document: Document | str | None = None


class RankerUsage(_Answer):
    """As Jina, vLLM and Infinity tell of it."""

    prompt_tokens: int
    """Of queries and candidates, as the ranker reads them: it writes none."""
    total_tokens: int
    """The same."""


class InputTokens(_Answer):
    """Cohere's."""

    input_tokens: int


class BilledUnits(InputTokens):
    """Cohere's, and LiteLLM's name for it."""

    total_tokens: int


class Meta(_Answer):
    """Usage as Cohere tells of it."""

    billed_units: BilledUnits
    tokens: InputTokens


class RerankResponse(_Answer):
    """Candidates, the best first."""

    id: str
    model: str
    results: list[RerankResult]
    usage: RankerUsage | None = None
    """Absent where another server computes the ranker: it counts."""
    meta: Meta | None = None
    """Likewise."""


_Texts = str | Annotated[list[str], Field(min_length=1, max_length=_DOCUMENTS)]


class ScoreRequest(_Request):
    """Candidates to score, as vLLM's /score takes them."""

    queries: _Texts = Field(validation_alias=AliasChoices("queries", "text_1"))
    """One prompt for all candidates, or one for each."""
    documents: _Texts = Field(validation_alias=AliasChoices("documents", "text_2"))
    """Candidates."""
    use_activation: bool | None = None
    """True: scores are calibrated probabilities. Without it they are raw."""

    @model_validator(mode="after")
    def _as_many(self) -> "ScoreRequest":
        if len(self.pairs()[0]) != len(self.pairs()[1]):
            raise ValueError("queries must be one, or as many as documents")
        return self

    def pairs(self) -> tuple[list[str], list[str]]:
        """Prompts and candidates, as many of each."""
        documents = [self.documents] if isinstance(self.documents, str) else self.documents
        queries = [self.queries] if isinstance(self.queries, str) else self.queries
        return queries * len(documents) if len(queries) == 1 else queries, documents


class ScoreData(_Answer):
    """One candidate's score."""

    index: int
    object: Literal["score"] = "score"
    score: float
    """Raw, unless asked otherwise: higher is better, comparable between candidates of one prompt."""


class ScoreResponse(_Answer):
    """Scores in the order of the candidates."""

    id: str
    object: Literal["list"] = "list"
    created: int
    model: str
    data: list[ScoreData]
    usage: RankerUsage | None = None
    """As of `RerankResponse`."""


class StreamOptions(BaseModel):
    """OpenAI's."""

    model_config = ConfigDict(strict=True)

    include_usage: bool = False


class SamplingRequest(_Request):
    """What chats and completions have in common. Fields of a server that aren't here go to the upstream."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    n: Count | None = 1
    """Choices wanted: the best, in order."""
    best_of: Count | None = None
    """Candidates they are chosen from; without it as the server was started with."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Of each candidate; 512 without it."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stop: Text | Annotated[list[Text], Field(max_length=16)] | None = None
    seed: int | None = None
    stream: bool | None = False
    """Server-sent events; the winner comes after ranking, in one piece."""
    stream_options: StreamOptions | None = None
    return_candidates: bool = False
    """Tell of every candidate: text, program, score, probability and rank."""
    visible_tests: str | None = None
    """The program's end that tests it; candidates that pass come before those that don't."""
    language: str = "python"
    """Of the programs."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    """Refuse to choose where the best candidate's probability is lower."""

    @property
    def stops(self) -> list[str]:
        """Where candidates end."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def extra(self) -> dict[str, Any]:
        """Fields that aren't named here."""
        return dict(self.__pydantic_extra__)


class ContentPart(BaseModel):
    """A part of a message; only text is ranked."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    type: str
    text: str | None = None


class Message(BaseModel):
    """A message of a chat."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None

    @property
    def text(self) -> str:
        """What it says."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text or "" for part in self.content or [])


class ChatRequest(SamplingRequest):
    """OpenAI's, and `best_of`, `return_candidates`, `visible_tests`, `language`, `min_confidence`."""

    messages: Annotated[list[Message], Field(min_length=1)]
    """The last of the user's is what candidates are ranked for."""
    ranker_prompt: str | None = None
    """The program's beginning that candidates are ranked after; without it the last message of the user."""
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    """Newer name of max_tokens."""


class CompletionRequest(SamplingRequest):
    """OpenAI's, and `return_candidates`, `visible_tests`, `language`, `min_confidence`."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)]
    """One text to continue."""

    @property
    def text(self) -> str:
        """The prompt."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]


class Usage(_Answer):
    """Tokens of all candidates, chosen or not."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class CandidateReport(_Answer):
    """What is known of one candidate."""

    rank: int
    """1 is the best."""
    text: str
    """What was sampled."""
    program: str
    """What of it was ranked, and run where there are visible tests."""
    score: float | None
    """Raw; null: it exceeds the ranker's context."""
    probability: float | None
    """Calibrated, of being right; null: this ranker has no calibration."""
    parses: bool | None
    """null: not known for this language."""
    visible: bool | None
    """Whether it passes the visible tests; null: not run."""
    reason: str
    """Why it ranks behind others in spite of its score; empty: it doesn't."""
    finish_reason: str


class AnswerMessage(_Answer):
    """The assistant's."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None


class ChatChoice(_Answer):
    """One of the winners."""

    index: int
    message: AnswerMessage
    logprobs: None = None
    finish_reason: str


class ChatResponse(_Answer):
    """Winners, best first."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    candidates: list[CandidateReport] | None = None
    warnings: list[str] | None = None
    """What of the request the upstream did not honour."""


class CompletionChoice(_Answer):
    """One of the winners."""

    index: int
    text: str
    logprobs: None = None
    finish_reason: str
    refusal: str | None = None


class CompletionResponse(_Answer):
    """Winners, best first."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage
    candidates: list[CandidateReport] | None = None
    warnings: list[str] | None = None
    """What of the request the upstream did not honour."""


class ModelCard(_Answer):
    """A model that is served."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["rewardranker"] = "rewardranker"


class ModelList(_Answer):
    """What is served."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class ErrorBody(_Answer):
    """OpenAI's."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorResponse(_Answer):
    """What is wrong."""

    error: ErrorBody


class Health(_Answer):
    """The server answers."""

    status: Literal["ok", "draining"]
