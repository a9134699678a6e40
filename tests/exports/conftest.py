"""Lakes that several modules ask about; made once, read only."""

from pathlib import Path

import pytest

from recorder.exports import export
from tests.exports.lakes import CAPTURES, Made, capture_lake, market_lake

GAPS = [(30.0, 40.05), (80.0, 81.0)]  # seconds


@pytest.fixture(scope="session")
def whole_lake(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two minutes of a busy market."""
    return market_lake(tmp_path_factory.mktemp("whole") / "lake")


@pytest.fixture(scope="session")
def broken_lake(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The same with two gaps."""
    return market_lake(tmp_path_factory.mktemp("broken") / "lake", gaps=GAPS)


@pytest.fixture(scope="session")
def late_clock_lake(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The same, recorded by a machine whose clock is 1.5 s behind the venue's."""
    return market_lake(tmp_path_factory.mktemp("late") / "lake", our_clock_ns=-1_500_000_000)


@pytest.fixture(scope="session")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Half a minute of a real market with real delays."""
    name = "cm_ethusd_perp_20240808.gz"
    if not (CAPTURES / name).is_file():
        pytest.skip("the real captures are not on this machine")
    return capture_lake(tmp_path_factory.mktemp("capture") / "lake", name, seconds=30)


@pytest.fixture(scope="session")
def day(whole_lake: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole lake for hftbacktest: `day.npz` and what lies beside it."""
    path = tmp_path_factory.mktemp("hftbacktest") / "day.npz"
    export("hftbacktest", whole_lake.path, whole_lake.symbol, out=path, progress=False)
    return path


@pytest.fixture(scope="session")
def catalog(whole_lake: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole lake for Nautilus, with bars of ten seconds."""
    path = tmp_path_factory.mktemp("nautilus")
    export("nautilus", whole_lake.path, whole_lake.symbol, out=path, interval="10s", progress=False)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "exports"
