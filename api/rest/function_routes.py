"""The addresses of functions: their code, their settings, and who may write them."""

from api.http.authentication import Access
from api.http.route import Route
from api.rest import configs, functions
from core.models.configs import FunctionRightChanges, FunctionRights
from core.models.function_calls import TryFunction
from core.models.functions import CreateFunction, UpdateFunction

ACTIVE, ADMIN = Access.ACTIVE, Access.ADMIN
FUNCTION, VALVES, TESTED = functions.FunctionResponse, functions.ValvesResponse, functions.FunctionTestResponse

FUNCTION_ROUTES = (
    Route("GET", "/api/configs/functions", configs.functions, ADMIN, answer=FunctionRights),
    Route("POST", "/api/configs/functions", configs.set_functions, ADMIN, body=FunctionRightChanges, answer=FunctionRights),
    Route("GET", "/api/functions/", functions.list_, ACTIVE, answer=list[functions.FunctionResponse], also=("/api/functions",)),
    Route("POST", "/api/functions/create", functions.create, ACTIVE, body=CreateFunction, answer=FUNCTION, status=201, errors=(403,)),
    Route("POST", "/api/functions/update", functions.update, ACTIVE, body=UpdateFunction, answer=FUNCTION, errors=(403, 404, 409)),
    Route("GET", "/api/functions/{function_id}", functions.get, ACTIVE, answer=FUNCTION),
    Route("DELETE", "/api/functions/{function_id}", functions.delete, ACTIVE, answer=bool, errors=(403,)),
    Route(
        "GET",
        "/api/functions/{function_id}/versions",
        functions.versions,
        ACTIVE,
        answer=list[functions.FunctionVersionResponse],
        errors=(403,),
    ),
    Route("POST", "/api/functions/{function_id}/toggle", functions.toggle, ACTIVE, answer=FUNCTION, errors=(403,)),
    Route("POST", "/api/functions/{function_id}/toggle/global", functions.toggle_global, ADMIN, answer=FUNCTION),
    Route("POST", "/api/functions/{function_id}/test", functions.test, ACTIVE, body=TryFunction, answer=TESTED, errors=(403, 503)),
    Route("GET", "/api/functions/{function_id}/valves", functions.valves, ACTIVE, answer=VALVES, errors=(403,)),
    Route("POST", "/api/functions/{function_id}/valves", functions.set_valves, ACTIVE, body=functions.Values, answer=VALVES, errors=(403,)),
    Route("GET", "/api/functions/{function_id}/valves/user", functions.user_valves, ACTIVE, answer=VALVES),
    Route("POST", "/api/functions/{function_id}/valves/user", functions.set_user_valves, ACTIVE, body=functions.Values, answer=VALVES),
)
