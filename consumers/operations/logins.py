"""Binds logins of the server to tenants, as the login that owns the schema."""

from dataclasses import dataclass

from memory import migrate
from memory.database import connect, resolve_url, translated
from memory.database.pipeline import Call, Rows
from memory.errors import ConfigurationError
from memory.settings import Settings


@dataclass(frozen=True, slots=True)
class Login:
    """A login that is one tenant's."""

    login: str
    tenant: str


async def bind(settings: Settings, tenant: str, login: str) -> tuple[Login, ...]:
    """Binds a login to a tenant, in place of another, and returns all that are bound.

    Raises:
        ConfigurationError: there is no such login, it may see every tenant, or an administrator of
            the server has to grant it a role first; the message has the SQL.
    """
    await _run(settings, ("migrations.bind_login", {"login": login, "tenant": tenant}))
    return await bound(settings)


async def remove(settings: Settings, tenant: str, login: str) -> tuple[Login, ...]:
    """Binds a login of the tenant to none, so that it sees nothing; returns all that are bound.

    Raises:
        ConfigurationError: the login is not bound to this tenant.
    """
    params = {"login": login, "tenant": tenant}
    if not await _run(settings, ("migrations.unbind_login", params)):
        raise ConfigurationError(f"the login {login!r} is not bound to tenant {tenant!r}")
    return await bound(settings)


async def bound(settings: Settings) -> tuple[Login, ...]:
    """Returns the logins that are one tenant's, by tenant."""
    rows = await _run(settings, ("migrations.logins", {}))
    return tuple(Login(row["login"], row["tenant_id"]) for row in rows)


async def _run(settings: Settings, call: Call) -> Rows:
    await migrate.store_url(settings)  # which makes an embedded store, or says what is missing
    url = await resolve_url(settings)
    async with await connect(url, settings.connect_timeout) as connection:
        with translated():
            (rows,) = await connection.run([call])
            return rows
