"""How long it takes until a job runs again whose server was killed with `kill -9`, as a histogram.

The time goes from the kill to the moment at which the job is seen running in a server that was started at once; it
holds the start of the process, the reading of the store and the start of the engines.
"""

import collections
import statistics
import tempfile
import time

import server

ROUNDS = 30
BEHIND = 200
STEP_MS = 50
# Longer than a round takes.
HEAVY = "SELECT count(*) AS n FROM range(4000000000) AS a WHERE a.value % 7 = 3"


def submit(client):
    """A job that runs until it is canceled, and others that wait behind it."""
    retry = {"max_attempts": 100}
    heavy = {"analysis": "sql", "params": {"sql": HEAVY}, "cache": False, "priority": 0, "retry": retry}
    job = client.post("/v1/jobs", heavy)
    for _ in range(BEHIND):
        client.post("/v1/jobs", {"analysis": "ping", "run_at": "2100-01-01T00:00:00Z"})
    return job


def until_running(client, path, attempt):
    """Waits by long polls, which end with each change of the job."""
    headers = {}
    while True:
        job, etag = client.job(path, **headers)
        if job["state"] == "running" and job["attempt"] == attempt:
            return
        assert job["state"] in ("queued", "running"), job
        headers = {"if_none_match": etag, "prefer": "wait=30"}


def main():
    with tempfile.TemporaryDirectory() as folder:
        child, address = server.start(folder)
        client = server.Client(address)
        path = submit(client)["links"]["self"]
        taken = []
        for attempt in range(1, ROUNDS + 1):
            until_running(client, path, attempt)
            start = time.perf_counter()
            child.kill()
            child.wait()
            child, address = server.start(folder)
            client = server.Client(address)
            until_running(client, path, attempt + 1)
            taken.append((time.perf_counter() - start) * 1e3)
        child.kill()
        child.wait()
    taken.sort()
    print(f"{ROUNDS} kills, {BEHIND} jobs wait: p50 {statistics.median(taken):.0f} ms, most {taken[-1]:.0f} ms")
    counts = collections.Counter(int(ms // STEP_MS) for ms in taken)
    for step in range(min(counts), max(counts) + 1):
        print(f"{step * STEP_MS:>6} ms {'█' * counts[step]}")


if __name__ == "__main__":
    main()
