"""Sections of pages that are made anew."""

from kdmarl_core.contract.pages import marks, with_section, write_section


def test_a_section_takes_the_place_of_the_one_before_and_leaves_the_rest(tmp_path):
    page = tmp_path / "page.md"
    for source, lines in (("a.json", ["first"]), ("b.json", ["## B", "", "\\1 stays"]), ("a.json", ["## A", "second"])):
        write_section(page, source, lines, "# Title\n")
    begin, end = marks("a.json")
    assert page.read_text() == "\n".join(
        [
            "# Title",
            "",
            begin,
            "## A",
            "second",
            end,
            "",
            marks("b.json")[0],
            "## B",
            "",
            "\\1 stays",
            marks("b.json")[1],
            "",
        ]
    )


def test_a_page_without_marks_has_no_such_section():
    assert with_section("# Title\n", "a.json", ["line"]) is None
