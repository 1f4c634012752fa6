"""One self-contained HTML page about one or several runs.

`page.py` puts it together from what `reading.py` finds in the run directories, `figures.py` prepares what
`plots.py` draws, `thumbnails.py` cuts frames out of the videos, `template.html` is the page.
"""
