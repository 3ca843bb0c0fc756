"""The fault server: an HTTP/1.1 upstream that follows a plan and writes down what it did.

In: an address, a plan, a book. Out: answers and faults on the wire, one line per accepted connection, request and end in the book.
A plan is a function (connection number, request number on it, request number overall) -> step, a word of `steps.py`.
"""

import itertools
import random
import socket
import threading
import time
from contextlib import suppress

from connection import Connection
from recordbook import endpoint
from steps import AFTERWARDS, ANSWERS, BEFORE_THE_BODY, FAULTS, GREETINGS, PAUSE_SECONDS


def in_order(*steps):
    """The n-th request overall gets the n-th step; afterwards all is well."""
    return lambda connection, request, overall: steps[overall] if overall < len(steps) else "ok"


def on_each_connection(*steps):
    """The n-th request of every connection gets the n-th step; the last step repeats."""
    return lambda connection, request, overall: steps[min(request, len(steps) - 1)]


def always(step):
    return lambda connection, request, overall: step


def mixed(*steps):
    """The steps in turn for ever, by the order in which requests arrive over all connections."""
    return lambda connection, request, overall: steps[overall % len(steps)]


def shuffled(seed, *steps):
    """The steps in an order of their own each time around, by the order in which requests arrive over all connections."""
    draw, deck = random.Random(seed), []

    def plan(connection, request, overall):
        if not deck:
            deck.extend(draw.sample(steps, len(steps)))
        return deck.pop()
    return plan


def _think(thought):
    """What an upstream does between a request and what the plan says about it: `0.03` waits so long, `@0.05` until the clock shows a
    multiple of it, so that several do theirs in one instant."""
    if thought.startswith("@"):
        grid = float(thought[1:])
        time.sleep(grid - time.time() % grid)
    elif thought:
        time.sleep(float(thought))


class Upstream:
    """One listening endpoint. `wrap` turns an accepted socket into what HTTP is spoken over, e.g. TLS. `room` is how many bytes it has
    room for that it did not read yet."""

    def __init__(self, network, book, address, port, plan, place="upstream", wrap=None, room=0, queue=128):
        self.network, self.book, self.plan, self.wrap = network, book, plan, wrap
        self.overall, self._lock, self._accepted = itertools.count(), threading.Lock(), itertools.count()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = network.socket(place, family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if room:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.listener.bind((address, port))
        self.listener.listen(queue)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        # Only shutdown wakes a thread that waits in accept. A case may have stopped it before.
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()

    def _accept(self):
        while True:
            try:
                accepted, peer = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(accepted, endpoint(peer)), daemon=True).start()

    def _serve(self, accepted, peer):
        connection = Connection(accepted, peer, self.book, next(self._accepted))
        connection.note("accept")
        try:
            if self.wrap:
                connection.socket = self.wrap(connection)
            while connection.socket and self._exchange(connection):
                pass
        except OSError as error:
            connection.note("peer-ended", how=type(error).__name__)
        connection.socket and connection.socket.close()

    def _exchange(self, connection):
        """One request and what the plan says about it. False when the connection is over."""
        request = connection.read_head()
        if not request:
            connection.note("peer-closed")
            return False
        with self._lock:
            step = self.plan(connection.number, connection.request, next(self.overall))
        if step not in BEFORE_THE_BODY:
            connection.read_body(request)
        thought, _, step = step.rpartition(">")
        connection.note("request", request=connection.request, method=request.method, target=request.target, step=step)
        _think(thought)
        if step in BEFORE_THE_BODY:
            BEFORE_THE_BODY[step](connection, request)
            return False
        what, _, afterwards = step.partition("+")
        name, _, argument = what.partition(":")
        if name in FAULTS:
            FAULTS[name](connection)
            return False
        connection.send(ANSWERS[name](request, argument))
        connection.note("answered", request=connection.request)
        connection.request += 1
        name, _, argument = afterwards.partition(":")
        return AFTERWARDS[name](connection, argument)


class Expecting(Upstream):
    """Wants a PROXY line in front of the first request, and closes where there is none."""

    def _exchange(self, connection):
        request = connection.read_head()
        if not request:
            connection.note("peer-closed")
            return False
        announced = request.method == "PROXY"
        connection.note("request", request=0, step="ok" if announced else "wants-a-proxy-line")
        if announced:
            connection.send(ANSWERS["ok"](request, ""))
            connection.note("answered", request=0)
        connection.close("closed-after-answer" if announced else "closed")
        return False


class Crammed(Upstream):
    """Serves so many connections and then takes no more; one more is all that its queue holds."""

    def __init__(self, network, book, address, port, serves, place):
        self.serves = serves
        super().__init__(network, book, address, port, always("ok"), place, queue=0)

    def _accept(self):
        for _ in range(self.serves):
            accepted, peer = self.listener.accept()
            self._serve(accepted, endpoint(peer))


class Greeter(Upstream):
    """Speaks first, as servers of other protocols do, answers what comes in its own language, and closes."""

    def _exchange(self, connection):
        greeting, answer = GREETINGS[self.plan]
        if greeting:
            # A gateway may have had enough of it before it sends its request.
            connection.note("greeted", step=self.plan)
            connection.send(greeting)
        if not connection.socket.recv(65536):
            return False
        connection.note("request", request=0, step=self.plan)
        connection.send(answer)
        time.sleep(PAUSE_SECONDS)
        connection.close()
        return False


class Mute(Upstream):
    """Takes what comes, whatever language it is in, and ends the connection in one way each time."""

    def _exchange(self, connection):
        connection.socket.recv(65536)
        connection.note("request", request=0, step=self.plan)
        FAULTS[self.plan](connection)
        return False
