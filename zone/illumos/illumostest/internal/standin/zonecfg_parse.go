package standin

import (
	"fmt"
	"strings"
)

// A statement is one command of zonecfg's language, cut into words.
type statement struct {
	line  int
	words []string
}

// parseStatements cuts a text at line ends and semicolons. On an error it
// returns what came before.
func parseStatements(text string) ([]statement, error) {
	var all []statement
	p := &wordParser{}
	line := 1
	flush := func() {
		p.endWord()
		if len(p.words) > 0 {
			all = append(all, statement{line, p.words})
		}
		p.words = nil
	}
	comment := false
	for _, r := range text {
		switch {
		case comment && r != '\n':
		case r == '\n' && p.quoted:
			return all, fmt.Errorf("syntax error: the quote is not closed")
		case r == '\n' || r == ';' && !p.quoted:
			if p.err == nil {
				flush()
			}
			comment = false
		case r == '#' && !p.quoted && !p.inWord:
			comment = true
		default:
			p.take(r)
		}
		if p.err != nil {
			return all, p.err
		}
		if r == '\n' {
			line++
		}
	}
	if p.quoted {
		return all, fmt.Errorf("syntax error: the quote is not closed")
	}
	flush()
	return all, p.err
}

// A wordParser cuts one statement into words. Spaces, commas and equals signs
// in a value need quotes; brackets and parentheses may hold commas and more.
type wordParser struct {
	words          []string
	word           strings.Builder
	inWord, quoted bool
	depth, equals  int
	err            error
}

func (p *wordParser) take(r rune) {
	switch {
	case r == '"':
		p.quoted, p.inWord = !p.quoted, true
		return
	case p.quoted:
	case r == '[' || r == '(':
		p.depth++
	case r == ']' || r == ')':
		p.depth--
	case p.depth > 0:
	case r == ' ' || r == '\t' || r == '\r':
		p.endWord()
		return
	case r == '=':
		p.equals++
	case r == ',':
		p.equals = 2
	}
	if p.equals > 1 {
		p.err = fmt.Errorf("syntax error at %q: a value with ',' or '=' needs quotes", p.word.String()+string(r))
		return
	}
	p.inWord = true
	p.word.WriteRune(r)
}

func (p *wordParser) endWord() {
	if p.inWord {
		p.words = append(p.words, p.word.String())
	}
	p.word.Reset()
	p.inWord, p.equals = false, 0
}
