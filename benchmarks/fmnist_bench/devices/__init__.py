"""The device matrix: the shipped models on real runtimes and CPUs, each answer compared with what was measured here.

It belongs to the benchmarks since it may import every room and nothing imports it, and since it measures as they do:
a table with a verdict. It needs the repository (`make devices`), so the wheel leaves it out.
"""
