"""Flagsmith's engine test data, converted to environment documents."""

import json

import pytest

from realtime.evaluation import CompiledEnvironment
from tests.evaluation.engine_cases import ENGINE_CASES, EngineCase


@pytest.mark.parametrize("case", ENGINE_CASES, ids=lambda case: case.name)
def test_environment__engine_test_data__flags_segments_reasons_and_variants_as_expected(case: EngineCase) -> None:
    environment, identity = CompiledEnvironment(case.document), case.identity
    if identity is None:
        flags = list(environment.evaluator.environment_flags.values())
    else:
        flags = environment.identity_flags(identity, server_side=True)
        segments = [segment["name"] for segment in environment.evaluator.segments(identity)]
        assert segments == case.segment_names
        encoded = json.loads(environment.identity(identity, server_side=True))["flags"]
        assert {
            flag["feature"]["name"]: (flag["enabled"], flag["feature_state_value"], flag["variant"]) for flag in encoded
        } == {name: flag[:3] for name, flag in case.flags.items()}
    assert {
        flag.state.feature["name"]: (flag.state.enabled, flag.value, flag.variant, flag.reason) for flag in flags
    } == case.flags


def test_cases__all_recorded() -> None:
    assert len({case.name for case in ENGINE_CASES}) == 199
