"""Who may write a function, and who may use one."""

from core.errors import Forbidden
from core.models.configs import FunctionRights
from core.models.functions import Function
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
