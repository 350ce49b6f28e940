package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Evidence configures what is collected of a VM before its zone is removed by force.
type Evidence struct {
	Commands [][]string // argvs with placeholders, none of them empty
	MaxSize  uint64     // of all collections, in bytes
	Keep     time.Duration
}

const (
	// maxCommands bounds the commands for evidence, maxWords the words of one.
	maxCommands = 16
	maxWords    = 64
)

var (
	placeholder       = regexp.MustCompile(`\{[a-z]+\}`)
	knownPlaceholders = []string{"{pid}", "{zone}", "{id}"}
)

// commandLines reads an array of commands, each an array of its words.
func commandLines(items []any) ([][]string, error) {
	if len(items) > maxCommands {
		return nil, fmt.Errorf("%d commands, at most %d are possible", len(items), maxCommands)
	}
	all := make([][]string, len(items))
	for i, item := range items {
		words, ok := item.([]any)
		if !ok {
			return nil, fmt.Errorf(`item %d: want an array such as ["pstack", "{pid}"], got %s`, i+1, typeName(item))
		}
		var argv []string
		argvKey := list(&argv, "", commandLine)
		if err := argvKey.set(words, ""); err != nil {
			return nil, fmt.Errorf("item %d: %w", i+1, err)
		}
		all[i] = argv
	}
	return all, nil
}

// commandLine is a command for evidence.
func commandLine(words []string) ([]string, error) {
	words, err := argv(words)
	switch {
	case err != nil:
		return nil, err
	case len(words) > maxWords:
		return nil, fmt.Errorf("%d words, at most %d are possible", len(words), maxWords)
	case placeholder.MatchString(words[0]):
		return nil, fmt.Errorf("program %q has a placeholder", words[0])
	}
	for _, word := range words[1:] {
		for _, p := range placeholder.FindAllString(word, -1) {
			if !slices.Contains(knownPlaceholders, p) {
				return nil, fmt.Errorf("%q is not one of %s", p, strings.Join(knownPlaceholders, ", "))
			}
		}
	}
	return words, nil
}
