"""The routes of OpenAI's Responses: made, fetched again, and forgotten."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import FastAPI, Query, Request
from starlette.responses import JSONResponse, Response

from youtu_onnx.serve.http import answers
from youtu_onnx.serve.http.answers import Described
from youtu_onnx.serve.http.bodies.response import CreateResponse
from youtu_onnx.serve.http.bundles import Bundles
from youtu_onnx.serve.http.problems import Problem
from youtu_onnx.serve.http.response_answers import Deleted, ItemList, ResponseAnswer
from youtu_onnx.serve.http.response_store import Remembered, ResponseStore
from youtu_onnx.serve.http.responses import create

FOUND: Described = {status: (answers.ERRORS | answers.BUSY)[status] for status in (400, 401, 403, 404, 500)}


def add_responses(app: FastAPI, bundles: Bundles) -> None:
    """``/v1/responses``"""
    store = ResponseStore(bundles.settings.remembered_bytes)

    @app.post(
        "/v1/responses",
        response_model=ResponseAnswer,
        tags=["OpenAI"],
        responses=answers.ERRORS | answers.BUSY | {200: {"content": answers.RESPONSE_STREAM}},
    )
    async def create_response(body: CreateResponse, http: Request) -> Response:
        """A reply to a conversation, as items of several kinds. With `stream`, `response.…` events.

        Thinking is an item of its own, with `reasoning_text`. A response is remembered for `previous_response_id` while there is
        room in memory, and not over a restart, unless `store` is false.
        """
        return await create(await bundles.service(body.model, http.scope), store, body, http)

    @app.get("/v1/responses/{id}", response_model=ResponseAnswer, responses=FOUND, tags=["OpenAI"])
    async def response(id: str) -> Response:  # noqa: A002
        """A response that the server remembers."""
        return JSONResponse(_found(store, id).response)

    @app.delete("/v1/responses/{id}", response_model=Deleted, responses=FOUND, tags=["OpenAI"])
    async def forget(id: str) -> Response:  # noqa: A002
        """Forget a response. Others that went on after it have what they need."""
        _found(store, id)
        store.forget(id)
        return JSONResponse({"id": id, "object": "response", "deleted": True})

    @app.get("/v1/responses/{id}/input_items", response_model=ItemList, responses=FOUND, tags=["OpenAI"])
    async def input_items(
        id: str,  # noqa: A002
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
        after: Annotated[str | None, Query(max_length=256)] = None,
    ) -> Response:
        """The items of a remembered response's own input."""
        given = list(_found(store, id).given)
        if order == "desc":
            given.reverse()
        if after is not None:
            places = [place for place, item in enumerate(given) if item["id"] == after]
            if not places:
                raise Problem(400, f"no item {after[:100]!r} among these", param="after", code="item_not_found")
            given = given[places[0] + 1 :]
        page = given[:limit]
        ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
        return JSONResponse({"object": "list", "data": page, **ends, "has_more": len(given) > limit})


def _found(store: ResponseStore, id_: str) -> Remembered:
    found = store.get(id_)
    if found is None:
        raise Problem(404, f"no response {id_[:100]!r} is remembered here", param="id", code="response_not_found")
    return found
