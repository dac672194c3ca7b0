"""The Python client of the Tidegate edge log-ingestion gateway."""

from ._options import OptionError
from ._version import VERSION as __version__
from .client import Client
from .types import EpochStats, Event, Stats

__all__ = ["Client", "EpochStats", "Event", "OptionError", "Stats", "__version__"]
