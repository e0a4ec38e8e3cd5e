"""Makes what several files of tests share importable (pytest's importlib mode puts nothing on sys.path)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from made_trainers import made


@pytest.fixture(scope="session")
def binary():
    return made("binary")


@pytest.fixture(scope="session")
def categorical():
    return made("categorical")


@pytest.fixture(scope="session")
def numeric():
    return made("numeric")


@pytest.fixture(scope="session")
def texts():
    return made("text")


@pytest.fixture(scope="session")
def encoder(tmp_path_factory, texts):
    from fairlead.lifecycle.trainers import tiny_encoder

    return tiny_encoder(tmp_path_factory.mktemp("encoder"), texts.x, hidden=8)
