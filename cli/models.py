"""`vlp models`: which encoders there are, and fetching one before it is needed."""

from typing import Annotated

import typer

from vlp.cli.console import out, print_json, print_table
from vlp.cli.options import Cache, Json, Pretrained, cache_place

app = typer.Typer(name="models", help="List encoders, or fetch the weights of one.", no_args_is_help=True)


@app.command("ls")
def list_models(
    match: Annotated[str, typer.Argument(help="Only names that hold this text.")] = "",
    json_output: Json = False,
) -> None:
    """List the encoders that open_clip knows, with the tags of their weights.

    Example: vlp models ls ViT-B-16
    """
    from vlp.pipeline.weights import published_models

    found = {name: tags for name, tags in published_models().items() if match.lower() in name.lower()}
    if json_output:
        print_json({"models": found})
    else:
        print_table(("model", "weights"), [(name, ", ".join(tags)) for name, tags in found.items()])


@app.command("fetch")
def fetch(
    model: Annotated[str, typer.Argument(help="open_clip's name, or hf-hub:ORG/NAME.")],
    pretrained: Pretrained = None,
    cache: Cache = None,
    json_output: Json = False,
) -> None:
    """Download the weights of an encoder, load them once, and say what they are.

    Example: vlp models fetch ViT-B-16 --pretrained openai
    """
    from vlp.cli.extracting import describe_encoder
    from vlp.pipeline.encoder_spec import spec_with_defaults

    spec = spec_with_defaults(None, model, pretrained)
    description, _ = describe_encoder(spec, cache_place(cache), device="cpu", precision="fp32")
    if json_output:
        print_json(description.to_json())
        return
    preprocess = description.preprocess
    rows = [
        ("model", f"{description.model}, {description.pretrained}"),
        ("weights", description.weights_sha256),
        ("activation", description.activation),
        ("embedding", f"{description.embed_dim} numbers a frame"),
        (
            "input",
            f"{preprocess.image_size} x {preprocess.image_size}, {preprocess.interpolation}, {preprocess.resize_mode}",
        ),
    ]
    print_table(("what", "value"), rows)
    for note in description.notes:
        out.print(f"Note: {note}", markup=False)
