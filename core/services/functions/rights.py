"""Who may write a function, and who may use one."""

from collections.abc import Sequence

from core.errors import BadRequest, Forbidden
from core.models.configs import FunctionRights
from core.models.functions import Function
from core.models.outward_hosts import OutwardHost
from core.models.users import Principal
from core.services.configs import Configs


class Rights:
    """What administrators have decided, and what the function's owner has."""

    def __init__(self, configs: Configs) -> None:
        self._configs = configs

    def may_write(self, principal: Principal) -> bool:
        """Whether they may write functions at all."""
        given = self._configs.get(FunctionRights)
        return principal.is_admin or principal.user.role in given.roles or principal.id in given.user_ids

    def require_writer(self, principal: Principal) -> None:
        """Raises Forbidden for those who may not write functions."""
        if not self.may_write(principal):
            message = "You may not write functions. Ask an administrator for the right to (/api/configs/functions)."
            raise Forbidden(message)

    def may_edit(self, principal: Principal, function: Function) -> bool:
        """Whether they may change this one, and see its code."""
        return self.may_write(principal) and (owns(principal, function) or principal.id in function.access_control.write.user_ids)


def owns(principal: Principal, function: Function) -> bool:
    """Whether they decide who else may use it."""
    return principal.is_admin or function.user_id == principal.id


def may_use(principal: Principal, function: Function) -> bool:
    """Whether they may call it."""
    control = function.access_control
    return function.is_global or owns(principal, function) or principal.id in {*control.read.user_ids, *control.write.user_ids}


def granted(principal: Principal, hosts: Sequence[str], before: Sequence[str] = ()) -> tuple[str, ...]:
    """Hosts that a function may reach from now on, each written in one way.

    Raises BadRequest for what is no host, and Forbidden where somebody else than an administrator changes them to anything but none:
    whoever writes a function does not decide where this machine connects to.
    """
    try:
        written = tuple(dict.fromkeys(str(OutwardHost.parse(host)) for host in hosts))
    except ValueError as error:
        message = f"hosts: {error} is no host. Write a name such as api.example.org or *.example.org, without https:// and path."
        raise BadRequest(message, param="hosts") from None
    if written and written != tuple(before) and not principal.is_admin:
        message = "hosts: only administrators decide which hosts a function may reach. Leave them out, and ask one to add yours."
        raise Forbidden(message)
    return written
