"""What can be wrong with the place where a store lies. `cli` adds what to type."""

from typing import TYPE_CHECKING

from vlp.stores.errors import StoreError

if TYPE_CHECKING:
    from vlp.stores.places import ObjectPath, Place


class NotInside(OSError):
    """A name leads out of the store, or to something that is no plain file of the right size."""


class BadPlace(StoreError):
    """A text that names no place where a store could lie."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"{text!r} is no place for stores: {reason}.")
        self.text = text
        self.reason = reason


class DriverMissing(StoreError):
    """The package that talks to this kind of storage is not installed."""

    def __init__(self, path: "ObjectPath", reason: str) -> None:
        super().__init__(f"{path} needs a package that is not installed: {reason}.")
        self.path = path
        self.reason = reason


class StoreUnreachable(StoreError):
    """The object storage did not do what was asked.

    Attributes:
        path: what was asked for.
        reason: what the server, or its driver, said.
        is_passing: whether the same may succeed in a while: no answer, or one that says "not now".
    """

    def __init__(self, path: "Place", reason: str, *, is_passing: bool = False) -> None:
        super().__init__(f"cannot reach {path}: {reason}.")
        self.path = path
        self.reason = reason
        self.is_passing = is_passing


class StoreRemote(StoreError):
    """A store in a bucket where local files are needed.

    Attributes:
        path: the bucket's cache, or the store.
        dataset, model: as asked for; None where the store itself was named.
    """

    def __init__(self, path: "ObjectPath", dataset: str | None = None, model: str | None = None) -> None:
        super().__init__(
            f"{path} is a bucket: features are read through memory maps, which need local files."
        )
        self.path = path
        self.dataset = dataset
        self.model = model


class LockLost(StoreError):
    """Another writer took over the part while this one gave no sign of life; nothing more was committed.

    Attributes:
        path: the lock.
        unit: what was locked: "part-0of4".
    """

    def __init__(self, path: "Place", unit: str, holder: str) -> None:
        super().__init__(
            f"{unit} was taken over by {holder} while this process gave no sign of life (lock {path})."
        )
        self.path = path
        self.unit = unit
