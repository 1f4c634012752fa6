"""`vlp prompts`: sentences about classes, asked of a language model, checked, and shown for approval."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vlp.cli.console import err, out, print_json, print_table
from vlp.cli.options import Annotations, ClassList, Json, ManifestFile, Root
from vlp.cli.prompt_progress import show_generation

if TYPE_CHECKING:
    from vlp.datasplits.prompt_check import Finding

app = typer.Typer(
    name="prompts", help="Sentences about classes: ask for them, check them, read them.", no_args_is_help=True
)

OPENAI_URL, KEY_VARIABLE = "https://api.openai.com/v1", "OPENAI_API_KEY"
Source = Annotated[
    str, typer.Argument(help="A file of sentences, or the name of shipped ones: ucf101, hmdb51, toy.")
]


@app.command("generate")
def generate(
    dataset: Annotated[
        str, typer.Option(help="Whose classes; see `vlp datasets ls`. With --classes any name.")
    ],
    model: Annotated[str, typer.Option(help="The server's name for it.", envvar="OPENAI_MODEL")],
    output: Annotated[
        Path | None,
        typer.Option(help="The file; one that is there is gone on with. Default: DATASET-prompts.json."),
    ] = None,
    classes: ClassList = None,
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    questions: Annotated[
        Literal["attributes", "customised", "direct", "all"],
        typer.Option(help="Which questions: over the attributes, one of the sets without them, or all."),
    ] = "attributes",
    base_url: Annotated[
        str, typer.Option(help="Of a server with OpenAI's chat completions.", envvar="OPENAI_BASE_URL")
    ] = OPENAI_URL,
    api_key_env: Annotated[
        str, typer.Option(help="Environment variable that holds the key; without one, none is sent.")
    ] = KEY_VARIABLE,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for one answer.")] = 120.0,
    json_output: Json = False,
) -> None:
    """Ask a language model for sentences about every class; the same command again asks only for what lacks.

    Example: vlp prompts generate --dataset ucf101 --model gpt-4o

    Classes, attributes and questions are in docs/prompts.md. Every answer is on disk before the next question.

    Exit status: 0 done, 1 error, or sentences are still lacking, 2 usage, 130 interrupted.
    """
    from datetime import UTC, datetime

    from vlp.datasplits.prompt_questions import QUESTION_SETS
    from vlp.pipeline.chat import ChatClient, sendable_key
    from vlp.pipeline.prompt_generation import begin, wanted_of
    from vlp.pipeline.prompt_generation import generate as generate_sentences
    from vlp.pipeline.prompt_tokens import token_counter

    path = output or Path(f"{dataset}-prompts.json")
    sets = list(QUESTION_SETS) if questions == "all" else [questions]
    names = _class_names(dataset, classes, root, annotations, manifest)
    key = sendable_key(api_key_env, os.environ.get(api_key_env))
    today = datetime.now(UTC).date().isoformat()
    prompts = begin(path, dataset=dataset, model=model, date=today, question_sets=sets)
    wanted = wanted_of(prompts, names, sets)
    with ChatClient(base_url, model, key=key, timeout_seconds=timeout, told=_tell) as client:
        answered = generate_sentences(path, prompts, wanted, client.ask, token_counter())
        lacking = show_generation(answered, len(wanted))
    rows = [
        (one.wanted.class_name, one.wanted.question, attribute or "-", why)
        for one in lacking
        for (_, attribute), why in one.lacking
    ]
    columns = ("class", "question", "attribute", "why")
    if json_output:
        asked = {"file": str(path), "classes": len(names), "asked": len(wanted)}
        print_json({**asked, "lacking": [dict(zip(columns, row, strict=True)) for row in rows]})
    else:
        out.print(f"{path}: {len(names):,} classes, {len(wanted):,} questions asked", markup=False)
        if rows:
            print_table(columns, rows, title="still lacking")
    raise typer.Exit(1 if rows else 0)


@app.command("check")
def check(
    source: Source,
    dataset: Annotated[
        str | None, typer.Option(help="Compare the classes with this dataset's; see `vlp datasets ls`.")
    ] = None,
    classes: ClassList = None,
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    json_output: Json = False,
) -> None:
    """List sentences that are lacking, empty, too long or given twice, and those that may be off topic.

    Example: vlp prompts check ucf101

    Exit status: 0 nothing wrong, 1 something is, 2 usage. What may be off topic is for a person to tell, and not wrong.
    """
    from vlp.datasplits.class_prompts import read_prompts
    from vlp.datasplits.prompt_check import SUSPICION, check_prompts
    from vlp.pipeline.prompt_tokens import token_counter

    file = read_prompts(source)
    compared = dataset is not None or classes is not None
    names = _class_names(dataset or "", classes, root, annotations, manifest) if compared else None
    findings = check_prompts(file.prompts, token_counter(), names)
    num_sentences = sum(map(len, file.prompts.classes.values()))
    if json_output:
        head = {"source": source, "sha256": file.sha256, "classes": len(file.prompts.classes)}
        print_json({**head, "sentences": num_sentences, "findings": [_finding_json(one) for one in findings]})
    else:
        out.print(
            f"{source}: {num_sentences:,} sentences, {len(file.prompts.classes):,} classes", markup=False
        )
        if findings:
            rows = [(one.problem, one.class_name, one.text, one.detail) for one in findings]
            print_table(("problem", "class", "sentence", "detail"), rows)
    raise typer.Exit(1 if any(one.problem != SUSPICION for one in findings) else 0)


@app.command("show")
def show(
    source: Source,
    class_name: Annotated[
        list[str] | None, typer.Option("--class", help="Only this one; may be given often.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Show sentences and where they come from, for a person to approve; the file is plain JSON to be edited.

    Example: vlp prompts show ucf101 --class Archery

    Exit status: 0 done, 1 error, 2 usage.
    """
    from vlp.datasplits.class_prompts import read_prompts

    file = read_prompts(source)
    names = class_name or list(file.prompts.classes)
    chosen = dict(zip(names, file.sentences(names), strict=True)) if names else {}
    head = {name: getattr(file.prompts, name) for name in ("dataset", "model", "date")}
    if json_output:
        sentences = {
            name: [{"question": one.question, "attribute": one.attribute, "text": one.text} for one in found]
            for name, found in chosen.items()
        }
        print_json({"source": source, "sha256": file.sha256, **head, "classes": sentences})
        return
    out.print(", ".join(f"{name}: {_printable(value)}" for name, value in head.items()), markup=False)
    for name, found in chosen.items():
        out.print("")
        rows = [(one.attribute or "-", one.question, _printable(one.text)) for one in found]
        print_table(("attribute", "question", "sentence"), rows, title=_printable(name))


def _class_names(
    dataset: str, classes: str | None, root: Path | None, annotations: Path | None, manifest: Path | None
) -> tuple[str, ...]:
    from vlp.datasplits import load_dataset
    from vlp.pipeline.published_lists import read_classes

    if classes is not None:
        return read_classes(classes)
    return load_dataset(dataset, root=root, annotations=annotations, manifest=manifest).classes


def _tell(line: str) -> None:
    err.print(line, markup=False)


def _finding_json(finding: "Finding") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(finding)


def _printable(text: str) -> str:
    """Escape what could steer the terminal."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )
