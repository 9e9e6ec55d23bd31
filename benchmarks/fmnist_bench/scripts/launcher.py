"""python -I -S launcher.py [--discard] COMMAND...: run a command; print its time, memory, exit code and output as JSON.

A small process of its own, since Linux counts the memory of the process that starts another to the other's peak.
"""

import json
import os
import subprocess
import sys
import time

arguments = sys.argv[1:]
discard = arguments[0] == "--discard"
command = arguments[1:] if discard else arguments
output = subprocess.DEVNULL if discard else subprocess.PIPE
begun = time.perf_counter()
process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE)
printed, complaint = process.stdout, process.stderr
text = printed.read() if printed else b""
errors = complaint.read() if complaint else b""
cpu = peak = None
if hasattr(os, "wait4"):
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
else:  # Windows tells neither
    process.wait()
    seconds = time.perf_counter() - begun
facts = {"seconds": seconds, "cpu_seconds": cpu, "peak_bytes": peak, "code": process.returncode}
print(json.dumps({**facts, "output": text.decode("utf-8", "replace"), "errors": errors.decode("utf-8", "replace")}))
