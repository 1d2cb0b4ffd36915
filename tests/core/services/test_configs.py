import msgspec
import pytest
from msgspec import UNSET

from core.errors import Forbidden
from core.models.configs import RateLimitChanges, RateLimits
from core.services.configs import TOPIC, Configs
from core.storage.configs import Configs as ConfigRows
from core.storage.records.port import Records
from tests.core.services.people import ADMIN, ME
from tests.job_backend import JobBackend
from tests.polling import until

DEFAULT = RateLimits(requests_per_minute=100, uploads_per_minute=3_000, admins_limited=False, anonymous_requests_per_minute=60)


@pytest.fixture
def configs(records: Records, backend: JobBackend) -> Configs:
    return Configs(ConfigRows(records), backend.log, (DEFAULT,))


async def test_what_nobody_has_decided_is_as_the_settings_say(configs: Configs) -> None:
    assert await configs.get_for_administrator(ADMIN, RateLimits) == configs.get(RateLimits) == DEFAULT


async def test_a_decision_holds_at_once_and_after_a_restart_and_leaves_the_rest_to_the_settings(
    configs: Configs, records: Records, backend: JobBackend
) -> None:
    decided = await configs.change(ADMIN, RateLimits, RateLimitChanges(requests_per_minute=None, admins_limited=True))
    assert decided == configs.get(RateLimits) == msgspec.structs.replace(DEFAULT, requests_per_minute=None, admins_limited=True)
    await configs.change(ADMIN, RateLimits, RateLimitChanges(admins_limited=False))
    later = Configs(
        ConfigRows(records),
        backend.log,
        (msgspec.structs.replace(DEFAULT, requests_per_minute=5, admins_limited=True, anonymous_requests_per_minute=7),),
    )
    await later.open()
    assert later.get(RateLimits) == msgspec.structs.replace(DEFAULT, requests_per_minute=None, anonymous_requests_per_minute=7)
    await later.close()


async def test_another_process_hears_of_it(configs: Configs, records: Records, backend: JobBackend) -> None:
    other = Configs(ConfigRows(records), backend.log, (DEFAULT,))
    await other.open()
    await configs.change(ADMIN, RateLimits, RateLimitChanges(requests_per_minute=7))
    await until(lambda: other.get(RateLimits).requests_per_minute == 7, "the other process knows the limit", timeout_s=1)
    await other.close()


async def test_what_was_missed_while_redis_was_away_is_read_again(configs: Configs, records: Records, backend: JobBackend) -> None:
    await configs.open()
    await until(lambda: backend.log._inboxes.get(TOPIC), "it listens")
    await ConfigRows(records).change("rate_limits", {"requests_per_minute": 7})
    assert backend.log._wire
    backend.log._wire.close()
    await until(lambda: configs.get(RateLimits).requests_per_minute == 7, "it has read again", timeout_s=5)
    await configs.close()


async def test_what_is_stored_but_makes_no_sense_leaves_the_settings_in_force(configs: Configs, records: Records) -> None:
    await ConfigRows(records).change("rate_limits", {"requests_per_minute": -7})
    await configs.open()
    assert configs.get(RateLimits) == DEFAULT
    await configs.close()


async def test_a_decision_that_changes_nothing_stores_nothing(configs: Configs, records: Records) -> None:
    await configs.change(ADMIN, RateLimits, RateLimitChanges(requests_per_minute=UNSET))
    assert await ConfigRows(records).get("rate_limits") == {}


async def test_only_administrators_decide_and_see(configs: Configs) -> None:
    with pytest.raises(Forbidden):
        await configs.get_for_administrator(ME, RateLimits)
    with pytest.raises(Forbidden):
        await configs.change(ME, RateLimits, RateLimitChanges(requests_per_minute=1))
    assert configs.get(RateLimits) == DEFAULT
