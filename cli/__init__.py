"""The `vlp` command: parses, calls, prints. The only package that imports typer or rich."""
