"""A pool of daemon threads for calls that are needed before there is a plan."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def each(jobs: Sequence[Callable[[], T]], threads: int, stop: threading.Event) -> list[T]:
    """Run ``jobs`` and return what they return, in order; the first crash is raised here.

    The threads are daemons, so that an interrupt ends the process at once.
    """
    made: dict[int, T] = {}
    crashed: list[BaseException] = []
    tasks: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(jobs)):
        tasks.put(index)
    done = threading.Semaphore(0)

    def work() -> None:
        while not stop.is_set() and not crashed:
            try:
                index = tasks.get_nowait()
            except queue.Empty:
                return
            try:
                made[index] = jobs[index]()
            except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
                crashed.append(error)
            finally:
                done.release()

    for number in range(min(threads, len(jobs))):
        threading.Thread(target=work, daemon=True, name=f"finops-first-{number}").start()
    try:
        finished = 0
        while finished < len(jobs) and not crashed:
            finished += done.acquire(timeout=0.2)
    except KeyboardInterrupt:
        stop.set()
        raise
    if crashed:
        raise crashed[0]
    return [made[index] for index in range(len(jobs))]
