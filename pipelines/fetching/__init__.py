"""Fetching what somebody else has named: a page that a search found, an address that a user gave.

Whoever names an address must not reach through us what only we can reach. So each address, the first and every one that is redirected to,
is looked at before it is asked (``guard``), each name's addresses are looked at as they are looked up (``resolver``), and only those that
passed are connected to (``fetcher``). What is not covered: a network that gives public addresses to what is meant to be private, and an
operator's own prefix for NAT64, which nothing in an address tells; close these at the worker's firewall.
"""
