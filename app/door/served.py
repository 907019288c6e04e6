"""Gradio's app with the guard before it, and who asks for what is being answered."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.context import LocalContext
from gradio.routes import App, ORJSONResponse
from starlette.types import ASGIApp

from app.door.guard import USER, Guard, Rules
from app.door.routes import Join, ServerCall


class GuardedApp(App):
    """An app for `gradio.Blocks.launch`.

    The guard stands outside all of Gradio's own middleware, which would otherwise answer other
    sites first.

    Args:
        rules: Of the guard.
    """

    def __init__(self, rules: Rules) -> None:
        super().__init__(default_response_class=ORJSONResponse)
        self._rules = rules

    def build_middleware_stack(self) -> ASGIApp:
        """What a request passes."""
        stack = super().build_middleware_stack()
        return Guard(stack, self._rules, user_of=self._user_of, knows=self._knows)

    def _user_of(self, cookies: dict[str, str]) -> str | None:
        for name in (f"access-token-{self.cookie_id}", f"access-token-unsecure-{self.cookie_id}"):
            user = self.tokens.get(cookies.get(name))
            if user is not None:
                return str(user)
        return None

    def _knows(self, body: Any) -> bool:
        blocks = self.get_blocks()
        if isinstance(body, Join):
            event = blocks.fns.get(body.fn_index)
            return event is not None and event.fn is not None
        if isinstance(body, ServerCall):
            function = getattr(blocks.blocks.get(body.component_id), body.fn_name, None)
            return bool(getattr(function, "_is_server_fn", False))
        return True


def asker() -> str:
    """The login that asks for what is being answered; empty without logins, or without a request.

    Events carry it by Gradio's request, calls of a component by the guard's scope.
    """
    request = LocalContext.request.get(None)
    if isinstance(request, gr.Request):
        return request.username or ""
    scope = getattr(request, "scope", None) or {}
    return str(scope.get(USER, ""))
