"""Compiled environments: every response equals the flag engine's result, encoded plainly."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.evaluation import CompiledEnvironment, EnvironmentDocument, Identity, IdentityTrait
from tests.evaluation import plain
from tests.evaluation.documents import DOCUMENTS, Generated, identities


@settings(max_examples=200)
@given(generated=DOCUMENTS, asked=st.lists(identities(), min_size=1, max_size=4))
def test_identity__any_document_and_identity__equals_the_engines_result_encoded_plainly(
    generated: Generated, asked: list[Identity]
) -> None:
    environment = CompiledEnvironment(generated.document, stored_fields=generated.stored_fields)
    for identity in asked:
        for server_side in (False, True):
            expected = plain.identity_body(generated.document, identity, server_side, generated.stored_fields)
            assert environment.identity(identity, server_side) == expected
            flags = plain.identity_flags(generated.document, identity, server_side)
            assert [flag.reason for flag in environment.identity_flags(identity, server_side)] == [
                flag["reason"] for flag in flags
            ]
            for flag in json.loads(expected)["flags"]:
                encoded = environment.identity_flag(identity, flag["feature"]["name"], server_side)
                assert encoded is not None
                assert json.loads(encoded) == flag


@settings(max_examples=30)
@given(generated=DOCUMENTS, identity=identities())
def test_identity__overrides_from_the_caller__as_from_the_document(generated: Generated, identity: Identity) -> None:
    environment = CompiledEnvironment(generated.document, stored_fields=generated.stored_fields)
    overrides = next(
        (each for each in generated.document["identity_overrides"] if each["identifier"] == identity.identifier),
        {"identity_features": [], "django_id": None},
    )
    without = CompiledEnvironment(generated.document, identity_overrides=[], stored_fields=generated.stored_fields)
    pk = overrides["django_id"] if identity.id is None else identity.id
    given_by_caller = replace(identity, id=pk, overrides=overrides["identity_features"])
    for server_side in (False, True):
        assert without.identity(given_by_caller, server_side) == environment.identity(identity, server_side)


def document(**fields: Any) -> EnvironmentDocument:
    """A minimal document: only the required fields, as a server may have it that is not this product."""
    content: Any = {
        "id": 1,
        "api_key": "key",
        "name": "production",
        "project": {"segments": []},
        "feature_states": [
            {
                "feature": {"id": 3, "name": "banner", "type": "STANDARD"},
                "enabled": True,
                "feature_state_value": "hello",
                "django_id": 8,
            }
        ],
        **fields,
    }
    return content


def test_flags__document_without_stored_fields__null() -> None:
    (flag,) = json.loads(CompiledEnvironment(document()).flags(server_side=False))
    assert flag == {
        "id": 8,
        "feature": {
            "id": 3,
            "name": "banner",
            "created_date": None,
            "description": None,
            "initial_value": None,
            "default_enabled": None,
            "type": "STANDARD",
        },
        "feature_state_value": "hello",
        "environment": 1,
        "identity": None,
        "feature_segment": None,
        "enabled": True,
    }


def test_environment_document__any__unchanged() -> None:
    content = document(updated_at="2026-01-01T00:00:00.000000+00:00", unknown=["ü"])
    assert json.loads(CompiledEnvironment(content).environment_document()) == content


def test_flag__unknown_name__none() -> None:
    environment = CompiledEnvironment(document())
    assert environment.flag("unknown", server_side=True) is None
    assert environment.identity_flag(Identity("ada"), "unknown", server_side=True) is None


@pytest.mark.parametrize("server_side", [False, True])
def test_flag__server_side_feature__only_for_server_side_keys(server_side: bool) -> None:
    environment = CompiledEnvironment(document(project={"segments": [], "server_key_only_feature_ids": [3]}))
    assert environment.depends_on_key
    assert (environment.flag("banner", server_side) is not None) == server_side
    assert len(json.loads(environment.flags(server_side))) == server_side
    assert len(json.loads(environment.identity(Identity("ada"), server_side))["flags"]) == server_side


@pytest.mark.parametrize("server_side", [False, True])
def test_flags__disabled_ones_hidden_from_client_side_keys__each_body_of_that_key(server_side: bool) -> None:
    content = document(project={"segments": [segment(1, "plan", "pro")], "hide_disabled_flags": True})
    content["feature_states"][0]["enabled"] = False
    assert not CompiledEnvironment(content).depends_on_key
    environment = CompiledEnvironment(content, shows_disabled_to_server_keys=True)
    assert environment.depends_on_key
    assert (environment.flag("banner", server_side) is not None) == server_side
    assert len(json.loads(environment.flags(server_side))) == server_side
    assert len(json.loads(environment.identity(Identity("ada"), server_side))["flags"]) == server_side
    assert len(environment.identity_flags(Identity("ada"), server_side)) == server_side


def test_identity__transient_trait__used_and_marked_in_the_response() -> None:
    rule = {"type": "ALL", "conditions": [{"operator": "EQUAL", "property_": "plan", "value": "pro"}], "rules": []}
    override = {**document()["feature_states"][0], "feature_state_value": "hello, professional", "django_id": 9}
    segment = {"id": 2, "name": "professionals", "rules": [rule], "feature_states": [override]}
    environment = CompiledEnvironment(document(project={"segments": [segment]}))
    identity = Identity("ada", traits={"plan": IdentityTrait(None, "plan", "pro", True)})
    body = json.loads(environment.identity(identity, server_side=False))
    assert body["traits"] == [{"id": None, "trait_key": "plan", "trait_value": "pro", "transient": True}]
    assert [flag["feature_state_value"] for flag in body["flags"]] == ["hello, professional"]
    assert [segment["name"] for segment in environment.evaluator.segments(identity)] == ["professionals"]


@pytest.mark.parametrize("operator, value", [("EQUAL", "1"), ("EQUAL", "true"), ("REGEX", "-"), ("IN", "1,True")])
def test_identity__equal_trait_values_of_other_types__decided_separately(operator: str, value: str) -> None:
    """1, 1.0 and true are equal in Python, and 0.0 and -0.0."""
    rule = {"type": "ALL", "conditions": [{"operator": operator, "property_": "n", "value": value}], "rules": []}
    override = {**document()["feature_states"][0], "feature_state_value": "overridden", "django_id": 9}
    content = document(project={"segments": [{"id": 2, "name": "s", "rules": [rule], "feature_states": [override]}]})
    shared = CompiledEnvironment(content)
    for number in (1, True, 1.0, "1", 0.0, -0.0, 0, False):
        identity = Identity("ada", traits={"n": IdentityTrait(None, "n", number, False)})
        alone = CompiledEnvironment(content).identity(identity, server_side=True)
        assert shared.identity(identity, server_side=True) == alone


def test_identity__very_many_trait_values__decided_correctly_for_each() -> None:
    rule = {"type": "ALL", "conditions": [{"operator": "MODULO", "property_": "n", "value": "2|0"}], "rules": []}
    override = {**document()["feature_states"][0], "feature_state_value": "even", "django_id": 9}
    segments = [{"id": 2, "name": "even", "rules": [rule], "feature_states": [override]}]
    environment = CompiledEnvironment(document(project={"segments": segments}))
    for number in range(2_000):
        (flag,) = environment.identity_flags(
            Identity("ada", traits={"n": IdentityTrait(None, "n", number, False)}), True
        )
        assert flag.value == ("hello" if number % 2 else "even")


def segment(number: int, prop: str, value: str, rule_type: str = "ALL", operator: str = "EQUAL") -> dict[str, Any]:
    """A segment of the identities with this trait value, in which the feature has the segment's number as value."""
    condition = {"operator": operator, "property_": prop, "value": value}
    override = {**document()["feature_states"][0], "feature_state_value": f"segment {number}", "django_id": 9 + number}
    rule = {"type": rule_type, "conditions": [condition], "rules": []}
    return {"id": number, "name": f"segment {number}", "rules": [rule], "feature_states": [override]}


def value_for(environment: CompiledEnvironment, **traits: str) -> Any:
    values = {key: IdentityTrait(None, key, value, False) for key, value in traits.items()}
    (flag,) = environment.identity_flags(Identity("ada", traits=values), True)
    return flag.value


def test_identity__very_many_combinations_of_segments__decided_correctly_for_each() -> None:
    segments = [segment(number, f"t{number}", "yes") for number in range(8)]
    environment = CompiledEnvironment(document(project={"segments": segments}))
    for bits in range(2 ** len(segments)):
        matching = [number for number in range(len(segments)) if bits >> number & 1]
        expected = f"segment {matching[0]}" if matching else "hello"
        assert value_for(environment, **{f"t{number}": "yes" for number in matching}) == expected


def test_identity__long_trait_value__decided_correctly() -> None:
    long = "x" * 1_000
    environment = CompiledEnvironment(document(project={"segments": [segment(1, "plan", long)]}))
    assert [value_for(environment, plan=value) for value in (long, "x", long)] == ["segment 1", "hello", "segment 1"]


def test_identity__unknown_rule_type__in_no_such_segment() -> None:
    environment = CompiledEnvironment(document(project={"segments": [segment(1, "plan", "pro", "SOME")]}))
    assert value_for(environment, plan="pro") == "hello"


def test_identity__segment_raises_for_a_trait__left_out_and_others_evaluated() -> None:
    segments = [segment(1, "n", "2|0", operator="MODULO"), segment(2, "plan", "pro")]
    environment = CompiledEnvironment(document(project={"segments": segments}))
    assert value_for(environment, plan="pro", n="4") == "segment 1"
    assert value_for(environment, plan="pro", n="9" * 1_000) == "segment 2"


def test_identity__segments_raise_only_together__left_out() -> None:
    """Each segment can be evaluated alone. Together, one reads the flag that the other overrides."""
    banner = document()["feature_states"][0]
    other: Any = {**banner, "feature": {"id": 4, "name": "other", "type": "STANDARD"}, "django_id": 8}
    overriding, reading = segment(1, "plan", "pro"), segment(2, "$.flags.banner.value", "1")
    overriding["feature_states"][0]["feature_state_value"] = "9" * 5_000
    reading["feature_states"] = [{**other, "feature_state_value": "read", "django_id": 11}]
    hers = {"identifier": "ada", "identity_features": [{**other, "feature_state_value": "hers", "django_id": 12}]}
    environment = CompiledEnvironment(
        document(feature_states=[banner, other], project={"segments": [overriding, reading]}, identity_overrides=[hers])
    )
    identity = Identity("ada", traits={"plan": IdentityTrait(None, "plan", "pro", False)})
    assert [flag.value for flag in environment.identity_flags(identity, True)] == ["hello", "hers"]
