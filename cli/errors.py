"""Errors become lines that end in what to type, and an exit status.

Packages raise facts; only this module knows commands.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

DONE, ERROR, USAGE, FAILED_VIDEOS, NO_STORE = 0, 1, 2, 3, 4


@dataclass(frozen=True)
class Explained:
    """An error as the user sees it.

    Args:
        text: lines for stderr: what is wrong, what exists, what to type.
        status: exit status.
    """

    text: str
    status: int


def explain(error: BaseException) -> Explained | None:
    """Turn an error that a user can cause into lines; None for a defect of ours, which keeps its traceback."""
    import errno

    from vlp.datasplits.errors import DatasetError
    from vlp.pipeline.errors import PipelineError
    from vlp.stores.errors import StoreError

    if isinstance(error, DatasetError | PipelineError | StoreError):
        hint, status = _advice(error)
        lines = [f"Error: {_sentence(str(error))}", *([f"Run: {hint}"] if hint else [])]
        return Explained("\n".join(lines), status)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT}:
        return Explained(f"Error: {error.strerror}: {error.filename}.", ERROR)
    return None


def _sentence(text: str) -> str:
    return text[:1].lower() + text[1:] if text[:1].isupper() and text[1:2].islower() else text


def _advice(error: Any) -> tuple[str | None, int]:
    """Find what to type, by the error's class or the nearest base that has advice."""
    for kind in type(error).__mro__:
        if kind.__name__ in _ADVICE:
            hint, status = _ADVICE[kind.__name__]
            return hint(error), status
    return None, ERROR


def _extract_command(error: Any) -> str:
    model = f" --model {error.model}" if error.model else ""
    return f"vlp extract --dataset {error.dataset}{model}"


def _pull_command(error: Any) -> str:
    if error.dataset is None:
        return f"vlp store pull {error.path} --to cache, then the same command with --store on that copy"
    model = f" --model {error.model}" if error.model else ""
    pull = f"vlp store pull --dataset {error.dataset}{model} --cache {error.path} --to cache"
    return f"{pull}, then the same command with --cache cache"


_ADVICE: dict[str, tuple[Callable[[Any], str | None], int]] = {
    "FeaturesMissing": (_extract_command, NO_STORE),
    "StoreMissing": (lambda _: "vlp store ls", NO_STORE),
    "StoreMismatch": (
        lambda _: "vlp store info on it, or --allow-mismatch to go on with a warning",
        NO_STORE,
    ),
    "LevelMismatch": (lambda _: "vlp store ls, and the same command with --store on another", NO_STORE),
    "StoreAmbiguous": (lambda error: f"the same command with --store {error.candidates[0]}", NO_STORE),
    "VideoMissing": (lambda _: "vlp extract again for this dataset", NO_STORE),
    "StoreDamaged": (
        lambda error: f"vlp store verify {error.path}, then vlp store repair {error.path}",
        ERROR,
    ),
    "StoreVersion": (lambda _: "pip install --upgrade vlp, or extract anew with another --cache", ERROR),
    "StoreFull": (lambda _: "the same command once there is space; or with --cache on another disk", ERROR),
    "StoreUnwritable": (lambda _: "the same command with --cache on a folder that you may write", ERROR),
    "StoreRemote": (_pull_command, NO_STORE),
    "StoreUnreachable": (
        lambda _: (
            "the same command once that is mended: it goes on. S3's server and keys come from AWS_ENDPOINT_URL, "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what else the AWS tools read"
        ),
        ERROR,
    ),
    "DriverMissing": (
        lambda _: "pip install 'vlp[s3]' for s3://, or fsspec's driver of another storage",
        ERROR,
    ),
    "BadPlace": (lambda _: "the same command with a folder, or with s3://BUCKET/PREFIX", USAGE),
    "LockLost": (
        lambda _: "the same command once that process has ended; it extracts what is missing",
        ERROR,
    ),
    "StoreImported": (
        lambda _: (
            "vlp store import again, on a folder with the missing files; or vlp extract, with a model of ours"
        ),
        ERROR,
    ),
    "OtherVideos": (
        lambda _: (
            "vlp extract with another --dataset name, for a store of its own; or the same command without these"
        ),
        ERROR,
    ),
    "ExportInTheWay": (lambda _: "the same command with --to on a folder that is new or empty", ERROR),
    "NothingToImport": (lambda _: "the same command with the folder of the .npy files", ERROR),
    "PartLocked": (
        lambda _: "the same command once that process has ended; or give each run its --part i/n",
        ERROR,
    ),
    "UnknownModel": (lambda _: "vlp models ls", ERROR),
    "UnknownWeights": (lambda error: f"vlp models ls {error.model}", ERROR),
    "WeightsUnavailable": (
        lambda error: (
            f"vlp models fetch {error.model} on a machine with internet; copy the weights file here and "
            "pass its path as --pretrained FILE"
        ),
        ERROR,
    ),
    "UnknownDataset": (lambda _: "vlp datasets ls", ERROR),
    "BadOption": (lambda error: f"vlp datasets show {error.dataset}", USAGE),
    "NotOneLabel": (
        lambda _: "vlp train --multi-label and vlp eval multi-label, where a video may show several classes",
        ERROR,
    ),
    "OneLabelOnly": (lambda _: "vlp train --multi-label with --method ju2022 or actionclip", ERROR),
    "RootMissing": (lambda error: f"vlp datasets show {error.dataset}", ERROR),
    "DuplicateVideos": (
        lambda _: "the same command with --allow-duplicates, to score it all the same",
        ERROR,
    ),
    "NoFeatures": (lambda error: f"vlp extract --dataset {error.dataset}", NO_STORE),
    "ToySetInTheWay": (lambda _: "vlp demo --root FOLDER, with one that is new or empty", ERROR),
    "AnnotationsMissing": (lambda error: f"vlp datasets show {error.dataset}", ERROR),
    "ManifestRootMissing": (lambda _: "the same command with --root FOLDER, where the videos are", ERROR),
    "UnknownSetting": (
        lambda _: "vlp train with --set and one of these; docs/training.md lists the recipe",
        ERROR,
    ),
    "RunMissing": (lambda _: "vlp train, or the same command with --run on one of those found", NO_STORE),
    "RunMismatch": (lambda _: "vlp train with another --name, or with the settings of that run", ERROR),
    "RunDamaged": (lambda _: "vlp train again, with another --name", ERROR),
    "FeaturesDiffer": (lambda _: "vlp train again, on features that this version extracts", ERROR),
    "ResultUnreadable": (
        lambda _: "vlp eval … --json > FILE, and the same command with FILE, or with a run's folder",
        ERROR,
    ),
    "NoResults": (lambda error: f"vlp eval closed-set --run {error.path}", NO_STORE),
    "PublishedNumbersUnreadable": (
        lambda _: "pip install --force-reinstall vlp, which brings the file",
        ERROR,
    ),
    "RunUnfinished": (lambda _: "vlp train again with the settings of that run: it goes on", NO_STORE),
    "ClosedVocabulary": (lambda _: "vlp train --method ju2022, which takes any class names", ERROR),
    "NothingToStartFrom": (lambda _: "the same command without --init-from", ERROR),
    "ClassOverlap": (lambda _: "the same command with --classes FILE, without the classes trained on", ERROR),
    "TooFewVideos": (
        lambda _: "the same command with fewer --shots, or with --classes FILE without these",
        ERROR,
    ),
    "TooFewClasses": (
        lambda error: f"the same command with --ways, or --draw-size, of {error.num_classes} or fewer",
        ERROR,
    ),
    "LossNotFinite": (
        lambda _: "the same command with --set recipe.learning_rate=… lower, and another --name",
        ERROR,
    ),
    "PromptsMissing": (
        lambda _: "vlp prompts generate, which writes a file; or the same command with shipped sentences",
        ERROR,
    ),
    "PromptsUnreadable": (
        lambda _: "vlp prompts generate with another --output; docs/prompts.md has the format",
        ERROR,
    ),
    "PromptsDiffer": (
        lambda _: "the same command with another --output, or with what the file was begun with",
        ERROR,
    ),
    "ClassesWithoutSentences": (
        lambda _: "vlp prompts generate with --classes FILE that names these, or with the --dataset",
        ERROR,
    ),
    "SentencesNeeded": (
        lambda _: (
            "the same command with --text-prompts NAME; vlp prompts generate writes sentences for other classes"
        ),
        ERROR,
    ),
    "NothingToExplain": (lambda _: "the same command without --explain, or with a run of ap_clip", ERROR),
    "TextPromptsUnread": (lambda _: "the same command without --text-prompts", ERROR),
    "TextPromptsChanged": (
        lambda _: (
            "the same command with --text-prompts, on the file as it was; or vlp train again, with another --name"
        ),
        ERROR,
    ),
    "KeyRefused": (
        lambda _: "the same command with a key in the environment; --api-key-env names the variable",
        ERROR,
    ),
    "ChatError": (lambda _: "the same command again: it asks only for what lacks", ERROR),
    "DaskMissing": (lambda _: "pip install 'vlp[dask]', here and on every worker", ERROR),
    "BadScheduler": (
        lambda _: "the same command with --scheduler local, or with what dask scheduler prints",
        USAGE,
    ),
    "SchedulerUnreachable": (
        lambda _: "dask scheduler on that machine, then the same command; or --scheduler local",
        ERROR,
    ),
    "NoWorkers": (
        lambda error: f"dask worker {error.address} --nthreads 1 on each machine, then the same command",
        ERROR,
    ),
    "WorkersBroken": (
        lambda _: "the same command without --scheduler on one of those machines, which shows what is wrong",
        ERROR,
    ),
    "WorkerRefused": (
        lambda _: (
            "the same command once that machine has the same vlp and libraries, and sees the folders of --root and "
            "--cache under the same paths"
        ),
        ERROR,
    ),
    "DiskTooSmall": (lambda _: "the same command with --cache on a larger disk, or a lower --fps", ERROR),
}
