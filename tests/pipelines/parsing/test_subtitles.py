from tests.pipelines.parsing.reading import read, refuse, texts


def test_srt_is_read_without_numbers_and_styles() -> None:
    srt = (
        "\ufeff1\r\n00:00:01,000 --> 00:00:02,000\r\n<i>Hello</i>\r\n2024 was fine\r\n\r\n"
        "2\r\n00:01:03,000 --> 00:01:04,000\r\n{\\an8}Bye\r\n"
    )
    assert texts(read("a.srt", srt)) == ["[00:00:01] Hello 2024 was fine", "[00:01:03] Bye"]


def test_vtt_is_read_with_speakers_and_without_notes() -> None:
    vtt = "WEBVTT\n\nNOTE for us\n\nSTYLE\n::cue {}\n\nintro\n00:01.000 --> 00:02.000 align:start\n<v Ada>Hi <c.loud>all</c> &amp; more\n"
    assert texts(read("a.vtt", vtt)) == ["[00:01] Ada: Hi all & more"]


def test_captions_that_roll_are_said_once() -> None:
    vtt = "WEBVTT\n\n00:01.000 --> 00:02.000\none\n\n00:02.000 --> 00:03.000\none\ntwo\n"
    assert texts(read("a.vtt", vtt)) == ["[00:01] one", "[00:02] two"]


def test_what_has_no_times_is_refused() -> None:
    assert "no times" in refuse("a.srt", "just words")
