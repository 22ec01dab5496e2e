"""The nodes of a plan, as EXPLAIN (FORMAT JSON) tells it."""

from typing import Any


def every_node(row: tuple[Any, ...] | None) -> list[dict[str, Any]]:
    """Returns every node of the plan in the row that EXPLAIN gave."""
    assert row is not None
    nodes, found = [row[0][0]["Plan"]], []
    while nodes:
        node = nodes.pop()
        found.append(node)
        nodes += node.get("Plans", [])
    return found
