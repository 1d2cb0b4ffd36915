"""Outward calls by permission: a proxy for the web, outside of the sandbox, which a call that may reach named hosts is pointed to.

It stands in the worker and accepts from the network namespace of the sandbox, where there is nothing else to connect to. Each call has a
token of its own; the list of hosts, the addresses that their names have, and how much goes out and comes in are looked at here.

What it does not cover: inside of TLS it sees nothing, so a host that serves others' sites at the same address can be asked for these; and a
host that is on the list can be told whatever the call knows.
"""
