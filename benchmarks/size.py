"""What a store takes on disk: bytes of an interaction and of what is remembered of it.

    python -m benchmarks.size --format locomo --data locomo/dev.json [--json]

Imports conversations into a fresh store, runs the installed extractors, vacuums, and divides the
size of each table with its indexes by the interactions. Small tables that do not grow with
interactions are left out of the sum.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from benchmarks.datasets import DataSet, load
from benchmarks.store import fill, fresh_store
from memory import embedded
from memory.database import connect

SIZES = """
SELECT relname AS "table", reltuples::bigint AS rows, pg_total_relation_size(oid) AS bytes,
    pg_indexes_size(oid) AS of_indexes
FROM pg_class
WHERE relnamespace = 'memory'::regnamespace AND relkind = 'r'
ORDER BY bytes DESC
"""
SMALL = 100_000
"""Bytes up to which a table is not counted: a few pages that every store has."""


async def measure(data: DataSet) -> dict[str, Any]:
    """Sizes of a store that holds the conversations of `data`, in bytes."""
    async with fresh_store() as settings:
        await fill(settings, data.interactions())
        url = await to_thread.run_sync(embedded.start, settings.data_dir)
        async with await connect(url, settings.connect_timeout) as connection:
            await connection.execute("VACUUM (FULL, ANALYZE)")
            cursor = await connection.execute(SIZES)
            tables = await cursor.fetchall()
    rows = {table["table"]: table["rows"] for table in tables}
    counted = [table for table in tables if table["bytes"] > SMALL]
    return {
        "interactions": rows["interactions"],
        "memories": rows["memories"],
        "users": rows["users"],
        "bytes": sum(table["bytes"] for table in counted),
        "tables": counted,
    }


def report(found: dict[str, Any]) -> None:
    """Prints the sizes as a Markdown table."""
    said, kept = found["interactions"], found["memories"]
    print(f"{said:,} interactions of {found['users']} users, {kept:,} memories")
    print("| table | bytes an interaction | of that indexes | rows |\n|---|---:|---:|---:|")
    for table in found["tables"]:
        each, indexes = table["bytes"] / said, table["of_indexes"] / said
        print(f"| {table['table']} | {each:,.0f} | {indexes:,.0f} | {table['rows']:,} |")
    print(f"| all | {found['bytes'] / said:,.0f} | | |")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--format", choices=("locomo", "beam"), default="locomo")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = anyio.run(measure, load(options.format, options.data))
    print(json.dumps(found)) if options.json else report(found)


if __name__ == "__main__":
    main()
