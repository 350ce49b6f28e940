package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// jsonpathQuery translates a template of kubectl's jsonpath into a jq expression whose one
// result is the text: what is outside of braces, and in braces a path, a quoted text, or
// "range PATH" up to "end". Several results of a path are separated by spaces, and missing
// fields are empty, as kubectl prints them.
func jsonpathQuery(template string) (query string, err error) {
	if !strings.Contains(template, "{") {
		template = "{" + template + "}"
	}
	query, rest, err := jsonpathParts(template, false)
	if err == nil && rest != "" {
		err = errors.New("{end} without {range}")
	}
	return query, err
}

// jsonpathParts translates up to the end of the template or, within a range, up to {end}.
func jsonpathParts(template string, inRange bool) (query, rest string, err error) {
	parts := []string{`""`}
	for template != "" {
		text, after, found := strings.Cut(template, "{")
		parts = append(parts, jqText(text))
		if !found {
			template = ""
			break
		}
		action, after, err := jsonpathAction(after)
		if err != nil {
			return "", "", err
		}
		template = after
		path, isRange := strings.CutPrefix(action, "range ")
		switch {
		case action == "end":
			if !inRange {
				return "", "{end}", nil
			}
			return "(" + strings.Join(parts, " + ") + ")", template, nil
		case isRange:
			of, err := jsonpathPath(path)
			if err != nil {
				return "", "", err
			}
			body, after, err := jsonpathParts(template, true)
			if err != nil {
				return "", "", err
			}
			parts, template = append(parts, "([ "+of+" | "+body+" ] | join(\"\"))"), after
		case strings.HasPrefix(action, `"`):
			parts = append(parts, action)
		default:
			path, err := jsonpathPath(action)
			if err != nil {
				return "", "", err
			}
			parts = append(parts, "([ "+path+" | select(. != null) | tostring ] | join(\" \"))")
		}
	}
	if inRange {
		return "", "", errors.New("{range} without {end}")
	}
	return strings.Join(parts, " + "), "", nil
}

// jqText returns a literal of jq.
func jqText(text string) string {
	literal, _ := json.Marshal(text) // a string always can be
	return string(literal)
}

// jsonpathAction returns what is before the closing brace, outside of quotes.
func jsonpathAction(text string) (action, rest string, err error) {
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && c == '}':
			return strings.TrimSpace(text[:i]), text[i+1:], nil
		}
	}
	return "", "", fmt.Errorf("{%s: the closing brace is missing", text)
}

// jsonpathSteps are the steps of a path and what each is in jq, $1 being the step's argument.
var jsonpathSteps = []struct {
	step *regexp.Regexp
	jq   string
}{
	{regexp.MustCompile(`^\.\.([A-Za-z_][-\w]*)`), ` | .. | objects | ."$1"`},
	{regexp.MustCompile(`^\.\*|^\[\*\]`), `[]?`},
	{regexp.MustCompile(`^\.([A-Za-z_][-\w]*)`), `["$1"]`},
	{regexp.MustCompile(`^\[['"]([^'"]*)['"]\]`), `["$1"]`},
	{regexp.MustCompile(`^\[(-?\d+)\]`), `[$1]`},
	{regexp.MustCompile(`^\[(-?\d*:-?\d*)\]`), `[$1][]?`},
	{regexp.MustCompile(`^\[\?\((.*?)\)\]`), `[]? | select($1) | .`},
}

// jsonpathPath translates one path.
func jsonpathPath(path string) (query string, err error) {
	rest := strings.TrimLeft(strings.TrimSpace(path), "$@")
	if rest == "." {
		rest = ""
	}
	query = "."
next:
	for rest != "" {
		for _, s := range jsonpathSteps {
			at := s.step.FindStringSubmatchIndex(rest)
			if at == nil {
				continue
			}
			step := string(s.step.ExpandString(nil, s.jq, rest, at))
			if strings.Contains(step, "select(") {
				step = strings.ReplaceAll(strings.ReplaceAll(step, "@", ""), "'", `"`)
			}
			query, rest = query+step, rest[at[1]:]
			continue next
		}
		return "", fmt.Errorf("path %s: cannot read %q", path, rest)
	}
	return query, nil
}
