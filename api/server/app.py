"""The end points: ``/v1/models``, ``/v1/completions``, ``/v1/chat/completions``, ``/health``."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ...errors import TrilobiteError
from ...runtime.batching.engine import BusyError, Engine
from ...runtime.batching.request import Ended, Event, Failed
from ...runtime.batching.request import Request as Answering
from ...runtime.chat_template import ChatTemplate
from .answers import Completion, Kind, error_body, event, model_list
from .parameters import Asked, RequestError, chat_messages, completion_prompt, parse

__all__ = ["MOST_BYTES", "Server", "make_app"]

MOST_BYTES = 4 << 20   # of a request's body
_DEFAULT_NEW = 512     # tokens of an answer, where a request leaves it open


class Server:
    """The end points over one engine.

    Parameters
    ----------
    engine
        Answers.
    name
        What the model is called.
    template
        Turns messages into text; None: there are no chats.
    api_key
        What requests must bring as ``Authorization: Bearer KEY``; None: nothing.
    """

    def __init__(
        self, engine: Engine, name: str, template: ChatTemplate | None, api_key: str | None = None
    ) -> None:
        self._engine, self._name, self._template = engine, name, template
        self._key = api_key
        self._created = int(time.time())

    async def health(self, request: Request) -> Response:
        """How many requests run and wait."""
        del request
        running, waiting = self._engine.load
        return JSONResponse({"status": "ok", "running": running, "waiting": waiting})

    async def models(self, request: Request) -> Response:
        """The list of the one model."""
        return await self._guarded(request, self._models)

    async def completions(self, request: Request) -> Response:
        """Continue a text."""
        return await self._guarded(request, self._complete)

    async def chat(self, request: Request) -> Response:
        """Answer messages."""
        return await self._guarded(request, self._chat)

    async def _models(self, request: Request) -> Response:
        del request
        return JSONResponse(model_list(self._name, self._created))

    async def _complete(self, request: Request) -> Response:
        values, asked = parse(await _body(request), self._name, ("prompt",))
        prompt = completion_prompt(values)
        if isinstance(prompt, list):
            size = self._engine.model.config.vocab_size
            if any(not 0 <= token < size for token in prompt):
                raise RequestError(f"prompt has a token id outside 0 to {size - 1}", "prompt")
            return await self._answer(request, "text", prompt, asked)
        ids = await run_in_threadpool(self._engine.model.tokenizer.encode, prompt)
        return await self._answer(request, "text", ids, asked)

    async def _chat(self, request: Request) -> Response:
        values, asked = parse(await _body(request), self._name, ("messages",))
        messages = chat_messages(values)
        template = self._template
        if template is None:
            raise RequestError("The model has no chat template; use /v1/completions", "messages")

        def ids() -> list[int]:
            return self._engine.model.tokenizer.encode(template.render(messages), begin=False)

        return await self._answer(request, "chat", await run_in_threadpool(ids), asked)

    async def _answer(
        self, request: Request, kind: Kind, prompt: list[int], asked: Asked
    ) -> Response:
        events: asyncio.Queue[Event] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def emit(one: Event) -> None:
            loop.call_soon_threadsafe(events.put_nowait, one)

        room = self._engine.model.config.max_position_embeddings - len(prompt)
        new_tokens = asked.new_tokens or max(1, min(_DEFAULT_NEW, room))
        answering = self._engine.submit(prompt, new_tokens, emit, asked.sampling, asked.stop)
        completion = Completion(kind, self._name, len(prompt))
        if asked.stream:
            stream = self._stream(completion, events, answering, asked.include_usage)
            return StreamingResponse(stream, media_type="text/event-stream")
        return await self._whole(request, completion, events, answering)

    async def _whole(
        self, request: Request, completion: Completion, events: asyncio.Queue[Event],
        answering: Answering,
    ) -> Response:
        pieces: list[str] = []
        leaves = asyncio.create_task(_left(request))
        try:
            while True:
                arrives = asyncio.create_task(events.get())
                await asyncio.wait({arrives, leaves}, return_when=asyncio.FIRST_COMPLETED)
                if not arrives.done():   # nobody is there to read the answer
                    arrives.cancel()
                    return Response(status_code=499)
                one = arrives.result()
                if isinstance(one, Failed):
                    return JSONResponse(error_body(one.message, "server_error"), 500)
                if isinstance(one, Ended):
                    return JSONResponse(
                        completion.whole("".join(pieces), one.reason, one.tokens))
                pieces.append(one.text)
        finally:
            leaves.cancel()
            self._engine.cancel(answering)

    async def _stream(
        self, completion: Completion, events: asyncio.Queue[Event], answering: Answering,
        include_usage: bool,
    ) -> AsyncIterator[bytes]:
        try:
            if completion.kind == "chat":
                yield event(completion.begin())
            while True:
                one = await events.get()
                if isinstance(one, Failed):
                    yield event(error_body(one.message, "server_error"))
                    return
                if isinstance(one, Ended):
                    yield event(completion.end(one.reason))
                    if include_usage:
                        yield event(completion.usage(one.tokens))
                    yield event("[DONE]")
                    return
                yield event(completion.piece(one.text))
        finally:   # also when the client has gone
            self._engine.cancel(answering)

    async def _guarded(
        self, request: Request, handle: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """Answer, or say why not in OpenAI's form."""
        if self._key is not None:
            given = request.headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self._key}".encode()):
                return JSONResponse(
                    error_body("The API key is missing or wrong", "authentication_error"), 401)
        try:
            return await handle(request)
        except BusyError as error:
            return JSONResponse(error_body(str(error), "rate_limit_error"), 429,
                                headers={"Retry-After": "1"})
        except TrilobiteError as error:
            field = error.field if isinstance(error, RequestError) else None
            return JSONResponse(error_body(str(error), "invalid_request_error", field), 400)
        except ClientDisconnect:
            return Response(status_code=499)


async def _body(request: Request) -> bytes:
    """What was sent; refused before it is all in memory if it is too much."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise RequestError(f"The request is larger than {MOST_BYTES >> 20} MiB")
    return bytes(body)


async def _left(request: Request) -> None:
    """Return when the client has gone."""
    while True:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            return


def make_app(server: Server, hosts: list[str] | None = None) -> Starlette:
    """The ASGI application; ``hosts`` are the names by which it may be called, None: any.

    A page in a browser can call a server on the loopback by a name that its owner makes lead there;
    the list of names keeps it out.
    """
    middleware = [] if hosts is None else [Middleware(TrustedHostMiddleware, allowed_hosts=hosts)]
    return Starlette(middleware=middleware, routes=[
        Route("/health", server.health),
        Route("/v1/models", server.models),
        Route("/v1/completions", server.completions, methods=["POST"]),
        Route("/v1/chat/completions", server.chat, methods=["POST"]),
    ])
