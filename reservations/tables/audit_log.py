"""The audit log: what people did to the data beside the commands."""

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from reservations.models.erasure import Erased
from reservations.tables.statements import load

if TYPE_CHECKING:
    from reservations.tables.database import AnyConnection

SQL = load("audit_log.sql")
FORGET_GUEST = "forget_guest"


async def begin_erasure(connection: "AnyConnection", actor: str, guest_id: UUID) -> UUID:
    """Write down who begins to have a guest forgotten; return the id of the row."""
    audit_id = uuid4()
    await connection.execute(SQL["begin"], audit_id, actor, FORGET_GUEST, guest_id, Erased().model_dump_json())
    return audit_id


async def end_erasure(connection: "AnyConnection", audit_id: UUID, erased: Erased) -> None:
    """Write down what came of it; only the owner may."""
    await connection.execute(SQL["end"], audit_id, erased.model_dump_json())
