"""Errors as clients of OpenAI's interface read them."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from rewardranker.errors import UserError
from rewardranker.serving.schemas import ErrorBody, ErrorResponse

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class RequestError(Exception):
    """A request that gets an error for an answer."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code


class RankerError(Exception):
    """A ranker that another server computes gave no scores."""


class RankerAwayError(RankerError):
    """It would give none to other requests either, now."""


def error_response(
    status: int,
    message: str,
    param: str | None = None,
    code: str | None = None,
    retry_after: int | None = None,
) -> JSONResponse:
    """The answer that says what is wrong."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    body = ErrorResponse(error=ErrorBody(message=message, type=kind, param=param, code=code))
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return JSONResponse(body.model_dump(), status, headers)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Error answers for a route's description."""
    return {s: {"model": ErrorResponse, "description": HTTPStatus(s).phrase} for s in statuses}


def add_handlers(app: FastAPI) -> None:
    """Have every error of `app` answered so."""

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, e: RequestValidationError) -> JSONResponse:
        first = e.errors()[0]
        if first["type"] == "json_invalid":
            return error_response(400, f"the body is not JSON: {first.get('ctx', {}).get('error', '')}")
        where = ".".join(str(part) for part in first["loc"][1:])
        return error_response(400, f"{where}: {first['msg']}" if where else first["msg"], where or None)

    @app.exception_handler(RequestError)
    async def _refused(_: Request, e: RequestError) -> JSONResponse:
        return error_response(e.status, str(e), e.param, e.code)

    @app.exception_handler(UserError)
    async def _wrong(_: Request, e: UserError) -> JSONResponse:
        return error_response(400, str(e))

    @app.exception_handler(RankerError)
    async def _ranker(_: Request, e: RankerError) -> JSONResponse:
        return error_response(502, str(e), code="ranker_error")

    @app.exception_handler(HTTPException)
    async def _http(_: Request, e: HTTPException) -> JSONResponse:
        response = error_response(e.status_code, str(e.detail))
        response.headers.update(e.headers or {})
        return response

    @app.exception_handler(Exception)
    async def _ours(_: Request, e: Exception) -> JSONResponse:
        return error_response(500, f"internal error ({type(e).__name__}); the server's log has more")
