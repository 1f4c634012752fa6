"""What happens to videos and features. The only package that imports torch."""

import os

# Decode children share the cores with torch's threads. By default OpenMP's threads spin at a barrier, on the very core
# that the thread they wait for needs: with the cores taken, encoding was five times slower so. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
