"""What a drill found and measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from reservations.app.drill.ledger import Answered
from reservations.app.drill.resending import Resent

MB = 1_000_000


@dataclass
class Report:
    """Figures in seconds and bytes, and everything that differs from what it should be."""

    restored: int = 0
    """Commands that were answered before the moment."""
    lost: int = 0
    """Commands that were answered after it."""
    unanswered: int = 0
    """Commands that were under way when the server was lost."""
    database_bytes: int = 0
    backup_bytes: int = 0
    backup_s: float = 0
    restore_s: float = 0
    replay_s: float = 0
    """From the restored files to a server that can be written to."""
    recovery_point_s: float = 0
    """From the last commit that was restored to the moment."""
    recovery_time_s: float = 0
    """From the loss to the first new booking; the comparison with the ledger lies between."""
    timeline: int = 0
    """The last timeline of which WAL was archived."""
    resent: Resent = field(default_factory=Resent)
    differences: list[str] = field(default_factory=list)

    def count(self, restored: Sequence[Answered], lost: Sequence[Answered], unanswered: int) -> None:
        """Note how many commands there were."""
        self.restored, self.lost, self.unanswered = len(restored), len(lost), unanswered

    def shown(self) -> dict[str, Any]:
        """Return it for JSON."""
        figures = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("resent", "differences")}
        rounded = {name: round(value, 3) for name, value in figures.items()}
        resent = {name: getattr(self.resent, name) for name in ("replayed", "applied", "renamed", "refused")}
        return {"ok": not self.differences, **rounded, "resent": resent, "differences": self.differences}

    def lines(self) -> list[str]:
        """Return it for people."""
        if self.differences:
            return ["The drill failed:", *(f"  {line}" for line in self.differences)]
        resent = self.resent
        return [
            f"commands           {self.restored} up to the moment, {self.lost} after it, {self.unanswered} unanswered",
            f"backup             {self.backup_s:.1f} s, {self.backup_bytes / MB:.1f} MB"
            f" (database {self.database_bytes / MB:.1f} MB)",
            f"restore            {self.restore_s:.1f} s, and {self.replay_s:.1f} s to replay WAL and start",
            f"recovery point     {self.recovery_point_s:.3f} s before the moment: all that was committed, and no more",
            f"recovery time      {self.recovery_time_s:.1f} s from the loss to the first new booking",
            f"timeline           {self.timeline} is archived",
            f"sent again         {resent.replayed} answered as before, {resent.applied} took effect",
            f"                   {resent.renamed} of them bookings that got another id and code,"
            f" {resent.refused} refused for naming the old id",
        ]
