"""Every address of REST."""

from api.http.authentication import Access
from api.http.route import Route
from api.rest import api_keys, auths, configs, generations, health, models, pulls, shares, users
from api.rest.chats import chats, flags, messages, transfer
from api.rest.chats.schemas import ChatResponse, ChatSummary
from core.models.catalog import CreateModel, UpdateModel
from core.models.configs import RateLimitChanges, RateLimits
from core.models.events import Event
from core.models.pulls import StartPull
from core.models.users import SignIn, SignUp

ANYONE, SIGNED_IN, ACTIVE, ADMIN = Access.ANYONE, Access.SIGNED_IN, Access.ACTIVE, Access.ADMIN

HTML = ("text/html",)
EVENTS = ("text/event-stream",)
NOTHING = ((204, None),)

ASKING, EDITED, IMPORT = messages.NewMessage, messages.MessageEdit, transfer.IMPORT_BODY

ROUTES = (
    Route("GET", "/health", health.alive, ANYONE, counted=False, answer=health.HealthResponse),
    Route("GET", "/ready", health.ready, ANYONE, counted=False, answer=health.Readiness, others=((503, health.Readiness),)),
    Route("POST", "/api/auths/signup", auths.sign_up, ANYONE, body=SignUp, answer=auths.SessionResponse, status=201),
    Route("POST", "/api/auths/signin", auths.sign_in, ANYONE, body=SignIn, answer=auths.SessionResponse, errors=(401,)),
    Route("GET", "/api/auths/", auths.current, SIGNED_IN, answer=auths.Profile, also=("/api/auths",)),
    Route("POST", "/api/auths/signout", auths.sign_out, SIGNED_IN, answer=auths.SignOutResponse, errors=(403,)),
    Route("GET", "/api/auths/signout", auths.leave, SIGNED_IN, answer=auths.SignOutResponse, errors=(403,)),
    Route("POST", "/api/auths/update/password", auths.update_password, SIGNED_IN, body=auths.NewPassword, answer=bool, errors=(403,)),
    Route(
        "POST", "/api/auths/update/profile", auths.update_profile, SIGNED_IN, body=auths.ProfileUpdate, answer=auths.Profile, errors=(409,)
    ),
    Route("POST", "/api/auths/add", auths.add, ADMIN, body=auths.NewUser, answer=auths.Profile, status=201),
    Route("POST", "/api/users/api_key", api_keys.create, ACTIVE, body=api_keys.NewApiKey, answer=api_keys.CreatedApiKey, status=201),
    Route("GET", "/api/users/api_keys", api_keys.list_, ACTIVE, answer=list[api_keys.ApiKeySummary]),
    Route("POST", "/api/users/api_key/{key_id}", api_keys.rename, ACTIVE, body=api_keys.ApiKeyName, answer=api_keys.ApiKeySummary),
    Route("DELETE", "/api/users/api_key/{key_id}", api_keys.revoke, ACTIVE, answer=bool),
    Route("GET", "/api/users/", users.list_, ADMIN, query=users.ListUsers, answer=list[auths.Profile], also=("/api/users",)),
    Route("GET", "/api/users/{user_id}", users.get, SIGNED_IN, answer=users.PublicUser, errors=(403,)),
    Route("DELETE", "/api/users/{user_id}", users.delete, ADMIN, answer=bool, errors=(400,)),
    Route("POST", "/api/users/{user_id}/update", users.update, SIGNED_IN, body=users.UserUpdate, answer=auths.Profile, errors=(403, 409)),
    Route("POST", "/api/users/{user_id}/role", users.set_role, ADMIN, body=users.NewRole, answer=auths.Profile),
    Route("GET", "/api/users/{user_id}/profile/image", users.picture, SIGNED_IN, media=users.IMAGES, errors=(403,)),
    Route("GET", auths.DEFAULT_IMAGE, users.default_picture, ANYONE, counted=False, media=("image/png",), others=((304, None),)),
    Route("GET", "/api/chats/", chats.list_, ACTIVE, query=chats.ListChats, answer=list[ChatSummary], also=("/api/chats",)),
    Route("DELETE", "/api/chats/", chats.delete_all, ACTIVE, answer=bool),
    Route("POST", "/api/chats/new", chats.create, ACTIVE, body=chats.ChatUpsert, answer=ChatResponse, status=201),
    Route("GET", "/api/chats/search", chats.search, ACTIVE, query=chats.SearchChats, answer=list[ChatSummary]),
    Route("GET", "/api/chats/pinned", chats.list_pinned, ACTIVE, query=chats.ListMarked, answer=list[ChatSummary]),
    Route("GET", "/api/chats/archived", chats.list_archived, ACTIVE, query=chats.ListMarked, answer=list[ChatSummary]),
    Route("POST", "/api/chats/archive/all", flags.archive_all, ACTIVE, answer=bool),
    Route("POST", "/api/chats/unarchive/all", flags.unarchive_all, ACTIVE, answer=bool),
    Route("GET", "/api/chats/all", transfer.export, ACTIVE, answer=list[ChatResponse]),
    Route("POST", "/api/chats/import", transfer.import_, ACTIVE, body=IMPORT, answer=list[ChatSummary], status=201),
    Route("GET", "/api/chats/share/{share_id}", shares.get, ACTIVE, answer=shares.SharedChat),
    Route("GET", "/s/{share_id}", shares.open_, ACTIVE, page=True, answer=shares.SharedChat, media=HTML),
    Route("GET", "/api/chats/{chat_id}", chats.get, ACTIVE, answer=ChatResponse),
    Route("POST", "/api/chats/{chat_id}", chats.update, ACTIVE, body=chats.ChatUpsert, answer=ChatResponse, errors=(409,)),
    Route("DELETE", "/api/chats/{chat_id}", chats.delete, ACTIVE, answer=bool),
    Route("POST", "/api/chats/{chat_id}/pin", flags.pin, ACTIVE, body=flags.Pin, answer=ChatSummary),
    Route("GET", "/api/chats/{chat_id}/pinned", flags.pinned, ACTIVE, answer=bool),
    Route("POST", "/api/chats/{chat_id}/archive", flags.archive, ACTIVE, body=flags.Archive, answer=ChatSummary),
    Route("POST", "/api/chats/{chat_id}/clone", transfer.clone, ACTIVE, body=transfer.CloneChat, answer=ChatResponse, status=201),
    Route("POST", "/api/chats/{share_id}/clone/shared", shares.clone, ACTIVE, body=transfer.CloneChat, answer=ChatResponse, status=201),
    Route("POST", "/api/chats/{chat_id}/share", shares.share, ACTIVE, answer=shares.ShareResponse),
    Route("DELETE", "/api/chats/{chat_id}/share", shares.unshare, ACTIVE, answer=bool),
    Route(
        "POST",
        "/api/chats/{chat_id}/messages",
        messages.send,
        ACTIVE,
        body=ASKING,
        answer=messages.SendMessageResponse,
        status=201,
        errors=(409,),
    ),
    Route("POST", "/api/chats/{chat_id}/messages/{message_id}", messages.edit, ACTIVE, body=EDITED, answer=ChatResponse),
    Route("DELETE", "/api/chats/{chat_id}/messages/{message_id}", messages.delete, ACTIVE, answer=ChatResponse),
    Route(
        "GET",
        "/api/generations/{generation_id}/events",
        generations.listen,
        ACTIVE,
        query=generations.Resume,
        media=EVENTS,
        pieces=Event,
        others=NOTHING,
    ),
    Route("DELETE", "/api/generations/{generation_id}", generations.stop, ACTIVE, answer=generations.StopResponse),
    Route(
        "GET",
        "/api/models/",
        models.list_,
        ACTIVE,
        query=models.ListModels,
        answer=models.ModelList,
        also=("/api/models", "/api/openai/v1/models", "/v1/models"),
    ),
    Route("POST", "/api/models/create", models.create, ACTIVE, body=CreateModel, answer=models.ModelResponse, status=201, errors=(404,)),
    Route("GET", "/api/models/custom", models.list_custom, ACTIVE, answer=list[models.ModelResponse]),
    Route("GET", "/api/models/model", models.find, ACTIVE, query=models.Named, answer=models.ModelResponse, errors=(404,)),
    Route(
        "POST",
        "/api/models/model/update",
        models.change,
        ACTIVE,
        body=UpdateModel,
        query=models.Named,
        answer=models.ModelResponse,
        errors=(404,),
    ),
    Route("POST", "/api/models/model/toggle", models.toggle, ACTIVE, query=models.Named, answer=models.ModelResponse, errors=(404,)),
    Route("DELETE", "/api/models/model/delete", models.remove, ACTIVE, query=models.Named, answer=bool, errors=(404,)),
    Route(
        "POST",
        "/api/models/pull",
        pulls.create,
        ADMIN,
        body=StartPull,
        answer=pulls.PullResponse,
        media=("application/x-ndjson",),
        errors=(404, 409, 502, 504),
    ),
    Route("GET", "/api/models/pulls", pulls.list_, ADMIN, answer=list[pulls.PullSummary]),
    Route("GET", "/api/models/pull/{pull_id}", pulls.get, ADMIN, answer=pulls.PullSummary),
    Route("GET", "/api/models/pull/{pull_id}/events", pulls.listen, ADMIN, query=generations.Resume, media=EVENTS, others=NOTHING),
    Route("DELETE", "/api/models/pull/{pull_id}", pulls.stop, ADMIN, answer=generations.StopResponse),
    Route("GET", "/api/models/{model_id:.+}", models.whole, ACTIVE, answer=models.ModelResponse),
    Route("POST", "/api/models/{model_id:.+}", models.update, ACTIVE, body=UpdateModel, answer=models.ModelResponse),
    Route("DELETE", "/api/models/{model_id:.+}", models.delete, ACTIVE, answer=bool),
    Route("GET", "/api/openai/v1/models/{model_id:.+}", models.get, ACTIVE, answer=models.ModelSummary, also=("/v1/models/{model_id:.+}",)),
    Route("GET", "/api/configs/rate_limits", configs.rate_limits, ADMIN, answer=RateLimits),
    Route("POST", "/api/configs/rate_limits", configs.set_rate_limits, ADMIN, body=RateLimitChanges, answer=RateLimits),
)
