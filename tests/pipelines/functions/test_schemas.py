from typing import Any

import pytest
from openai.lib._pydantic import _ensure_strict_json_schema

from pipelines.functions import read
from tests.pipelines.functions.real import HEAD, run, schema, untitled

CLASSES = '''
class Color(Enum):
    """How it looks."""
    RED = "red"
    BLUE = "blue"

class Level(IntEnum):
    LOW = 1
    HIGH = auto()

class Size(StrEnum):
    SMALL = auto()
    LARGE = auto()

class Movie(TypedDict):
    name: str
    year: NotRequired[int]

class Rated(Movie, total=False):
    stars: Required[float]
    note: str

@dataclass
class Point:
    """Where it is."""
    x: float
    y: float = 0.0
    labels: list[str] = field(default_factory=list)

class Address(BaseModel):
    """Where somebody lives."""
    model_config = ConfigDict(extra="forbid")
    street: str = Field(min_length=1, max_length=80, description="Name and number.")
    zip_code: str = Field("00000", alias="zip", pattern=r"^[0-9]{5}$")
    kind: ClassVar[int] = 3
    _hidden: int = 1

class Person(Address):
    age: int = Field(ge=0, lt=150)
    height: Optional[float] = Field(default=None, gt=0)
    friends: "list[Person]" = Field(default_factory=list, max_length=5)
    color: Color = Color.RED

Unit = Literal["celsius", "fahrenheit"]
'''
ANNOTATIONS = (
    "str",
    "int",
    "float",
    "bool",
    "None",
    "Any",
    "list",
    "list[int]",
    "List[str]",
    "t.List[t.Dict[str, int]]",
    "dict",
    "dict[str, float]",
    "dict[str, Any]",
    "Dict[str, List[int]]",
    "set[int]",
    "frozenset[str]",
    "tuple[int, str]",
    "tuple[int, ...]",
    "tuple[()]",
    "tuple",
    "Sequence[int]",
    "Optional[int]",
    "int | None",
    "int | str | None",
    "Union[int, Union[str, None]]",
    "Optional[list[Optional[int]]]",
    "Literal['a']",
    "Literal['a', 'b']",
    "Literal[1, 2]",
    "Literal['a', 1, None]",
    "Literal[True]",
    "Unit",
    "Optional[Unit]",
    "'list[int]'",
    "date",
    "datetime",
    "UUID",
    "SecretStr",
    "Color",
    "Level",
    "Size",
    "list[Color]",
    "Movie",
    "Rated",
    "Point",
    "Address",
    "Person",
    "dict[str, Person]",
    "Optional[Point]",
    "Annotated[int, Field(ge=1, le=9, description='One digit.')]",
    "Annotated[Optional[int], Field(ge=1)]",
    "Annotated[list[str], Field(min_length=1)]",
    "Annotated[str, Field(max_length=5, examples=['abc'])]",
)


def of_function(code: str, name: str = "f") -> dict[str, Any]:
    (entry,) = read(HEAD + code, name).entries
    return entry.parameters


@pytest.mark.parametrize("annotation", ANNOTATIONS)
def test_an_annotation_is_written_as_pydantic_writes_it(annotation: str) -> None:
    code = CLASSES + f"def f(a: {annotation}): ..."
    assert of_function(code) == schema(run(code)["f"])


@pytest.mark.parametrize(
    "signature",
    [
        "a, b=3",
        "a: int = -1",
        "a: float = 60 * 60 / 2",
        "*, a: str, b: str = 'x'",
        "a: Color = Color.BLUE",
        "a: Unit = 'celsius'",
        "a: list[int] = [1, 2]",
        "a: Optional[str] = None, b: dict[str, int] = {'x': 1}",
        "a: int = Field(3, ge=1)",
        "a: int = Field(..., le=4)",
        "",
    ],
)
def test_a_signature_is_written_as_pydantic_writes_it(signature: str) -> None:
    code = CLASSES + f"def f({signature}): ..."
    assert of_function(code) == schema(run(code)["f"])


@pytest.mark.parametrize("name", ["Person", "Point", "Rated"])
def test_what_a_model_holds_becomes_openais_strict_format_as_pydantics_own_does(name: str) -> None:
    code = CLASSES + f"def f(a: {name}): ..."
    ours, theirs = of_function(code), schema(run(code)["f"])
    assert _ensure_strict_json_schema(ours, path=(), root=ours) == untitled(_ensure_strict_json_schema(theirs, path=(), root=theirs))


@pytest.mark.parametrize("annotation", ["Frame", "pd.DataFrame", "f()", "'not python ('", "Literal[unknown()]", "lambda: 1", "Loop"])
def test_what_cannot_be_told_takes_anything(annotation: str) -> None:
    assert of_function(f"Loop = Loop\nclass Frame: ...\ndef f(a: {annotation}): ...")["properties"] == {"a": {}}


def test_a_default_that_only_running_tells_makes_a_parameter_optional() -> None:
    assert of_function("import os\ndef f(a: str = os.sep, b: float = 1 / 0, c: float = 1e999): ...") == {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "number"}, "c": {"type": "number"}},
        "additionalProperties": False,
    }


def test_a_text_in_annotated_is_the_description() -> None:
    found = of_function("def f(a: Annotated[int, 'How many.'], b: Annotated[str, Doc('Which.')]): ...")["properties"]
    assert found == {"a": {"type": "integer", "description": "How many."}, "b": {"type": "string", "description": "Which."}}


def test_arguments_by_any_name_may_come_where_the_signature_takes_them() -> None:
    assert of_function("def f(a: int, *more, **others): ...") == {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": True,
    }


GOOGLE = """Look up the weather.

    It rains often.

    Args:
        city (str): Where it is
            asked for.
        days: How many days.

    Returns:
        str: A sentence.
"""
NUMPY = """Look up the weather.

    It rains often.

    Parameters
    ----------
    city : str
        Where it is
        asked for.
    days : int, optional
        How many days.
"""
REST = """Look up the weather.

    It rains often.

    :param str city: Where it is
        asked for.
    :param days: How many days.
    :return: A sentence.
"""


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, REST])
def test_a_docstring_describes_the_function_and_its_parameters(docstring: str) -> None:
    (entry,) = read(f'def f(city, days: int = 3):\n    """{docstring}    """', "f").entries
    assert entry.description == "Look up the weather.\n\nIt rains often."
    assert entry.parameters["properties"] == {
        "city": {"type": "string", "description": "Where it is\nasked for."},
        "days": {"type": "integer", "description": "How many days.", "default": 3},
    }


def test_a_docstring_without_order_is_kept_whole() -> None:
    (entry,) = read('def f(a):\n    """\n    :a b c d: e\n    :param\n    """', "f").entries
    assert ":param" in entry.description
