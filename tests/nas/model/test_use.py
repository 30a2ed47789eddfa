"""What a card says of how its folder is used; that it runs as written is seen in test_saved.py."""

from nas.model.use import use
from nas.network import Images

PHOTOS = Images(16, 3, 10)


def test_the_example_has_the_shape_of_the_models_images() -> None:
    assert use(PHOTOS, own=False, reason=None).count("images = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)") == 2


def test_only_a_program_of_ones_own_parts_asks_for_trust() -> None:
    assert 'load(Path("."), trust=True)' in use(PHOTOS, own=True, reason=None)
    assert "trust" not in use(PHOTOS, own=False, reason=None)


def test_where_nothing_can_load_the_folder_it_says_why_and_has_no_code() -> None:
    text = use(PHOTOS, own=True, reason="found a loop\nwithout end")
    assert "no program of them (found a loop without end)" in text
    assert "```" not in text
