"""Python that users wrote, run where it can reach nothing: not the host's files, network, processes, environment or memory.

``Sandbox`` (``sandbox``) keeps one zygote, a process with the usual imports loaded, which forks a fresh child for each call. The zygote and
what runs in it (``inside``) stand alone. There are two kinds of isolation (``outcome.Isolation``), and every outcome says which it was.

What it does not cover: a fault of the kernel itself, what can be learnt from timing, and a child that uses all that its limits allow. By
Landlock alone, a child also sees which paths exist, how large they are and when they changed, and the host's name.
"""
