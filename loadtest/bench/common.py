"""What the benches share: servers with homes of their own, figures by cell and run, and the page."""

import contextlib
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "target" / "bench"
LOAD = ROOT / "target" / "release" / "barrage-load"
BARRAGE = ROOT / "target" / "release" / "barrage"
PAGE = ROOT / "docs" / "benchmarks.md"

NAME = f"bench-{Path(sys.argv[0]).name}"
RUNS = int(os.environ.get("BENCH_RUNS", "3"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "10"))
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORES, CLIENT_CORES = CORES[:1], CORES[1:2] or CORES[:1]


def say(text):
    print(text, file=sys.stderr, flush=True)


def pinned(cores, command):
    return ["taskset", "-c", ",".join(map(str, cores)), *map(str, command)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if condition():
                return
        time.sleep(0.05)
    sys.exit(f"{NAME}: {what} did not come within {seconds} s")


def answers(port):
    with socket.create_connection(("127.0.0.1", port), 1):
        return True


class Server:
    """A process with a home of its own, gone at the end."""

    def __enter__(self):
        self.home = Path(tempfile.mkdtemp(prefix="barrage-bench."))
        self.rtmp, self.http = free_port(), free_port()
        self.log = open(self.home / "log", "wb")
        self.process = subprocess.Popen(
            pinned(self.cores, self.command()), stdout=self.log, stderr=self.log, cwd=self.home
        )
        try:
            until(f"{self.name} (see {self.home}/log)", lambda: answers(self.http))
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def pids(self):
        """The process and its children."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]


class Barrage(Server):
    name, channel = "Barrage", "stage"

    def __init__(self, shards=1, window_ms=None, cores=None, more=None):
        self.cores = cores or SERVER_CORES
        self.settings = {
            "shards.count": shards,
            "rtmp.max_connections": 19000,
            "rtmp.max_connections_per_address": 19000,
            "http.max_connections": 19000,
            # Their ffmpeg would share the server's core.
            "thumbnails.enabled": "false",
            "log.level": "warn",
        }
        self.settings.update(more or {})
        if window_ms:
            self.settings["shards.window_min_ms"] = window_ms

    def command(self):
        settings = [f"--set={key}={value}" for key, value in self.settings.items()]
        return [BARRAGE, "serve", "--data-dir", "data", "--http-listen", f"127.0.0.1:{self.http}",
                "--https-listen", "", "--rtmp-listen", f"127.0.0.1:{self.rtmp}",
                "--webrtc-listen", "", *settings]

    def first_run(self):
        path = self.home / "data" / "first-run.json"
        until("the first channel", path.exists)
        return json.loads(path.read_text())

    def key(self):
        return self.first_run()["channel"]["stream_key"]

    def token(self):
        """An API token with which its bearer may speak in rooms."""
        admin = self.first_run()["admin"]
        _, answer = self.post("/api/v1/session", admin)
        cookie = answer.headers["set-cookie"].split(";")[0]
        token, _ = self.post("/api/v1/account/tokens", {"name": "bench", "scopes": ["chat"]}, cookie)
        return token["secret"]

    def post(self, path, body, cookie=""):
        origin = f"http://127.0.0.1:{self.http}"
        headers = {"content-type": "application/json", "cookie": cookie, "origin": origin}
        request = urllib.request.Request(origin + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or b"null"), answer


class Figures:
    """All that was measured, by cell, run by run."""

    def __init__(self):
        self.cells = {}

    def add(self, cell, figures):
        self.cells.setdefault(cell, []).append(figures)
        say(f"  {cell}: " + ", ".join(f"{k} {shown(v)}" for k, v in figures.items()))

    def __contains__(self, cell):
        return cell in self.cells

    def of(self, cell, name):
        values = [run[name] for run in self.cells[cell] if run[name] is not None]
        return statistics.median(values) if values else None


def shown(value, digits=3):
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.{digits}g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def ratio(figures, cell, base, name):
    ours, theirs = figures.of(cell, name), figures.of(base, name)
    return f"{ours / theirs:.2f} ×" if ours is not None and theirs else "–"


def aims_table(aims):
    """What is aimed at: a name, a bound (the least, if it is negative), what was measured, and its unit."""
    rows = [[name, f"{'at least' if aim < 0 else 'at most'} {abs(aim):g} {unit}", f"{shown(abs(measured))} {unit}",
             "yes" if measured <= aim else "no"] for name, aim, measured, unit in aims]
    return table(["what", "aim", "measured", "met"], rows)


def write(text, begin, end):
    """Puts a section into the page, in place of what stood there."""
    old = PAGE.read_text()
    before, rest = old.split(begin)
    PAGE.write_text(before + text + rest.split(end)[1])


def version(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().splitlines()[0]


def machine():
    """On what it was measured, and what of ours."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cores = f"{len(CORES)} cores of {cpu[1] if cpu else platform.machine()}, Linux {platform.release()}"
    shared = "The server has one core and the client another." if len(CORES) > 1 else "Server and client share a core."
    return cores, shared


def commit():
    return version("git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude=*")


def measure(cells, once, figures, name):
    """Runs the cells that are wanted, as often as is wanted, and keeps every figure."""
    began = time.monotonic()
    for run in range(RUNS):
        for number, (cell, take) in enumerate(cells.items()):
            if run and cell in once:
                continue
            say(f"run {run + 1} of {RUNS}, {cell} ({number + 1} of {len(cells)}), {time.monotonic() - began:.0f} s")
            take(figures)
            (WORK / f"{name}.json").write_text(json.dumps(figures.cells, indent=1))
    say(f"done after {time.monotonic() - began:.0f} s")
