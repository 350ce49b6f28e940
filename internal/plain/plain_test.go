package plain

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                           "",
		"two\r\nlines\tof text\n":    "two\nlines\tof text\n",
		"\x1b[31mred\x1b]0;title\a":  "?[31mred?]0;title?",
		"é 漢 \xff\xfe":               "é 漢 ??",
		"a\u202eb\u200bc\u0085d\x00": "a?b?c?d?",
		strings.Repeat("x\n", 16):    strings.Repeat("x\n", 13) + "x...",
	} {
		if got := Text(text, 30); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                      "",
		"exit status 1":         "exit status 1",
		"a\r\n\n\tb\x1bc\n":     "a b?c",
		strings.Repeat("x", 21): strings.Repeat("x", 17) + "...",
		strings.Repeat("é", 20): strings.Repeat("é", 8) + "...",
	} {
		if got := Line(text, 20); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestClipMiddle(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                      "",
		"12345678901":           "12345678901",
		"abcd, and on, to wxyz": "abcd...wxyz",
		"ééé, and on, to ééé":   "éé...éé",
		"aéé, and on, to ééa":   "aé...éa",
	} {
		if got := ClipMiddle(text, 11); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzPlain(f *testing.F) {
	f.Add("a\x1b[1m\xff", 32)
	f.Fuzz(func(t *testing.T, text string, most int) {
		most = max(most%100, 3)
		for _, got := range []string{Line(text, most), Text(text, most)} {
			if !utf8.ValidString(got) || strings.ContainsAny(got, "\x1b\a\x00\r") {
				t.Errorf("%q became %q", text, got)
			}
		}
		for _, got := range []string{Line(text, most), Text(text, most), Clip(text, most), ClipMiddle(text, most)} {
			if len(got) > most {
				t.Errorf("%q has %d bytes as %q, want at most %d", text, len(got), got, most)
			}
		}
	})
}
