"""A video file → timed uint8 frames, decoded in child processes. Imports no torch.

pool.py       what a consumer uses: requests in, blocks of frames and outcomes out; results.py says what they hold
timeline.py   which frames are kept; clock.py: their exact times
seat.py       a place for a child, jobs.py what it is asked, spawned.py its process, slots.py shared memory,
              wire.py the messages
child.py      the program of a child: decode.py one video, probe.py what is in a file, files.py opening it,
              container_size.py and promise.py how much there should be, sources.py the two decoders, rgb.py pixels
errors.py     what a user can cause
"""
