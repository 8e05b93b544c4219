"""The comparison of two runs of Flagsmith's own tests. These tests need no checkout."""

from tests.flagsmith.own_tests import Comparison, Result, results

REPORT = """<testsuites><testsuite>
<testcase classname="tests.unit.sse.test_tasks" name="test_posts"/>
<testcase classname="tests.unit.sse.test_tasks" name="test_posts"/>
<testcase classname="tests.unit.audit.test_views.TestList" name="test_lists"><failure/></testcase>
<testcase classname="tests.unit.audit.test_views" name="test_left"><skipped type="pytest.skip" message=""/></testcase>
<testcase classname="tests.unit.audit.test_views" name="test_broken"><error message="no fixture"/></testcase>
</testsuite></testsuites>"""

FAILING = Result("tests.unit.audit.test_views.TestList.test_lists", "failed")
PASSING = Result(FAILING.test, "passed")
TWICE = Result("tests.unit.sse.test_tasks.test_posts", "passed")


def test_results__xml_of_pytest__each_test_with_its_app_and_outcome() -> None:
    read = [(result.app, result.outcome) for result in results(REPORT)]
    assert read == [("sse", "passed"), ("sse", "passed"), ("audit", "failed"), ("audit", "skipped"), ("audit", "error")]
    assert results(REPORT)[2] == FAILING


def test_comparison__fails_both_ways__counted_and_named_and_no_worse() -> None:
    compared = Comparison([FAILING, TWICE, TWICE], [TWICE, FAILING, TWICE])

    assert compared.is_no_worse
    assert "| audit | 0 | 0 | 1 | 1 | 0 | 0 | 0 | 0 |" in str(compared)
    assert "| all | 2 | 2 | 1 | 1 | 0 | 0 | 0 | 0 |" in str(compared)
    assert f"without the app: 1\n  failed  {FAILING.test}" in str(compared)
    assert "Only with the app: 0" in str(compared)


def test_comparison__fails_or_is_away_with_the_app_alone__named_and_worse() -> None:
    compared = Comparison([PASSING, TWICE, TWICE], [FAILING, TWICE])

    assert not compared.is_no_worse
    assert f"Only with the app: 1\n  failed  {FAILING.test}" in str(compared)
    assert compared.only_without == [PASSING, TWICE]


def test_comparison__passes_with_the_app_alone__named_and_no_failure_of_ours() -> None:
    compared = Comparison([FAILING], [PASSING])

    assert compared.only_with == [PASSING]
    assert compared.is_no_worse
