"""What Redis refuses: which calls are to be made again, and what to say of those that are not."""

import re
from typing import Any

import redis.exceptions

from core.errors import PenstockError, Unavailable

# A script's error carries its command's: at its beginning (Redis 7), or behind the place where it happened (Redis 6).
_CODE = re.compile(
    r"(?:^|-| )(OOM|MISCONF|NOREPLICAS|NOPERM|NOSCRIPT|READONLY|LOADING|BUSY|MASTERDOWN|MOVED|ASK|TRYAGAIN|CLUSTERDOWN|CROSSSLOT)\b"
)
_ADVICE = {
    "OOM": "Redis is out of memory. Raise its maxmemory, or give it a machine with more memory.",
    "MISCONF": "Redis cannot write to its disk, and takes no changes. Free space where it keeps its data, and look at its log.",
    "NOREPLICAS": "Redis has fewer replicas than its min-replicas-to-write asks for. Bring them back, or lower that setting.",
    "NOPERM": "Redis does not let the user in PENSTOCK_REDIS_URL do this. Give it the right by ACL SETUSER.",
    "READONLY": "Redis is a replica, and takes no changes. Let PENSTOCK_REDIS_URL name its primary.",
    "LOADING": "Redis is still reading its data. Try again in a moment.",
    "BUSY": "Redis is held up by a script that does not end. End it by SCRIPT KILL.",
    "MASTERDOWN": "Redis has lost its primary. Bring it back.",
    "MOVED": "Redis is a node of a cluster, but does not say where the others are. Let the user in PENSTOCK_REDIS_URL use CLUSTER SLOTS.",
    "TRYAGAIN": "Redis Cluster is moving what was asked for to another node. Try again in a moment.",
    "CLUSTERDOWN": "Redis Cluster does not serve all its slots. See CLUSTER INFO, and bring the missing node back.",
}
_FINAL = {"OOM", "MISCONF", "NOREPLICAS", "NOPERM"}
_OF_NODE = {"NOSCRIPT", "READONLY", "LOADING", "BUSY", "MASTERDOWN"}
_OF_SLOT = {"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"}
_SETTLED_ELSEWHERE = {"ASK", "TRYAGAIN"}


def refused_by_node(error: Exception) -> bool:
    """Whether all that is under way on the connection is to be sent again, on another one."""
    return isinstance(error, redis.exceptions.ConnectionError) or refusal_code(error) in _OF_NODE


def refused_for_slot(error: Exception) -> bool:
    """Whether one call is to be made again, of a Redis Cluster whose slots are moving or are not all served."""
    return refusal_code(error) in _OF_SLOT


def is_refusal(error: Exception) -> bool:
    """Whether a call is to be made again."""
    return refused_by_node(error) or refused_for_slot(error)


def find_new_owner(answer: Any, asked: tuple[str, int]) -> tuple[str, int] | None:
    """The node that a call's slot belongs to by now."""
    return (answer.host or asked[0], answer.port) if isinstance(answer, redis.exceptions.MovedError) else None


def find_detour(answer: Any, asked: tuple[str, int]) -> tuple[str, int] | None:
    """Where a call is to go this once: the node that its slot is moving to."""
    if not isinstance(answer, redis.exceptions.AskError) or isinstance(answer, redis.exceptions.MovedError):
        return None
    return answer.host or asked[0], answer.port


def doubts_owner(error: Exception | None) -> bool:
    """Whether the slot may belong to another node by now."""
    return error is not None and refusal_code(error) not in _SETTLED_ELSEWHERE


def explain_refusal(error: Exception) -> Exception:
    """Unavailable where a change at the server mends it and waiting does not; any other error as it is."""
    code = refusal_code(error)
    return Unavailable(_ADVICE[code]) if code in _FINAL else error


def explain_absence(error: Exception) -> PenstockError:
    """What those are told who have waited long enough."""
    if isinstance(error, PenstockError):
        return error
    if isinstance(error, redis.exceptions.AuthenticationError):
        return Unavailable("Redis refuses the user or the password in PENSTOCK_REDIS_URL.")
    if "SELECT is not allowed" in str(error):
        return Unavailable("A Redis Cluster has database 0 alone. Take the number out of PENSTOCK_REDIS_URL.")
    return Unavailable(_ADVICE.get(refusal_code(error), "Redis cannot be reached. Try again in a moment."))


def refusal_code(error: Exception) -> str:
    """The word that the refusal begins with; empty for one that is not among ours."""
    found = _CODE.search(f"{getattr(error, 'status_code', None) or ''} {error}")
    return found[1] if found else ""
