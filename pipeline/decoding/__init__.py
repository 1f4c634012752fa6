"""A video file becomes timed uint8 frames, in child processes that import no torch."""
