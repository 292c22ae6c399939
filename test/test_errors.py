"""What a command line prints and returns for each way of ending."""

from pathlib import Path

import pytest

from kdmarl_core.contract import KdmarlError
from kdmarl_core.errors import did_you_mean, naming, reason, run_command, with_article


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("command", "code", "printed"),
    [
        (lambda: None, 0, ""),
        (lambda: 3, 3, ""),
        (lambda: fail(KdmarlError("speed: is 3\n  m/s; lower it")), 2, "tool: speed: is 3 m/s; lower it\n"),
        (lambda: fail(KeyboardInterrupt()), 130, ""),
        (Path("/nowhere/file").read_text, 2, "tool: /nowhere/file: No such file or directory; check"),
        (lambda: fail(OSError(28, "No space left on device")), 2, "tool: [Errno 28] No space left on device; check"),
    ],
)
def test_every_end_has_its_code_and_sentence(capsys, command, code, printed):
    assert run_command(command, "tool") == code
    err = capsys.readouterr().err
    assert err.startswith(printed)
    assert err.count("\n") == bool(printed)


def test_what_a_file_says_does_nothing_to_a_terminal():
    text = str(KdmarlError("name '\x1b[2J\r\n\u202eü' is unknown"))
    assert text.isprintable()
    assert "ü" in text


def test_what_fails_is_named_once():
    for said in ("arm", "arm: is 3", "armour: is 3"):
        with pytest.raises(KdmarlError) as caught, naming("arm"):
            fail(KdmarlError(said))
        assert str(caught.value) == {"arm: is 3": "arm: is 3"}.get(said, f"arm: {said}")


def test_bugs_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 / 0, "tool")


@pytest.mark.parametrize(
    ("word", "remedy"), [("scuot", "did you mean 'scout'?"), ("zeppelin", "remove it"), ("", "remove it")]
)
def test_the_nearest_word(word, remedy):
    assert did_you_mean(word, {"scout", "carrier", "mini"}) == remedy


@pytest.mark.parametrize("name", ["an int", "an object", "an Identity", "an ndarray", "a list", "a uint8", "a _Part"])
def test_the_article_of_a_type(name):
    assert with_article(name.split()[1]) == name


def test_the_reason_of_an_error_is_one_short_line_with_both_its_ends():
    assert reason(ValueError("two\n  lines")) == "ValueError: two lines"
    long = reason(TypeError("Path " + "[0. 0.]\n" * 500 + " is not a path"))
    assert long.startswith("TypeError: Path [0. 0.] [0. 0.]")
    assert long.endswith("[0. 0.] is not a path")
    assert len(long) < 200
