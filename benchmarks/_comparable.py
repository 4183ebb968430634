"""Which scores say something beside each other: those of one prior on the same photographs."""

from collections.abc import Mapping
from typing import Any

from benchmarks import networks
from benchmarks._tables import Cells


def is_todays_prior(cell: Mapping[str, Any]) -> bool:
    """Whether a cell was measured with the prior that is bundled now, or with none."""
    return cell.get("prior") is None or networks.is_of_photo(cell)


def comparable(cells: Cells) -> list[tuple[str, Cells]]:
    """Cells of one prior and the same photographs, with words for what they share; those of today's prior first.

    Scores of other photographs, or with another prior, say nothing of a method beside these.
    """
    groups: dict[Any, dict[str, Mapping[str, Any]]] = {}
    for label, cell in cells.items():
        groups.setdefault((cell.get("prior"), tuple(cell.get("pictures", ()))), {})[label] = cell
    found = []
    for group in groups.values():
        first = next(iter(group.values()))
        count, side = first["shape"][:2]
        which = "the bundled prior" if is_todays_prior(first) else "an earlier prior of the same name"
        found.append((f"{count} photograph{'s'[: count > 1]} of {side}x{side}, with {which}", group))
    return sorted(found, key=lambda entry: not is_todays_prior(next(iter(entry[1].values()))))
