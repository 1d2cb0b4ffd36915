"""Each written-out GraphQL type against the model that it stands for."""

from enum import StrEnum
from typing import Any, get_args

import msgspec
import pytest

from core.models import catalog, chats, completions, events, numerics, sources, users
from schema.chats import Chat, Message
from schema.generations import PROJECTIONS, Continued, FinishReason, Source, Usage
from schema.models import Model
from schema.mutation import AttachmentInput, SendMessageInput, SourceKind
from schema.users import Session, User

PAIRS: list[tuple[Any, type[msgspec.Struct], frozenset[str]]] = [
    (User, users.User, frozenset()),
    (Session, users.Session, frozenset()),
    (Model, catalog.Model, frozenset()),
    (Chat, chats.Chat, frozenset({"messages"})),
    (Message, chats.Message, Message.EXTRA),
    (SendMessageInput, chats.SendMessage, frozenset()),
    (AttachmentInput, sources.Attachment, frozenset()),
    (Usage, completions.Usage, frozenset()),
    (Source, sources.Source, frozenset()),
    *((projection, event, frozenset({"id"})) for event, projection in PROJECTIONS.items()),
]


@pytest.mark.parametrize(("projection", "model", "more"), PAIRS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_projection_has_no_field_that_its_model_lacks(projection: Any, model: type[msgspec.Struct], more: frozenset[str]) -> None:
    fields = {field.python_name for field in projection.__strawberry_definition__.fields}
    assert fields - more <= set(model.__struct_fields__)


@pytest.mark.parametrize(("enum", "model"), [(Continued, numerics.Continued), (FinishReason, completions.FinishReason)])
def test_an_enum_has_exactly_its_models_values(enum: type[StrEnum], model: Any) -> None:
    assert {str(member) for member in enum} == set(get_args(model))


def test_what_can_be_attached_is_the_models() -> None:
    assert [str(kind) for kind in SourceKind] == [str(kind) for kind in sources.SourceKind]


def test_every_event_has_a_projection() -> None:
    assert set(PROJECTIONS) == set(get_args(events.Event))
