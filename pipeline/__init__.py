"""What happens to videos and features. The only package that imports torch."""

import os

_FREE_PERCENT = 25
# Decode children share the cores with torch's threads. By default OpenMP's threads spin at a barrier, on the very core
# that the thread they wait for needs: with the cores taken, encoding was five times slower so. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def decode_nothing() -> None:
    """Let OpenMP's threads spin at barriers after all, in a process that decodes no video. Call it before torch loads.

    A step of learning is thousands of short operations; woken from sleep for each, the threads lose up to a third.
    Where others use the cores it is the other way round: two processes that spin on the same two are six times slower.
    """
    import psutil

    if psutil.cpu_percent(interval=0.1) < _FREE_PERCENT:
        os.environ.setdefault("GOMP_SPINCOUNT", "300000")  # OpenMP's own default; it outweighs the policy
