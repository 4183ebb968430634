"""Pictures of a folder that fail: the others go on, and at the end these are named."""

import contextlib
import pathlib
from collections.abc import Iterable, Iterator, Sequence

from jaxrestore.restore import Divergence
from jaxrestore.storage.files import NoRoomError


class Failures:
    """What failed of a run over several pictures, and why.

    Args:
      total: Number of pictures.
      strict: Let the first failure stop the run. A run over one picture has no other that could go on.
      advice: What helps where a restoration diverges, as the rest of a sentence.
    """

    def __init__(self, total: int, *, strict: bool, advice: str = "") -> None:
        self._total = total
        self._strict = strict
        self._advice = advice
        self._reasons: dict[pathlib.Path, list[str]] = {}
        self._diverged = False

    def __contains__(self, path: pathlib.Path) -> bool:
        return path in self._reasons

    @property
    def by_name(self) -> dict[str, str]:
        """Names of pictures and why they failed, for result files."""
        return {path.name: "; ".join(reasons) for path, reasons in self._reasons.items()}

    @contextlib.contextmanager
    def of(self, *paths: pathlib.Path) -> Iterator[None]:
        """Work on some pictures: what their user can mend, or the file system refuses, is noted and does not go on.

        Raises:
          NoRoomError: If a disk is full: what would be computed for it is better not begun.
          ValueError, OSError: If the run is strict.
        """
        try:
            yield
        except (ValueError, OSError) as error:
            if self._strict or self._total == 1:
                raise
            for path in paths:
                self._reasons.setdefault(path, []).append(str(error))
            if isinstance(error, NoRoomError):
                raise

    def note_divergences(
        self, divergences: Iterable[Divergence], paths: Sequence[pathlib.Path], saved: Iterable[pathlib.Path]
    ) -> None:
        """Note the samples of a stack of pictures that diverged; those that are `saved` have others.

        Raises:
          FloatingPointError: If there are any, and the run is strict.
        """
        by_path: dict[pathlib.Path, list[str]] = {}
        for image, sample, step in divergences:
            by_path.setdefault(paths[image], []).append(f"posterior sample {sample} at step {step}")
        has_result = set(saved)
        for path, places in by_path.items():
            outcome = "its result is made of its other samples" if path in has_result else "it has no result"
            self._reasons.setdefault(path, []).append(f"diverged, {', '.join(places)}; {outcome}")
            self._diverged = True
        if by_path and self._strict:
            self.raise_any()

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """The work itself: at its end, or when a disk is full, `raise_any`."""
        try:
            yield
        except NoRoomError:
            self.raise_any()
            raise
        self.raise_any()

    def check_some_left(self, left: int) -> None:
        """Raise if no picture is left to work on: the mistake is named alone where it is all pictures' own.

        Raises:
          ValueError: If `left` is 0.
        """
        if left:
            return
        reasons = {reason.removeprefix(str(path)) for path, (reason, *_) in self._reasons.items()}
        if len(reasons) == 1 and len(self._reasons) == self._total:
            raise ValueError(next(iter(self._reasons.values()))[0])
        self.raise_any()

    def raise_any(self) -> None:
        """Name and count what failed; does nothing if nothing did.

        Raises:
          FloatingPointError: If a restoration diverged.
          ValueError: If something else failed.
        """
        if not self._reasons:
            return
        kind = FloatingPointError if self._diverged else ValueError
        raise kind(self.summary())

    def summary(self) -> str:
        """What `raise_any` says."""
        advice = f"; where a run diverged, {self._advice}" if self._diverged and self._advice else ""
        lines = [f"{len(self._reasons)} of {self._total} pictures failed{advice}"]
        for path, reasons in self._reasons.items():
            text = "; ".join(reason.removeprefix(f"{path}: ").removeprefix(f"{path} ") for reason in reasons)
            lines.append(f"  {path}: {text}")
        return "\n".join(lines)
