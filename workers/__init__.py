"""Dramatiq workers: one process per pool, assembled in ``process``, started by ``python -m workers POOL``."""
