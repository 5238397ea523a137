"""The thread that works ahead: order, bounds, faults, and that it ends."""

import gc
import itertools
import os
import subprocess
import sys
import threading
import traceback
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atdata.export.ahead import Ahead

WAIT = 10  # seconds for what takes none; only a fault takes that long


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "atdata-ahead"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    gc.collect()
    for thread in threads():
        thread.join(WAIT)
    assert threads() == []


class Source:
    """Numbers that count how many were asked for, and tell when so many were."""

    def __init__(self, until=None):
        self.made = 0
        self.closed = False
        self._until = until
        self._reached = threading.Event()

    def __iter__(self):
        try:
            for number in itertools.count():
                self.made += 1
                if self.made == self._until:
                    self._reached.set()
                yield number
        finally:
            self.closed = True

    def wait(self):
        assert self._reached.wait(WAIT)


@given(st.lists(st.integers()), st.integers(1, 5))
def test_items_come_in_order_and_once(items, room):
    assert list(Ahead(items, room)) == items


def test_no_more_are_made_than_there_is_room_for():
    source = Source(until=3)
    ahead = Ahead(source, 3)
    source.wait()
    assert next(ahead) == 0
    ahead.close()
    assert source.made in (3, 4)  # the fourth may have been begun when the first was taken


def test_the_next_item_is_made_while_the_last_is_used():
    source = Source(until=2)
    ahead = Ahead(source, 1)
    assert next(ahead) == 0
    source.wait()  # nobody has asked for it
    ahead.close()


def test_closing_ends_the_thread_and_closes_where_items_come_from():
    source = Source()
    ahead = Ahead(source, 2)
    assert [next(ahead), next(ahead)] == [0, 1]
    ahead.close()
    assert source.closed
    assert threads() == []
    ahead.close()
    with pytest.raises(StopIteration):
        next(ahead)


def test_nothing_comes_out_after_closing_not_even_what_was_being_made():
    begun, released = threading.Event(), threading.Event()

    def slow():
        begun.set()
        released.wait(WAIT)
        yield 1

    ahead = Ahead(slow(), 2)
    assert begun.wait(WAIT)
    closing = threading.Thread(target=ahead.close)
    closing.start()
    released.set()
    closing.join(WAIT)
    with pytest.raises(StopIteration):
        next(ahead)


def test_what_is_made_after_forgetting_is_not_kept():
    class Item:
        pass

    begun, released, made = threading.Event(), threading.Event(), []

    def slow(fails):
        begun.set()
        released.wait(WAIT)
        item = Item()
        made.append(weakref.ref(item))
        if fails:
            raise ZeroDivisionError(item)
        yield item

    for fails in (False, True):
        begun.clear()
        released.clear()
        ahead = Ahead(slow(fails), 2)
        assert begun.wait(WAIT)
        del ahead
        gc.collect()
        released.set()
        for thread in threads():
            thread.join(WAIT)
        gc.collect()
        assert made.pop()() is None


def test_forgetting_ends_the_thread():
    source = Source(until=2)
    ahead = Ahead(source, 2)
    next(ahead)
    del ahead
    gc.collect()
    for thread in threads():
        thread.join(WAIT)
    assert source.closed


def test_a_cycle_that_holds_it_is_collected():
    source = Source(until=2)
    holder = [Ahead(source, 2)]
    holder.append(holder)
    source.wait()
    del holder
    gc.collect()
    for thread in threads():
        thread.join(WAIT)
    assert source.closed


def test_an_exception_comes_where_the_item_would_have_with_the_traceback_of_its_origin():
    def failing():
        yield 1
        raise ZeroDivisionError("here")

    ahead = Ahead(failing(), 5)
    assert next(ahead) == 1
    with pytest.raises(ZeroDivisionError, match="here") as caught:
        next(ahead)
    assert "failing" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    with pytest.raises(StopIteration):
        next(ahead)


def test_an_exception_of_asking_for_an_iterator_comes_out_too():
    with pytest.raises(TypeError, match="not iterable"):
        next(Ahead(1, 1))


def test_another_consumer_may_close_it_while_one_waits():
    released = threading.Event()

    def slow():
        released.wait(WAIT)
        yield 1

    ahead = Ahead(slow(), 1)
    got = []
    waiting = threading.Thread(target=lambda: got.extend(ahead))
    waiting.start()
    closing = threading.Thread(target=ahead.close)
    closing.start()
    waiting.join(WAIT)
    assert not waiting.is_alive()
    released.set()
    closing.join(WAIT)
    assert got == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_is_told_that_the_thread_stayed_behind():
    ahead = Ahead(itertools.count(), 2)
    next(ahead)
    child = os.fork()
    if not child:
        try:
            next(ahead)
        except RuntimeError as error:
            ahead.close()
            os._exit(0 if "forked" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ahead.close()


def test_a_program_ends_while_items_lie_ready():
    code = """
import itertools
from atdata.export.ahead import Ahead
ahead = Ahead(itertools.count(), 2)
print(next(ahead))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("0\n", "", 0)
