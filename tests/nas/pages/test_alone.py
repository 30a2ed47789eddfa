from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nas import names
from nas.errors import UserError
from nas.pages import learnt
from nas.pages.alone import alone, lesson, network
from nas.pages.chart import NOTHING
from nas.pages.drawing import Row, picture, svg
from nas.pages.page import opened

SVG = "{http://www.w3.org/2000/svg}"


def texts(image: str) -> list[str]:
    return ["".join(text.itertext()) for text in ElementTree.fromstring(image).iter(f"{SVG}text")]


def test_a_drawing_as_a_file_is_sound_xml_with_its_own_colours_and_ground() -> None:
    image = picture([Row("image"), Row("<conv>", "a & b", sources=(0,))])
    root = ElementTree.fromstring(alone(image, "<b>", "of & on", "\x1b"))
    assert root.tag == f"{SVG}svg"
    (style,) = root.iter(f"{SVG}style")
    assert "prefers-color-scheme: dark" in (style.text or "")
    ground = next(root.iter(f"{SVG}rect"))
    assert (ground.get("width"), ground.get("height")) == (root.get("width"), root.get("height"))
    assert ground.get("class") == "ground"


def test_texts_stand_around_a_drawing_in_lines_that_it_is_as_wide_as() -> None:
    root = ElementTree.fromstring(alone(svg(500, 100, [NOTHING], "x"), "Title", "of a search", "word " * 40))
    title, of, *below = root.iter(f"{SVG}text")
    (inner,) = root.iter(f"{SVG}g")
    assert inner.get("transform") == "translate(20 71)"  # below the lines of 21 and 16 pixels
    assert (title.get("y"), of.get("y")) == ("37", "53")
    assert [int(line.get("y", "")) for line in below] == [195, 211, 227]  # from 71 + 100 + 12 on
    assert (root.get("width"), root.get("height")) == ("540", "251")


@pytest.mark.parametrize(
    ("what", "title", "axes"),
    [
        ("preferences", "Which options it came to prefer", ["share", "random"]),
        ("path", "The path that it now likes best", ["question", "answer", "Q-value"]),
    ],
)
def test_what_was_learnt_says_what_it_is_of_and_how_it_is_read(
    what: str, title: str, axes: list[str], folder: Path
) -> None:
    said = texts(lesson(opened(folder), what))
    assert said[:2] == [title, "Chain on digits · q-learning, seed 0, 60 trials"]
    assert set(axes) <= set(said)
    assert any(text.endswith(".") for text in said)


def test_which_choices_matter_is_drawn_where_all_together_explain_the_rewards_for_sure_and_refused_elsewhere(
    folder: Path, explained: Path
) -> None:
    said = texts(lesson(opened(explained), "importance"))
    assert said[0] == "Which choices matter for the reward"
    assert {"all together", "0", "of the rewards’ variance"} <= set(said)
    with pytest.raises(UserError, match="expected rewards that the choices explain for sure"):
        lesson(opened(folder), "importance")


def test_where_no_choice_matters_for_sure_the_refusal_has_the_reason_that_the_report_has(folder: Path) -> None:
    search = opened(folder)
    assert search.space is not None
    unsure = learnt.unsure(learnt.importances(search.space, search.trials))
    assert "all choices together explain nothing of the rewards for sure" in unsure
    with pytest.raises(UserError, match=re.escape(unsure)):
        lesson(search, "importance")


def test_where_there_is_no_path_the_refusal_names_the_controller_found_and_the_built_in_ones_that_have_one(
    explained: Path,
) -> None:
    with pytest.raises(UserError, match=r"found the controller random .* as q-learning and reinforce do"):
        lesson(opened(explained), "path")


def test_the_readme_names_all_built_in_controllers_that_say_what_they_prefer_and_no_other() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    (said,) = re.findall(r"Of the built-in ones (.*) say by\s+`prefers", readme)
    assert said.split(" and ") == [name for name, kind in names.controllers().items() if hasattr(kind, "prefers")]


def test_a_network_says_whose_it_is_and_how_it_is_read(folder: Path) -> None:
    number, image = network(opened(folder), None)
    said = texts(image)
    assert said[0].startswith(f"Network of trial {number}: reward 0.")
    assert "channels × height × width" in " ".join(said)
