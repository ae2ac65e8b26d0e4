"""FakeClock: time that passes only in sleep."""


class FakeClock:
    """Replaces `time.monotonic` and `time.sleep`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        """The seconds of each sleep."""

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
