"""Entry point of `vlp` and of `python -m vlp.cli`: the command groups, and errors as lines with an exit status."""

import os
import sys

import typer

from vlp.cli import bench, datasets, demo, extract, models, predict, prompts, report, reproduce, store, train
from vlp.cli import eval as evaluation
from vlp.cli.console import err
from vlp.cli.errors import explain

app = typer.Typer(
    name="vlp",
    help="Adapt CLIP to video: pay for the frozen encoder once; everything after it takes minutes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("extract")(extract.extract)
app.command("train")(train.train)
app.command("predict")(predict.predict)
app.command("report")(report.report)
app.command("demo")(demo.demo)
app.add_typer(evaluation.app, name="eval")
app.add_typer(reproduce.app, name="reproduce")
app.add_typer(store.app, name="store")
app.add_typer(datasets.app, name="datasets")
app.add_typer(models.app, name="models")
app.add_typer(prompts.app, name="prompts")
app.add_typer(bench.app, name="bench")


@app.callback(invoke_without_command=True)
def main(
    version: bool = typer.Option(False, "--version", help="Print the version and end.", is_eager=True),
) -> None:
    """Extract frozen CLIP features of videos once; evaluate and learn from the cache."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"vlp {installed('vlp')}")
        raise typer.Exit


def run() -> None:
    """Run the command line; turn what a user can cause into a line on stderr and an exit status."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `vlp … | head`: the reader has gone, which is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        err.print(explained.text, markup=False)
        sys.exit(explained.status)


if __name__ == "__main__":
    run()
