"""Rate limit: when a request may be sent, for all streams and threads of a run.

Drift does not document its limit, so `AdaptiveRate` learns it by bisection. Nothing is delayed
before the first 429. From then on there is a rate, in requests per second, between `_accepted`
(the highest that Drift accepted) and `_rejected` (the lowest that it answered with 429). A rate
that is accepted for the length of a trial becomes `_accepted`; a rate that is rejected becomes
`_rejected`. When both are close, the rate stays just below `_accepted`. After a minute without a
429 a slightly higher rate is probed, then ever larger steps while they are accepted, because the
limit can rise. If `_accepted` itself is rejected, the limit dropped, or Drift had saved up
allowance: `_accepted` is lowered towards the measured throughput, and trials get longer.

Additive increase and multiplicative decrease of the number of concurrent requests, the common
alternative, is answered with 429 all the time: the right number depends on Drift's latency, and
exceeding it by 1 is enough. docs/decisions/adaptive-rate-limiter.md has the comparison.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque

FIRST_PAUSE, MAX_PAUSE = 0.5, 60.0
"""Seconds to pause after a 429 without `Retry-After`; doubled with each 429 in a row."""

# Seconds of a trial. Most limits count requests per second, so a shorter one shows nothing.
_SHORT_TRIAL, _LONG_TRIAL = 1.6, 25.6
_MIN_TRIAL_REQUESTS = 4
_PROBE_INTERVAL = 60.0  # seconds without a 429 before a higher rate is probed: a probe can cost one
_MEASURE_SECONDS = 10.0  # window in which throughput is measured before the first 429
_NEAR, _CLOSE = 1.3, 1.05  # ratios of `_rejected` to `_accepted`
_FIRST_PROBE_FACTOR = 1.05


class AdaptiveRate:
    """The learned rate in requests per second; infinite before the first 429.

    All times are seconds of one monotonic clock, passed by the caller.
    """

    def __init__(self) -> None:
        self.rate = math.inf
        self._accepted = self._rejected = math.inf
        self._trial = _SHORT_TRIAL
        self._probe_factor = _FIRST_PROBE_FACTOR
        self._throttled_at: float | None = None
        # Counted since the last 429 at `_start`, after which requests were sent from `_resumed`.
        self._start = self._resumed = -math.inf
        self._sent = self._succeeded = 0
        self._trial_start, self._trial_sent = -math.inf, 0

    def on_sent(self, now: float) -> None:
        """Count a request; this can change the rate."""
        # By now, all requests that were in progress at the 429 have been answered.
        if self._throttled_at is not None:
            self._learn(self._throttled_at, now)
        elif self.rate == math.inf and now - self._start > _MEASURE_SECONDS:
            self._count_from(now, now)
        self._sent += 1
        self._trial_sent += 1
        elapsed = now - self._trial_start
        if (
            self.rate < math.inf
            and elapsed > self._trial
            and self._trial_sent > _MIN_TRIAL_REQUESTS
        ):
            # A rate that was hardly used has not been tried.
            if self._trial_sent > 0.8 * self.rate * elapsed:
                self._on_accepted(now)
            self._start_trial(now)

    def on_success(self) -> None:
        """Count a response that was not a 429."""
        self._succeeded += 1

    def on_throttled(self, now: float) -> None:
        """Note a 429; the rate changes with the next request."""
        self._throttled_at = now

    def _learn(self, throttled_at: float, now: float) -> None:
        elapsed = throttled_at - self._start
        if self.rate == math.inf:
            self._rejected = self._sent / max(elapsed, 0.05)
            throughput = max(self._succeeded, 1) / max(elapsed, 1.0)
            self._accepted = min(0.95 * throughput, self._rejected)
        elif self._succeeded:
            self._rejected = self.rate
            if self.rate <= self._accepted:
                self._accepted = self._lower_after_drop(throttled_at)
                self._trial = min(4 * self._trial, _LONG_TRIAL)
        self._probe_factor = _FIRST_PROBE_FACTOR
        self._throttled_at = None
        self._count_from(throttled_at, now)
        self._start_trial(now)

    def _lower_after_drop(self, throttled_at: float) -> float:
        # Whether Drift saves up allowance during a pause is unknown, so half of the pause counts.
        elapsed = throttled_at - (self._start + self._resumed) / 2
        throughput = self._succeeded / max(elapsed, 1.0)
        return min(max(throughput, 0.9 * self.rate), 0.97 * self.rate)

    def _on_accepted(self, now: float) -> None:
        self._accepted = max(self._accepted, self.rate)
        if self._rejected <= self._accepted * _CLOSE and now - self._resumed > _PROBE_INTERVAL:
            self._rejected = self._accepted * self._probe_factor
            self._probe_factor = self._probe_factor**2
            self._trial = max(self._trial / 4, _SHORT_TRIAL)

    def _start_trial(self, now: float) -> None:
        ratio = self._rejected / self._accepted
        # A 429 costs more than a slightly low rate, so trials start nearer to `_accepted`.
        step = 0.98 if ratio <= _CLOSE else ratio ** (0.2 if ratio <= _NEAR else 0.4)
        self.rate = self._accepted * step
        self._trial_start, self._trial_sent = now, 0

    def _count_from(self, start: float, resumed: float) -> None:
        self._start, self._resumed = start, resumed
        self._sent = self._succeeded = 0


class FairSemaphore:
    """A semaphore that serves waiting threads in the order in which they arrived.

    `threading.Semaphore` can give a released slot back to the thread that released it, so that
    the thread that reads the listing would wait until the other threads have no requests left.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
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
        """Give the slot to the thread that has waited longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


class RateLimiter:
    """Limits how many requests are in progress and how fast they are sent.

    A context manager around each attempt: `with limiter as sent_at: …`. It blocks until a slot is
    free, a pause is over, and the rate allows another request. `sent_at` is the monotonic time at
    which the request may be sent; `on_throttled` takes it.
    """

    def __init__(self, concurrency: int) -> None:
        self._slots = FairSemaphore(concurrency)
        # Serializes senders, and is held while waiting; `_lock` is held only briefly.
        self._turn_lock = threading.Lock()
        self._lock = threading.Lock()
        self._rate = AdaptiveRate()
        self._next_at = self._throttled_at = -math.inf
        self._pause = FIRST_PAUSE

    def __enter__(self) -> float:
        """Wait until a request may be sent; return the monotonic time."""
        self._slots.acquire()
        try:
            with self._turn_lock:
                while (now := self._try_send()) is None:
                    time.sleep(max(self._next_at - time.monotonic(), 0.0))
        except BaseException:
            self._slots.release()
            raise
        return now

    def __exit__(self, *_: object) -> None:
        """Release the slot."""
        self._slots.release()

    def _try_send(self) -> float | None:
        with self._lock:
            now = time.monotonic()
            if now < self._next_at:
                return None
            self._rate.on_sent(now)
            interval = 1 / self._rate.rate
            # Absorbs up to half an interval of wake-up delay.
            self._next_at = max(self._next_at, now - interval / 2) + interval
            return now

    def on_success(self) -> None:
        """Note a response that was not a 429."""
        with self._lock:
            self._rate.on_success()
            self._pause = FIRST_PAUSE

    def on_throttled(self, sent_at: float, retry_after: float) -> None:
        """Delay all requests after a 429.

        Several 429s to requests that were in progress at the same time count as one.

        Args:
            sent_at: When the request was sent, monotonic seconds.
            retry_after: Seconds of `Retry-After`; 0 if the response has none.
        """
        with self._lock:
            now = time.monotonic()
            if sent_at > self._throttled_at:
                self._throttled_at = now
                self._rate.on_throttled(now)
                self._next_at = max(self._next_at, now + (retry_after or self._pause))
                self._pause = min(2 * self._pause, MAX_PAUSE)
            self._next_at = max(self._next_at, now + retry_after)
