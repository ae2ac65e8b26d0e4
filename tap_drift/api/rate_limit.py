"""When a request may go: one gate for all requests of a run.

How many requests Drift allows is not documented, so the gate learns it. Nothing is held back before
the first 429. From then on the gate keeps a pace, in requests per second, somewhere from `low`,
which Drift has borne, to `high`, which it refused, and brings the two together as one looks up a
word: a pace that is borne for a trial becomes `low`, a pace that is refused becomes `high`. When
they are close it stays just under `low`. After a minute without a refusal it tries a little more,
and if that is borne, more and more, so that a limit that rose, or never was, is soon left behind.
If `low` itself is refused, the limit dropped, or Drift had saved up allowance: `low` gives way
towards what really came through, and trials get longer, for savings do not outlast a long one.

To halve the number of requests under way and let it grow again, as is often done, would be refused
all the time: what number fits depends on how fast Drift answers, and one more is too much more.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
"""Seconds to pause after a 429 that does not say how long; doubled while nothing else comes."""

# Seconds of a trial. Most limits count by the second, so that less shows nothing.
_SHORT_TRIAL, _LONG_TRIAL = 1.6, 25.6
_FEWEST = 4  # requests in a trial, so that it shows something
_QUIET = 60.0  # seconds from a refusal to the next try for more: each refusal can cost one
_MEASURED = 10.0  # seconds over which the speed is measured before the first 429
_NEAR, _CLOSE = 1.3, 1.05  # ratios of `high` to `low`
_FIRST_LIFT = 1.05


class AdaptiveRate:
    """How many requests a second, learned as the module says; it is told what time it is."""

    def __init__(self) -> None:
        self.rate = math.inf
        self._low = self._high = math.inf
        self._trial = _SHORT_TRIAL
        self._lift = _FIRST_LIFT
        self._refused_at: float | None = None
        # Counted since the last refusal at `_start`, after which requests went again at `_resumed`.
        self._start = self._resumed = -math.inf
        self._sent = self._passed = 0
        self._trial_start, self._trial_sent = -math.inf, 0

    def sent(self, now: float) -> None:
        """Count a request; the rate may change with it."""
        # Only now is everything answered that was under way at the refusal.
        if self._refused_at is not None:
            self._learn(self._refused_at, now)
        elif self.rate == math.inf and now - self._start > _MEASURED:
            self._count_from(now, now)
        self._sent += 1
        self._trial_sent += 1
        lasted = now - self._trial_start
        if self.rate < math.inf and lasted > self._trial and self._trial_sent > _FEWEST:
            # A pace that nobody made use of has not been tried.
            if self._trial_sent > 0.8 * self.rate * lasted:
                self._borne(now)
            self._try(now)

    def passed(self) -> None:
        """Count an answer that was not a 429."""
        self._passed += 1

    def refused(self, now: float) -> None:
        """Take note of a 429."""
        self._refused_at = now

    def _learn(self, refused_at: float, now: float) -> None:
        lasted = refused_at - self._start
        if self.rate == math.inf:
            self._high = self._sent / max(lasted, 0.05)
            self._low = min(0.95 * max(self._passed, 1) / max(lasted, 1.0), self._high)
        elif self._passed:
            self._high = self.rate
            if self.rate <= self._low:
                self._low = self._gave_way(refused_at)
                self._trial = min(4 * self._trial, _LONG_TRIAL)
        self._lift = _FIRST_LIFT
        self._refused_at = None
        self._count_from(refused_at, now)
        self._try(now)

    def _gave_way(self, refused_at: float) -> float:
        # Whether Drift saves up allowance during a pause is not known, so it counts by half.
        lasted = refused_at - (self._start + self._resumed) / 2
        came_through = self._passed / max(lasted, 1.0)
        return min(max(came_through, 0.9 * self.rate), 0.97 * self.rate)

    def _borne(self, now: float) -> None:
        self._low = max(self._low, self.rate)
        if self._high <= self._low * _CLOSE and now - self._resumed > _QUIET:
            self._high = self._low * self._lift
            self._lift = self._lift**2
            self._trial = max(self._trial / 4, _SHORT_TRIAL)

    def _try(self, now: float) -> None:
        ratio = self._high / self._low
        # To be refused costs more than to be a little slow, so it tries nearer to `low`.
        step = 0.98 if ratio <= _CLOSE else ratio ** (0.2 if ratio <= _NEAR else 0.4)
        self.rate = self._low * step
        self._trial_start, self._trial_sent = now, 0

    def _count_from(self, start: float, resumed: float) -> None:
        self._start, self._resumed = start, resumed
        self._sent = self._passed = 0


class FairSemaphore:
    """So many at once, first come, first served.

    A semaphore gives a free slot to whoever runs first: mostly to a worker that has just freed it,
    so that the listing would wait until the workers have nothing left to ask.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: deque[threading.Lock] = deque()
        self._lock = threading.Lock()

    def acquire(self) -> None:
        """Wait for a slot."""
        turn = threading.Lock()
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def release(self) -> None:
        """Hand a slot on to who has waited longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


class RateLimiter:
    """Lets requests go one by one: `with gate as sent:` around each time a request is sent.

    Whoever is refused comes back through the gate, after a wait of its own.
    """

    def __init__(self, concurrency: int) -> None:
        """Open the gate.

        Args:
            concurrency: How many requests may be under way at once.
        """
        self._slots = FairSemaphore(concurrency)
        # Who has the door goes next, and sleeps there; the lock is only held for a moment.
        self._door = threading.Lock()
        self._lock = threading.Lock()
        self._pace = AdaptiveRate()
        self._next = self._reacted = -math.inf
        self._pause = FIRST_PAUSE

    def __enter__(self) -> float:
        """Wait for a free slot, for the end of a pause, and for the pace.

        Returns:
            When the request went, for `refused`.
        """
        self._slots.acquire()
        try:
            with self._door:
                while (now := self._go()) is None:
                    time.sleep(max(self._next - time.monotonic(), 0.0))
        except BaseException:
            self._slots.release()
            raise
        return now

    def __exit__(self, *_: object) -> None:
        """Free the slot."""
        self._slots.release()

    def _go(self) -> float | None:
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                return None
            self._pace.sent(now)
            interval = 1 / self._pace.rate
            # Who wakes a little late does not make all late who follow.
            self._next = max(self._next, now - interval / 2) + interval
            return now

    def passed(self) -> None:
        """Take note of an answer that was not a 429."""
        with self._lock:
            self._pace.passed()
            self._pause = FIRST_PAUSE

    def refused(self, sent: float, told: float) -> None:
        """Hold back all requests after a 429.

        Those that were under way together are refused together: that is learned from once.

        Args:
            sent: When the request went.
            told: Seconds of `Retry-After`; 0 if the answer does not say.
        """
        with self._lock:
            now = time.monotonic()
            if sent > self._reacted:
                self._reacted = now
                self._pace.refused(now)
                self._next = max(self._next, now + (told or self._pause))
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._next = max(self._next, now + told)
