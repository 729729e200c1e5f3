"""Work on many small parts by several threads at once.

The network's operations on a few slices are too small to be shared out among threads: whole chunks of slices are. Each
chunk is computed by one thread, so results don't depend on how many there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from threading import Event
from typing import TypeVar

import torch

from .errors import Cancelled
from .plan import Tick

T = TypeVar("T")
R = TypeVar("R")
Check = Callable[[], None]
"""Is called now and then by work in progress; raises what ends it."""

_LISTEN_S = 0.05


def in_parallel(work: Callable[[T, Check], R], items: Iterable[T], tick: Tick) -> Iterator[R]:
    """Results of some work on each item, in their order, by as many threads as torch may use.

    Args:
        work: is done for each item, in any order.
        items: what it is done with.
        tick: called with 0 again and again by the calling thread; what it raises stops the work.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        for item in items:
            tick(0)
            yield work(item, lambda: tick(0))
        return
    over = Event()

    def check() -> None:
        if over.is_set():
            raise Cancelled("Nobody waits for this any more.")

    def alone(item: T) -> R:
        with torch.inference_mode():
            return work(item, check)

    left = iter(items)
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(threads)
    try:
        # One more than there are threads, so that none waits for the one that takes the results.
        running: deque[Future[R]] = deque(pool.submit(alone, item) for item in islice(left, threads + 1))
        while running:
            tick(0)
            while not wait([running[0]], timeout=_LISTEN_S).done:
                tick(0)
            result = running.popleft().result()
            running.extend(pool.submit(alone, item) for item in islice(left, 1))
            yield result
    finally:
        over.set()
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads)
