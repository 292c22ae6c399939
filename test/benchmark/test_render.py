"""Templates of pages: their numbers come from data, and what these lack is named."""

import re

import pytest
from jinja2 import Environment

from kdmarl_core.benchmark import render
from support import REPOSITORY

TEMPLATES = sorted((REPOSITORY / "kdmarl_core/benchmark/templates").iterdir())


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_number_is_written_into_a_template(path):
    words = "".join(text for _, kind, text in Environment().lex(path.read_text()) if kind == "data")
    assert "|" in words or "#" in words  # tables and headings
    assert not re.findall(r"\d+", words)


def test_what_data_lack_is_named():
    with pytest.raises(render.MissingError, match="^'methods'$"):
        render.render("methods")
    with pytest.raises(render.MissingError, match="^'lines'$"):
        render.render("methods", methods={"head": []})


def test_names_are_not_escaped():
    found = render.render("methods", methods={"head": ["task", "`a`"], "lines": [["<b> & c's", "0.5"]]})
    assert found == "| task | `a` |\n| --- | --- |\n| <b> & c's | 0.5 |\n"


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (render.score({"iqm": 0.9571, "low": 0.941, "high": 0.972}), "0.957 [0.941, 0.972]"),
        (render.score({"iqm": 0.5, "low": 0.5, "high": 0.5}), "0.500"),
        (render.score({"iqm": None, "low": None, "high": None}), "none"),
        (render.figure(None), "none"),
        (render.pair("covered", {"covered": 0.8632, "expert_covered": None}), "none → 0.863"),
        (render.pair("covered", {}), ""),
        (render.signed(-0.0075), "-0.007"),
        (render.decimals(23.4, 2), "23.40"),
        (render.plain(100.0), "100"),
        (render.times(30.52), "30.5x"),
        (render.thousands(83712.0), "83,712"),
        (render.percent(0.875), "88 %"),
        (render.cells([]), ""),
        (render.cells(["a", ""]), " a |  |"),
        (render.rule(2), "| --- | --- |"),
    ],
)
def test_how_numbers_are_written(written, wanted):
    assert written == wanted
