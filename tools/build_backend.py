"""The build backend of pyproject.toml: setuptools, plus nvcc itself where it is asked for.

ALEXNET_RAW_CUDA=wheels builds the CUDA target on a machine without the CUDA toolkit: nvcc then comes
from PyPI into the build environment (104 MB to download).
"""

from __future__ import annotations

import os
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403 - the other hooks, unchanged

NVCC = "cuda-toolkit[nvcc,cudart,cccl]==13.0.*"  # this metapackage keeps the three in one release


def _nvcc() -> list[str]:
    return [NVCC] if os.environ.get("ALEXNET_RAW_CUDA", "").lower() == "wheels" else []


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    return build_meta.get_requires_for_build_wheel(config_settings) + _nvcc()


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    return build_meta.get_requires_for_build_editable(config_settings) + _nvcc()
