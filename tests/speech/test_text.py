import numpy as np
import pytest

from neurend.checks import InputError
from neurend.speech import text


def test_classes_are_those_of_deepspeech():
    np.testing.assert_array_equal(text.encode("a z'"), [1, 0, 26, 27])
    assert text.BLANK == 28 and len(text.LETTERS) == text.BLANK
    assert text.decode(text.encode('Hello, World')) == 'hello world'


def test_punctuation_case_and_accents_go():
    assert text.normalize("  Don’t—stop:\tit's “naïve”!\n") == "don't stop it's naive"


@pytest.mark.parametrize(
    'given, named', [('we paid 20 €', "'0', '2', '€'|'0' '2' '€'"), ('привет', 'п'), ('a+b', r"'\+'")]
)
def test_other_characters_are_named(given, named):
    with pytest.raises(InputError, match=named):
        text.normalize(given)


def test_nothing_left():
    with pytest.raises(InputError, match='at least one letter'):
        text.normalize(' ... ')
