"""Rate and time left, by a clock of our own."""

from eventkit.projection.progress import Meter, Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def metered(*steps: tuple[float, int, int]) -> list[Progress]:
    """What a meter reports when it is shown each (seconds since the start, done, total)."""
    clock, seen = Clock(), list[Progress]()
    meter = Meter(seen.append, clock)
    for seconds, done, total in steps:
        clock.now = 100.0 + seconds
        meter.show(done, total)
    return seen


def test_before_the_first_event_there_is_no_rate_and_no_time_left() -> None:
    assert metered((0, 0, 500)) == [Progress(0, 500, 0.0, None)]


def test_the_time_left_is_what_is_left_at_the_rate_so_far() -> None:
    assert metered((2, 100, 500)) == [Progress(100, 500, 50.0, 8.0)]


def test_at_the_end_nothing_is_left() -> None:
    assert metered((2, 500, 500)) == [Progress(500, 500, 250.0, 0.0)]


def test_the_rate_is_that_of_the_last_seconds() -> None:
    steps = [(float(second), second * 10, 2_000) for second in range(1, 11)]
    steps += [(float(10 + second), 100 + second * 100, 2_000) for second in range(1, 7)]
    assert metered(*steps)[-1] == Progress(700, 2_000, 100.0, 13.0)


def test_a_meter_that_nobody_reads_does_nothing() -> None:
    clock = Clock()
    meter = Meter(None, clock)
    clock.now = 200.0
    meter.show(1, 2)
