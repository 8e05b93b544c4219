"""The mutations still apply to the source."""

import pytest

from tests.mutations.table import MUTATIONS, Mutation
from tests.support.programs import ROOT


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutation__its_text__occurs_once_in_the_source(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text().count(mutation.old) == 1
    for path in mutation.tests:
        assert (ROOT / path).exists(), path
