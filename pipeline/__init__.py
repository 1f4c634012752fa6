"""What happens to videos and features. The only package that imports torch."""

import os

# Decode children share the cores with torch's threads. By default OpenMP's threads spin at a barrier, on the very core
# that the thread they wait for needs: with the cores taken, encoding was five times slower so. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def decode_nothing() -> None:
    """Let OpenMP's threads spin a little at barriers, in a process that decodes no video. Call it before torch loads.

    A step of learning is thousands of short operations; woken from sleep for each, two threads take twice as long. A
    few microseconds catch most of them. OpenMP's own 300,000 turns catch a little more, and make two processes on the
    same cores six times slower.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # it outweighs the policy
