"""How long a job takes from its submission until its client is told, and how many jobs a server does in a second.

Every job is durable: it is answered after the commit is on the disk. The peer is that disk: as many appends with
fsync as there are jobs, one after the other, in the same run.
"""

import os
import statistics
import tempfile
import threading
import time

import server

ALONE = 300
TOGETHER = 200
CLIENTS = 8


def milliseconds(work, times):
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1e3)
    taken.sort()
    return f"p50 {statistics.median(taken):.2f} ms, p99 {taken[int(len(taken) * 0.99)]:.2f} ms"


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
        client = server.Client(address)
        penguins = (server.ROOT / "data/penguins/penguins.csv").read_bytes()
        client.request("POST", "/v1/datasets/penguins/import", penguins, prefer="wait=60")
        describe = {"analysis": "describe", "input": "penguins"}
        tiny = {"sql": "SELECT 1 AS n"}
        print("describe, one client: ", milliseconds(lambda: client.post("/v1/jobs", describe, prefer="wait=30"), ALONE))
        print("SELECT 1, one client: ", milliseconds(lambda: client.post("/v1/query", tiny), ALONE))

        def work():
            mine = server.Client(address)
            for _ in range(TOGETHER):
                mine.post("/v1/query", tiny)

        threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rate = CLIENTS * TOGETHER / (time.perf_counter() - start)
        peer = fsyncs_per_second(CLIENTS * TOGETHER)
        print(f"SELECT 1, {CLIENTS} clients: {rate:.0f} jobs/s; appends with fsync: {peer:.0f}/s; ratio {rate / peer:.2f}")


if __name__ == "__main__":
    main()
