"""Reads offers and reactions to them from the payloads of feedback interactions.

The payload of a `feedback` interaction, all keys but `action` optional:

    action         accept · reject · edit · choose · skip · retry · rephrase · dwell
    item           {attribute: value, ...}: what was judged; for `choose`, what was chosen
    item_id        names the item, so that several reactions to it count once
    options        choose: every item that was offered, the chosen one among them
    edited         edit: {attribute: new value} of what the user changed in `item`
    dwell_seconds  dwell: how long the user stayed with `item`
    context        a condition under which all this happened, such as "backend roles"

A value is a text of up to five words without a sentence's marks, a number, true or false (read as
yes or no), or a list of those. Give an attribute on every item of its kind ("remote": "no" too):
items are compared with those that carry the same attribute. Feedback that does not fit this
contract is ignored, and never stops a user's extraction.

How actions are read: accept is a yes; reject, skip, retry and rephrase are a no to the item (the
answer that was retried); choose is a yes to one option against the others; edit is a no to each
value the user changed against a yes to the value put in its place; dwell is a yes or a no by
whether it was longer or shorter than the median of the user's earlier dwells, once there are five.
"""

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from extractors.reading.values import is_value
from memory.language.text import folded
from memory.models import Interaction

Item = Mapping[str, frozenset[str]]
"""Normalised attributes of one offered item, each with its values (one, unless it is a list)."""

LONGEST_NAME = 60
LONGEST_CONTEXT = 100
MOST_CONTEXT_WORDS = 10
MOST_ATTRIBUTES = 50
MOST_OPTIONS = 100
DWELLS_FOR_A_MEDIAN = 5

YES = frozenset({"accept"})
NO = frozenset({"reject", "retry", "rephrase", "skip"})
GLANCES = frozenset({"dwell", "skip"})
"""Reactions that a decision about the same item outweighs."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Items that a user was shown together, and those that were accepted.

    compared: the user weighed these items against each other, so they are a block of their own;
        otherwise there is one item, judged alone.
    """

    interaction: Interaction
    context: str | None
    items: tuple[Item, ...]
    accepted: tuple[bool, ...]
    compared: bool


class Dwells:
    """The dwell times of one user so far, against which the next is judged."""

    def __init__(self) -> None:
        self._seconds: list[float] = []

    def longer(self, seconds: float) -> bool | None:
        """Compares `seconds` with the median so far and adds it; None: too few to say."""
        earlier = self._seconds
        usual = earlier[len(earlier) // 2] if len(earlier) >= DWELLS_FOR_A_MEDIAN else seconds
        insort(earlier, seconds)
        return None if seconds == usual else seconds > usual


def read_offers(interactions: Sequence[Interaction]) -> Iterator[Offer]:
    """Yields the offers in `interactions`, in order; each item named by `item_id` is judged once.

    Of several reactions to one item the first decision counts, or the first glance (`dwell`,
    `skip`) if nothing was decided.
    """
    decided = _decided_items(interactions)
    judged: set[str] = set()
    dwells = Dwells()
    for interaction in interactions:
        action, item_id = _action(interaction.payload), _item_id(interaction.payload)
        if item_id in judged or (action in GLANCES and item_id in decided):
            continue
        offer = _read(interaction, dwells)
        if offer is not None:
            yield offer
            if item_id is not None:
                judged.add(item_id)


def _decided_items(interactions: Iterable[Interaction]) -> set[str]:
    return {
        item_id
        for interaction in interactions
        if (item_id := _item_id(interaction.payload)) is not None
        and _action(interaction.payload) not in GLANCES
    }


def _action(payload: Mapping[str, Any]) -> str | None:
    action = payload.get("action")
    return action if isinstance(action, str) else None


def _item_id(payload: Mapping[str, Any]) -> str | None:
    item_id = payload.get("item_id")
    return str(item_id) if isinstance(item_id, str | int) else None


def _read(interaction: Interaction, dwells: Dwells) -> Offer | None:
    payload = interaction.payload
    if not _readable_context(payload):  # what holds only somewhere must not hold everywhere
        return None
    action, item = _action(payload), read_item(payload.get("item"))
    if action == "choose":
        return _choice(interaction, item)
    if action == "edit":
        return _edit(interaction, item)
    accepted = _stayed(payload, dwells) if action == "dwell" else _verdict(action)
    if accepted is None or not item:
        return None
    return Offer(interaction, _context(payload), (item,), (accepted,), compared=False)


def _verdict(action: str | None) -> bool | None:
    return True if action in YES else False if action in NO else None


def _choice(interaction: Interaction, chosen: Item) -> Offer | None:
    offered = interaction.payload.get("options")
    if not chosen or not isinstance(offered, list | tuple) or len(offered) > MOST_OPTIONS:
        return None
    others = [read_item(option) for option in offered]
    if chosen in others:
        others.remove(chosen)
    items = (chosen, *others)
    accepted = (True,) + (False,) * len(others)
    return Offer(interaction, _context(interaction.payload), items, accepted, compared=True)


def _edit(interaction: Interaction, before: Item) -> Offer | None:
    edited = read_item(interaction.payload.get("edited"))
    changed = [name for name in edited if name in before and before[name] != edited[name]]
    if not changed:
        return None
    old = {name: before[name] for name in changed}
    new = {name: edited[name] for name in changed}
    context = _context(interaction.payload)
    return Offer(interaction, context, (new, old), (True, False), compared=True)


def _stayed(payload: Mapping[str, Any], dwells: Dwells) -> bool | None:
    seconds = payload.get("dwell_seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        return None
    return dwells.longer(float(seconds))


def _context(payload: Mapping[str, Any]) -> str | None:
    context = payload.get("context")
    if not isinstance(context, str) or not is_value(context, MOST_CONTEXT_WORDS):
        return None
    return " ".join(context.split())[:LONGEST_CONTEXT] or None


def _readable_context(payload: Mapping[str, Any]) -> bool:
    context = payload.get("context")
    return not isinstance(context, str) or is_value(context, MOST_CONTEXT_WORDS)


def read_item(attributes: object) -> Item:
    """Normalises `attributes`: names and values in lower case without surplus space.

    It leaves out everything that is not an attribute (a nested object, a text longer than
    `LONGEST_NAME`, a sentence).
    """
    if not isinstance(attributes, Mapping):
        return {}
    item: dict[str, frozenset[str]] = {}
    for name, given in list(attributes.items())[:MOST_ATTRIBUTES]:
        attribute = _normal(name).replace(" ", "_")
        several = given if isinstance(given, list | tuple) else [given]
        values = frozenset(value for part in several if (value := _normal(part)))
        if attribute and values:
            item[attribute] = values
    return item


def _normal(value: object) -> str:
    match value:
        case bool():
            text = "yes" if value else "no"
        case str():
            text = folded(value) if is_value(value) else ""
        case int():
            text = str(value)
        case float():
            text = f"{value:g}"
        case _:
            text = ""
    return text if len(text) <= LONGEST_NAME else ""
