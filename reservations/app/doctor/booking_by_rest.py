"""The doctor's booking over REST: gateway, broker, worker, database, and all the way back."""

from dataclasses import dataclass
from typing import Any

import aiohttp

from reservations.app.doctor.booking import CANCELLATION, Booking, refused, unanswered
from reservations.app.doctor.findings import Finding, Stopwatch, ok, warning, wrong

MADE, LATER = 201, 202
FAILED = 400
ACTIVE = ("PENDING", "CONFIRMED")


class StepError(Exception):
    """A step failed; the finding says how."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.check)
        self.finding = finding


@dataclass(slots=True)
class RestPath:
    """Books and cancels at one gateway, in steps that are timed."""

    session: aiohttp.ClientSession
    url: str
    limit_s: float

    async def walk(self, booking: Booking) -> list[Finding]:
        """Go the whole path; stop at the first step that fails, and leave nothing booked if that can be had."""
        found: list[Finding] = []
        try:
            found += await self._sweep(booking)
            found.append(await self._book_and_cancel(booking, found))
        except StepError as error:
            found.append(error.finding)
        except (aiohttp.ClientError, TimeoutError) as error:
            cure = "See that the gateway runs, and name where it is with --gateway-url."
            found.append(wrong("booking.rest", f"{self.url} does not answer ({type(error).__name__})", cure))
        return found

    async def _book_and_cancel(self, booking: Booking, found: list[Finding]) -> Finding:
        watch = Stopwatch()
        made = await self._step("booking.create", "POST", "/reservations", json=dict(booking.payload()))
        found.append(ok("booking.create", f"{made['status']} for {booking.trip_date}", watch.lap()))
        reservation_id = made["id"]
        try:
            await self._step("booking.read", "GET", f"/reservations/{reservation_id}")
            found.append(ok("booking.read", "is there", watch.lap()))
        finally:
            cancelled = await self._cancel(reservation_id)
        return ok("booking.cancel", str(cancelled["status"]), watch.lap())

    async def _sweep(self, booking: Booking) -> list[Finding]:
        """Cancel what an examination left that had no answer in time."""
        left: list[Any] = []
        for status in ACTIVE:
            query = {"guest_id": str(booking.guest_id), "trip_id": str(booking.trip_id), "status": status}
            left += (await self._step("booking.search", "GET", "/reservations", params=query))["content"]
        for each in left:
            await self._cancel(each["id"])
        seen = f"{len(left)} bookings of earlier examinations were still there and are cancelled now"
        return [warning("booking.search", seen, "Nothing is to be done: they had no answer in time.")] if left else []

    async def _cancel(self, reservation_id: str) -> Any:
        path = f"/reservations/{reservation_id}"
        return await self._step("booking.cancel", "DELETE", path, params={"reason": CANCELLATION})

    async def _step(self, check: str, method: str, path: str, **options: Any) -> Any:
        headers = {"Prefer": f"wait={max(1, round(self.limit_s))}"} if method != "GET" else {}
        async with self.session.request(method, self.url + path, headers=headers, **options) as answer:
            status, body = answer.status, await answer.json(content_type=None)
        if status == LATER:
            raise StepError(unanswered(check, self.limit_s))
        if status >= FAILED:
            raise StepError(refused(check, body["error"], body["message"]))
        return body
