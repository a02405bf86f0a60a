"""The command agent: messages become commands, and what came of them goes out before they are acknowledged."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from reservations.agents.decoding import Unreadable
from reservations.agents.intake import Delivery, Rest
from reservations.agents.publications import Publication
from reservations.agents.publisher import Publishes
from reservations.agents.survival import Patience, Survivor, kafka_is_away
from reservations.agents.telling import Verdict
from reservations.agents.turns import in_turns
from reservations.models.commands import AnyCommand

Decode = Callable[[Delivery], AnyCommand | Unreadable]
Tell = Callable[[Sequence[tuple[Delivery, Verdict]]], Iterable[Publication]]


class CommandAgent:
    """Handles the deliveries of the command topics."""

    def __init__(
        self,
        *,
        decode: Decode,
        survivor: Survivor,
        publisher: Publishes,
        tell: Tell,
        patience: Patience,
        on_verdict: Callable[[Delivery, Verdict], None],
    ) -> None:
        self._decode = decode
        self._survivor = survivor
        self._publisher = publisher
        self._tell = tell
        self._patience = patience
        self._on_verdict = on_verdict

    async def handle(self, deliveries: Sequence[Delivery]) -> Rest:
        """Apply what the deliveries ask for; return the telling of what came of it.

        When that is done, every delivery may be acknowledged; when either raises, none.
        """
        verdicts = await self._judge(await in_turns(self._decode, deliveries))
        return partial(self._publish, list(zip(deliveries, verdicts, strict=True)))

    async def _publish(self, told: Sequence[tuple[Delivery, Verdict]]) -> None:
        publications = list(self._tell(told))
        await self._patience.insist("Kafka", lambda: self._publisher.publish(publications), kafka_is_away)
        await in_turns(lambda each: self._on_verdict(*each), told)

    async def _judge(self, read: Sequence[AnyCommand | Unreadable]) -> list[Verdict]:
        commands = [command for command in read if not isinstance(command, Unreadable)]
        outcomes = iter(await self._survivor.apply(commands) if commands else ())
        return [each if isinstance(each, Unreadable) else next(outcomes) for each in read]
