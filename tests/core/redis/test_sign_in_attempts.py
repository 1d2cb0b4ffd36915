import pytest

from core.errors import RateLimited
from core.redis.client import Scripts
from core.redis.sign_in_attempts import MAX_PER_ACCOUNT, MAX_PER_ADDRESS, SignInAttempts

ADA = "ada@example.com"


@pytest.fixture
def attempts(scripts: Scripts) -> SignInAttempts:
    return SignInAttempts(scripts)


async def test_an_account_is_guessed_at_some_times_and_whoever_is_known_for_it_is_not_held_up(attempts: SignInAttempts) -> None:
    await attempts.welcome(ADA, "home")
    for number in range(MAX_PER_ACCOUNT):
        await attempts.begin(ADA, f"elsewhere {number}")
    with pytest.raises(RateLimited):
        await attempts.begin(ADA, "elsewhere")
    await (await attempts.begin(ADA, "home")).succeed()
    await attempts.begin(ADA, "elsewhere")


async def test_an_address_tries_some_accounts_and_one_that_it_signs_in_to_is_not_counted(attempts: SignInAttempts) -> None:
    for number in range(MAX_PER_ADDRESS):
        await attempts.begin(f"somebody.{number}@example.com", "here")
    with pytest.raises(RateLimited):
        await attempts.begin(ADA, "here")
    await attempts.begin(ADA, "there")
