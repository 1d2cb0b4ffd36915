"""The service of functions over each store."""

import pytest

from core.models.configs import FunctionRights
from core.models.functions import Definition
from core.security import Sealer
from core.services.configs import Configs
from core.services.functions.functions import Functions
from core.services.functions.rights import Rights
from core.services.functions.valves import FunctionValves
from core.settings import Settings
from core.storage.configs import Configs as ConfigRows
from core.storage.function_valves import FunctionValves as ValveRows
from core.storage.function_versions import FunctionVersions
from core.storage.functions import Functions as FunctionRows
from core.storage.records.port import Records
from pipelines.functions import read
from tests.core.services.people import ME
from tests.job_backend import JobBackend


async def define(content: str, name: str) -> Definition:
    """As the faces have it read."""
    return read(content, name)


@pytest.fixture
def configs(records: Records, backend: JobBackend) -> Configs:
    """Where ME may write functions."""
    return _configs(records, backend)


@pytest.fixture
def functions(records: Records, configs: Configs) -> Functions:
    return _functions(records, configs)


@pytest.fixture
def atomic_functions(atomic_records: Records, backend: JobBackend) -> Functions:
    """For those who race."""
    return _functions(atomic_records, _configs(atomic_records, backend))


def _configs(records: Records, backend: JobBackend) -> Configs:
    return Configs(ConfigRows(records), backend.log, (FunctionRights(user_ids=(ME.id,)),))


def _functions(records: Records, configs: Configs) -> Functions:
    return Functions(FunctionRows(records), FunctionVersions(records), Rights(configs))


@pytest.fixture
def valve_rows(records: Records) -> ValveRows:
    return ValveRows(records)


@pytest.fixture
def valves(functions: Functions, valve_rows: ValveRows, store_settings: Settings) -> FunctionValves:
    return FunctionValves(functions, valve_rows, Sealer(store_settings))
