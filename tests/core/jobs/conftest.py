"""Jobs on one Redis, and on a cluster of three."""

from tests.job_backend import any_jobs_url as jobs_url

__all__ = ["jobs_url"]
