"""Shows the plan of a statement of `sql/queries` as it runs: `python -m tests.explain NAME`.

The store is the one of `test_queries.py`: 200 users of 60 memories each. The values are the ones
that its tests use, so NAME is one of their hot statements (`recall.scores`, say).
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import psycopg
from psycopg import sql

from memory import embedded
from memory.database.queries import numbered
from memory.migrate import migrate
from memory.models import Scope
from tests.bindings import bind
from tests.test_queries import FILL, HOT, TENANT, USER, prepared


def main() -> None:
    parser = argparse.ArgumentParser(description="Show the plan of a statement as it runs.")
    parser.add_argument("name", choices=sorted(HOT))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memory-explain-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)  # as root the server's own account must be able to enter
        try:
            url = embedded.start(directory / "store", {"fsync": "off"})
            sys.stdout.writelines(f"{line}\n" for line in explain(url, given.name))
        finally:
            embedded.stop(directory / "store")


def explain(url: str, name: str) -> list[str]:
    """The lines of EXPLAIN, with times, and the pages that each node touched."""
    asyncio.run(migrate(url))
    text, names = numbered(name)
    values = {"tenant": TENANT, "user": USER, **HOT[name]}
    literals = sql.SQL(", ").join(sql.Literal(values[n]) for n in names)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path TO memory, public")
        connection.execute(FILL.encode())
        connection.execute("ANALYZE")
        with connection.transaction():
            bind(connection, Scope(TENANT, USER))
            connection.execute(f"PREPARE {prepared(name)} AS {text}".encode())
            statement = sql.SQL("EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) EXECUTE {}({})")
            rows = connection.execute(
                statement.format(sql.Identifier(prepared(name)), literals)
            ).fetchall()
    return [line for (line,) in rows]


if __name__ == "__main__":
    main()
