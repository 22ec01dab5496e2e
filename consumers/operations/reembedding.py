"""Re-embedding: moves a store to another embedder while it serves.

New vectors are made beside the old ones, which serve until the new ones are complete. Then one
transaction puts the new embedder into service, and a second pass makes the vectors of memories that
came in between. The store says each time which vectors are missing, so an interrupted run is simply
run again.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pgvector import HalfVector

from consumers.runtime.tenants import NOBODY, tenants, users
from memory.database import Database
from memory.embedding import Embedder
from memory.errors import WrongDimension
from memory.language.turns import embedded_text
from memory.models import Scope


@dataclass(slots=True)
class Reembedded:
    """The result of a run; `replaced` names the embedder that it took out of service, if any."""

    embedder: str
    memories: int = 0
    collective: int = 0
    users: int = 0
    replaced: str | None = None


class Reembedding:
    """Moves one store to `embedder`, with the worker's role."""

    def __init__(
        self,
        database: Database,
        embedder: Embedder,
        *,
        batch: int = 200,
        progress: Callable[[Reembedded], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._embedder = embedder
        self._batch = batch
        self._progress = progress
        self.done = Reembedded(embedder.name)

    async def run(self, *, drop_old: bool = False) -> Reembedded:
        """Makes every missing vector and puts the embedder into service.

        With `drop_old`, vectors of embedders out of service are deleted at the end.

        Raises:
            WrongDimension: the store knows this embedder with another dimension.
        """
        embedder_id = await self._begin()
        await self._fill(embedder_id)
        self.done.replaced = await self._serve(embedder_id)
        # Workers that had not heard of the change wrote with the old embedder until then.
        await self._fill(embedder_id)
        if drop_old:
            await self._drop()
        return self.done

    async def _begin(self) -> int:
        wanted = self._embedder.dimensions
        params = {"name": self._embedder.name, "dimensions": wanted}
        row = (await self._database.fetch_system("embedders.begin", params))[0]
        if row["dimensions"] != wanted:
            raise WrongDimension(
                f"the store knows {self._embedder.name!r} with {row['dimensions']} dimensions,"
                f" configured are {wanted}"
            )
        return int(row["embedder_id"])

    async def _serve(self, embedder_id: int) -> str | None:
        # No tenant's rows are touched, so the scope only has to be one.
        async with self._database.transaction(Scope(NOBODY, NOBODY)) as transaction:
            params = {"embedder_id": embedder_id}
            retired = await transaction.fetch("embedders.retire", params)
            await transaction.fetch("embedders.serve", params)
        return retired[0]["name"] if retired else None

    async def _fill(self, embedder_id: int) -> None:
        async for tenant in tenants(self._database):
            await self._fill_collective(Scope(tenant, NOBODY), embedder_id)
            async for scope in users(self._database, tenant):
                await self._fill_user(scope, embedder_id)
                self.done.users += 1
                self._progress(self.done)

    async def _fill_user(self, scope: Scope, embedder_id: int) -> None:
        after = 0
        while True:
            params = {"embedder_id": embedder_id, "after": after, "limit": self._batch}
            rows = await self._database.fetch(scope, "embedders.missing", params)
            if not rows:
                return
            texts = [embedded_text(row["text"], row["payload"]) for row in rows]
            ids = [row["memory_id"] for row in rows]
            await self._add(scope, "embedders.add", embedder_id, ids, texts)
            self.done.memories += len(rows)
            self._progress(self.done)
            after = ids[-1]

    async def _fill_collective(self, scope: Scope, embedder_id: int) -> None:
        after = 0
        while True:
            params = {"embedder_id": embedder_id, "after": after, "limit": self._batch}
            rows = await self._database.fetch(scope, "embedders.missing_collective", params)
            if not rows:
                return
            ids = [row["memory_id"] for row in rows]
            texts = [row["text"] for row in rows]
            await self._add(scope, "embedders.add_collective", embedder_id, ids, texts)
            self.done.collective += len(rows)
            after = ids[-1]

    async def _add(
        self, scope: Scope, statement: str, embedder_id: int, ids: list[int], texts: list[str]
    ) -> None:
        vectors = await self._embedder.embed(texts)
        keys = {"tenant": scope.tenant, "user": scope.user, "embedder_id": embedder_id}
        async with self._database.transaction(scope) as transaction:
            await transaction.execute_many(
                statement,
                [
                    {**keys, "memory_id": memory, "vector": HalfVector(vector)}
                    for memory, vector in zip(ids, vectors, strict=True)
                ],
            )

    async def _drop(self) -> None:
        async for tenant in tenants(self._database):
            await self._database.fetch(Scope(tenant, NOBODY), "embedders.drop_collective")
            async for scope in users(self._database, tenant):
                await self._database.fetch(scope, "embedders.drop")
