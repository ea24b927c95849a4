"""What a store in Redis does: jobs a second with 1, 2 and 4 workers, memory of a job, and transitions a second beside
what `redis-benchmark` reaches with single commands on the same server in the same run.

The server of Assay takes the jobs and runs none; each worker runs two at a time.
"""

import subprocess
import threading
import time

import server

JOBS = 4_000
CLIENTS = 8
WORKERS = (1, 2, 4)
COMMANDS = ("set", "lpush", "hset", "zadd")
REQUESTS = 300_000
PING = {"analysis": "ping", "cache": False}


def submit(address):
    """Submits all jobs by several clients and returns when the last one is acknowledged."""

    def some():
        client = server.Client(address)
        for _ in range(JOBS // CLIENTS):
            client.post("/v1/jobs", PING)

    threads = [threading.Thread(target=some) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def ended(address):
    return server.Client(address).request("GET", "/v1/stats")["jobs"].get("succeeded", 0)


def jobs_per_second(redis, workers):
    """From a queue full of jobs to the end of the last one."""
    store = redis.url(f"jobs{workers}")
    cache = ("--cache", redis.folder.name + "/cache")
    with server.running(store, "--analyses", "import", "--workers", "1", *cache) as (address, _):
        before, begin = redis.info("used_memory"), time.perf_counter()
        submit(address)
        submitted, memory = JOBS / (time.perf_counter() - begin), (redis.info("used_memory") - before) / JOBS
        cpu, begin = redis.cpu(), time.perf_counter()
        children = [server.work(store, "--slots", "2", *cache) for _ in range(workers)]
        try:
            started = time.perf_counter()
            first = ended(address)
            while ended(address) < JOBS:
                time.sleep(0.02)
            taken = time.perf_counter() - started
        finally:
            for child in children:
                server.stop(child)
        cpu = (redis.cpu() - cpu) * 1e6 / JOBS
        print(
            f"{workers} workers: {(JOBS - first) / taken:.0f} jobs/s, {cpu:.0f} µs of Redis each; "
            f"{submitted:.0f} submitted/s; {memory:.0f} bytes of Redis for a job that waits, "
            f"{(redis.info('used_memory') - before) / JOBS:.0f} for one that has ended",
            flush=True,
        )


def ceilings(redis):
    for command in COMMANDS:
        line = ["redis-benchmark", "-s", redis.socket, "-t", command, "-n", str(REQUESTS), "-r", "100000", "-q"]
        begin, cpu = time.perf_counter(), redis.cpu()
        subprocess.run(line, check=True, capture_output=True)
        rate = REQUESTS / (time.perf_counter() - begin)
        print(f"redis-benchmark {command}: {rate:.0f}/s, {(redis.cpu() - cpu) * 1e6 / REQUESTS:.1f} µs of Redis each")


def transitions(redis):
    line = ["cargo", "run", "--quiet", "--release", "-p", "assay-store", "--example", "redis_transitions", "--"]
    subprocess.run([*line, f"redis+unix://{redis.socket}"], check=True, cwd=server.ROOT)


def main():
    with server.Redis() as redis:
        for workers in WORKERS:
            jobs_per_second(redis, workers)
        ceilings(redis)
    with server.Redis() as redis:
        transitions(redis)


if __name__ == "__main__":
    main()
