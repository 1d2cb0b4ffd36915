"""On whose behalf schemathesis asks, which loads this: an administrator's, with a fresh token for each request.

Signing in would not do: what schemathesis guesses is slowed like anybody's guesses, and it signs out what it came with.
"""

import os
from pathlib import Path
from typing import Any

import schemathesis

from core.security import Tokens
from core.settings import Settings

USER, KEY = "PENSTOCK_TEST_USER", "PENSTOCK_SECRET_KEY"


@schemathesis.auth(refresh_interval=None)
class Fresh:
    """The administrator's."""

    def __init__(self) -> None:
        environment = os.environ  # noqa: TID251 - handed over by tests.schemathesis
        self._user_id = environment[USER]
        self._tokens = Tokens(Settings(secret_key=environment[KEY], data_dir=Path()))

    def get(self, case: schemathesis.Case[Any], context: schemathesis.AuthContext) -> str:
        """A token."""
        del case, context
        return self._tokens.issue(self._user_id)[0]

    def set(self, case: schemathesis.Case[Any], data: str, context: schemathesis.AuthContext) -> None:
        """It goes where every client sends it."""
        del context
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """The administrator is neither deleted nor changed, nor is their password: all that follows would be refused."""
    del context, kwargs
    if case.method != "GET" and case.path_parameters.get("user_id") == os.environ[USER]:  # noqa: TID251 - as above
        case.path_parameters["user_id"] = "nobody"
