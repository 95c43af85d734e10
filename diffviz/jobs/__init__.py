"""Work off the window's thread."""

from diffviz.jobs.job import Job
from diffviz.jobs.latest import Latest

__all__ = ["Job", "Latest"]
