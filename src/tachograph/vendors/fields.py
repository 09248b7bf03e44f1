"""Reading what vendors answer, whatever form it has: an SDK's model, a dictionary, or something odd.

Compatible servers leave fields out, send null, or send text where a number belongs. Reading never raises; what cannot
be read is not reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, Final


def pick(thing: object, name: str) -> Any:
    """The field of a model or the entry of a mapping; None when there is none."""
    if thing is None:
        return None
    if type(thing) is dict:
        return thing.get(name)
    try:
        return getattr(thing, name)
    except AttributeError:
        return thing.get(name) if isinstance(thing, Mapping) else None


def either(thing: object, name: str, other: str) -> Any:
    """The field under one name, else under the other."""
    found = pick(thing, name)
    return pick(thing, other) if found is None else found


def plain(thing: Any) -> Any:
    """A pydantic model's fields, or those of loose JSON, as a dictionary; anything else as it is.

    Reading a field that a model lacks costs microseconds, and usage reports lack most of what they may have.
    """
    if type(thing) is dict:
        return thing
    try:
        extra: Any = thing.__pydantic_extra__
        fields = thing.__dict__
    except AttributeError:
        return vars(thing) if isinstance(thing, SimpleNamespace) else thing
    return {**fields, **extra} if extra else fields


def getter(thing: object) -> Callable[[str], Any]:
    """What reads several fields of one thing by name, each as `pick` would; a model is looked at only once."""
    fields = plain(thing)
    return fields.get if type(fields) is dict else partial(pick, thing)


def dig(thing: object, *names: str) -> Any:
    """The field of a field of a field; None as soon as one is missing."""
    for name in names:
        thing = pick(thing, name)
        if thing is None:
            return None
    return thing


MOST: Final = 10**15
"""More than this is no count of anything (ledgers hold 64 bits, JSON's numbers 53)."""


def count(thing: object, name: str) -> int | None:
    """A field that counts something: a whole number from 0 to `MOST`, else None."""
    return whole(pick(thing, name))


def whole(value: object) -> int | None:
    """A value that counts something: a whole number from 0 to `MOST`, else None."""
    if type(value) is int:
        return value if 0 <= value <= MOST else None
    if type(value) is float and 0 <= value <= MOST and value.is_integer():  # JSON made by other languages; not NaN
        return int(value)
    return None


def wholes(said: list[Any]) -> list[int | None]:
    """`whole` of each of them: the same list where each is a count or None, as nearly all are."""
    if _COUNTS.issuperset(map(type, said)):
        present = [*filter(None, said)]
        if not present or (min(present) > 0 and max(present) <= MOST):
            return said
    return [*map(whole, said)]


_COUNTS: Final = frozenset((int, type(None)))


def scalar(value: object) -> object:
    """A setting of a request that may be recorded: text, number, truth value, or a list of those. Else None.

    What SDKs put where the application said nothing (`Omit`, `NotGiven`) is none of these.
    """
    if type(value) in (str, int, float, bool):
        return value
    if isinstance(value, str):
        return word(value)
    if isinstance(value, (list, tuple)):
        found = [each for each in map(scalar, value) if each is not None and type(each) is not list]
        return found or None
    return None


def text(thing: object, name: str) -> str | None:
    """A field that is text and not empty, else None. Enumerations give their value."""
    return word(pick(thing, name))


def word(value: object) -> str | None:
    """A value that is text and not empty, else None. Enumerations give their value."""
    if type(value) is str:
        return value or None
    if isinstance(value, str) and value:
        return str(getattr(value, "value", value))
    return None


def items(thing: object, name: str) -> Iterator[Any]:
    """The entries of a field that is a list; nothing when it is not."""
    value = pick(thing, name)
    if isinstance(value, (list, tuple)):
        yield from value
