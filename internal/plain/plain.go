// Package plain makes untrusted text safe to be shown, logged and stored: it removes
// control characters and characters that reorder a line, and bounds the length.
//
// Nothing that knows where a text comes from belongs here.
package plain

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// cut replaces the part that was left out.
const cut = "..."

// Text returns text of at most that many bytes. Line ends and tabs stay; each other
// character that is not printable becomes a question mark.
func Text(text string, most int) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '\n', '\t':
			return r
		case '\r':
			return -1 // of a line end
		}
		return readable(r)
	}, Clip(text, most))
}

// Line returns text on one line of at most that many bytes. Runs of white space become
// one space; each other character that is not printable becomes a question mark.
func Line(text string, most int) string {
	return strings.Map(readable, strings.Join(strings.Fields(Clip(text, most)), " "))
}

// Clip returns the beginning of text, at most that many bytes, cut between
// characters.
func Clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return text[:startOf(text, max(most-len(cut), 0))] + cut
}

// ClipMiddle returns text of at most that many bytes and keeps its beginning and its
// end.
func ClipMiddle(text string, most int) string {
	if len(text) <= most {
		return text
	}
	half := max(most-len(cut), 0) / 2
	end := len(text) - half
	for end < len(text) && !utf8.RuneStart(text[end]) {
		end++
	}
	return text[:startOf(text, half)] + cut + text[end:]
}

// startOf returns the start of the character that contains the byte at a position.
func startOf(text string, at int) int {
	for at > 0 && !utf8.RuneStart(text[at]) {
		at--
	}
	return at
}

// readable returns the character, or a question mark for control and format
// characters and for bytes that are no character.
func readable(r rune) rune {
	if r == utf8.RuneError || !unicode.IsPrint(r) && r != ' ' {
		return '?'
	}
	return r
}
