"""Names that nobody has: any story can be told about them, and those that are kept for measuring are never among them."""

import string
from random import Random

import pytest

from youtu_onnx.problems import made_up, story_words


@pytest.mark.parametrize("language", ["en", "zh"])
def test_they_are_many_and_made_of_the_language_s_characters(language):
    rng = Random(1)
    people = [made_up.person(rng, language) for _ in range(500)]
    things = [made_up.thing(rng, language) for _ in range(500)]
    assert len(set(people)) > 350 and len(set(things)) > 350
    if language == "en":
        assert all(set(name) <= set(string.ascii_letters) and name.istitle() for name in people)
        assert all(set(name) <= set(string.ascii_lowercase) and name.endswith("s") for name in things)
    else:
        assert all("\u4e00" <= character <= "\u9fff" for name in people + things for character in name)
        assert all(name[0] in made_up.MEASURE_WORDS and len(name) == 3 for name in things)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_training_hears_of_made_up_people_and_never_of_those_kept_for_measuring(language):
    rng, known = Random(2), set(story_words.NAMES[language]["people"])
    heard = {name for _ in range(3000) for name in story_words.people(rng, language, 2)}
    kept = {what: set(story_words.OTHER_NAMES[language][what]) for what in ("people", "things")}
    assert known < heard and len(heard - known) > 300
    assert not heard & kept["people"]
    assert not {story_words.invented(rng, language, "things") for _ in range(3000)} & kept["things"]


def test_a_name_kept_for_measuring_is_drawn_again(monkeypatch):
    names = iter(["Hannah", "Hannah", "Ploan"])
    monkeypatch.setattr(made_up, "person", lambda rng, language: next(names))
    assert story_words.invented(Random(1), "en", "people") == "Ploan"


def test_people_of_one_problem_differ(monkeypatch):
    monkeypatch.setattr(made_up, "person", lambda rng, language: rng.choice(["Ploan", "Feemo"]))
    monkeypatch.setattr(story_words, "MADE_UP", 1.0)
    assert {frozenset(story_words.people(Random(seed), "en", 2)) for seed in range(20)} == {frozenset(("Ploan", "Feemo"))}


def test_stories_for_measuring_are_about_their_own_cast_alone():
    for language in ("en", "zh"):
        cast, rng = story_words.OTHER_NAMES[language], Random(3)
        for _ in range(100):
            teller = story_words.Teller(rng, language, story_words.OTHER_NAMES)
            assert teller.thing in cast["things"] and {teller.n, teller.m} <= set(cast["people"])
