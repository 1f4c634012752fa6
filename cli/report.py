"""`vlp report`: one HTML page about one or several runs."""

from pathlib import Path
from typing import Annotated

import typer

from vlp.cli.console import out
from vlp.cli.options import Root


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            help="The page. Default: report.html in the run's folder; of several, beside the first."
        ),
    ] = None,
    root: Root = None,
) -> None:
    """Write what was trained and measured as one self-contained HTML page.

    Example: vlp report runs/ucf101-ju2022-A5-seed0

    The page needs no network and no script. Videos that are no longer there leave a note in it; --root says
    where they have gone. Exit status: 0 done, 1 error, 2 usage.
    """
    from vlp.pipeline.report.page import write_report

    default = runs[0] if len(runs) == 1 else runs[0].resolve().parent
    page = output or default / "report.html"
    write_report(runs, page, root=root)
    out.print(f"{page}, {page.stat().st_size / 1e3:,.0f} kB", markup=False)
