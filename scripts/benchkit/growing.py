"""How time and memory grow with the amount of work: one measurement for each size, the product alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scripts.benchkit.world import World


@dataclass(frozen=True)
class Figure:
    """What is measured at each size; ``label`` names its unit. ``limit`` is what it must stay under, if anything."""

    name: str
    label: str
    limit: float | None = None


class Series(ABC):
    """One picture. ``by`` names what grows, with its unit."""

    name: str
    title: str
    by: str
    figures: tuple[Figure, ...]
    sizes: tuple[int, ...]
    small_sizes: tuple[int, ...]
    huge_sizes: tuple[int, ...] = ()

    def __init__(self, world: World) -> None:
        self.world = world

    @abstractmethod
    def measure(self, size: int) -> Mapping[str, float]:
        """Let the product do the work at a size, and check it; one value for each figure."""

    def close(self) -> None:  # noqa: B027 - most leave nothing
        """End what has run through all sizes."""


def grow(series: Series, is_small: bool, is_huge: bool, tell: Callable[[str], None]) -> list[dict[str, float]]:
    """A point for each size, with the size itself as ``size``."""
    sizes = series.small_sizes if is_small else (*series.sizes, *(series.huge_sizes if is_huge else ()))
    points = []
    for size in sizes:
        found = series.measure(size)
        tell(f"  {size:,} {series.by}: " + ", ".join(f"{found[one.name]:.3g} {one.label}" for one in series.figures))
        points.append({"size": size, **{one.name: found[one.name] for one in series.figures}})
    return points
