"""How long a job takes from its submission until its client is told, and how many jobs a server does in a second.

Every job is durable: it is answered after the commit is on the disk. The peer is that disk: as many appends with
fsync as there are jobs, one after the other, in the same run. `"cache": false` gives a job a run of its own; the cached
answer is measured apart.
"""

import contextlib
import os
import statistics
import tempfile
import threading
import time

import server

ALONE = 300
TOGETHER = 200
CLIENTS = 8
PING = {"analysis": "ping", "cache": False}
DESCRIBE = {"analysis": "describe", "input": "penguins", "cache": False}
TINY = {"sql": "SELECT 1 AS n", "cache": False}
CACHED = {"sql": "SELECT 1 AS n"}


def run(client):
    return client.post("/v1/jobs", PING, prefer="wait=30")


def describe(client):
    return client.post("/v1/jobs", DESCRIBE, prefer="wait=30")


def query(client):
    return client.post("/v1/query", TINY)


def cached(client):
    return client.post("/v1/query", CACHED)


def milliseconds(address, work, times=ALONE):
    """How long one client waits for each answer."""
    client, taken = server.Client(address), []
    work(client)
    for _ in range(times):
        start = time.perf_counter()
        work(client)
        taken.append((time.perf_counter() - start) * 1e3)
    taken.sort()
    return f"p50 {statistics.median(taken):.2f} ms, p99 {taken[int(len(taken) * 0.99)]:.2f} ms"


def rate(address, work):
    """How many answers a second `CLIENTS` clients have together."""

    def work_many():
        client = server.Client(address)
        for _ in range(TOGETHER):
            work(client)

    threads = [threading.Thread(target=work_many) for _ in range(CLIENTS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return CLIENTS * TOGETHER / (time.perf_counter() - start)


@contextlib.contextmanager
def load(address):
    """`CLIENTS` other clients run queries one after another until the block ends."""
    over = threading.Event()

    def work_on():
        client = server.Client(address)
        while not over.is_set():
            query(client)

    threads = [threading.Thread(target=work_on) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def fsyncs_per_second(times):
    with tempfile.NamedTemporaryFile(dir=tempfile.gettempdir()) as file:
        start = time.perf_counter()
        for _ in range(times):
            file.write(b"x" * 512)
            file.flush()
            os.fsync(file.fileno())
        return times / (time.perf_counter() - start)


def main():
    with server.running() as (address, _):
        penguins = (server.ROOT / "data/penguins/penguins.csv").read_bytes()
        server.Client(address).request("POST", "/v1/datasets/penguins/import", penguins, prefer="wait=60")
        for name, work in [("ping", run), ("SELECT 1", query), ("describe", describe), ("SELECT 1, cached", cached)]:
            print(f"{name}, submitted until told, idle: {milliseconds(address, work)}")
        with load(address):
            print(f"ping, submitted until told, beside {CLIENTS} clients: {milliseconds(address, run)}")
        peer = fsyncs_per_second(CLIENTS * TOGETHER)
        for name, work in [("ping", run), ("SELECT 1", query), ("SELECT 1, cached", cached)]:
            jobs = rate(address, work)
            print(f"{name}, {CLIENTS} clients: {jobs:.0f}/s; appends with fsync: {peer:.0f}/s; ratio {jobs / peer:.2f}")


if __name__ == "__main__":
    main()
